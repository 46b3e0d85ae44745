package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/pipeline"
	"github.com/larch-project/larch/tree"
)

// Difference is one way in which a folder is not its tree.
type Difference struct {
	Path    tree.Path
	Problem string // what is wrong with it: "is missing"
}

// Known tells whether the file dir/name, of this state, is known to hold e's
// content; Compare does not read it then.
type Known func(e *tree.Entry, dir *beneath.Dir, name string, st *unix.Stat_t) bool

// Compare finds every difference of the folder root from a tree, but for the
// liberties that a form has, in the order of paths. Contents are read and hashed
// in parallel, unless known, which may be nil, vouches for them. Memory is
// bounded by the entries of the folders on one path. An error is the last thing
// that is yielded: of the tree, of reading, or of ctx.
func Compare(ctx context.Context, root *beneath.Dir, want iter.Seq2[*tree.Entry, error], known Known) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		owner, err := root.Lstat(".")
		if err != nil {
			yield(Difference{}, err)
			return
		}
		j := judge{owner: owner, known: known}
		for list, err := range pipeline.Ordered(ctx, runtime.GOMAXPROCS(0), batches(walk(root, want)), j.judge) {
			for _, difference := range list {
				if !yield(difference, nil) {
					return
				}
			}
			if err != nil {
				yield(Difference{}, err)
				return
			}
		}
	}
}

const (
	batchFindings = 64
	batchBytes    = 1 << 20 // of contents
)

