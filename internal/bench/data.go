package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/larch-project/larch/internal/measure"
)

// versions are the folders that a data set consists of.
type versions struct {
	old, new string // neighbouring versions
	large    string // four times as many files
}

// goToolchain fetches two releases of the Go toolchain.
func goToolchain(data string) (v versions, err error) {
	if v.old, err = toolchain(data, "1.27.0"); err != nil {
		return v, err
	}
	if v.new, err = toolchain(data, "1.27.1"); err != nil {
		return v, err
	}
	v.large = filepath.Join(data, "gotc-x4")
	return v, measure.Once(v.large, func(dir string) error {
		for _, version := range []string{"1.26.7", "1.26.8", "1.27.0", "1.27.1"} {
			from, err := toolchain(data, version)
			if err != nil {
				return err
			}
			if err := measure.Command("cp", "-al", from, filepath.Join(dir, version)).Run(); err != nil {
				return err
			}
		}
		return nil
	})
}

func toolchain(data, version string) (string, error) {
	dir := filepath.Join(data, "gotc-"+version)
	return dir, measure.GoToolchain(dir, version)
}

// smallFiles makes 100,000 files of 100 to 4,000 bytes that compress about three
// times, a second version in which one in fifty differs, and four times as many.
func smallFiles(data string) (v versions, err error) {
	v = versions{filepath.Join(data, "small-1"), filepath.Join(data, "small-2"), filepath.Join(data, "small-x4")}
	for _, set := range []struct {
		dir     string
		files   int
		changed int // one in so many; 0: none
	}{{v.old, 100_000, 0}, {v.new, 100_000, 50}, {v.large, 400_000, 0}} {
		err := measure.Once(set.dir, func(dir string) error { return writeSmall(dir, set.files, set.changed) })
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

func writeSmall(dir string, files, changed int) error {
	words := make([]string, 2000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range words {
		words[i] = fmt.Sprintf("%x ", random.Uint32())
	}
	for i := range files {
		seed := uint64(i)
		if changed > 0 && i%changed == 0 {
			seed += 1 << 32
		}
		random := rand.New(rand.NewPCG(seed, 3))
		var content []byte
		for size := 100 + random.IntN(3900); len(content) < size; {
			content = append(content, words[random.IntN(len(words))]...)
		}
		folder := filepath.Join(dir, fmt.Sprintf("d%03d", i/500))
		if i%500 == 0 {
			if err := os.Mkdir(folder, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("f%03d", i%500)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
