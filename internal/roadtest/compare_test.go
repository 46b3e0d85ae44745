package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a folder with files of several kinds.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "bin"), 0o755),
		os.Mkdir(filepath.Join(dir, "empty"), 0o755),
		os.WriteFile(filepath.Join(dir, "bin", "run"), []byte("#!/bin/sh\n"), 0o755),
		os.WriteFile(filepath.Join(dir, "long"), []byte(strings.Repeat("x", 200_000)), 0o644),
		os.WriteFile(filepath.Join(dir, "nothing"), nil, 0o644),
		os.Symlink("long", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSameTreeFindsEveryDifference(t *testing.T) {
	if err := sameTree(tree(t), tree(t)); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(in func(string) string) error{
		"more":      func(in func(string) string) error { return os.WriteFile(in("more"), nil, 0o644) },
		"folder":    func(in func(string) string) error { return os.Mkdir(in("empty/more"), 0o755) },
		"less":      func(in func(string) string) error { return os.Remove(in("nothing")) },
		"no folder": func(in func(string) string) error { return os.Remove(in("empty")) },
		"run bit":   func(in func(string) string) error { return os.Chmod(in("bin/run"), 0o644) },
		"size":      func(in func(string) string) error { return os.Truncate(in("long"), 199_999) },
		"last byte": func(in func(string) string) error {
			return os.WriteFile(in("long"), []byte(strings.Repeat("x", 199_999)+"y"), 0o644)
		},
		"target": func(in func(string) string) error {
			os.Remove(in("link"))
			return os.Symlink("bin/run", in("link"))
		},
		"kind": func(in func(string) string) error {
			os.Remove(in("nothing"))
			return os.Symlink("long", in("nothing"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			have := tree(t)
			if err := change(func(name string) string { return filepath.Join(have, name) }); err != nil {
				t.Fatal(err)
			}
			if err := sameTree(tree(t), have); err == nil {
				t.Error("not found")
			}
		})
	}
}

func TestInventorySaysWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		aside := file + ".tmp"
		if err := os.WriteFile(aside, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, file); err != nil {
			t.Fatal(err)
		}
	}
	write("packs/a", 1)
	write("trust/timestamp.json", 10)
	before, err := inventory(dir)
	if err != nil {
		t.Fatal(err)
	}
	write("packs/b", 100)
	write("deltas/b/a", 1000)
	write("deltas/b/empty", 10_000)
	write("trust/timestamp.json", 10)
	after, err := inventory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if have, want := after.since(before), (storage{100, 1000, 10_000, 10}); have != want {
		t.Errorf("%+v", have)
	}
	if have, want := after.since(nil), (storage{101, 1000, 10_000, 10}); have != want {
		t.Errorf("%+v", have)
	}
}
