package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/pipeline"
)

// place is a name of the folder that is still to be described. It holds the
// directory that the name is in.
type place struct {
	dir  *handle
	name string // "." is the directory itself
	path Path
}

// placesAtOnce is how many names one goroutine describes at a time: enough to
// hide what handing them over costs, few enough that not too many directories
// are open.
const placesAtOnce = 32

// maxWalkers bounds the goroutines that describe, and with placesAtOnce the
// directories that are open: twice maxWalkers batches are under way, and the
// current directory has at most MaxDepth parents. Together that stays below the
// 1,024 files that a process may usually open.
const maxWalkers = 8

// walk describes everything in the folder, in canonical order. One goroutine
// reads directories, some describe what is in them. A quick walk leaves out what
// needs more than the inode: xattrs and the text of symlinks.
func (s *FolderSource) walk(ctx context.Context, quick bool) iter.Seq2[found, error] {
	describe := func(_ context.Context, places []place) ([]found, error) {
		defer release(places)
		out := make([]found, len(places))
		for i, p := range places {
			var err error
			if out[i], err = describe(p, s.rules, quick); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return func(yield func(found, error) bool) {
		for batch, err := range pipeline.Ordered(ctx, min(runtime.GOMAXPROCS(0), maxWalkers), s.places(), describe) {
			if err != nil {
				yield(found{}, err)
				return
			}
			for _, f := range batch {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

// places lists the names in canonical order, some at a time. Only the names of
// the directories from the root to the current one are held. Whoever takes a
// batch releases it.
func (s *FolderSource) places() iter.Seq2[[]place, error] {
	return func(yield func([]place, error) bool) {
		l := lister{yield: yield}
		root, err := openHandle(s.root, ".", "/")
		if err == nil {
			err = l.list(root, "/")
		}
		if errors.Is(err, errStopped) || !l.flush() {
			return
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// errStopped says that nobody wants more places.
var errStopped = errors.New("stopped")

type lister struct {
	yield func([]place, error) bool
	batch []place
}

func (l *lister) add(p place) error {
	p.dir.hold()
	l.batch = append(l.batch, p)
	if len(l.batch) == placesAtOnce && !l.flush() {
		return errStopped
	}
	return nil
}

// flush hands on what there is and tells whether more is wanted.
func (l *lister) flush() bool {
	batch := l.batch
	l.batch = nil
	if len(batch) > 0 && !l.yield(batch, nil) {
		release(batch)
		return false
	}
	return true
}

// list adds a directory and all below it, and releases it. Its depth is bounded
// by the rule for paths.
func (l *lister) list(dir *handle, at Path) error {
	defer dir.release()
	if err := l.add(place{dir, ".", at}); err != nil {
		return err
	}
	names, err := dir.names()
	if err != nil {
		return fmt.Errorf("reading the directory %q: %w", string(at), err)
	}
	for _, n := range names {
		path := at.Join(n.name)
		if v := checkPath(path); v != nil {
			return v.at(0, path)
		}
		if err := l.addName(dir, n, path); err != nil {
			return err
		}
	}
	return dir.unchanged(at)
}

func (l *lister) addName(dir *handle, n dirent, path Path) error {
	if n.kind == unix.DT_UNKNOWN {
		st, err := dir.dir.Lstat(n.name)
		if err != nil {
			return changed(path, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			n.kind = unix.DT_DIR
		}
	}
	if n.kind != unix.DT_DIR {
		return l.add(place{dir, n.name, path})
	}
	sub, err := openHandle(dir.dir, n.name, path)
	if err != nil {
		return err
	}
	return l.list(sub, path)
}

func release(places []place) {
	for _, p := range places {
		p.dir.release()
	}
}

// handle is an open directory, closed when nobody holds it any more.
type handle struct {
	dir   *beneath.Dir
	stat  unix.Stat_t // when it was opened
	users atomic.Int32
}

// openHandle opens a directory; the caller holds it.
func openHandle(parent *beneath.Dir, name string, at Path) (*handle, error) {
	dir, err := parent.OpenDir(name)
	if err != nil {
		return nil, changed(at, err)
	}
	h := &handle{dir: dir}
	h.users.Store(1)
	if h.stat, err = dir.Lstat("."); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

func (h *handle) hold() { h.users.Add(1) }

func (h *handle) release() {
	if h.users.Add(-1) == 0 {
		h.dir.Close() // it was only read
	}
}

// unchanged tells whether names came or went since the directory was opened.
func (h *handle) unchanged(at Path) error {
	now, err := h.dir.Lstat(".")
	if err != nil {
		return err
	}
	if stateOf(&now) != stateOf(&h.stat) {
		return &ChangedError{Path: at, Err: errors.New("the directory is not as it was")}
	}
	return nil
}

// changed makes an error of the file system a *ChangedError where it means that
// something that was there is gone, or is something else now.
func changed(p Path, err error) error {
	for _, gone := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EINVAL, unix.ENXIO, unix.ENODATA} {
		if errors.Is(err, gone) {
			return &ChangedError{Path: p, Err: err}
		}
	}
	return err
}

// dirent is a name in a directory, and what the directory says it is.
type dirent struct {
	name string
	kind byte // DT_DIR and so on; DT_UNKNOWN where the file system does not say
}

// names reads a directory, sorted by bytes. It reads the kinds too, so that no
// call is needed to know where to descend.
func (h *handle) names() ([]dirent, error) {
	var out []dirent
	buffer := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(int(h.dir.File().Fd()), buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		out = appendDirents(out, buffer[:n])
	}
	slices.SortFunc(out, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// appendDirents reads struct linux_dirent64 of getdents64(2): inode and offset of
// 8 bytes each, length of 2, kind of 1, name and a NUL.
func appendDirents(out []dirent, b []byte) []dirent {
	const head = 19
	for len(b) > head {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < head || size > len(b) {
			break
		}
		name, _, _ := strings.Cut(string(b[head:size]), "\x00")
		if name != "." && name != ".." {
			out = append(out, dirent{name, b[18]})
		}
		b = b[size:]
	}
	return out
}
