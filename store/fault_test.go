package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/tree"
)

var epoch = time.Unix(0, 0)

// no object has a name before the list of names and its content are durable
func TestOrder(t *testing.T) {
	var log []string
	s := opened(t, t.TempDir(), func(op, name string) error {
		if op == "link" {
			name = ""
		}
		log = append(log, strings.TrimSpace(op+" "+name))
		return nil
	})
	mustPut(t, s, false, content("order", 100))
	log = slices.DeleteFunc(log, func(line string) bool { return strings.HasPrefix(line, "mkdir") })
	want := []string{
		"create (unnamed)", // Begin tries it
		"create (unnamed)", "write (unnamed)",
		"create unclean", "write unclean", "syncfs .", // the barrier
		"link",
		"syncfs .", "remove unclean",
	}
	if !slices.Equal(log, want) {
		t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
	}
}

// transaction is all that can be done to a store.
type transaction struct {
	contents [][]byte
	tree     []byte
	info     tree.Info
	release  []byte
}

func newTransaction(t *testing.T) transaction {
	text, info := someTree(t)
	doc, err := sealed.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	tr := transaction{tree: doc, info: info, release: []byte("a release")}
	for i := range 5 {
		tr.contents = append(tr.contents, content(fmt.Sprint("fault", i), 1000*i+70))
	}
	return tr
}

func (tr transaction) run(s *Store) error {
	ctx := context.Background()
	if err := s.Begin(); err != nil {
		return err
	}
	b := s.NewBatch(ctx)
	defer b.Close()
	for i, data := range tr.contents {
		if o := object(data, false); !s.Has(o) {
			w, err := b.Create(o)
			if err != nil {
				return err
			}
			defer w.Abort()
			if _, err := w.Write(data); err != nil {
				return err
			}
			if err := w.Commit(); err != nil {
				return err
			}
		}
		if i == 2 {
			if err := b.Flush(ctx); err != nil {
				return err
			}
			if err := b.AddTwin(object(tr.contents[0], true)); err != nil {
				return err
			}
		}
	}
	if err := s.PutTree(ctx, bytes.NewReader(tr.tree), tr.info); err != nil {
		return err
	}
	if _, err := s.PutRelease(tr.release); err != nil {
		return err
	}
	if err := b.Flush(ctx); err != nil {
		return err
	}
	return s.End()
}

// complete tells whether all of it is there, by a store that was just opened.
func (tr transaction) complete(t *testing.T, dir string) {
	s := opened(t, dir, nil)
	for _, data := range tr.contents {
		if !s.Has(object(data, false)) {
			t.Error("an object is missing")
		}
	}
	if _, err := s.Release(digest.Of(tr.release)); err != nil || !s.Has(object(tr.contents[0], true)) || !s.HasTree(tr.info.Digest, tr.info.Size) {
		t.Errorf("not all is there: release %v", err)
	}
	for _, name := range []string{uncleanName} {
		if there, err := s.dir.Exists(name); there || err != nil {
			t.Errorf("%s is there, error %v", name, err)
		}
	}
}

// at each change in turn, once or from then on: what has its name is whole, the
// next run goes on from there, and writes nothing that was there already
func TestFaults(t *testing.T) {
	tr := newTransaction(t)
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EIO} {
		for _, sticky := range []bool{false, true} {
			for n := int64(1); ; n++ {
				dir := t.TempDir()
				var count atomic.Int64
				s := opened(t, dir, func(op, name string) error {
					if at := count.Add(1); at == n || sticky && at > n {
						return errno
					}
					return nil
				})
				err := tr.run(s)
				if count.Load() < n {
					break
				}
				if err != nil && !errors.Is(err, errno) {
					t.Errorf("change %d: %v", n, err)
				}
				again(t, tr, dir)
				if t.Failed() {
					t.Fatalf("%v at change %d, sticky %v (error %v)", errno, n, sticky, err)
				}
			}
		}
	}
}

