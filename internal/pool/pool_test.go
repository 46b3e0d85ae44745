package pool

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/btrfs/btrfstest"
	"github.com/larch-project/larch/internal/mount"
)

const mib = 1 << 20

// needsBtrfs skips where pools cannot be made.
func needsBtrfs(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		t.Skip("needs mkfs.btrfs, of the package btrfs-progs")
	}
	if err := mount.Known("btrfs"); err != nil {
		t.Skip(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// newPool makes a pool, and a folder for units.
func newPool(t *testing.T, size int64) Options {
	t.Helper()
	needsBtrfs(t)
	dir := t.TempDir()
	o := Options{File: filepath.Join(dir, "pool file"), At: filepath.Join(dir, "at"), Size: size, Compress: true, Units: filepath.Join(dir, "units")}
	must(t, os.Mkdir(o.Units, 0o755))
	if err := Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Unmount(o.At); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
	})
	return o
}

// of describes a mounted pool.
func of(t *testing.T, at string) *Pool {
	t.Helper()
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	p, err := Of(root)
	if err != nil || p == nil {
		t.Fatalf("pool %v, error %v", p, err)
	}
	return p
}

func TestCreateAndMountAgain(t *testing.T) {
	o := newPool(t, 300*mib)
	must(t, os.WriteFile(filepath.Join(o.At, "file"), make([]byte, 10*mib), 0o644))
	func() {
		root, err := os.Open(o.At)
		must(t, err)
		defer root.Close()
		must(t, unix.Syncfs(int(root.Fd())))
		p, err := Of(root)
		must(t, err)
		if p.File != o.File || p.At != o.At || !p.Compress || p.Size != 300*mib || p.Taken > 100*mib || p.Free < 100*mib || p.Used > 9*mib {
			t.Errorf("described as %+v", p)
		}
	}()
	must(t, Mount(o.File)) // it is there
	must(t, Unmount(o.At))
	if _, err := os.Stat(filepath.Join(o.At, "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("seen without its mount: error %v", err)
	}
	must(t, Mount(o.File)) // as after a restart
	if info, err := os.Stat(filepath.Join(o.At, "file")); err != nil || info.Size() != 10*mib {
		t.Errorf("after mounting again: error %v", err)
	}
	var st unix.Statfs_t
	must(t, unix.Statfs(o.At, &st))
	if want := int64(unix.ST_NOSUID | unix.ST_NODEV); int64(st.Flags)&want != want {
		t.Errorf("flags %x of the mount", st.Flags)
	}
}

func TestResize(t *testing.T) {
	o := newPool(t, 300*mib)
	p := of(t, o.At)
	must(t, p.Reserve(10*mib))
	if p.Size != 300*mib {
		t.Errorf("grew to %d for what fits", p.Size)
	}
	must(t, p.Reserve(600*mib))
	if p.Size < 700*mib || p.Free < 600*mib {
		t.Errorf("size %d with %d free after making room for 600 MiB", p.Size, p.Free)
	}
	must(t, os.WriteFile(filepath.Join(o.At, "large"), noise(500*mib), 0o644), p.Resize(p.Size), os.Remove(filepath.Join(o.At, "large")))
	must(t, p.Resize(400*mib))
	if info, err := os.Stat(o.File); err != nil || info.Size() != 400*mib {
		t.Errorf("the file after shrinking: %v, error %v", info.Size(), err)
	}
	must(t, os.WriteFile(filepath.Join(o.At, "large"), noise(200*mib), 0o644))
	before := p.Size
	if err := p.Resize(MinSize); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("shrunk below what is in it: error %v", err)
	}
	if p = of(t, o.At); p.Size != before {
		t.Errorf("size %d after a refusal, not %d", p.Size, before)
	}
	if err := p.Resize(1 * mib); err == nil {
		t.Error("shrunk to 1 MiB")
	}
	if err := p.Reserve(1 << 60); !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), o.File) {
		t.Errorf("more than the disk has: error %v", err)
	}
	command(t, "btrfs", "scrub", "start", "-B", o.At)
}

