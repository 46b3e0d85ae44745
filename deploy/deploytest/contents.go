package deploytest

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// Contents is a deploy.Content in the folder objects/ of a site.
type Contents struct {
	root  *beneath.Dir
	links int // how many names one file may get; 0: as many as the file system allows

	mu    sync.Mutex
	given map[string]int         // names, where they are limited
	trees map[string]deploy.Spec // by name
}

// show makes a tree the one of its name.
func (c *Contents) show(spec deploy.Spec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trees == nil {
		c.trees = map[string]deploy.Spec{}
	}
	c.trees[spec.Name] = spec
}

// Image implements deploy.Content: releases do not say.
func (*Contents) Image(string) (digest.Digest, error) { return digest.Digest{}, nil }

// Tree implements deploy.Content.
func (c *Contents) Tree(name string) iter.Seq2[*tree.Entry, error] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if spec, ok := c.trees[name]; ok {
		return spec.Tree()
	}
	return func(yield func(*tree.Entry, error) bool) { yield(nil, fs.ErrNotExist) }
}

// path is where the content of this digest is.
func path(d digest.Digest, executable bool) string {
	name := d.String()
	name = "objects/" + name[:2] + "/" + name[2:]
	if executable {
		name += ".x"
	}
	return name
}

// put stores content in both of its forms.
func (c *Contents) put(t testing.TB, data []byte) {
	t.Helper()
	for _, executable := range []bool{false, true} {
		name := filepath.Join(c.root.Path(), path(digest.Of(data), executable))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		enable(t, name)
		seal(t, name, executable)
	}
}

// enable has the kernel answer for a file, where it can, as a store does.
func enable(t testing.TB, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := verity.EnableSealed(f); err != nil && !errors.Is(err, verity.ErrUnsupported) {
		t.Fatal(err)
	}
}

// seal gives a stored file the mode and time that a Content promises.
func seal(t testing.TB, name string, executable bool) {
	t.Helper()
	mode := os.FileMode(0o444)
	if executable {
		mode = 0o555
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, epoch, epoch); err != nil {
		t.Fatal(err)
	}
}

// Open implements deploy.Content.
func (c *Contents) Open(e *tree.Entry) (*os.File, error) {
	return c.root.Open(path(e.Digest, e.Executable()))
}

// Link implements deploy.Content.
func (c *Contents) Link(e *tree.Entry, to *beneath.Dir, name string) error {
	from := path(e.Digest, e.Executable())
	if c.links > 0 && !c.allow(from) {
		return unix.EMLINK
	}
	return to.Link(c.root, from, name)
}

func (c *Contents) allow(from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given[from]++
	return c.given[from] <= c.links
}

// Locate implements deploy.Content.
func (c *Contents) Locate(e *tree.Entry) (string, error) {
	return path(e.Digest, e.Executable()), nil
}
