package kernel

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/larch-project/larch/internal/lock"
)

// Fetch gets the newest kernel of a series with the machine's apt, from the mirror
// that it is set up with, and puts it into the cache in place of the one that is
// there. apt checks what it gets by the keys of Debian's archive. The system's own
// lists and packages stay as they are; it needs no privilege, but the programs of
// apt and dpkg, and xz. What these print goes to log.
func Fetch(ctx context.Context, cache, series string, log io.Writer) (Kernel, error) {
	suite, err := suiteOf(series)
	if err != nil {
		return Kernel{}, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, err
	}
	unlock, err := hold(ctx, cache)
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return Kernel{}, err
	}
	defer os.RemoveAll(work)
	f := fetching{ctx: ctx, work: work, log: log}
	if err := f.fetch(series, suite); err != nil {
		return Kernel{}, fmt.Errorf("fetching kernel %s from %s: %w", series, suite, err)
	}
	dir := filepath.Join(cache, series)
	if err := os.RemoveAll(dir); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(f.path("kernel"), dir); err != nil { // from here on it is there
		return Kernel{}, err
	}
	return Open(cache, series)
}

// hold keeps two processes from filling the same cache.
func hold(ctx context.Context, cache string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lock.Exclusive(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return f.Close, nil
}

// fetching is the making of one kernel's folder, below a folder of its own.
type fetching struct {
	ctx  context.Context
	work string
	log  io.Writer
}

func (f *fetching) path(names ...string) string {
	return filepath.Join(append([]string{f.work}, names...)...)
}

func (f *fetching) fetch(series, suite string) error {
	for _, dir := range []string{"lists/partial", "debs", "unpacked", "kernel"} {
		if err := os.MkdirAll(f.path(dir), 0o755); err != nil {
			return err
		}
	}
	release, err := f.download(series, suite)
	if err != nil {
		return err
	}
	if err := f.unpack(); err != nil {
		return err
	}
	if err := f.arrange(release); err != nil {
		return err
	}
	return Kernel{Series: series, dir: f.path("kernel")}.writeIndex()
}

// download gets the packages of the newest kernel of a suite.
func (f *fetching) download(series, suite string) (release string, err error) {
	a := apt{lists: f.path("lists"), sources: f.path("sources.list")}
	mirror, err := a.mirror(f.ctx)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite)
	if err := os.WriteFile(a.sources, []byte(line), 0o644); err != nil {
		return "", err
	}
	if err := f.run("", "apt-get", a.options("-qq", "update")...); err != nil {
		return "", err
	}
	names, err := a.kernels(f.ctx)
	if err != nil {
		return "", err
	}
	release, packages, err := pick(series, names)
	if err != nil {
		return "", err
	}
	return release, f.run(f.path("debs"), "apt-get", a.options(append([]string{"-qq", "download"}, packages...)...)...)
}

// unpack takes the packages apart, and decompresses the modules: by one call of xz,
// since there are thousands.
func (f *fetching) unpack() error {
	debs, err := filepath.Glob(f.path("debs", "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := f.run("", "dpkg-deb", "-x", deb, f.path("unpacked")); err != nil {
			return err
		}
		if err := os.Remove(deb); err != nil {
			return err
		}
	}
	var list strings.Builder
	err = filepath.WalkDir(f.path("unpacked"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko.xz") {
			list.WriteString(path + "\x00")
		}
		return err
	})
	if err != nil || list.Len() == 0 {
		return err
	}
	if err := os.WriteFile(f.path("compressed"), []byte(list.String()), 0o600); err != nil {
		return err
	}
	return f.run("", "xz", "--decompress", "--files0="+f.path("compressed"))
}

// arrange moves what is kept to where a Kernel has it.
func (f *fetching) arrange(release string) error {
	for to, from := range map[string][]string{
		"vmlinuz": {"boot/vmlinuz-" + release, "usr/lib/modules/" + release + "/vmlinuz"},
		"modules": {"lib/modules/" + release, "usr/lib/modules/" + release},
	} {
		if err := f.keep(to, from); err != nil {
			return err
		}
	}
	return os.WriteFile(f.path("kernel", "release"), []byte(release+"\n"), 0o644)
}

// keep moves the first of some places that exists.
func (f *fetching) keep(to string, places []string) error {
	for _, place := range places {
		from := f.path("unpacked", place)
		if _, err := os.Lstat(from); err == nil {
			return os.Rename(from, f.path("kernel", to))
		}
	}
	return fmt.Errorf("none of %s is in the packages", strings.Join(places, ", "))
}

func (f *fetching) run(dir, name string, args ...string) error {
	cmd := exec.CommandContext(f.ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f.log, f.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