// noise is what does not become smaller.
func noise(n int) []byte {
	data := make([]byte, n)
	for i, x := 0, uint64(1); i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		data[i] = byte(x)
	}
	return data
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// what is not a pool of this machine, or could have been changed by others, is refused
func TestRefused(t *testing.T) {
	for name, ruin := range map[string]func(o Options) error{
		"others may write": func(o Options) error { return os.Chmod(o.File, 0o602) },
		"another's file":   func(o Options) error { return os.Chown(o.File, 1000, 0) },
		"another's folder": func(o Options) error { return os.Chmod(filepath.Dir(o.File), 0o777) },
		"a second name":    func(o Options) error { return os.Link(o.File, o.File+"2") },
		"a symlink": func(o Options) error {
			return errors.Join(os.Rename(o.File, o.File+"2"), os.Symlink(o.File+"2", o.File))
		},
		"a folder":            func(o Options) error { return errors.Join(os.Remove(o.File), os.Mkdir(o.File, 0o755)) },
		"no mark":             func(o Options) error { return unix.Removexattr(o.File, markName) },
		"a damaged mark":      func(o Options) error { return unix.Setxattr(o.File, markName, []byte("{"), 0) },
		"another file system": func(o Options) error { return exec.Command("mkfs.btrfs", "-f", o.File).Run() },
		"no file system":      func(o Options) error { return errors.Join(os.Truncate(o.File, 0), os.Truncate(o.File, 300*mib)) },
		"a copy with the mark too": func(o Options) error {
			return exec.Command("sh", "-c", "cp --preserve=all '"+o.File+"' '"+o.File+"2' && mv '"+o.File+"2' '"+o.File+"'").Run()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newPool(t, 300*mib)
			must(t, Unmount(o.At), ruin(o))
			if err := Mount(o.File); !errors.Is(err, ErrRefused) && !(name == "a symlink" && errors.Is(err, unix.ELOOP)) && !(name == "a folder" && errors.Is(err, unix.EISDIR)) {
				t.Errorf("mounted: error %v", err)
			}
			if names, err := os.ReadDir(o.At); err != nil || len(names) > 0 {
				t.Errorf("there: %v, error %v", names, err)
			}
			must(t, os.Chmod(filepath.Dir(o.File), 0o700))
		})
	}
}

func TestVanishedAndElsewhere(t *testing.T) {
	o := newPool(t, 300*mib)
	must(t, Unmount(o.At))
	elsewhere := btrfstest.Mount(t, o.File)
	if err := Mount(o.File); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), elsewhere) {
		t.Errorf("mounted a second time: error %v", err)
	}
	must(t, Unmount(elsewhere), Mount(o.File), os.Remove(o.File))
	root, err := os.Open(o.At)
	must(t, err)
	if _, err := Of(root); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "save what is in it") {
		t.Errorf("of a file that is gone: error %v", err)
	}
	must(t, root.Close(), Unmount(o.At))
	if err := Mount(o.File); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("mounted without its file: error %v", err)
	}
}

// a namespace that was made while the pool was mounted keeps its loop device in use
func TestMountedInAnotherNamespace(t *testing.T) {
	o := newPool(t, 300*mib)
	must(t, os.WriteFile(filepath.Join(o.At, "file"), []byte("text"), 0o644))
	other := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; read line || :")
	release, err := other.StdinPipe()
	must(t, err)
	ready, err := other.StdoutPipe()
	must(t, err, other.Start())
	_, err = ready.Read(make([]byte, 1))
	must(t, err, Unmount(o.At))
	f, err := Open(o.File)
	must(t, err)
	defer f.Close()
	before, err := loopOf(f)
	must(t, err)
	if before == "" {
		t.Fatal("the other namespace does not keep the device")
	}
	must(t, Mount(o.File))
	if after, err := loopOf(f); err != nil || after != before {
		t.Errorf("device %q after %q, error %v: two of them would write", after, before, err)
	}
	must(t, release.Close(), other.Wait())
	if text, err := os.ReadFile(filepath.Join(o.At, "file")); err != nil || string(text) != "text" {
		t.Errorf("read %q, error %v", text, err)
	}
}

func TestCreateGoesOn(t *testing.T) {
	o := newPool(t, 300*mib)
	before, err := os.Stat(o.File)
	must(t, err)
	o.Units = t.TempDir()
	must(t, Create(t.Context(), o)) // mounted, and no units
	must(t, Unmount(o.At))
	must(t, Create(t.Context(), o)) // not mounted
	after, err := os.Stat(o.File)
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("it was made again")
	}
	if units, err := os.ReadDir(o.Units); len(units) == 0 || err != nil {
		t.Errorf("units: %v, error %v", units, err)
	}
	must(t, os.WriteFile(filepath.Join(o.At, "file"), nil, 0o644))
	if err := Create(t.Context(), o); err == nil {
		t.Error("made where something is")
	}
	must(t, Unmount(o.At))
	o.Size += 300 * mib
	if err := Create(t.Context(), o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("of another size: error %v", err)
	}
}

// a folder remembers its pool as long as that belongs there
func TestExpected(t *testing.T) {
	o := newPool(t, 300*mib)
	expected := func() error {
		at, err := os.Open(o.At)
		must(t, err)
		defer at.Close()
		return Expected(at)
	}
	must(t, expected(), Unmount(o.At))
	if err := expected(); !errors.Is(err, ErrUnmounted) || !strings.Contains(err.Error(), o.File) {
		t.Errorf("without it: error %v", err)
	}
	other := o
	other.File += "2"
	if err := Create(t.Context(), other); !errors.Is(err, ErrUnmounted) {
		t.Errorf("another one made in its place: error %v", err)
	}
	must(t, Mount(o.File), expected(), Unmount(o.At), Forget(o.At), Forget(o.At), expected())
	other.Units = filepath.Join(o.Units, "none")
	if err := Create(t.Context(), other); err == nil {
		t.Error("made without the folder for its units")
	}
	must(t, expected())
}

