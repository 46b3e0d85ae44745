package modules

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Build reads what the modules in and below a folder say of themselves, in their
// section .modinfo; they must not be compressed.
func Build(folder string) (*Index, error) {
	x := newIndex()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == "modules.builtin":
			return x.addBuiltin(path)
		case filepath.Ext(path) != ".ko":
			return nil
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		info, err := modinfo(path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		return x.add(describe(rel, info))
	})
	if err == nil && len(x.modules) == 0 {
		err = fmt.Errorf("no module is in %s", folder)
	}
	return x, err
}

// modinfo gives the texts "key=value" of a module.
func modinfo(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no section .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == 0 }), nil
}

// describe keeps what loading needs: the module's name is that of its file.
func describe(path string, info []string) Module {
	m := Module{Name: Name(strings.TrimSuffix(filepath.Base(path), ".ko")), Path: path}
	for _, text := range info {
		key, value, _ := strings.Cut(text, "=")
		switch key {
		case "depends":
			for _, name := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' }) {
				m.Needs = append(m.Needs, Name(name))
			}
		case "softdep":
			if before, ok := strings.CutPrefix(value, "pre:"); ok {
				before, _, _ = strings.Cut(before, "post:")
				m.Wants = append(m.Wants, names(before)...)
			}
		case "alias":
			if !strings.ContainsAny(value, "*?[ ") { // patterns stand for devices
				m.Aliases = append(m.Aliases, Name(value))
			}
		}
	}
	return m
}

func names(text string) (all []string) {
	for _, name := range strings.Fields(text) {
		all = append(all, Name(name))
	}
	return all
}

// addBuiltin reads the kernel's list of what would be modules were they not part
// of it: one path on each line.
func (x *Index) addBuiltin(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, line := range strings.Fields(string(text)) {
		x.builtin[Name(strings.TrimSuffix(filepath.Base(line), ".ko"))] = true
	}
	return nil
}
