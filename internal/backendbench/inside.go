package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// inside does one kind of work with the files below folders, as programs do, and gives
// the seconds that it took. Most kinds know one folder.
func inside(work string, dirs []string) (float64, error) {
	var do func() error
	switch dir := dirs[0]; work {
	case "start":
		do = func() error { return nil }
	case "large":
		do = func() error { return readLarge(filepath.Join(dir, "share/large")) }
	case "small":
		names, err := smallNames(dir)
		if err != nil {
			return 0, err
		}
		do = func() error { return readSmall(names[:min(len(names), 10_000)]) }
	case "all":
		do = func() error {
			for _, dir := range dirs {
				if _, err := readAll(dir); err != nil {
					return err
				}
			}
			return nil
		}
	case "stat":
		do = func() error { return statAll(filepath.Join(dir, "share/small")) }
	default:
		return 0, fmt.Errorf("no work %q", work)
	}
	start := time.Now()
	err := do()
	return time.Since(start).Seconds(), err
}

func readLarge(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		if _, err := f.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func smallNames(dir string) (names []string, err error) {
	err = filepath.WalkDir(filepath.Join(dir, "share/small"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, p)
		}
		return err
	})
	return names, err
}

func readSmall(names []string) error {
	buf := make([]byte, 64<<10)
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		for {
			if _, err = f.Read(buf); err != nil {
				break
			}
		}
		f.Close()
		if err != io.EOF {
			return err
		}
	}
	return nil
}

// readAll gives how many files there are.
func readAll(dir string) (files int, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		return readLarge(name)
	})
	return files, err
}

func statAll(dir string) error {
	return filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			_, err = d.Info()
		}
		return err
	})
}
