package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// opened gives a store in dir, closed at the test's end; hook may be nil.
func opened(t testing.TB, dir string, hook func(op, name string) error) *Store {
	t.Helper()
	root, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if hook != nil {
		root = root.WithFault(hook)
	}
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); root.Close() })
	return s
}

// content gives n bytes that depend on seed.
func content(seed string, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", seed)))).Read(p)
	return p
}

func object(data []byte, executable bool) Object {
	return Object{digest.Of(data), int64(len(data)), executable}
}

// put stores contents in a transaction of their own.
func put(s *Store, executable bool, all ...[]byte) error {
	b := s.NewBatch(context.Background())
	defer b.Close()
	for _, data := range all {
		w, err := b.Create(object(data, executable))
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Commit(); err != nil {
			return err
		}
	}
	if err := b.Flush(context.Background()); err != nil {
		return err
	}
	return s.End()
}

func mustPut(t testing.TB, s *Store, executable bool, all ...[]byte) {
	t.Helper()
	if err := put(s, executable, all...); err != nil {
		t.Fatal(err)
	}
}

// found gives the names below objects/, each verified.
func found(t testing.TB, s *Store) (names []string) {
	t.Helper()
	for f, err := range s.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Problem != "" {
			t.Errorf("%s %s", f.Name, f.Problem)
		} else if _, err := s.Verify(f.Object, false); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		names = append(names, f.Name)
	}
	return names
}

// the ways in which content can come
var manners = map[string]func(w *Writer, data []byte) error{
	"at once": func(w *Writer, data []byte) error { _, err := w.Write(data); return err },
	"in order": func(w *Writer, data []byte) error {
		for n := 1; len(data) > 0; n = n*3 + 1 {
			k := min(n, len(data))
			if _, err := w.Write(data[:k]); err != nil {
				return err
			}
			data = data[k:]
		}
		return nil
	},
	"in pieces": func(w *Writer, data []byte) error {
		var group sync.WaitGroup
		errs := make([]error, (len(data)+digest.Span-1)/digest.Span)
		for _, i := range rand.Perm(len(errs)) {
			group.Go(func() {
				_, errs[i] = w.WriteAt(data[i*digest.Span:min((i+1)*digest.Span, len(data))], int64(i*digest.Span))
			})
		}
		group.Wait()
		return errors.Join(errs...)
	},
}

func TestStore(t *testing.T) {
	for name, write := range manners {
		for _, named := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, temporary names %v", name, named), func(t *testing.T) {
				s := opened(t, t.TempDir(), nil)
				if err := s.Begin(); err != nil {
					t.Fatal(err)
				}
				s.how.named, s.how.chmod = named, named // as on file systems without O_TMPFILE
				testStore(t, s, write)
			})
		}
	}
}

