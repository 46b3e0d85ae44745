package kernel

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Cut from what apt-cache depends printed of bookworm-backports and
// trixie-backports in November 2026.
const (
	depends612 = `linux-image-cloud-amd64
  Depends: linux-image-6.12.95+deb12-cloud-amd64
linux-image-6.12.95+deb12-cloud-amd64
  PreDepends: linux-base
  Depends: <linux-initramfs-tool>
linux-base
kmod
`
	depends73 = `linux-image-cloud-amd64
  Depends: linux-base-cloud-amd64
  Depends: linux-image-7.3.4+deb13-cloud-amd64
linux-base-cloud-amd64
linux-base-7.3.4+deb13-cloud-amd64
linux-image-7.3.4+deb13-cloud-amd64
 |Depends: <dracut>
linux-modules-cloud-amd64
linux-binary-7.3.4+deb13-cloud-amd64
linux-modules-7.3.4+deb13-cloud-amd64
`
)

func TestPick(t *testing.T) {
	for _, c := range []struct {
		series, depends, release string
		packages                 []string
	}{
		{"6.12", depends612, "6.12.95+deb12-cloud-amd64", []string{"linux-image-6.12.95+deb12-cloud-amd64"}},
		{"7.3", depends73, "7.3.4+deb13-cloud-amd64", []string{
			"linux-image-7.3.4+deb13-cloud-amd64", "linux-base-7.3.4+deb13-cloud-amd64",
			"linux-binary-7.3.4+deb13-cloud-amd64", "linux-modules-7.3.4+deb13-cloud-amd64",
		}},
	} {
		release, packages, err := pick(c.series, kernelsIn(c.depends))
		if err != nil || release != c.release {
			t.Errorf("%s: release %q, error %v", c.series, release, err)
		}
		if diff := cmp.Diff(c.packages, packages); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.series, diff)
		}
	}
	if _, _, err := pick("6.1", kernelsIn(depends612)); err == nil || !strings.Contains(err.Error(), "6.12.95") {
		t.Errorf("a series that has gone: error %v must name what is there", err)
	}
}

func TestMirrorIn(t *testing.T) {
	got, err := mirrorIn("Other|Other|http://other.example/\nDebian|Debian-Security|http://one.example/s\nDebian|Debian|http://two.example/debian\n")
	if want := "http://two.example/debian"; got != want || err != nil {
		t.Errorf("got %q, error %v, want %q", got, err, want)
	}
	if _, err := mirrorIn("Ubuntu|Ubuntu|http://one.example/\n"); err == nil {
		t.Error("a mirror was found where there is none")
	}
}

func TestOpen(t *testing.T) {
	cache := t.TempDir()
	if _, err := Open(cache, "6.12"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is fetched: %v", err)
	}
	if err := os.Mkdir(filepath.Join(cache, "6.12"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cache, "6.12", "release"), []byte("6.12.1-cloud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := Open(cache, "6.12")
	if err != nil || k.Release != "6.12.1-cloud" || k.Image() != filepath.Join(cache, "6.12", "vmlinuz") {
		t.Errorf("opened %+v, error %v", k, err)
	}
}

func TestFetchOfUnknownSeries(t *testing.T) {
	if _, err := Fetch(t.Context(), t.TempDir(), "2.6", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
