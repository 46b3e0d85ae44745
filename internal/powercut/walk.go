package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// contents describes all below a folder that is to be the same in every copy of it:
// names, kinds, the run bit, contents and links.
func contents(dir string) (string, error) {
	var all strings.Builder
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(dir, at)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			fmt.Fprintf(&all, "%s/\n", relative)
		case mode&fs.ModeSymlink != 0:
			target, err := os.Readlink(at)
			fmt.Fprintf(&all, "%s -> %s\n", relative, target)
			return err
		case mode.IsRegular():
			data, err := os.ReadFile(at)
			fmt.Fprintf(&all, "%s run=%t %d %x\n", relative, mode&0o100 != 0, len(data), sha256.Sum256(data))
			return err
		default:
			return fmt.Errorf("%s: a %v", at, mode.Type())
		}
		return nil
	})
	return all.String(), err
}

// differ says in which lines two descriptions differ, at most a few.
func differ(have, want string) string {
	count := map[string]int{}
	for line := range strings.Lines(want) {
		count[line]--
	}
	for line := range strings.Lines(have) {
		count[line]++
	}
	var all []string
	for line, n := range count {
		if n > 0 {
			all = append(all, "+"+strings.TrimSpace(line))
		} else if n < 0 {
			all = append(all, "-"+strings.TrimSpace(line))
		}
	}
	if len(all) > 6 {
		all = append(all[:6], fmt.Sprint("and ", len(all)-6, " more"))
	}
	return strings.Join(all, ", ")
}
