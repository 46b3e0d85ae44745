package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// sameTree compares two folders: names, kinds, run bits, targets of links, and
// contents byte for byte. It reads all of both, and keeps nothing in memory.
func sameTree(want, have string) error {
	expected := 0
	err := filepath.WalkDir(want, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		expected++
		name, err := filepath.Rel(want, p)
		if err != nil {
			return err
		}
		return sameEntry(p, filepath.Join(have, name))
	})
	if err != nil {
		return err
	}
	found := 0
	err = filepath.WalkDir(have, func(_ string, _ fs.DirEntry, err error) error {
		found++
		return err
	})
	if err == nil && found != expected {
		err = fmt.Errorf("%s has %d entries, not the %d of %s", have, found, expected, want)
	}
	return err
}

func sameEntry(want, have string) error {
	w, err := os.Lstat(want)
	if err != nil {
		return err
	}
	h, err := os.Lstat(have)
	if err != nil {
		return err
	}
	switch {
	case w.Mode().Type() != h.Mode().Type():
		return fmt.Errorf("%s is %v, not %v", have, h.Mode(), w.Mode())
	case w.Mode().IsRegular():
		if w.Mode()&0o100 != h.Mode()&0o100 || w.Size() != h.Size() {
			return fmt.Errorf("%s is %v with %d bytes, not %v with %d", have, h.Mode(), h.Size(), w.Mode(), w.Size())
		}
		return sameFile(want, have)
	case w.Mode().Type() == fs.ModeSymlink:
		return sameLink(want, have)
	}
	return nil
}

func sameLink(want, have string) error {
	w, err := os.Readlink(want)
	if err != nil {
		return err
	}
	h, err := os.Readlink(have)
	if err == nil && w != h {
		err = fmt.Errorf("%s leads to %s, not %s", have, h, w)
	}
	return err
}

// errDiffers says that two files have different contents.
var errDiffers = errors.New("other contents")

// sameFile compares the contents of two files.
func sameFile(want, have string) error {
	w, err := os.Open(want)
	if err != nil {
		return err
	}
	defer w.Close()
	h, err := os.Open(have)
	if err != nil {
		return err
	}
	defer h.Close()
	a, b := bufio.NewReaderSize(w, 1<<16), bufio.NewReaderSize(h, 1<<16)
	for {
		x, xerr := a.Peek(1 << 16)
		y, yerr := b.Peek(1 << 16)
		switch {
		case !bytes.Equal(x, y):
			return fmt.Errorf("%s: %w than %s", have, errDiffers, want)
		case xerr == io.EOF && yerr == io.EOF:
			return nil
		case xerr != nil || yerr != nil:
			return errors.Join(xerr, yerr)
		}
		a.Discard(len(x))
		b.Discard(len(y))
	}
}

// treeSize counts the regular files of a folder, and their bytes.
func treeSize(dir string) (files, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files++
			bytes += info.Size()
		}
		return err
	})
	return files, bytes, err
}