// batches groups findings: most take no longer to judge than to hand to another
// goroutine.
func batches(in iter.Seq2[finding, error]) iter.Seq2[[]finding, error] {
	return func(yield func([]finding, error) bool) {
		var batch []finding
		var bytes int64
		for f, err := range in {
			if err != nil {
				if len(batch) == 0 || yield(batch, nil) {
					yield(nil, err)
				}
				return
			}
			if batch = append(batch, f); f.entry != nil {
				bytes += f.entry.Size
			}
			if len(batch) == batchFindings || bytes >= batchBytes {
				if !yield(batch, nil) {
					return
				}
				batch, bytes = nil, 0
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// judge compares what is there with what should be.
type judge struct {
	owner unix.Stat_t // of the folder: stands for 0:0
	known Known
}

// judge gives the differences of a batch, up to the first error.
func (j *judge) judge(_ context.Context, batch []finding) (list []Difference, err error) {
	for n, f := range batch {
		var found []Difference
		if found, err = j.one(f); err != nil {
			for _, left := range batch[n+1:] {
				left.release()
			}
			return append(list, found...), err
		}
		list = append(list, found...)
	}
	return list, nil
}

func (j *judge) one(f finding) ([]Difference, error) {
	defer f.release()
	if f.entry == nil {
		return []Difference{f.difference}, nil
	}
	name := "."
	if f.entry.Kind != tree.Directory {
		name = f.entry.Path.Base()
	}
	problems, err := j.problems(f.entry, f.dir.Dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		problems, err = []string{"is missing"}, nil // removed since
	} else if problem := unreadable(err); problem != "" {
		problems, err = append(problems, problem), nil
	}
	var list []Difference
	for _, problem := range problems {
		list = append(list, Difference{f.entry.Path, problem})
	}
	return list, err
}

// problems compares one entry; the more there is wrong, the more it lists.
func (j *judge) problems(e *tree.Entry, dir *beneath.Dir, name string) ([]string, error) {
	st, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if want, noun := format(e.Kind); st.Mode&unix.S_IFMT != want {
		return []string{"is no " + noun}, nil
	}
	problems := j.inode(e, &st)
	var more []string
	switch e.Kind {
	case tree.Symlink:
		more, err = link(e, dir, name)
	case tree.Directory:
		more, err = Xattrs(e, dir.File())
	case tree.Regular:
		more, err = j.regular(e, dir, name, &st)
	}
	return append(problems, more...), err
}

// format gives the bits of a mode that say what it is, and the word for it.
func format(k tree.Kind) (bits uint32, noun string) {
	switch k {
	case tree.Directory:
		return unix.S_IFDIR, "directory"
	case tree.Symlink:
		return unix.S_IFLNK, "symlink"
	}
	return unix.S_IFREG, "regular file"
}

// unreadable is the problem of what is there but cannot be read, or "".
func unreadable(err error) string {
	for _, errno := range []syscall.Errno{unix.EIO, unix.EACCES, unix.EPERM} {
		if errors.Is(err, errno) {
			return "cannot be read: " + errno.Error()
		}
	}
	return ""
}

// inode compares mode, owner, size and time.
func (j *judge) inode(e *tree.Entry, st *unix.Stat_t) (problems []string) {
	have, want := st.Mode&0o7777, e.Mode
	if e.Kind == tree.Regular {
		have, want = have&^0o222, want&^0o222
		if st.Size != e.Size {
			problems = append(problems, fmt.Sprintf("has %d bytes instead of %d", st.Size, e.Size))
		}
	}
	if have != want && e.Kind != tree.Symlink {
		problems = append(problems, fmt.Sprintf("has mode %04o instead of %04o", have, want))
	}
	if (st.Uid != e.UID || st.Gid != e.GID) && !(e.UID == 0 && e.GID == 0 && st.Uid == j.owner.Uid) {
		problems = append(problems, fmt.Sprintf("belongs to %d:%d instead of %d:%d", st.Uid, st.Gid, e.UID, e.GID))
	}
	if int64(st.Mtim.Sec) != e.Mtime.Sec || uint32(st.Mtim.Nsec) != e.Mtime.Nsec {
		problems = append(problems, fmt.Sprintf("has the time %d.%09d instead of %d.%09d", st.Mtim.Sec, st.Mtim.Nsec, e.Mtime.Sec, e.Mtime.Nsec))
	}
	return problems
}

func link(e *tree.Entry, dir *beneath.Dir, name string) ([]string, error) {
	target, err := dir.Readlink(name)
	if err != nil || target == e.Target {
		return nil, err
	}
	return []string{fmt.Sprintf("links to %q instead of %q", target, e.Target)}, nil
}

// regular compares content and attributes.
func (j *judge) regular(e *tree.Entry, dir *beneath.Dir, name string, st *unix.Stat_t) ([]string, error) {
	if st.Size != e.Size || j.known != nil && j.known(e, dir, name, st) {
		return nil, nil
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	problems, err := Xattrs(e, f)
	if err != nil {
		return nil, err
	}
	if err = digest.Verify(f, e.Digest, e.Size); errors.Is(err, digest.ErrMismatch) {
		return append(problems, "has other content"), nil
	}
	return problems, err
}

// Xattrs compares the attributes that a tree can have; others, such as security
// labels, belong to the machine.
func Xattrs(e *tree.Entry, f *os.File) (problems []string, err error) {
	have, err := listXattrs(f)
	if err != nil {
		return nil, err
	}
	for _, x := range e.Xattrs {
		value, err := getXattr(f, x.Name)
		switch {
		case errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP):
			problems = append(problems, fmt.Sprintf("lacks the attribute %q", x.Name))
		case err != nil:
			return nil, err
		case !bytes.Equal(value, x.Value):
			problems = append(problems, fmt.Sprintf("has another value of the attribute %q", x.Name))
		}
	}
	for _, name := range have {
		wanted := slices.ContainsFunc(e.Xattrs, func(x tree.Xattr) bool { return x.Name == name })
		if !wanted && (strings.HasPrefix(name, "user.") || name == "security.capability") {
			problems = append(problems, fmt.Sprintf("has the attribute %q, which is not in the tree", name))
		}
	}
	return problems, nil
}

// Limits of the kernel on a list of names and on a value, and what is enough for nearly
// all of them, bytes.
const (
	maxXattr   = 1 << 16
	usualXattr = 1 << 9
)

func listXattrs(f *os.File) ([]string, error) {
	list, err := readXattr(f, "flistxattr", func(fd int, buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	if len(list) == 0 || err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), nil
}

func getXattr(f *os.File, name string) ([]byte, error) {
	return readXattr(f, "fgetxattr", func(fd int, buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
}

func readXattr(f *os.File, op string, read func(fd int, buf []byte) (int, error)) ([]byte, error) {
	buf := make([]byte, usualXattr)
	n, err := read(int(f.Fd()), buf)
	if err == unix.ERANGE {
		buf = make([]byte, maxXattr)
		n, err = read(int(f.Fd()), buf)
	}
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return buf[:n], nil
}
