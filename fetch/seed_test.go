package fetch_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/repo"
)

func writeFile(t *testing.T, dir, name, data string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What lies in a folder under whatever names is copied; the rest is fetched.
func TestSeeds(t *testing.T) {
	items := append(many(40, 3000), item{name: "large", data: noise(99, 3*repo.FrameSize+9)},
		item{name: "large-run", data: noise(99, 3*repo.FrameSize+9), run: true})
	p, m := publish(t, items, packing{shared: 1}), newMachine(t)
	one, other := t.TempDir(), t.TempDir()
	for i, item := range items[:30] {
		writeFile(t, one, "deep/"+string(rune('a'+i%3))+"/"+item.name+".old", item.data)
	}
	writeFile(t, other, "iso", items[40].data)
	writeFile(t, other, "same size", noise(7777, 3000))
	writeFile(t, other, "no size of ours", "x")
	need, plan := m.plan(p, one, other)
	if want := int64(30*3000 + 3*repo.FrameSize + 9); need.Objects != 10 || need.Reused != want {
		t.Errorf("%d objects to fetch, %d bytes reused; want 10, %d", need.Objects, need.Reused, want)
	}
	honest, stats := p.open()
	if err := m.run(t.Context(), p, plan, honest); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
	if stats.Bytes.Load() != plan.Bytes || plan.Bytes > 11*3000 {
		t.Errorf("%d bytes fetched, %d planned", stats.Bytes.Load(), plan.Bytes)
	}
}

// A file that is not what it was when the plan was made is no error: its content
// is fetched.
func TestSeedsThatChange(t *testing.T) {
	data := noise(1, 5000)
	for name, change := range map[string]func(path string) error{
		"removed":   os.Remove,
		"other":     func(path string) error { return os.WriteFile(path, []byte(noise(2, 5000)), 0o600) },
		"shorter":   func(path string) error { return os.Truncate(path, 100) },
		"longer":    func(path string) error { return os.Truncate(path, 9000) },
		"forbidden": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0)) },
		"a fifo":    func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
		"a link":    func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			p, m, dir := publish(t, []item{{name: "a", data: data}, {name: "b", data: data, run: true}}, packing{}), newMachine(t), t.TempDir()
			path := writeFile(t, dir, "seed", data)
			need, plan := m.plan(p, dir)
			if need.Objects != 0 {
				t.Fatalf("%+v", need)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			honest, _ := p.open()
			if err := m.run(t.Context(), p, plan, honest); err != nil {
				t.Fatal(err)
			}
			m.expectAll(p)
		})
	}
}

func TestSeedsThatAreNone(t *testing.T) {
	p, m, dir := publish(t, many(3, 4000), packing{}), newMachine(t), t.TempDir()
	outside := writeFile(t, t.TempDir(), "outside", p.items[0].data)
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(dir, "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(dir, "folder")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if need, _ := m.plan(p, dir); need.Objects != 3 {
		t.Errorf("%+v", need)
	}
	need, err := fetch.Survey(t.Context(), p.entries(), m.store)
	if err != nil {
		t.Fatal(err)
	}
	if err := need.Seed(t.Context(), []string{filepath.Join(dir, "missing")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := need.Seed(ctx, []string{dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := fetch.Survey(ctx, p.entries(), m.store); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
