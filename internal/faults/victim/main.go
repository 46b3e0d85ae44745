//go:build amd64

// Command victim replaces a file, well or as bad programs do, so that tests can see
// that the suite would find it: victim HOW FILE.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Text is what the file holds then.
var text = strings.Repeat("new\n", 1000)

func main() {
	how, name := os.Args[1], os.Args[2]
	replace := map[string]func(string) error{
		"well": well, "renames-first": renamesFirst, "in-place": inPlace, "deaf": deaf, "litters": litters, "once": once,
	}[how]
	if err := replace(name); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
}

// put writes the text in two parts.
func put(f *os.File) error {
	_, err := f.WriteString(text[:len(text)/2])
	_, again := f.WriteString(text[len(text)/2:])
	return errors.Join(err, again)
}

// well is how it should be: a kill leaves at most a file that the next run replaces.
func well(name string) error {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(put(f), f.Sync(), f.Close()); err != nil {
		os.Remove(name + ".new")
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// renamesFirst gives the file its name before it is written.
func renamesFirst(name string) error {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return errors.Join(put(f), f.Sync(), f.Close())
}

// inPlace leaves half a file at its name.
func inPlace(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(put(f), f.Sync(), f.Close())
}

// deaf says that all is well when the disk is full.
func deaf(name string) error {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	put(f)
	return errors.Join(f.Close(), os.Rename(name+".new", name))
}

// litters leaves its temporary files behind.
func litters(name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), "victim-*")
	if err != nil {
		return err
	}
	return errors.Join(put(f), f.Sync(), f.Close(), os.Rename(f.Name(), name))
}

// once cannot be given again after an interruption.
func once(name string) error {
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(put(f), f.Sync(), f.Close(), os.Rename(name+".new", name))
}