// again looks at what an interruption left, and runs the transaction once more.
func again(t *testing.T, tr transaction, dir string) {
	s := opened(t, dir, nil)
	before := map[string]uint64{}
	for _, name := range found(t, s) {
		st, err := s.dir.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = st.Ino
	}
	if err := errors.Join(s.Sweep(), tr.run(s)); err != nil {
		t.Errorf("the next run: %v", err)
	}
	for name, ino := range before {
		if st, err := s.dir.Lstat(name); err != nil || st.Ino != ino {
			t.Errorf("%s was written again, error %v", name, err)
		}
	}
	if left, err := s.dir.ReadDir("tmp"); len(left) > 0 || err != nil {
		t.Errorf("left in tmp: %v, error %v", left, err)
	}
	tr.complete(t, dir)
}

// after a transaction that died, what it named is hashed before it is believed
func TestUnclean(t *testing.T) {
	dir := t.TempDir()
	before, good, bad := content("before", 3000), content("good", 3000), content("bad", 3000)
	s := opened(t, dir, nil)
	mustPut(t, s, false, before)
	b := s.NewBatch(context.Background())
	for _, data := range [][]byte{good, bad} {
		w, err := b.Create(object(data, false))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	damage(t, s, object(bad, false), 7) // and here the machine stops
	damage(t, s, object(before, false), 7)
	if err := appendTo(filepath.Join(dir, uncleanName), "\nbroken line\n12/34"); err != nil {
		t.Fatal(err)
	}

	s = opened(t, dir, nil)
	for _, c := range []struct {
		name string
		data []byte
		want bool
	}{{"whole", good, true}, {"damaged", bad, false}, {"damaged long before", before, true}} {
		o := object(c.data, false)
		if have := s.Has(o); have != c.want {
			t.Errorf("%s: believed %v, want %v", c.name, have, c.want)
		}
		err := s.Link(o, s.dir, "linked")
		if c.want != (err == nil) || !c.want && !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("%s: link: error %v", c.name, err)
		}
		os.Remove(filepath.Join(dir, "linked"))
	}
	mustPut(t, s, false, content("more", 100))
	if s = opened(t, dir, nil); s.Has(object(bad, false)) {
		t.Error("a doubt was forgotten at the end of another transaction")
	}
	if err := s.Begin(); err != nil || !s.Has(object(good, false)) {
		t.Fatal(err)
	}
	mustPut(t, s, false, bad)
	s = opened(t, dir, nil)
	if there, _ := s.dir.Exists(uncleanName); there || !s.Has(object(bad, false)) {
		t.Error("the doubt stays after the object was replaced")
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	data := content("read-only", 100)
	mustPut(t, opened(t, dir, nil), false, data)
	s := opened(t, dir, func(op, name string) error { return unix.EROFS })
	if !s.Has(object(data, false)) {
		t.Error("reading does not work")
	}
	b := s.NewBatch(context.Background())
	defer b.Close()
	_, createErr := b.Create(object(data, true))
	_, releaseErr := s.PutRelease([]byte("release"))
	for name, err := range map[string]error{
		"create": createErr, "begin": s.Begin(), "release": releaseErr, "twin": b.AddTwin(object(data, true)),
		"tree": s.PutTree(context.Background(), bytes.NewReader(nil), tree.Info{}), "remove": s.Remove(object(data, false)),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := errors.Join(b.Flush(context.Background()), s.End()); err != nil {
		t.Errorf("ending nothing: %v", err)
	}
}

// a disk that is really full, at every fill level
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: mounts a small file system")
	}
	for pages := 40; pages < 80; pages += 3 {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", pages*4096)); err != nil {
			t.Skipf("mounting a tmpfs: %v", err)
		}
		func() {
			defer unix.Unmount(dir, unix.MNT_DETACH)
			s := opened(t, dir, nil)
			defer s.Close()
			var all [][]byte
			for i := range 12 {
				all = append(all, content(fmt.Sprint("full", i), 20_000))
			}
			err := put(s, false, all...)
			if err != nil && !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%d pages: %v", pages, err)
			}
			if names := found(t, opened(t, dir, nil)); err == nil && len(names) != len(all) {
				t.Errorf("%d pages: %d names without an error", pages, len(names))
			}
		}()
	}
}
