package tree

import "github.com/larch-project/larch/digest"

// Limits of a whole tree (rule F12).
const (
	// MaxEntries is the number of entries that a tree may have.
	MaxEntries = 1 << 22
	// MaxBytes is the sum of the sizes of all regular files, in bytes: 8 PiB, up to
	// which composefs makes images.
	MaxBytes = 1 << 53
	// maxPending bounds the memory for hardlinked files some of whose names are
	// still to come: each counts the bytes of its first name and pendingCost.
	maxPending  = 16 << 20
	pendingCost = 64
)

// Info is what a tree comes to.
type Info struct {
	Digest  digest.Digest // of the text
	Size    int64         // of the text, bytes
	Entries int64         // lines of the text
	Files   int64         // regular files, each counted once however many names it has
	Bytes   int64         // installed: sum of the sizes of those files
}

// sequence checks that entries, one after the other, make a tree: each is well
// formed, in its place, and together they keep the limits. It remembers the last
// path and the hardlinked files that still wait for names; no more is needed,
// since in canonical order the open directories are the parts of the last path.
type sequence struct {
	info    Info // Entries, Files and Bytes so far
	last    Path
	lastDir bool
	pending map[Path]*linked
	cost    int // of pending, in bytes
}

// linked is a file with more than one name.
type linked struct {
	first Entry  // its path, and what all its names have in common
	left  uint32 // names to come
}

// newLinked starts with the first name of a file.
func newLinked(e *Entry) *linked {
	first := Entry{Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, Nlink: e.Nlink, Mtime: e.Mtime}
	return &linked{first, e.Nlink - 1}
}

// add checks the next entry.
func (s *sequence) add(e *Entry) *RuleError {
	v := e.check()
	if v == nil {
		v = s.place(e)
	}
	if v == nil {
		v = s.count(e)
	}
	if v == nil {
		v = s.link(e)
	}
	if v != nil {
		return v.at(s.info.Entries+1, e.Path)
	}
	s.info.Entries++
	s.last, s.lastDir = e.Path, e.Kind == Directory
	return nil
}

// place checks the order: depth first, siblings by the bytes of their names.
func (s *sequence) place(e *Entry) *RuleError {
	root := e.Path == "/"
	switch {
	case s.info.Entries == 0 && (!root || e.Kind != Directory):
		return violation(RuleOrder, "the first entry is not the root directory")
	case s.info.Entries == 0:
		return nil
	case root:
		return violation(RuleOrder, "a second root")
	}
	parent := e.Path.Parent()
	if parent == s.last {
		if !s.lastDir {
			return violation(RuleOrder, "it stands below something that is no directory")
		}
		return nil
	}
	if !s.last.Within(parent) {
		return violation(RuleOrder, "it stands behind %s, and its directory is not open there", s.last.Quoted())
	}
	switch sibling, name := s.last.childOf(parent), e.Path.Base(); {
	case name == sibling:
		return violation(RuleOrder, "it is there twice")
	case name < sibling:
		return violation(RuleOrder, "it stands behind %q; names are in the order of their bytes", sibling)
	}
	return nil
}

// count keeps the limits of the whole.
func (s *sequence) count(e *Entry) *RuleError {
	if s.info.Entries >= MaxEntries {
		return violation(RuleTotals, "more than %d entries", MaxEntries)
	}
	if e.Kind != Regular {
		return nil
	}
	if e.Size > MaxBytes-s.info.Bytes {
		return violation(RuleTotals, "the files have more than %d bytes together", int64(MaxBytes))
	}
	s.info.Files++
	s.info.Bytes += e.Size
	return nil
}

// link follows the files that have more than one name.
func (s *sequence) link(e *Entry) *RuleError {
	switch {
	case e.Kind == Regular && e.Nlink > 1:
		return s.expectNames(e)
	case e.Kind == Hardlink:
		return s.expectedName(e)
	}
	return nil
}

func (s *sequence) expectNames(e *Entry) *RuleError {
	s.cost += len(e.Path) + pendingCost
	if s.cost > maxPending {
		return violation(RuleTotals, "too many hardlinked files whose other names come much later").
			fix("copy some of them instead")
	}
	if s.pending == nil {
		s.pending = map[Path]*linked{}
	}
	s.pending[e.Path] = newLinked(e)
	return nil
}

func (s *sequence) expectedName(e *Entry) *RuleError {
	target := Path(e.Target)
	file := s.pending[target]
	switch {
	case file == nil:
		return violation(RuleHardlink, "%s is no regular file before it that has names left", target.Quoted())
	case !file.first.sameInode(e):
		return violation(RuleHardlink, "mode, owner, size, time or number of names are not those of %s", target.Quoted())
	}
	if file.left--; file.left == 0 {
		delete(s.pending, target)
		s.cost -= len(target) + pendingCost
	}
	return nil
}

// end checks that nothing is missing.
func (s *sequence) end() *RuleError {
	if s.info.Entries == 0 {
		return violation(RuleLines, "there are no entries").at(1, "")
	}
	var short Path // the first in order, so that the message is always the same
	for p := range s.pending {
		if short == "" || p.Compare(short) < 0 {
			short = p
		}
	}
	if short != "" {
		return violation(RuleHardlink, "%d of its %d names are missing", s.pending[short].left, s.pending[short].first.Nlink).
			at(s.info.Entries, short)
	}
	return nil
}