func testStore(t *testing.T, s *Store, write func(*Writer, []byte) error) {
	b := s.NewBatch(context.Background())
	defer b.Close()
	want := map[Object][]byte{}
	for _, size := range []int{0, 1, 65, 4096, 4097, digest.Span, 3*digest.Span + 5} {
		for _, executable := range []bool{false, true} {
			data := content("store", size)
			o := object(data, executable)
			want[o] = data
			w, err := b.Create(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(write(w, data), w.Commit()); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			w.Abort() // does nothing
			if s.Has(o) {
				t.Errorf("%d bytes have their name before the barrier", size)
			}
		}
	}
	if err := errors.Join(b.Flush(context.Background()), s.End()); err != nil {
		t.Fatal(err)
	}
	for o, data := range want {
		f, err := s.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		have, err := io.ReadAll(f)
		info, _ := f.Stat()
		f.Close()
		if err != nil || !bytes.Equal(have, data) || !s.Has(o) {
			t.Errorf("%v of %d bytes: %d bytes back, there %v, error %v", o, o.Size, len(have), s.Has(o), err)
		}
		if uint32(info.Mode()) != o.Mode() || info.ModTime().UnixNano() != 0 {
			t.Errorf("%v: mode %v, time %v", o, info.Mode(), info.ModTime())
		}
	}
	if names := found(t, s); len(names) != len(want) {
		t.Errorf("%d names, want %d: %v", len(names), len(want), names)
	}
	if left, _ := s.dir.ReadDir("tmp"); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if there, _ := s.dir.Exists(uncleanName); there {
		t.Error("the mark of an unfinished transaction is there after its end")
	}
}

// what is not the content is refused, however it comes
func TestWrongContent(t *testing.T) {
	data := content("wrong", 2*digest.Span+10)
	o := object(data, false)
	flipped := slices.Clone(data)
	flipped[digest.Span+7] ^= 1
	piece := func(w *Writer, data []byte, i int) error {
		_, err := w.WriteAt(data[i*digest.Span:min((i+1)*digest.Span, len(data))], int64(i*digest.Span))
		return err
	}
	both := func(w *Writer, data []byte, err error) error { return errors.Join(err, manners["in order"](w, data)) }
	for name, c := range map[string]struct {
		write func(w *Writer) error
		want  error
	}{
		"a bit, at once":   {func(w *Writer) error { return manners["at once"](w, flipped) }, digest.ErrMismatch},
		"a bit, in order":  {func(w *Writer) error { return manners["in order"](w, flipped) }, digest.ErrMismatch},
		"a bit, in pieces": {func(w *Writer) error { return manners["in pieces"](w, flipped) }, digest.ErrMismatch},
		"short":            {func(w *Writer) error { return manners["at once"](w, data[:len(data)-1]) }, digest.ErrMismatch},
		"long":             {func(w *Writer) error { return manners["at once"](w, append(data[:len(data):len(data)], 0)) }, digest.ErrMismatch},
		"twice":            {func(w *Writer) error { return both(w, data, manners["at once"](w, data)) }, digest.ErrMismatch},
		"nothing":          {func(w *Writer) error { return nil }, digest.ErrMismatch},
		"a piece missing":  {func(w *Writer) error { return piece(w, data, 1) }, digest.ErrMismatch},
		"a piece beyond": {func(w *Writer) error {
			_, err := w.WriteAt(data[:1], 3*digest.Span)
			return err
		}, digest.ErrMismatch},
		"a piece below":     {func(w *Writer) error { _, err := w.WriteAt(data[:1], -digest.Span); return err }, digest.ErrMismatch},
		"a piece twice":     {func(w *Writer) error { return errors.Join(piece(w, data, 0), piece(w, flipped, 0)) }, errOrder},
		"pieces and order":  {func(w *Writer) error { return both(w, data, piece(w, data, 0)) }, errOrder},
		"order and pieces":  {func(w *Writer) error { return errors.Join(manners["in order"](w, data), piece(w, data, 0)) }, errOrder},
		"a crooked piece":   {func(w *Writer) error { _, err := w.WriteAt(data[:100], 0); return err }, nil},
		"no piece":          {func(w *Writer) error { _, err := w.WriteAt(nil, 0); return err }, digest.ErrMismatch},
		"after it was over": {func(w *Writer) error { w.Abort(); return manners["at once"](w, data) }, errClosed},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, t.TempDir(), nil)
			b := s.NewBatch(context.Background())
			defer b.Close()
			w, err := b.Create(o)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(c.write(w), w.Commit())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if err := b.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			if names := found(t, s); len(names) > 0 || s.Has(o) {
				t.Errorf("kept: %v", names)
			}
		})
	}
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	data := content("flip", 300)
	s := opened(t, t.TempDir(), nil)
	b := s.NewBatch(context.Background())
	defer b.Close()
	for i := range data {
		wrong := slices.Clone(data)
		wrong[i] ^= 0x10
		w, err := b.Create(object(data, false))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(wrong); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("byte %d flipped: error %v", i, err)
		}
		w.Abort()
	}
}

func TestTwin(t *testing.T) {
	data := content("twin", 100_000)
	plain, run := object(data, false), object(data, true)
	s := opened(t, t.TempDir(), nil)
	b := s.NewBatch(context.Background())
	defer b.Close()
	if err := b.AddTwin(run); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("twin of nothing: error %v", err)
	}
	mustPut(t, s, false, data)
	if s.Has(run) {
		t.Error("the twin is taken for the object")
	}
	if f, err := s.Open(run); err != nil {
		t.Errorf("opening the content through its twin: %v", err)
	} else {
		f.Close()
	}
	if err := errors.Join(b.AddTwin(run), b.Flush(context.Background())); err != nil {
		t.Fatal(err)
	}
	if !s.Has(run) || len(found(t, s)) != 2 {
		t.Error("the twin was not stored")
	}
	if err := s.Remove(run); err != nil || s.Has(run) {
		t.Errorf("removed, error %v", err)
	}
	damage(t, s, plain, 5)
	if err := b.AddTwin(run); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("copy of a decayed twin: error %v", err)
	}
}

// damage flips a bit of a stored object behind the store's back.
func damage(t testing.TB, s *Store, o Object, offset int64) {
	t.Helper()
	path := filepath.Join(s.dir.Path(), o.Name())
	unseal(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var p [1]byte
	if _, err := f.ReadAt(p[:], offset); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 1
	if _, err := f.WriteAt(p[:], offset); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Chmod(path, os.FileMode(o.Mode())), os.Chtimes(path, epoch, epoch)); err != nil {
		t.Fatal(err)
	}
}

