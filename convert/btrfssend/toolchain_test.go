package btrfssend

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// goToolchain names the folder of the toolchain that runs the tests: a real tree of more than ten
// thousand files.
func goToolchain(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("no Go toolchain: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// rework makes the next version of a toolchain: renames, hardlinks, xattrs, holes, clones, and
// contents that change in part.
func rework(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Rename(at("src/net"), at("src/web")), os.Rename(at("src/web/http"), at("src/http")), os.RemoveAll(at("src/image")),
		os.Rename(at("src/fmt/print.go"), at("src/fmt/output.go")), os.Link(at("src/fmt/output.go"), at("src/print.go")),
		unix.Setxattr(at("LICENSE"), "user.note", []byte("kept"), 0), os.Chmod(at("VERSION"), 0o600), os.Symlink("src/http", at("http")))
	program, err := os.OpenFile(at("bin/go"), os.O_RDWR, 0)
	must(t, err)
	_, err = program.WriteAt([]byte(noise(1, 10_000)), 1<<20)
	must(t, err, unix.Fallocate(int(program.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 2<<20, 1<<20), program.Close())
	write(t, dir, "src/new/file.go", noise(2, 100_000))
}

// parts of the toolchain that are enough for the short tests.
var parts = []string{"LICENSE", "VERSION", "bin", "src/fmt", "src/image", "src/net"}

// TestToolchain goes both ways with a real tree: what Write makes of it is received, and what
// the real program sends of it is read, full and as changes.
func TestToolchain(t *testing.T) {
	d := newDisk(t, "compress=zstd")
	d.run("btrfs", "subvolume", "create", d.path("work"))
	files := 500
	if os.Getenv("LARCH_TEST_LONG") != "" {
		files = 5000
		d.run("cp", "-r", goToolchain(t)+"/.", d.path("work"))
	} else {
		script := `cd "$0" && to=$1 && shift && cp -r --parents "$@" "$to"`
		d.run("sh", append([]string{"-c", script, goToolchain(t), d.path("work")}, parts...)...)
	}
	d.run("chmod", "-R", "u+w", d.path("work"))
	d.run("btrfs", "subvolume", "snapshot", "-r", d.path("work"), d.path("a"))
	rework(t, d.path("work"))
	d.run("cp", "--reflink=always", d.path("work/bin/gofmt"), d.path("work/bin/format"))
	d.run("btrfs", "subvolume", "snapshot", "-r", d.path("work"), d.path("b"))
	a, b := folder(t, d.path("a")), folder(t, d.path("b"))
	if n := strings.Count(a.text, "\n"); n < files {
		t.Fatalf("a toolchain of %d names", n)
	}
	for _, options := range [][]string{{"--proto", "1"}, {"--proto", "2"}, {"--compressed-data"}} {
		full, changes := d.send(append(options, d.path("a"))...), d.send(append(options, "-p", d.path("a"), d.path("b"))...)
		sameTree(t, "sent with "+strings.Join(options, " "), textOf(t, read(t, full)), a.text)
		sameTree(t, "sent changes with "+strings.Join(options, " "), textOf(t, read(t, full, changes)), b.text)
		if len(changes) > len(full)/3 {
			t.Errorf("%d bytes of changes, and %d of all", len(changes), len(full))
		}
	}
	roundTrip(t, d, "received", a, b, Options{})
	roundTrip(t, d, "received 2", a, b, Options{Version: 2})
}
