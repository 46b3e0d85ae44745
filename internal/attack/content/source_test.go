package content

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/convert/tarball"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// member is a name in an archive.
type member struct {
	tar.Header
	content string
}

func entry(kind byte, name, target string, mode int64) member {
	return member{tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: mode}, ""}
}

func plain(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content}
}

// archive writes an application's archive with these members too.
func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range append([]member{plain("metadata", metadata), plain("files/bin/hello", "x")}, members...) {
		m.Size = int64(len(m.content))
		m.Format = tar.FormatPAX
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// refuseArchive publishes an archive: it is refused, and the repository's names and
// signed head stay as they are.
func (w *world) refuseArchive(t *testing.T, what string, data []byte, want ...error) {
	t.Helper()
	t.Run(name("%s, by an archive", what), func(t *testing.T) {
		path := filepath.Join(quick(t), "archive.tar")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		w.refuseSource(t, func() (tree.Source, error) { return tarball.Open(path, tree.ApplicationRules()) }, want)
	})
}

// refuseFolder publishes what make puts into a folder with an application.
func (w *world) refuseFolder(t *testing.T, what string, make func(dir string) error, want ...error) {
	t.Helper()
	t.Run(name("%s, by a folder", what), func(t *testing.T) {
		dir := program("4").folder(t)
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		w.refuseSource(t, func() (tree.Source, error) { return tree.Folder(dir, tree.ApplicationRules()) }, want)
	})
}

func (w *world) refuseSource(t *testing.T, open func() (tree.Source, error), want []error) {
	t.Helper()
	before := w.p.published(t)
	source, err := open()
	if err == nil {
		defer closeSource(source)
		w.p.now = w.p.now.Add(time.Minute)
		_, err = w.p.repo.Publish(t.Context(), w.p.keys, repo.PublishRequest{Ref: hello, Version: "4", Source: source, Now: w.p.now})
	}
	expectError(t, err, want)
	if diff := cmp.Diff(before, w.p.published(t)); diff != "" {
		t.Errorf("the repository has changed:\n%s", diff)
	}
}

func closeSource(s tree.Source) {
	if closer, ok := s.(io.Closer); ok {
		closer.Close()
	}
}

// published gives what counts of a repository: all names but those of packs, which
// nothing names until a release does, with the signed head.
func (p *publisher) published(t testing.TB) (list []string) {
	t.Helper()
	for _, folder := range []string{"releases", "trees", "index", "deltas", "trust"} {
		list = append(list, describe(t, filepath.Join(p.path, folder), false)...)
	}
	return list
}

// errAny matches every error.
var errAny = anyError{}

type anyError struct{}

func (anyError) Error() string { return "any error" }
