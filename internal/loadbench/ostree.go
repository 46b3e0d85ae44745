package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/larch-project/larch/internal/measure"
)

// ostree measures a pull of the same trees into as many repositories.
func ostree(o options, trees *trees, s *server) ([]*result, error) {
	from := filepath.Join(s.dir, "ostree")
	do := func(args ...string) error {
		_, _, err := measure.Run(nil, "ostree", args...)
		return err
	}
	if err := do("init", "--repo="+from, "--mode=archive"); err != nil {
		return nil, err
	}
	to := func(n int) string { return "--repo=" + filepath.Join(o.work, "ostree", fmt.Sprint(n)) }
	if err := os.MkdirAll(filepath.Join(o.work, "ostree"), 0o755); err != nil {
		return nil, err
	}
	err := each(o.peer, func(n int) error {
		if err := do("init", to(n), "--mode=bare-user-only"); err != nil {
			return err
		}
		return do("remote", "add", to(n), "--no-gpg-verify", "load", s.url+"/ostree")
	})
	if err != nil {
		return nil, err
	}
	var results []*result
	for version, what := range []string{1: "ostree install", 2: "ostree update"} {
		if what == "" {
			continue
		}
		dir, err := trees.have(version)
		if err != nil {
			return nil, err
		}
		if err := do("commit", "--repo="+from, "--branch=main", "--tree=dir="+dir); err != nil {
			return nil, err
		}
		if err := do("summary", "--repo="+from, "--update"); err != nil {
			return nil, err
		}
		r, err := wave(what, o.peer, s, func(n int) (measure.Usage, error) {
			usage, _, err := measure.Run(nil, "ostree", "pull", to(n), "load", "main")
			return usage, err
		})
		if err != nil {
			return nil, err
		}
		if r.compressed, err = trees.compressed(version, version-1); err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}
