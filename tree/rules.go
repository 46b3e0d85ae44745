package tree

import (
	"slices"
	"strings"
)

// Rules are what one kind of release may contain. What Fold changes silently is
// what a build leaves behind by accident and nobody would miss; whatever else is
// not allowed is an error of Check, and the publisher decides. The zero Rules are
// those of applications.
type Rules struct {
	// KeepTimes keeps times of modification. Otherwise they become 0, so that the
	// same files make the same tree.
	KeepTimes bool

	system bool
}

// ApplicationRules are the rules for applications, runtimes and extensions:
// owned by root, nothing privileged, modes 0755 and 0644, no xattrs but user.*.
func ApplicationRules() Rules { return Rules{} }

// OSRules are the rules for OS trees: owners, modes with setuid, and
// security.capability are the tree's own.
func OSRules() Rules { return Rules{system: true} }

// Fold changes e to what this kind of release stores: the time (unless
// KeepTimes), and for applications owner and mode. It drops xattrs that belong
// to the machine where the file was.
func (r Rules) Fold(e *Entry) {
	e.Xattrs = slices.DeleteFunc(e.Xattrs, func(x Xattr) bool { return localXattr(x.Name) })
	if len(e.Xattrs) == 0 {
		e.Xattrs = nil
	}
	e.Mtime = clampTime(e.Mtime)
	if !r.KeepTimes {
		e.Mtime = Time{}
	}
	if !r.system {
		e.UID, e.GID = 0, 0
		e.Mode = foldMode(e)
	}
}

// foldMode gives an application's mode; what Check refuses stays.
func foldMode(e *Entry) uint32 {
	switch {
	case e.Kind == Directory:
		return 0o755
	case e.Kind == Symlink:
		return 0o777
	case e.Mode&forbiddenBits != 0:
		return e.Mode
	case e.Executable():
		return 0o755
	}
	return 0o644
}

// forbiddenBits are refused in the regular files of applications: setuid, setgid,
// sticky, and writable by everybody.
const forbiddenBits = 0o7002

// clampTime moves what the text cannot hold to the nearest that it can.
func clampTime(t Time) Time {
	switch {
	case t.Sec < 0:
		return Time{}
	case t.Sec > MaxTime:
		return Time{Sec: MaxTime}
	}
	return t
}

// localXattr tells whether an xattr says something about the machine or its file
// system and not about the file: SELinux labels, and namespaces such as btrfs.*.
func localXattr(name string) bool {
	namespace, _, _ := strings.Cut(name, ".")
	switch namespace {
	case "user", "trusted", "system":
		return false
	case "security":
		return name == "security.selinux"
	}
	return true
}

// Check tells whether this kind of release may contain e as it is; the error is a
// *RuleError. What comes from a stranger must pass it unchanged.
func (r Rules) Check(e *Entry) error {
	v := checkControl(e.Path)
	if v == nil {
		v = r.checkXattrs(e)
	}
	if v == nil && !r.system {
		v = checkApplication(e)
	}
	if v != nil {
		return v.at(0, e.Path)
	}
	return nil
}

func checkControl(p Path) *RuleError {
	for i := range len(p) {
		if p[i] < 0x20 || p[i] == 0x7f {
			return violation(RuleControl, "a control byte (%#02x) in the name", p[i]).fix("rename it")
		}
	}
	return nil
}

// checkApplication applies the rules of which OS trees are free.
func checkApplication(e *Entry) *RuleError {
	file := e.Kind == Regular || e.Kind == Hardlink
	switch {
	case e.UID != 0 || e.GID != 0:
		return violation(RuleOwner, "owned by %d:%d; all of an application belongs to 0:0", e.UID, e.GID)
	case file && e.Mode&forbiddenBits != 0:
		return violation(RulePrivilege, "mode %04o is setuid, setgid, sticky or writable by everybody", e.Mode).
			fix("take the bits away: chmod u-s,g-s,o-w,-t FILE")
	case file && e.Mode != 0o644 && e.Mode != 0o755:
		return violation(RuleModes, "mode %04o; the files of an application have 0644 or 0755", e.Mode)
	case e.Kind == Directory && e.Mode != 0o755:
		return violation(RuleModes, "mode %04o; the directories of an application have 0755", e.Mode)
	}
	return nil
}

func (r Rules) checkXattrs(e *Entry) *RuleError {
	for _, x := range e.Xattrs {
		switch {
		case strings.HasPrefix(x.Name, "user.overlay."), strings.HasPrefix(x.Name, "trusted."):
			return violation(RuleOverlay, "xattr %q could change what overlayfs shows", x.Name).
				fix("take it away: setfattr -x NAME FILE")
		case strings.HasPrefix(x.Name, "user."):
		case r.system && x.Name == "security.capability":
		default:
			return violation(RuleNamespaces, "xattr %q does not travel in this kind of release", x.Name).
				fix("take it away: setfattr -x NAME FILE, or setfacl -b FILE for access lists")
		}
	}
	return nil
}
