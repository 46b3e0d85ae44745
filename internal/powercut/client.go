package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// client judges an installation.
type client struct {
	exported bool // a file has been made beside it
}

// item is of what larch list --json prints.
type item struct{ Ref, Version, Remote, Release string }

func (c client) list(w *world) (list []item, err error) {
	out, err := w.must("list", "--json")
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal([]byte(out), &list)
}

// state is what is installed, the remotes, and what the desktop sees.
func (c client) state(w *world) (string, error) {
	list, err := c.list(w)
	if err != nil {
		return "", err
	}
	remotes, err := w.must("remote", "list")
	if err != nil {
		return "", err
	}
	exports, err := contents(filepath.Join(w.client(), "current") + "/exports/.")
	if errors.Is(err, fs.ErrNotExist) {
		exports, err = "", nil
	}
	if err != nil {
		return "", err
	}
	all := fmt.Sprint(list, "\n", remotes, exports)
	if c.exported {
		image, err := os.ReadFile(filepath.Join(w.client(), exportName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		all += fmt.Sprintf("exported: %x", image)
	}
	return all, nil
}

// check compares what is installed with what was published, and asks the oracle.
func (c client) check(w *world, thorough bool) error {
	list, err := c.list(w)
	if err != nil {
		return err
	}
	for _, item := range list {
		version, err := strconv.Atoi(item.Version)
		if err != nil {
			return err
		}
		if err := w.compare(item.Ref, version, thorough); err != nil {
			return fmt.Errorf("version %d: %w", version, err)
		}
	}
	if _, err := os.Lstat(w.client()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err = w.must("verify")
	return err
}

// compare compares what is installed with a version's folder, and runs it.
func (w *world) compare(ref string, version int, thorough bool) error {
	out, err := w.must("path", ref)
	if err != nil {
		return err
	}
	have, err := contents(strings.TrimSuffix(out, "\n"))
	if err != nil {
		return err
	}
	want, err := contents(w.app(version))
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("%w: %s", errContent, differ(have, want))
	}
	args := []string{"run", "--no-sandbox", ref}
	if _, err := exec.LookPath("bwrap"); err == nil && thorough {
		args = []string{"run", ref}
	}
	if out, err = w.must(args...); err == nil && out != fmt.Sprintf("version %d\n", version) {
		err = fmt.Errorf("%w: it says %q", errContent, out)
	}
	return err
}

var errContent = errors.New("not what was published")

// clean is larch gc and a list of what there is: objects and their like by name,
// generations by how many there are.
func (c client) clean(w *world) (string, error) {
	if _, err := os.Lstat(w.client()); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if _, err := w.must("gc", "--keep", "0"); err != nil {
		return "", err
	}
	return names(w.client(), func(at string) string {
		parts := strings.Split(at, "/")
		if i := slices.Index(parts, "generations"); i >= 0 && len(parts) > i+1 {
			parts[i+1] = "#"
		}
		if len(parts) == 4 && parts[0] == "remotes" && parts[2] == "trust" { // what was fetched, and how much at once, may differ
			return ""
		}
		return strings.Join(parts, "/")
	})
}

// names lists what is below a folder. called gives the name by which it is listed, or
// none.
func names(dir string, called func(relative string) string) (string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		relative, _ := filepath.Rel(dir, at)
		if strings.HasPrefix(entry.Name(), ".new-") {
			all = append(all, relative+" (temporary)")
		} else if listed := called(relative); listed != "" {
			all = append(all, listed+" "+entry.Type().String())
		}
		return nil
	})
	slices.Sort(all)
	return strings.Join(all, "\n"), err
}
