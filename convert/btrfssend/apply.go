package btrfssend

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/larch-project/larch/tree"
)

// Limits of one file.
const (
	maxSize   = tree.MaxBytes // bytes of content
	maxPieces = 1 << 18       // extents
	maxXattrs = 128 << 10     // bytes of extended attributes, names and values
)

// change changes the content of a file.
func (r *receiver) change(m *message, p relative) error {
	i, n, err := r.now.find(p)
	if err != nil {
		return err
	}
	if n.kind != tree.Regular {
		return fmt.Errorf("%w: %q is no regular file", ErrFormat, string(p))
	}
	if n, err = r.own(i); err != nil {
		return err
	}
	switch m.cmd {
	case cmdWrite:
		return r.write(n, m.number(attrFileOffset), m.values[attrData])
	case cmdEncodedWrite:
		data, err := r.unpack.unpack(m)
		if err != nil {
			return err
		}
		return r.write(n, m.number(attrFileOffset), data)
	case cmdClone:
		return r.clone(n, m)
	case cmdTruncate:
		return r.truncate(n, m.number(attrSize))
	case cmdFallocate:
		return r.fallocate(n, m)
	}
	return fmt.Errorf("%w: the stream was made without contents (btrfs send --no-data)", ErrFormat)
}

// span checks a range of a file.
func span(offset, length uint64) (from, to int64, err error) {
	if offset > maxSize || length > maxSize || offset+length > maxSize {
		return 0, 0, fmt.Errorf("%w: %d bytes at %d: a file has at most %d bytes", ErrFormat, length, offset, int64(maxSize))
	}
	return int64(offset), int64(offset + length), nil
}

// set puts pieces into a range of a file.
func (r *receiver) set(n *node, from, to int64, pieces extents) error {
	before := len(n.pieces)
	n.pieces = n.pieces.replace(from, to, pieces)
	n.size = max(n.size, to)
	if len(n.pieces) > maxPieces {
		return fmt.Errorf("%w: a file in more than %d pieces", ErrFormat, maxPieces)
	}
	return r.charge(extentCost * int64(len(n.pieces)-before))
}

func (r *receiver) write(n *node, offset uint64, data []byte) error {
	from, to, err := span(offset, uint64(len(data)))
	if err != nil || len(data) == 0 {
		return err
	}
	if zero(data) {
		return r.set(n, from, to, nil)
	}
	at, err := r.spool.add(data)
	if err != nil {
		return err
	}
	return r.set(n, from, to, extents{{from, to - from, at}})
}

func (r *receiver) clone(n *node, m *message) error {
	from, to, err := span(m.number(attrFileOffset), m.number(attrCloneLen))
	if err != nil {
		return err
	}
	first, last, err := span(m.number(attrCloneOffset), m.number(attrCloneLen))
	if err != nil {
		return err
	}
	path, err := m.path(attrClonePath)
	if err != nil {
		return err
	}
	v := r.now
	if u := m.uuid(attrCloneUUID); u != v.uuid {
		if v = r.byUUID[u]; v == nil {
			return fmt.Errorf("%w: a content is taken of %s", ErrParent, u)
		}
	}
	_, source, err := v.find(path)
	if err != nil {
		return err
	}
	switch {
	case source.kind != tree.Regular:
		return fmt.Errorf("%w: %q is no regular file", ErrFormat, string(path))
	case from == to || last > source.size:
		return fmt.Errorf("%w: %d bytes at %d of %q, which has %d", ErrFormat, last-first, first, string(path), source.size)
	}
	pieces := source.pieces.slice(first, last)
	for i := range pieces {
		pieces[i].at += from - first
	}
	return r.set(n, from, to, pieces)
}

func (r *receiver) truncate(n *node, length uint64) error {
	_, size, err := span(0, length)
	if err != nil {
		return err
	}
	if size < n.size {
		if err := r.set(n, size, n.size, nil); err != nil {
			return err
		}
	}
	n.size = size
	return nil
}

// Bits of the mode of fallocate(2).
const (
	keepSize  = 0x01
	punchHole = 0x02
	zeroRange = 0x10
)

// fallocate reserves space, which a tree knows nothing of, or makes zeros.
func (r *receiver) fallocate(n *node, m *message) error {
	from, to, err := span(m.number(attrFileOffset), m.number(attrSize))
	if err != nil {
		return err
	}
	size := n.size
	switch mode := m.number(attrFallocateMode); mode {
	case 0, keepSize:
		n.size = max(n.size, to)
	case punchHole | keepSize, zeroRange, zeroRange | keepSize:
		err = r.set(n, from, to, nil)
	default:
		return fmt.Errorf("%w: fallocate with mode %#x", ErrFormat, mode)
	}
	if m.number(attrFallocateMode)&keepSize != 0 {
		n.size = size
	}
	return err
}

// attribute changes what is not content. Flags, and that a file has fs-verity, are
// the file system's.
func (r *receiver) attribute(m *message, p relative) error {
	i, n, err := r.now.find(p)
	if err != nil {
		return err
	}
	if m.cmd == cmdFileattr || m.cmd == cmdEnableVerity {
		return nil
	}
	if n, err = r.own(i); err != nil {
		return err
	}
	switch m.cmd {
	case cmdChmod:
		return chmod(n, m.number(attrMode))
	case cmdChown:
		return chown(n, m.number(attrUID), m.number(attrGID))
	case cmdUtimes:
		n.mtime = m.time(attrMtime)
		if n.mtime.Nsec >= 1e9 {
			return fmt.Errorf("%w: %d nanoseconds", ErrFormat, n.mtime.Nsec)
		}
		return nil
	case cmdSetXattr:
		return r.setXattr(n, m.text(attrXattrName), m.values[attrXattrData])
	}
	return r.removeXattr(n, m.text(attrXattrName))
}

func chmod(n *node, mode uint64) error {
	if mode > 0o7777 || n.kind == tree.Symlink {
		return fmt.Errorf("%w: mode %#o", ErrFormat, mode)
	}
	n.mode = uint32(mode)
	return nil
}

func chown(n *node, uid, gid uint64) error {
	if uid >= math.MaxUint32 || gid >= math.MaxUint32 {
		return fmt.Errorf("%w: owner %d:%d", ErrFormat, uid, gid)
	}
	n.uid, n.gid = uint32(uid), uint32(gid)
	return nil
}

func (n *node) xattr(name string) (int, bool) {
	return slices.BinarySearchFunc(n.xattrs, name, func(x tree.Xattr, name string) int { return strings.Compare(x.Name, name) })
}

func (r *receiver) setXattr(n *node, name string, value []byte) error {
	if name == "" || len(name) > 255 || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%w: the xattr %q", ErrFormat, name)
	}
	before := n.cost()
	i, found := n.xattr(name)
	if !found {
		n.xattrs = slices.Insert(n.xattrs, i, tree.Xattr{Name: name})
	}
	n.xattrs[i].Value = append([]byte(nil), value...)
	total := 0
	for _, x := range n.xattrs {
		total += len(x.Name) + len(x.Value)
	}
	if total > maxXattrs {
		return fmt.Errorf("%w: more than %d bytes of xattrs", ErrFormat, maxXattrs)
	}
	return r.charge(n.cost() - before)
}

func (r *receiver) removeXattr(n *node, name string) error {
	i, found := n.xattr(name)
	if !found {
		return fmt.Errorf("%w: there is no xattr %q", ErrFormat, name)
	}
	before := n.cost()
	n.xattrs = slices.Delete(n.xattrs, i, i+1)
	return r.charge(n.cost() - before)
}
