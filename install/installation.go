package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/internal/mount"
	"github.com/larch-project/larch/internal/pool"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
)

// Names below an installation.
const (
	formatName  = "installation.json"
	lockName    = "lock"
	currentName = "current"
	generations = "generations"
	remotes     = "remotes"
	scratch     = "tmp"
	uncleanName = "unclean" // the store's list of what an interrupted transaction named
)

// format1 is the content of formatName: the one that this package reads.
const format1 = `{"features":[],"format":1}` + "\n"

// SystemDir is where the installation of a whole machine is.
const SystemDir = "/var/lib/larch"

// UserDir says where a user's own installation is: $XDG_DATA_HOME/larch, or
// ~/.local/share/larch. Variables that are no absolute paths do not count.
func UserDir(getenv func(string) string) (string, error) {
	if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "larch"), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("neither XDG_DATA_HOME nor HOME is an absolute path: say where to install with --root")
	}
	return filepath.Join(home, ".local/share/larch"), nil
}

// Options are what an installation needs from outside. The zero value serves.
type Options struct {
	// Transport opens a repository; stats counts what it does. Nil for OpenTransport
	// without credentials.
	Transport func(url string, mirrors []string, stats *transport.Stats) (transport.Transport, error)
	// Helper is a program and its leading arguments that backends start for what has to
	// be done in a process of its own; Helpers says what it must do. Without it these
	// backends are not usable.
	Helper []string
	// Backends are those that may be used, the preferred first. Nil for Backends(Helper).
	Backends []deploy.Backend
	// Now is the clock, nil for time.Now.
	Now func() time.Time
	// Waiting is called when another process holds the installation, before
	// waiting for it; may be nil.
	Waiting func()
}

func (o Options) complete(dir string) Options {
	if o.Transport == nil {
		o.Transport = func(url string, mirrors []string, stats *transport.Stats) (transport.Transport, error) {
			return OpenTransport(url, TransportOptions{Mirrors: mirrors, Stats: stats})
		}
	}
	if o.Backends == nil {
		o.Backends = Backends(dir, o.Helper)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Waiting == nil {
		o.Waiting = func() {}
	}
	return o
}

// Installation is what one machine, or one user, has. Its methods may be called
// concurrently, in any number of processes: those that change something wait for
// each other.
type Installation struct {
	root  *beneath.Dir
	store *store.Store
	opt   Options
}

// Open opens the installation in a folder, which is made if it is missing.
// Nothing else is changed: an empty folder is an installation of nothing, and a
// read-only one serves to list and to run.
func Open(dir string, opt Options) (*Installation, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("opening the installation: %w", err)
	}
	root, err := beneath.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the installation: %w", err)
	}
	i, err := open(root, opt)
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("opening the installation %q: %w", dir, err)
	}
	return i, nil
}

// open takes root over, unless it fails.
func open(root *beneath.Dir, opt Options) (*Installation, error) {
	if err := pool.Expected(root.File()); err != nil {
		return nil, err
	}
	if err := checkFormat(root); err != nil {
		return nil, err
	}
	s, err := store.Open(root)
	if err != nil {
		return nil, err
	}
	return &Installation{root: root, store: s, opt: opt.complete(root.Path())}, nil
}

