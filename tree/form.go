package tree

import "strings"

// Check applies the rules of form for an entry by itself, as a Source gives it:
// contents may still be missing. The error is a *RuleError.
func (e *Entry) Check() error {
	if v := e.checkDescription(); v != nil {
		return v.at(0, e.Path)
	}
	return nil
}

// check applies the rules of form for an entry by itself.
func (e *Entry) check() *RuleError {
	v := e.checkDescription()
	if v == nil && e.Kind == Regular {
		v = e.checkContent()
	}
	return v
}

// checkDescription is check without the content of regular files.
func (e *Entry) checkDescription() *RuleError {
	v := checkPath(e.Path)
	if v == nil {
		v = e.checkNumbers()
	}
	if v == nil {
		v = e.checkShape()
	}
	if v == nil && len(e.Xattrs) > 0 {
		v = e.checkXattrs()
	}
	return v
}

// Limits of numbers (rule F3).
const (
	// MaxTime is the latest time, in seconds: in the year 2242, which the file
	// systems of today can hold.
	MaxTime = 1<<33 - 1
	// maxID leaves out 2^32-1, which for chown(2) means "as it is".
	maxID = 1<<32 - 2
)

func (e *Entry) checkNumbers() *RuleError {
	switch {
	case e.Mode&^0o7777 != 0:
		return violation(RuleNumbers, "mode %#o", e.Mode)
	case e.UID > maxID || e.GID > maxID:
		return violation(RuleNumbers, "owner %d:%d; ids are at most %d", e.UID, e.GID, uint32(maxID))
	case e.Mtime.Sec < 0 || e.Mtime.Sec > MaxTime || e.Mtime.Nsec >= 1e9:
		return violation(RuleNumbers, "time %d.%d", e.Mtime.Sec, e.Mtime.Nsec)
	case e.Size < 0 || e.Size > MaxBytes:
		return violation(RuleNumbers, "size %d; at most %d may be", e.Size, int64(MaxBytes))
	}
	return nil
}

// checkShape checks which fields an entry of its kind has.
func (e *Entry) checkShape() *RuleError {
	if e.Kind != Regular && (e.Inline != nil || !e.Digest.IsZero()) {
		return violation(RuleKinds, "a %v with content", e.Kind)
	}
	switch e.Kind {
	case Directory:
		if e.Size != 0 || e.Nlink != 1 || e.Target != "" {
			return violation(RuleDirectory, "a directory has size 0, nlink 1 and no target")
		}
	case Symlink:
		return e.checkSymlink()
	case Regular:
		if e.Nlink < 1 || e.Target != "" {
			return violation(RuleRegular, "a regular file has at least one name, and no target")
		}
	case Hardlink:
		return e.checkHardlink()
	default:
		return violation(RuleKinds, "%v", e.Kind)
	}
	return nil
}

func (e *Entry) checkSymlink() *RuleError {
	switch {
	case e.Target == "" || len(e.Target) > MaxPath:
		return violation(RuleSymlink, "a target of %d bytes; it has 1 to %d", len(e.Target), MaxPath)
	case strings.IndexByte(e.Target, 0) >= 0:
		return violation(RuleSymlink, "a NUL byte in the target")
	case e.Size != int64(len(e.Target)) || e.Nlink != 1 || e.Mode != 0o777:
		return violation(RuleSymlink, "a symlink has the size of its target, nlink 1 and mode 0777")
	case len(e.Xattrs) > 0:
		return violation(RuleSymlink, "a symlink has no xattrs")
	}
	return nil
}

func (e *Entry) checkHardlink() *RuleError {
	switch {
	case e.Nlink < 2:
		return violation(RuleHardlink, "a hardlink, but one name in all")
	case len(e.Xattrs) > 0:
		return violation(RuleHardlink, "the xattrs of a hardlinked file stand at its first name")
	}
	return nil
}

func (e *Entry) checkContent() *RuleError {
	switch {
	case e.Size <= InlineMax && int64(len(e.Inline)) != e.Size:
		return violation(RuleRegular, "%d bytes of content inline, of %d", len(e.Inline), e.Size)
	case e.Size > InlineMax && e.Inline != nil:
		return violation(RuleRegular, "content inline, though it has more than %d bytes", InlineMax)
	case e.Size > InlineMax && e.Digest.IsZero():
		return violation(RuleRegular, "%d bytes of content without a digest", e.Size)
	}
	return nil
}

// maxXattrs bounds the xattrs of one entry, in bytes: each counts its name, its
// value and 7. With at most this, the limits of composefs (32,767 in an inode,
// 65,535 in the line, escaped) hold even when all bytes are escaped and overlayfs
// adds its own.
const maxXattrs = 16 << 10

func (e *Entry) checkXattrs() *RuleError {
	size := 0
	for i, x := range e.Xattrs {
		size += len(x.Name) + len(x.Value) + 7
		switch {
		case x.Name == "" || len(x.Name) > MaxName:
			return violation(RuleXattrs, "the name of an xattr has %d bytes; it has 1 to %d", len(x.Name), MaxName)
		case strings.IndexByte(x.Name, 0) >= 0:
			return violation(RuleXattrs, "a NUL byte in the name of an xattr")
		case i > 0 && x.Name <= e.Xattrs[i-1].Name:
			return violation(RuleXattrs, "xattr %q stands behind %q", x.Name, e.Xattrs[i-1].Name)
		case size > maxXattrs:
			return violation(RuleXattrs, "its xattrs have more than %d bytes", maxXattrs)
		}
	}
	return nil
}
