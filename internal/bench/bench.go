package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/larch-project/larch/internal/measure"
)

const (
	ref      = "app/org.example.Bench/x86_64/stable"
	otherRef = "app/org.example.Other/x86_64/stable"
)

// bench is one data set being measured.
type bench struct {
	name  string
	trees versions
	work  string
	larch string
	runs  int
	table *table

	fingerprint string
	server      *measure.Server
}

// path names something in the working folder.
func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.work}, parts...)...)
}

func (b *bench) env() []string {
	return []string{"LARCH_KEYS=" + b.path("keys"), "LARCH_ROOT=" + b.path("machine"), "HOME=" + b.path("home")}
}

func (b *bench) run() error {
	if err := os.MkdirAll(b.path("home"), 0o755); err != nil {
		return err
	}
	var err error
	if b.server, err = measure.Serve(b.work); err != nil {
		return err
	}
	defer b.server.Close()
	for _, step := range []func() error{b.publish, b.install, b.present, b.large} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) do(args ...string) (measure.Usage, string, error) {
	return measure.Run(b.env(), b.larch, args...)
}

// publish measures the first version into a new repository, and the next.
func (b *bench) publish() error {
	var mine, peer [2]best
	for range b.runs {
		removeAll(b.path("repo"))
		removeAll(b.path("ostree"))
		if err := b.initialize("repo"); err != nil {
			return err
		}
		if _, _, err := measure.Run(nil, "ostree", "init", "--mode=archive", "--repo="+b.path("ostree")); err != nil {
			return err
		}
		for i, tree := range []string{b.trees.old, b.trees.new} {
			u, _, err := b.do("publish", b.path("repo"), ref, tree, "--version", fmt.Sprint(i+1), "--delta-budget", "0", "--quiet")
			if err != nil {
				return err
			}
			mine[i].add(u)
			u, _, err = measure.Run(nil, "ostree", "commit", "--repo="+b.path("ostree"), "--branch=bench", "--owner-uid=0", "--owner-gid=0", "--tree=dir="+tree)
			if err != nil {
				return err
			}
			peer[i].add(u)
		}
	}
	b.table.add(b.name, "publish, first version, CPU", "ostree commit", mine[0].CPU.Seconds(), peer[0].CPU.Seconds(), 0.6, "s")
	b.table.add(b.name, "publish, next version, CPU", "ostree commit", mine[1].CPU.Seconds(), peer[1].CPU.Seconds(), 0.3, "s")
	b.table.limit(b.name, "publish, peak memory", float64(max(mine[0].Memory, mine[1].Memory)), 128<<20, "MiB")
	return nil
}

// initialize makes a repository and remembers its fingerprint.
func (b *bench) initialize(name string) error {
	if err := os.RemoveAll(b.path("keys")); err != nil {
		return err
	}
	_, out, err := b.do("init", b.path(name), "--json")
	if err != nil {
		return err
	}
	var made struct{ Fingerprint string }
	err = json.Unmarshal([]byte(out), &made)
	b.fingerprint = made.Fingerprint
	return err
}

// install measures a machine that has nothing.
func (b *bench) install() error {
	archive := b.path("tar", "tree.tar.zst")
	if err := os.Mkdir(b.path("tar"), 0o755); err != nil {
		return err
	}
	if _, _, err := measure.Run(nil, "sh", "-c", `tar -C "$1" -c . | zstd -q -9 -T2 -o "$2"`, "sh", b.trees.new, archive); err != nil {
		return err
	}
	s := b.server
	var mine, ostree, tar best
	var count, peer measure.Count
	for range b.runs {
		if err := b.reset(); err != nil {
			return err
		}
		u, _, err := b.do("install", "org.example.Bench", "--yes", "--quiet")
		if err != nil {
			return err
		}
		mine.add(u)
		count = s.Count()
		if err := b.pull(s, &ostree); err != nil {
			return err
		}
		peer = s.Count()
		if err := b.curl(s, &tar); err != nil {
			return err
		}
	}
	b.table.add(b.name, "fresh install, wall", "ostree pull + checkout", mine.Wall.Seconds(), ostree.Wall.Seconds(), 0.3, "s")
	b.table.add(b.name, "fresh install, wall", "curl, tar x", mine.Wall.Seconds(), tar.Wall.Seconds(), 1.2, "s")
	b.table.add(b.name, "fresh install, CPU", "ostree pull + checkout", mine.CPU.Seconds(), ostree.CPU.Seconds(), 1, "s")
	b.table.add(b.name, "fresh install, bytes", "ostree pull", float64(count.Bytes), float64(peer.Bytes), 0.95, "B")
	b.table.limit(b.name, "fresh install, requests", float64(count.Requests), 45, "")
	b.table.limit(b.name, "fresh install, peak memory", float64(mine.Memory), 128<<20, "MiB")
	return nil
}

