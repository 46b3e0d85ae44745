package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// TestServeFollowsNoLinks serves a folder in which somebody has put links to the
// rest of the machine, and a fifo.
func TestServeFollowsNoLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{filepath.Join(dir, "larch.json"): "own", filepath.Join(outside, "secret"): "S3CR3T"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"file": filepath.Join(outside, "secret"), "folder": outside, "up": "..", "proc": "/proc/self/root", "inner": "larch.json"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	handler := static(http.FileServerFS(ownFiles{d}))
	for path, want := range map[string]int{
		"/larch.json": 200, "/file": 404, "/folder/secret": 404, "/up/x": 404, "/proc/etc/passwd": 404, "/inner": 404, "/fifo": 404, "/absent": 404,
		"/larch.json/x": 404, "/%2e%2e/etc/passwd": 404,
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		if w.Code != want || want == 200 && string(body) != "own" {
			t.Errorf("%s: %d %q, want %d", path, w.Code, body, want)
		}
	}
}
