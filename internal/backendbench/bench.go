package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/larch-project/larch/internal/measure"
	"github.com/larch-project/larch/internal/mount"
)

const (
	smallFiles   = 12_000
	smallFolders = 400
)

// bench is one run.
type bench struct {
	larch, work string
	runs        int
	size        int64
	ref         string
	fingerprint string
	discarded   int // folders
	table       table
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.work}, parts...)...)
}

func (b *bench) do(args ...string) (measure.Usage, string, error) {
	return measure.Run([]string{"HOME=" + b.path("home"), "LARCH_ROOT=" + b.path("machine")}, b.larch, args...)
}

// publish makes the application, and a repository with it.
func (b *bench) publish() error {
	log.Print("making the application")
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	b.ref = "app/org.example.Bench/" + arch + "/stable"
	if err := os.MkdirAll(b.path("home"), 0o755); err != nil {
		return err
	}
	if err := writeApp(b.path("app"), b.size); err != nil {
		return err
	}
	if _, _, err := b.do("init", b.path("repo")); err != nil {
		return err
	}
	_, keys, err := b.do("key", "list", b.path("repo"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(keys) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "root" {
			b.fingerprint = f[0]
		}
	}
	log.Print("publishing it")
	if _, _, err := b.do("publish", b.path("repo"), b.ref, b.path("app"), "--command", "bench", "--delta-budget", "0"); err != nil {
		return err
	}
	_, _, err = b.do("remote", "add", "here", b.path("repo"), "--root-key", b.fingerprint)
	return err
}

// writeApp makes a folder with this program, a large file and many small ones.
func writeApp(dir string, size int64) error {
	r := rand.NewChaCha8([32]byte{1})
	for _, name := range []string{"bin", "share/small"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/bench"), self, 0o755); err != nil {
		return err
	}
	if err := writeRandom(filepath.Join(dir, "share/large"), r, size); err != nil {
		return err
	}
	buf := make([]byte, 12<<10)
	for n := range smallFiles {
		folder := filepath.Join(dir, "share/small", strconv.Itoa(n%smallFolders))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		r.Read(buf)
		if err := os.WriteFile(filepath.Join(folder, strconv.Itoa(n)), buf[:1000+n%11_000], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeRandom(name string, r *rand.ChaCha8, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for left := size; left > 0 && err == nil; left -= int64(len(buf)) {
		r.Read(buf)
		_, err = f.Write(buf[:min(left, int64(len(buf)))])
	}
	return errors.Join(err, f.Close())
}

// reset takes all deployments away, and leaves the store.
func (b *bench) reset() error {
	if _, err := os.Stat(b.path("machine", "deployments")); err != nil {
		return nil
	}
	b.do("uninstall", b.ref, "--yes")
	b.do("gc", "--keep", "1")
	table, err := mount.Table()
	if err != nil {
		return err
	}
	for _, e := range table {
		if strings.HasPrefix(e.Point, b.path("machine")+"/") {
			mount.Detach(e.Point)
		}
	}
	return b.discard(b.path("machine", "deployments"))
}

// discard takes a folder out of the way. It is deleted with all others at the end: ext4
// passes over inodes that were deleted within the last minutes, one by one, and whoever
// makes files next would be measured by what the run before has deleted.
func (b *bench) discard(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b.discarded++
	return os.Rename(dir, b.path("discarded-"+strconv.Itoa(b.discarded)))
}

// settle makes what was written before cost nothing later.
func settle() { measure.Command("sync").Run() }

func dropCaches() error {
	settle()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// best gives the least of several measurements of ours and of the peer. They take turns,
// so that what else the machine does meets both.
func (b *bench) best(ours, peers func() (float64, error)) (our, peer float64, err error) {
	our, peer = math.Inf(1), math.Inf(1)
	for range b.runs {
		for _, m := range []struct {
			least *float64
			do    func() (float64, error)
		}{{&our, ours}, {&peer, peers}} {
			s, err := m.do()
			if err != nil {
				return 0, 0, err
			}
			*m.least = min(*m.least, s)
		}
	}
	return our, peer, nil
}

// backends measures those that are usable, or one.
func (b *bench) backends(only string) error {
	if _, _, err := b.do("install", b.ref, "--yes"); err != nil {
		return err
	}
	if err := b.initPeer(); err != nil {
		return err
	}
	for _, name := range []string{"hardlink", "overlay", "composefs", "fuse"} {
		if only != "" && name != only {
			continue
		}
		if err := b.backend(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// works are what is done with the files, and how long each backend may take,
// relative to plain files.
var works = []struct {
	name, work string
	cold       bool
	targets    map[string]float64
}{
	{"read the large file, cold", "large", true, map[string]float64{"overlay": 1 / 0.95, "composefs": 1 / 0.95, "fuse": 2}},
	{"read the large file, warm", "large", false, map[string]float64{"overlay": 1 / 0.95, "composefs": 1 / 0.95, "fuse": 2}},
	{"read 10,000 small files, warm", "small", false, map[string]float64{"fuse": 2}},
	{"find and stat 12,000 files, warm", "stat", false, map[string]float64{"fuse": 3}},
}

// targets of installing what is all there, relative to ostree.
var installTargets = map[string]float64{"composefs": 0.1, "overlay": 0.5}

func (b *bench) backend(name string) error {
	log.Print("measuring " + name)
	took, ostree, err := b.best(func() (float64, error) { return b.install(name) }, b.checkout)
	if err != nil {
		return err
	}
	b.table.add(name, "install, all present", "ostree checkout -U -H", took, ostree, target(installTargets[name]))
	for _, w := range works {
		took, plain, err := b.best(
			func() (float64, error) { return b.reading(w.work, w.cold, b.run) },
			func() (float64, error) { return b.reading(w.work, w.cold, b.plain) })
		if err != nil {
			return err
		}
		b.table.add(name, w.name, "plain files", took, plain, target(w.targets[name]))
	}
	return nil
}

// install takes the time of installing what is all there.
func (b *bench) install(backend string) (float64, error) {
	if err := b.reset(); err != nil {
		return 0, err
	}
	settle()
	u, _, err := b.do("install", b.ref, "--backend", backend, "--yes")
	return u.Wall.Seconds(), err
}

// target is infinite where there is none.
func target(t float64) float64 {
	if t == 0 {
		return math.Inf(1)
	}
	return t
}

// reading takes the time of one kind of work; cold begins with nothing in memory, warm
// after the work was done once.
func (b *bench) reading(work string, cold bool, do func(work string) (float64, error)) (float64, error) {
	if cold {
		if err := dropCaches(); err != nil {
			return 0, err
		}
	} else if _, err := do(work); err != nil {
		return 0, err
	}
	return do(work)
}

// plain works with the application's own folder.
func (b *bench) plain(work string) (float64, error) {
	out, err := exec.Command(b.path("app/bin/bench"), "inside", work, b.path("app")).Output()
	return seconds(string(out), err)
}

// run works as the installed application.
func (b *bench) run(work string) (float64, error) {
	_, out, err := b.do("run", "--no-sandbox", "--command", "sh", b.ref, "--", "-c", `exec "$LARCH_APP/bin/bench" inside `+work+` "$LARCH_APP"`)
	return seconds(out, err)
}

func seconds(out string, err error) (float64, error) {
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// ostree runs the peer on a repository of its own.
func (b *bench) ostree(args ...string) (measure.Usage, error) {
	u, _, err := measure.Run(nil, "ostree", append([]string{"--repo=" + b.path("ostree")}, args...)...)
	return u, err
}

func (b *bench) initPeer() error {
	if _, err := b.ostree("init", "--mode=bare-user"); err != nil {
		return err
	}
	_, err := b.ostree("commit", "-b", "bench", "--canonical-permissions", b.path("app"))
	return err
}

// checkout takes the time of the peer's installation of what it has.
func (b *bench) checkout() (float64, error) {
	if err := b.discard(b.path("checkout")); err != nil {
		return 0, err
	}
	settle()
	u, err := b.ostree("checkout", "-U", "-H", "bench", b.path("checkout"))
	return u.Wall.Seconds(), err
}