// what cannot be made leaves nothing
func TestCreateRefuses(t *testing.T) {
	needsBtrfs(t)
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	must(t, os.MkdirAll(filepath.Join(full, "x"), 0o755), os.WriteFile(filepath.Join(dir, "there"), []byte("text"), 0o600), os.Mkdir(filepath.Join(dir, "open"), 0o777), os.Chmod(filepath.Join(dir, "open"), 0o777))
	file, at := filepath.Join(dir, "pool"), filepath.Join(dir, "at")
	for name, o := range map[string]Options{
		"neither file nor device": {At: at},
		"both":                    {File: file, Device: "/dev/null", At: at},
		"too small":               {File: file, At: at, Size: 100 * mib},
		"a folder with something": {File: file, At: full},
		"a file that is there":    {File: filepath.Join(dir, "there"), At: at},
		"others may write there":  {File: filepath.Join(dir, "open/pool"), At: at},
		"no such folder":          {File: filepath.Join(dir, "none/pool"), At: at},
		"no block device":         {Device: "/dev/null", At: at},
		"a newline":               {File: file + "\n", At: at},
		"no folder for units":     {File: file, At: at, Units: filepath.Join(dir, "none")},
		"larger than a file is":   {File: file, At: at, Size: 1 << 62},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Create(t.Context(), o); err == nil {
				t.Error("made")
			}
			left, err := os.ReadDir(dir)
			if len(left) != 3 || err != nil {
				t.Errorf("left: %v, error %v", left, err)
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(dir, "there")); err != nil || string(text) != "text" {
		t.Errorf("the file that was there: %q, error %v", text, err)
	}
}

func TestOnDevice(t *testing.T) {
	needsBtrfs(t)
	dir := t.TempDir()
	image, at, units := filepath.Join(dir, "image"), filepath.Join(dir, "at"), filepath.Join(dir, "units")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 300*mib), os.Mkdir(units, 0o755))
	device := strings.TrimSpace(command(t, "losetup", "--find", "--show", image))
	defer command(t, "losetup", "--detach", device)
	o := Options{Device: device, At: at, Units: units}
	must(t, Create(t.Context(), o))
	root, err := os.Open(at)
	must(t, err)
	if p, err := Of(root); p != nil || err != nil {
		t.Errorf("a device of its own is a pool in a file: %v, error %v", p, err)
	}
	must(t, root.Close())
	text, err := os.ReadFile(filepath.Join(units, unitName(at)+".mount"))
	if err != nil || !strings.Contains(string(text), "What=/dev/disk/by-uuid/"+strings.TrimSpace(command(t, "blkid", "-p", "-o", "value", "-s", "UUID", device))) {
		t.Errorf("unit %s, error %v", text, err)
	}
	must(t, Unmount(at))
	o.At += "2"
	// through another device: processes of other tests, whose mount namespaces began
	// meanwhile, may have the first one mounted still
	o.Device = strings.TrimSpace(command(t, "losetup", "--find", "--show", image))
	defer command(t, "losetup", "--detach", o.Device)
	if err := Create(t.Context(), o); err == nil || !strings.Contains(err.Error(), "existing") {
		t.Errorf("made over a file system: error %v", err)
	}
}

func TestUnits(t *testing.T) {
	for path, want := range map[string]string{
		"/var/lib/larch": "var-lib-larch", "//a//b/": "a-b", "/.a-b/ü c": `\x2ea\x2db-\xc3\xbc\x20c`,
	} {
		if have := unitName(path); have != want {
			t.Errorf("%q is %q, not %q", path, have, want)
		}
		if program, err := exec.LookPath("systemd-escape"); err == nil {
			if have := strings.TrimSuffix(command(t, program, "--path", path), "\n"); have != want {
				t.Errorf("systemd says that %q is %q, not %q", path, have, want)
			}
		}
	}
	o := newPool(t, 300*mib)
	name := unitName(o.At)
	left, err := os.ReadDir(o.Units)
	if err != nil || len(left) != 3 {
		t.Errorf("units %v, error %v", left, err)
	}
	if to, err := os.Readlink(filepath.Join(o.Units, wants, name+".mount")); err != nil || to != "../"+name+".mount" {
		t.Errorf("wanted: %q, error %v", to, err)
	}
	text, err := os.ReadFile(filepath.Join(o.Units, name+".mount"))
	if want := "Options=loop,noatime,nosuid,nodev,compress=zstd,user_subvol_rm_allowed\n"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("unit %s, error %v", text, err)
	}
	if program, err := exec.LookPath("systemd-analyze"); err == nil {
		out, err := exec.Command(program, "verify", "--man=no", filepath.Join(o.Units, name+".mount"), filepath.Join(o.Units, "larch-pool-"+name+".service")).CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("systemd: %s, error %v", out, err)
		}
	}
	must(t, RemoveUnits(o.Units, o.At))
	if left, err := os.ReadDir(o.Units); err != nil || len(left) != 1 {
		t.Errorf("units left %v, error %v", left, err)
	}
}