// reset gives a machine that has nothing but the remote.
func (b *bench) reset() error {
	removeAll(b.path("machine"))
	settle()
	b.server.Reset()
	_, _, err := b.do("remote", "add", "bench", b.server.URL+"/repo", "--root-key", b.fingerprint, "--quiet")
	return err
}

// pull is what a user of OSTree does.
func (b *bench) pull(s *measure.Server, best *best) error {
	for _, old := range []string{"ostree-client", "ostree-tree"} {
		removeAll(b.path(old))
	}
	repo := "--repo=" + b.path("ostree-client")
	for _, args := range [][]string{{"init", "--mode=bare-user-only", repo}, {"remote", "add", "--no-gpg-verify", repo, "bench", s.URL + "/ostree"}} {
		if _, _, err := measure.Run(nil, "ostree", args...); err != nil {
			return err
		}
	}
	settle()
	s.Reset()
	pull, _, err := measure.Run(nil, "ostree", "pull", repo, "bench", "bench")
	if err != nil {
		return err
	}
	checkout, _, err := measure.Run(nil, "ostree", "checkout", "-U", "-H", repo, "bench:bench", b.path("ostree-tree"))
	best.add(pull.Plus(checkout))
	return err
}

// curl is what a user of archives does.
func (b *bench) curl(s *measure.Server, best *best) error {
	dir := b.path("untarred")
	removeAll(dir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	settle()
	script := `curl -sf "$1" -o "$2/tree.tar.zst" && tar -C "$2" --zstd -xf "$2/tree.tar.zst"`
	u, _, err := measure.Run(nil, "sh", "-c", script, "sh", s.URL+"/tar/tree.tar.zst", dir)
	best.add(u)
	return err
}

// settle lets the disk finish what was written, so that the next command does not
// pay for the one before.
func settle() { measure.Command("sync").Run() }

// present measures the installation of a release whose content is all there: the
// same tree under another ref.
func (b *bench) present() error {
	if _, _, err := b.do("publish", b.path("repo"), otherRef, b.trees.new, "--delta-budget", "0", "--quiet"); err != nil {
		return err
	}
	_, path, err := b.do("path", "org.example.Bench")
	if err != nil {
		return err
	}
	copied := b.path("copied")
	if err := measure.Command("cp", "-a", strings.TrimSpace(path), copied).Run(); err != nil {
		return err
	}
	var mine, peer best
	for range b.runs {
		settle()
		u, _, err := b.do("install", "org.example.Other", "--yes", "--quiet")
		if err != nil {
			return err
		}
		mine.add(u)
		for _, args := range [][]string{{"uninstall", "org.example.Other", "--yes", "--quiet"}, {"gc", "--keep", "0", "--quiet"}} {
			if _, _, err := b.do(args...); err != nil {
				return err
			}
		}
		removeAll(b.path("linked"))
		settle()
		if u, _, err = measure.Run(nil, "cp", "-al", copied, b.path("linked")); err != nil {
			return err
		}
		peer.add(u)
	}
	b.table.add(b.name, "install, all present, wall", "cp -al", mine.Wall.Seconds(), peer.Wall.Seconds(), 1.5, "s")
	return nil
}

// large measures memory on four times the tree.
func (b *bench) large() error {
	if err := b.initialize("repo-x4"); err != nil {
		return err
	}
	u, _, err := b.do("publish", b.path("repo-x4"), ref, b.trees.large, "--delta-budget", "0", "--quiet")
	if err != nil {
		return err
	}
	b.table.limit(b.name+" x4", "publish, peak memory", float64(u.Memory), 128<<20, "MiB")
	removeAll(b.path("machine"))
	if _, _, err := b.do("remote", "add", "bench", b.path("repo-x4"), "--root-key", b.fingerprint, "--quiet"); err != nil {
		return err
	}
	if u, _, err = b.do("install", "org.example.Bench", "--yes", "--quiet"); err != nil {
		return err
	}
	b.table.limit(b.name+" x4", "fresh install, peak memory", float64(u.Memory), 128<<20, "MiB")
	return nil
}

// best keeps the smallest wall and CPU times, and the largest memory.
type best struct {
	measure.Usage
	taken bool
}

func (b *best) add(u measure.Usage) {
	if !b.taken {
		b.Usage, b.taken = u, true
		return
	}
	b.Wall, b.CPU, b.Memory = min(b.Wall, u.Wall), min(b.CPU, u.CPU), max(b.Memory, u.Memory)
}
