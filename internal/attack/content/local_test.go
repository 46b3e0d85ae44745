//go:build !386

package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// lower is content on a file system to which A and a are one name.
type lower struct{ contents map[string]string }

func (c lower) Link(e *tree.Entry, to *beneath.Dir, name string) error {
	f, err := to.Create(strings.ToLower(name), 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.WriteString(f, c.contents[string(e.Path)])
	return err
}

func (lower) Open(*tree.Entry) (*os.File, error)        { return nil, fs.ErrNotExist }
func (lower) Locate(*tree.Entry) (string, error)        { return "", fs.ErrNotExist }
func (lower) Image(string) (digest.Digest, error)       { return digest.Digest{}, nil }
func (lower) Tree(string) iter.Seq2[*tree.Entry, error] { return nil }

// TestLocal is about this machine's side: its file system, its store, its kernel.
func TestLocal(t *testing.T) {
	t.Run("C-09 names that some file systems take for one", func(t *testing.T) {
		w := newWorld(t)
		x, y := noise(31, 100), noise(32, 100)
		w.p.keep([]byte(x))
		w.p.keep([]byte(y))
		text := application(file("/files/A", x), file("/files/a", y), file("/files/e\u0301", "NFD"), file("/files/ss", "ss"), file("/files/ß", "ß"), file("/files/é", "NFC"))
		w.accept(t, "where names are bytes", &lie{text: text})
		root, err := beneath.Open(quick(t))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		info := count(text)
		site := deploy.Site{Root: root, Content: lower{map[string]string{"/files/A": x, "/files/a": y}}}
		err = hardlink.Backend{}.Make(t.Context(), site, deploy.Spec{Name: "release", Info: info, Tree: func() iter.Seq2[*tree.Entry, error] {
			return tree.Verified(bytes.NewReader(text), info)
		}})
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("where A is a: %v", err)
		}
		if there, err := root.Exists("deployments/release.hardlink"); there || err != nil {
			t.Errorf("where A is a: there is a deployment, %v", err)
		}
		w.heal(t)
	})
	t.Run("D-12 the kernel reads no image but what was made here from a verified tree", func(t *testing.T) {
		imagesAreCompared(t)
		if os.Getuid() != 0 {
			t.Skip("needs root, to mount images")
		}
		p := newPublisher(t)
		m := &machine{dir: filepath.Join(t.TempDir(), "machine")}
		var err error
		m.Installation, err = install.Open(m.dir, install.Options{Now: p.clock, Backends: []deploy.Backend{composefs.Backend{}}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.AddRemote(t.Context(), "example", p.path, p.fingerprint); err != nil {
			t.Fatal(err)
		}
		if err := m.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(m.dir, "deployments/*.composefs/image"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		good := readFile(t, found[0])
		ctx := t.Context()
		broken := func(what string, image []byte) {
			if err := errors.Join(os.Remove(found[0]), os.WriteFile(found[0], image, 0o644)); err != nil {
				t.Fatal(err)
			}
			if path, err := m.Place(ctx, hello.String()); !errors.Is(err, deploy.ErrDamaged) {
				t.Fatalf("%s: %q, %v", what, path, err)
			}
		}
		for n := range 1000 {
			bad := bytes.Clone(good)
			bad[(1024+n*37)%len(bad)] ^= byte(n%255 + 1)
			broken(fmt.Sprintf("mutation %d", n), bad)
		}
		broken("cut", good[:len(good)-4096])
		broken("more", append(bytes.Clone(good), make([]byte, 4096)...))
		broken("empty", nil)
		broken("zeros", make([]byte, len(good)))
	})
	t.Run("F-12 local files that are offered as seeds and are not what they seem", func(t *testing.T) {
		w := newWorld(t)
		w.p.honest(t)
		content := program("2")
		for name, text := range content {
			bad := []byte(text)
			bad[len(bad)/2] ^= 1
			content[name] = string(bad)
		}
		opt := install.PlanOptions{Seeds: []string{content.folder(t)}, PacksOnly: true}
		if err := w.m.apply(t.Context())(w.m.PlanUpdate(t.Context(), nil, opt)); err != nil {
			t.Fatal(err)
		}
		if found := w.m.findings(t); len(found) > 0 {
			t.Errorf("verify: %q", found)
		}
		w.m.compare(t, w.p.next.Tree, w.p.text(t, w.p.next.Tree))
		w.heal(t)
	})
	t.Run("F-14 two at once want one content, and one is given other bytes", func(t *testing.T) {
		w := newWorld(t)
		w.p.honest(t)
		evil, err := install.Open(w.m.dir, install.Options{Transport: liar, Now: w.p.clock, Backends: []deploy.Backend{hardlink.Backend{}}})
		if err != nil {
			t.Fatal(err)
		}
		defer evil.Close()
		deceived := &machine{Installation: evil, dir: w.m.dir}
		var group errgroup.Group
		var lied error
		group.Go(func() error { lied = deceived.update(t.Context()); return nil })
		group.Go(func() error { return w.m.update(t.Context()) })
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		if lied != nil && !errors.Is(lied, digest.ErrMismatch) {
			t.Errorf("the deceived one: %v", lied)
		}
		if found := w.m.findings(t); len(found) > 0 {
			t.Errorf("verify: %q", found)
		}
		w.heal(t)
	})
	t.Run("G-07 a large delta that is as it should be", func(t *testing.T) {
		size := 24 << 20
		if os.Getenv("LARCH_TEST_LONG") != "" {
			size = 300 << 20
		}
		w := realWorld(t)
		library := []byte(noise(41, size))
		content := program("4")
		content["files/lib/library"] = string(library)
		w.p.publish(t, "4", content)
		if err := w.m.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		copy(library[size/2:], "one function has changed")
		content["files/lib/library"] = string(library)
		done := w.p.publish(t, "5", content)
		if !slices.ContainsFunc(done.Deltas, func(e repo.Edge) bool { return !e.From.IsZero() && e.Size < 100_000 }) {
			t.Fatalf("the publisher made no small delta: %+v", done.Deltas)
		}
		judgeRun(t, run(t, w.m.dir, "update", "--yes"), 0)
		if have := w.m.version(t); have != "5" {
			t.Errorf("version %s", have)
		}
		if found := w.m.findings(t); len(found) > 0 {
			t.Errorf("verify: %q", found)
		}
	})
}

// liar opens a repository of whose packs and deltas each byte is another one.
func liar(url string, mirrors []string, stats *transport.Stats) (transport.Transport, error) {
	t, err := install.OpenTransport(url, install.TransportOptions{Mirrors: mirrors, Stats: stats})
	return lying{t}, err
}

type lying struct{ transport.Transport }

func (l lying) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	res, err := l.Transport.Fetch(ctx, req)
	if err == nil && (strings.HasPrefix(req.Name, "packs/") || strings.HasPrefix(req.Name, "deltas/")) {
		res.Body = inverted{res.Body}
	}
	return res, err
}

type inverted struct{ io.ReadCloser }

func (i inverted) Read(p []byte) (int, error) {
	n, err := i.ReadCloser.Read(p)
	for k := range p[:n] {
		p[k] ^= 0xff
	}
	return n, err
}

// imagesAreCompared reads the source: the one call that has the kernel parse an image
// stands behind the comparison of that very file with the digest of what was made.
func imagesAreCompared(t *testing.T) {
	t.Helper()
	calls := 0
	err := filepath.WalkDir(filepath.Join("..", "..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			compared := false
			ast.Inspect(f, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				of, _ := s.X.(*ast.Ident)
				switch {
				case s.Sel.Name == "isImage":
					compared = true
				case of != nil && of.Name == "mount" && s.Sel.Name == "Image":
					if calls++; !compared {
						t.Errorf("%s: %s mounts an image that it has not compared", path, f.Name.Name)
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil || calls != 1 {
		t.Errorf("%d calls that mount an image, %v", calls, err)
	}
}
