package trust

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// aged is a repository with a history: rotated keys, a revoked publisher, old
// versions of everything.
func aged(t *testing.T) *world {
	w := newWorld(t, InitOptions{RootKeys: 2})
	_, err := w.open().AddPublisher(t.Context(), w.now, Publisher{Name: "other"})
	w.must(err)
	w.commit(editor, "1")
	for _, role := range []string{"root", "timestamp", "main"} {
		w.must(w.open().Rotate(t.Context(), w.now, role))
	}
	w.must(w.open().Revoke(t.Context(), w.now, "other", "main"))
	w.commit(editor, "2")
	return w
}

// No byte of any file can change, no file can be cut, grow or vanish, unnoticed;
// and what is found is in that file, except that one missing root hides the rest.
func TestCheckFindsEveryByte(t *testing.T) {
	w := aged(t)
	w.noFindings()
	step := 1
	if stride() > 1 {
		step = 101
	}
	for name, data := range w.served {
		for i := 0; i < len(data); i += step {
			writeFile(t, w.dir, published(name), flip(data, i))
			w.finds(name, "flipped byte")
		}
		writeFile(t, w.dir, published(name), data[:len(data)-1])
		w.finds(name, "cut")
		writeFile(t, w.dir, published(name), append(bytes.Clone(data), '\n'))
		w.finds(name, "longer")
		writeFile(t, w.dir, published(name), nil)
		w.finds(name, "empty")
		writeFile(t, w.dir, published(name), data)
	}
	w.noFindings()
}

// finds checks that Check blames a file, and no other.
func (w *world) finds(name, what string) {
	w.t.Helper()
	findings, err := Check(w.t.Context(), w.dir, w.now)
	w.must(err)
	if len(findings) == 0 {
		w.t.Fatalf("%s: %s: nothing found", name, what)
	}
	for _, f := range findings {
		if f.File != published(name) || f.Fix == "" || f.Problem == "" {
			w.t.Fatalf("%s: %s: finding %+v", name, what, f)
		}
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	w := aged(t)
	state := w.open().current()
	for name, data := range w.served {
		w.must(w.dir.Remove(published(name)))
		switch {
		case name == "3.root.json": // it changed the head's key: perhaps the head is wrong
			findings, err := Check(t.Context(), w.dir, w.now)
			if err != nil || len(findings) != 1 || !strings.Contains(findings[0].Problem, "trust/"+name) {
				t.Errorf("%s: missing: %+v: %v", name, findings, err)
			}
		case state.references(name):
			w.finds(name, "missing")
		default:
			w.noFindings()
		}
		writeFile(t, w.dir, published(name), data)
	}
	writeFile(t, w.dir, "trust/notes.txt", []byte("x"))
	w.finds("notes.txt", "unknown file")
}

// A new root that changes no other keys is missed by nothing but its version.
func TestCheckFindsThatTheNewestRootIsMissing(t *testing.T) {
	w := aged(t)
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.must(w.dir.Remove("trust/4.root.json"))
	w.finds("4.root.json", "missing")
}

func TestCheckFindsWhatHasExpired(t *testing.T) {
	w := newWorld(t, InitOptions{})
	for after, want := range map[time.Duration][]string{
		1 * day:   nil,
		8 * day:   {"trust/timestamp.json"},
		31 * day:  {"trust/timestamp.json", "trust/1.snapshot.json"},
		400 * day: {"trust/1.root.json", "trust/timestamp.json", "trust/1.snapshot.json", "trust/1.targets.json", "trust/1.publisher-main.json"},
	} {
		findings, err := Check(t.Context(), w.dir, start.Add(after))
		w.must(err)
		var files []string
		for _, f := range findings {
			if files = append(files, f.File); !strings.Contains(f.Problem, "expired") {
				t.Errorf("%+v", f)
			}
		}
		if diff := cmp.Diff(want, files); diff != "" {
			t.Errorf("after %v: %s", after, diff)
		}
	}
}

// What larch check does on a medium that cannot be written.
func TestCheckWritesNothing(t *testing.T) {
	w := aged(t)
	w.must(w.dir.Remove("trust/" + lockFile))
	dir := w.dir.WithFault(func(op, name string) error { return fs.ErrPermission })
	if _, err := Check(t.Context(), dir, w.now); err != nil {
		t.Error(err)
	}
	r, err := Open(dir, nil)
	if err != nil || len(r.Targets()) != 1 {
		t.Errorf("open: %v", err)
	}
	if files, err := r.Unreferenced(t.Context(), time.Now().Add(time.Hour)); err != nil || len(files) == 0 {
		t.Errorf("unreferenced: %v: %v", files, err)
	}
}