// checkFormat refuses what a later version has made: it is not ours to change.
func checkFormat(root *beneath.Dir) error {
	text, err := root.ReadFile(formatName, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if string(text) != format1 {
		return fmt.Errorf("%w: %s says %.80q: a newer larch may read it", ErrFormat, formatName, text)
	}
	return nil
}

// Close releases the folder. Views that were opened stay open.
func (i *Installation) Close() error { return errors.Join(i.store.Close(), i.root.Close()) }

// Path is the installation's folder.
func (i *Installation) Path() string { return i.root.Path() }

func (i *Installation) site() deploy.Site {
	return deploy.Site{Root: i.root, Content: i.store.Contents(releases{i})}
}

// hold takes the installation for a change, after whoever has it, and sweeps what
// an interrupted change left. Closing the file gives it back.
func (i *Installation) hold(ctx context.Context) (*os.File, error) {
	f, err := i.takeLock(ctx)
	if err != nil {
		return nil, fmt.Errorf("taking the installation %s: %w", i.root.Path(), err)
	}
	if err := i.prepare(); err != nil {
		f.Close()
		return nil, fmt.Errorf("preparing the installation %s: %w", i.root.Path(), err)
	}
	return f, nil
}

func (i *Installation) takeLock(ctx context.Context) (*os.File, error) {
	if err := i.checkOwner(); err != nil {
		return nil, err
	}
	if err := i.checkPool(); err != nil {
		return nil, err
	}
	if err := i.checkEmpty(); err != nil {
		return nil, err
	}
	f, err := i.root.OpenFile(lockName, unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return nil, err
	}
	held, err := lock.TryExclusive(f)
	if err == nil && !held {
		i.opt.Waiting()
		err = lock.Exclusive(ctx, f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkPool makes sure that a pool of the installation's own can be written to.
func (i *Installation) checkPool() error {
	own, err := pool.Of(i.root.File())
	if own == nil || err != nil {
		return err
	}
	return own.Writable()
}

// prepare makes the folders and sweeps. Only who holds the lock calls it.
func (i *Installation) prepare() error {
	if err := checkFormat(i.root); err != nil {
		return err
	}
	if there, err := i.root.Exists(formatName); err != nil {
		return err
	} else if !there {
		if err := i.begin(); err != nil {
			return err
		}
	}
	for _, name := range []string{scratch, generations, remotes} {
		if err := i.root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	if err := i.sweep(); err != nil {
		return err
	}
	return i.resume()
}

// resume takes up the store's transaction if one was interrupted, so that it is
// ended by this one.
func (i *Installation) resume() error {
	interrupted, err := i.root.Exists(uncleanName)
	if err != nil || !interrupted {
		return err
	}
	return i.store.Begin()
}

// sweep removes what interrupted changes left, but for contents, which stay of
// use, and deployments, which are collected: what is in tmp/, generations that were
// never current, and files that never got their names.
func (i *Installation) sweep() error {
	if err := i.detachScratch(); err != nil {
		return err
	}
	if err := i.store.Sweep(); err != nil {
		return err
	}
	for _, folder := range []string{".", "trees", "releases", generations, remotes} {
		if err := i.sweepAside(folder); err != nil {
			return err
		}
	}
	current, err := i.currentNumber()
	if err != nil {
		return err
	}
	numbers, err := i.numbers()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n > current {
			if err := i.removeGeneration(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// detachScratch takes away what is mounted below tmp/, where a backend was being
// tried when its process ended: nothing there could be removed before.
func (i *Installation) detachScratch() error {
	names, err := i.root.ReadDir(scratch)
	if err != nil || len(names) == 0 {
		return err
	}
	folder, err := i.root.OpenDir(scratch)
	if err != nil {
		return err
	}
	defer folder.Close()
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(folder.File().Fd()))) // as the kernel names it
	if err != nil {
		return err
	}
	table, err := mount.Table()
	for _, e := range slices.Backward(table) {
		if err == nil && strings.HasPrefix(e.Point, path+"/") {
			err = mount.Detach(e.Point)
		}
	}
	return err
}

// sweepAside removes what durable and store write beside a name, where their
// process ended before the rename.
func (i *Installation) sweepAside(folder string) error {
	names, err := i.root.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if err == nil && strings.HasPrefix(name, ".new-") {
			err = i.root.RemoveAll(path.Join(folder, name))
		}
	}
	return err
}

// trash takes a folder away in one step, and then removes it.
func (i *Installation) trash(name string) error {
	aside := path.Join(scratch, "trash-"+strings.ReplaceAll(name, "/", "-"))
	if err := i.root.RemoveAll(aside); err != nil {
		return err
	}
	if err := i.root.RenameNoReplace(name, aside); err != nil {
		return err
	}
	return i.root.RemoveAll(aside)
}
