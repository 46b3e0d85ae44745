package tree

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// found is a name of a folder, described.
type found struct {
	entry *Entry
	state state
	nlink uint64 // names anywhere, as the file system counts
}

// inode is what the names of one file have in common.
type inode struct{ dev, ino uint64 }

// state changes when a file does.
type state struct {
	inode
	size         int64
	mtime, ctime stamp
}

type stamp struct{ sec, nsec int64 }

func stateOf(st *unix.Stat_t) state {
	return state{
		inode{uint64(st.Dev), st.Ino}, st.Size,
		stamp{int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}, stamp{int64(st.Ctim.Sec), int64(st.Ctim.Nsec)},
	}
}

// stateOfOpen is stateOf for what os.File.Stat gives.
func stateOfOpen(st *syscall.Stat_t) state {
	return state{
		inode{uint64(st.Dev), st.Ino}, st.Size,
		stamp{int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}, stamp{int64(st.Ctim.Sec), int64(st.Ctim.Nsec)},
	}
}

// describe makes the entry for a name, folded and checked.
func describe(p place, rules Rules, quick bool) (found, error) {
	st := p.dir.stat
	if p.name != "." {
		var err error
		if st, err = p.dir.dir.Lstat(p.name); err != nil {
			return found{}, changed(p.path, err)
		}
	}
	e, v := newEntry(p.path, &st)
	if v != nil {
		return found{}, v.at(0, p.path)
	}
	if p.name != "." && e.Kind == Directory {
		return found{}, &ChangedError{Path: p.path} // it was no directory when it was listed
	}
	if !quick {
		if err := p.complete(e); err != nil {
			return found{}, changed(p.path, err)
		}
	}
	rules.Fold(e)
	if err := rules.Check(e); err != nil {
		return found{}, err
	}
	if !quick {
		if v := e.checkDescription(); v != nil {
			return found{}, v.at(0, p.path)
		}
	}
	return found{e, stateOf(&st), uint64(st.Nlink)}, nil
}

// newEntry says what stat(2) says.
func newEntry(p Path, st *unix.Stat_t) (*Entry, *RuleError) {
	e := &Entry{
		Path: p, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Nlink: 1,
		Mtime: Time{int64(st.Mtim.Sec), uint32(st.Mtim.Nsec)},
	}
	kind := "something unknown"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.Kind = Directory
		return e, nil
	case unix.S_IFREG:
		e.Kind, e.Size = Regular, st.Size
		return e, nil
	case unix.S_IFLNK:
		e.Kind = Symlink
		return e, nil
	case unix.S_IFIFO:
		kind = "a fifo"
	case unix.S_IFSOCK:
		kind = "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		kind = "a device"
	}
	return nil, special(kind)
}

func special(kind string) *RuleError {
	return violation(RuleSpecial, "%s cannot be part of a tree", kind).fix("remove it, or leave it out")
}

// complete adds what is not in the inode itself.
func (p place) complete(e *Entry) (err error) {
	if e.Kind == Symlink {
		if e.Target, err = p.dir.dir.Readlink(p.name); err != nil {
			return err
		}
		e.Size = int64(len(e.Target))
	}
	// There are no calls that read the xattrs of a name in an open directory before
	// Linux 6.13; the way through /proc means the same, and never follows the name.
	name := "/proc/self/fd/" + strconv.Itoa(int(p.dir.dir.File().Fd())) + "/" + p.name
	if e.Xattrs, err = readXattrs(name); err != nil {
		return fmt.Errorf("reading the xattrs of %q through /proc: %w", string(e.Path), err)
	}
	return nil
}

// readXattrs gives the xattrs of a file, or of a symlink itself, sorted, without
// those that belong to the machine.
func readXattrs(file string) ([]Xattr, error) {
	var buffer [512]byte
	list, err := attr(buffer[:], func(b []byte) (int, error) { return unix.Llistxattr(file, b) })
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var out []Xattr
	for name := range bytes.SplitSeq(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		x := Xattr{Name: string(name)}
		if localXattr(x.Name) {
			continue
		}
		value, err := attr(make([]byte, 256), func(b []byte) (int, error) { return unix.Lgetxattr(file, x.Name, b) })
		if err != nil {
			return nil, err
		}
		if len(value) > 0 {
			x.Value = value
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// attr calls read with a buffer that is large enough; the kernel gives at most
// 64 KiB.
func attr(buffer []byte, read func([]byte) (int, error)) ([]byte, error) {
	n, err := read(buffer)
	if err == unix.ERANGE {
		buffer = make([]byte, 64<<10)
		n, err = read(buffer)
	}
	if err != nil {
		return nil, err
	}
	return buffer[:n], nil
}