// unseal lets a stored file be written to: one that the kernel answers for has to be
// replaced by a copy.
func unseal(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = errors.Join(os.Remove(path), os.WriteFile(path, data, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// a damaged object with the right name is replaced, and only by a whole one
func TestWrongObjectIsReplaced(t *testing.T) {
	data := content("replace", 5000)
	o := object(data, true)
	path := func(s *Store) string { return filepath.Join(s.dir.Path(), o.Name()) }
	for name, ruin := range map[string]func(t *testing.T, s *Store){
		"truncated": func(t *testing.T, s *Store) {
			unseal(t, path(s))
			if err := os.Truncate(path(s), 100); err != nil {
				t.Fatal(err)
			}
		},
		"a symlink": func(t *testing.T, s *Store) {
			if err := errors.Join(os.Remove(path(s)), os.Symlink("/etc/passwd", path(s))); err != nil {
				t.Fatal(err)
			}
		},
		"a directory": func(t *testing.T, s *Store) {
			if err := errors.Join(os.Remove(path(s)), os.MkdirAll(path(s)+"/full", 0o755)); err != nil {
				t.Fatal(err)
			}
		},
		"a flipped bit, found by a check": func(t *testing.T, s *Store) {
			damage(t, s, o, 10)
			if !s.Has(o) {
				t.Error("decay was noticed without reading")
			}
			s.Doubt(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, t.TempDir(), nil)
			mustPut(t, s, true, data)
			ruin(t, s)
			if s.Has(o) {
				t.Error("the damaged object is believed")
			}
			if f, err := s.Open(o); err == nil {
				f.Close()
				t.Error("the damaged object can be opened")
			}
			wrong := slices.Clone(data)
			wrong[0]++
			b := s.NewBatch(context.Background())
			defer b.Close()
			w, err := b.Create(o)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(wrong)
			if err := w.Commit(); !errors.Is(err, digest.ErrMismatch) {
				t.Errorf("wrong replacement: error %v", err)
			}
			if _, err := os.Lstat(path(s)); err != nil {
				t.Errorf("the damaged object is gone before its replacement is here: %v", err)
			}
			mustPut(t, s, true, data)
			if !s.Has(o) || len(found(t, s)) != 1 {
				t.Error("the damaged object was not replaced")
			}
		})
	}
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	s := opened(t, t.TempDir(), nil)
	mustPut(t, s, false, content("umask", 100))
	mustPut(t, s, true, content("umask", 100))
	if names := found(t, s); len(names) != 2 { // Walk compares modes
		t.Errorf("%d names", len(names))
	}
}

// what has a batch full gets names while others are written
func TestGroups(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	b := s.NewBatch(context.Background())
	b.limit = 4
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for k := range 10 {
				data := content(fmt.Sprint(i, k), 100)
				w, err := b.Create(object(data, false))
				if err == nil {
					_, err = w.Write(data)
				}
				if err != nil {
					t.Error(err)
					return
				}
				if err := w.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	b.group.Wait()
	if n := len(found(t, s)); n < 80-8-4 {
		t.Errorf("%d of 80 have their names before the flush", n)
	}
	if err := errors.Join(b.Flush(context.Background()), b.Close()); err != nil {
		t.Fatal(err)
	}
	if n := len(found(t, s)); n != 80 {
		t.Errorf("%d of 80 have their names", n)
	}
}

func TestCancel(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	s := opened(t, t.TempDir(), nil)
	b := s.NewBatch(ctx)
	defer b.Close()
	data := content("cancel", 200)
	w, err := b.Create(object(data, false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	cancel(why)
	if err := w.Commit(); err != nil {
		t.Errorf("whole content after the end: %v", err)
	}
	if _, err := b.Create(object(data, true)); !errors.Is(err, why) {
		t.Errorf("new object after the end: error %v", err)
	}
	if err := b.Flush(ctx); err != nil && !errors.Is(err, why) {
		t.Error(err)
	}
	if err := b.Flush(context.Background()); err != nil || len(found(t, s)) != 1 {
		t.Errorf("what was whole is not kept: error %v", err)
	}
}

func TestWalkFindsStrangers(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	data := content("walk", 100)
	o := object(data, false)
	mustPut(t, s, false, data)
	dir := filepath.Join(s.dir.Path(), "objects")
	for _, name := range []string{"zz", "00"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"00/short", "zz/" + strings.Repeat("a", 62), "file", "00/" + strings.Repeat("A", 62), "00/" + strings.Repeat("a", 62) + ".x.x"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, o.path()), 0o644); err != nil {
		t.Fatal(err)
	}
	problems := 0
	for f, err := range s.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Problem == "" {
			t.Errorf("%s: no problem", f.Name)
		}
		problems++
	}
	if problems != 6 {
		t.Errorf("%d problems, want 6", problems)
	}
	u, err := s.Usage(context.Background())
	if err != nil || u.Objects != 1 || u.Bytes != 100 || u.Disk < 100 {
		t.Errorf("usage %+v, error %v", u, err)
	}
}
