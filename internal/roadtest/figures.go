package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// figures are the peers', kept from run to run.
type figures struct {
	file  string
	known map[string]figure
	fresh map[string]bool // measured in this run; nil: all are good
}

// openFigures reads what was measured before. Fresh ignores it, until it was
// measured again.
func openFigures(data string, fresh bool) (*figures, error) {
	f := &figures{file: filepath.Join(data, "roadtest-peers.json"), known: map[string]figure{}}
	if fresh {
		f.fresh = map[string]bool{}
	}
	text, err := os.ReadFile(f.file)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &f.known)
	}
	return f, err
}

func (f *figures) get(key string) (figure, bool) {
	have, ok := f.known[key]
	return have, ok && (f.fresh == nil || f.fresh[key])
}

// put notes a figure, durably enough for an interrupted run.
func (f *figures) put(key string, have figure) error {
	f.known[key] = have
	if f.fresh != nil {
		f.fresh[key] = true
	}
	text, err := json.MarshalIndent(f.known, "", "\t")
	if err != nil {
		return err
	}
	aside := f.file + ".tmp"
	if err := os.WriteFile(aside, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(aside, f.file)
}
