//go:build amd64

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestMeansNothing(t *testing.T) {
	dir := t.TempDir()
	const windowed, single = "\x28\xb5\x2f\xfd\x04\x58rest", "\x28\xb5\x2f\xfd\x24\x58rest"
	for text, want := range map[string][]int64{
		"larch delta 1\n\x0a" + windowed: {19*8 + 4, 20 * 8, 20*8 + 1, 20*8 + 2, 20*8 + 3, 20*8 + 4, 20*8 + 5, 20*8 + 6, 20*8 + 7},
		"larch delta 1\n\x0a" + single:   {19*8 + 4},
		"larch deltas 1" + windowed:      nil,
		windowed:                         nil,
	} {
		name := filepath.Join(dir, "file")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var have []int64
		for bit := range int64(len(text)) * 8 {
			if meansNothing(name, bit) {
				have = append(have, bit)
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("%q: bits %v, want %v", text, have, want)
		}
	}
}
