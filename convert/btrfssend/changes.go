package btrfssend

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// update writes the changes from one tree to another. First everything that goes
// away or moves is taken from its place, what is deepest first, so that the paths
// of the old tree hold: what stays goes to a temporary name in the root directory.
// Then directories come to their places, outermost first, so that the paths of the
// new tree hold; then files. So no two names are ever in each other's way.
type update struct {
	*streamer
	diff       *difference
	copies     map[digest.Digest]tree.Path // contents that can be cloned from the parent
	touched    map[tree.Path]bool          // directories of the new tree whose names changed
	generation uint64                      // of temporary names: one that neither tree has
	moved      uint64                      // temporary names given
}

// changes writes the stream that makes the tree of a snapshot of the parent.
func (s *streamer) changes() error {
	s.begin(cmdSnapshot).text(attrPath, s.sub.Name).uuid(attrUUID, UUIDOf(s.sub.Tree)).number(attrCtransid, ctransid).
		uuid(attrCloneUUID, UUIDOf(s.parent.Tree)).number(attrCloneCtransid, ctransid).end()
	diff, err := s.difference()
	if err != nil {
		return err
	}
	u := &update{streamer: s, diff: diff, touched: map[tree.Path]bool{}}
	if err := u.survey(); err != nil {
		return err
	}
	u.clear()
	u.placeDirectories()
	if err := u.placeFiles(); err != nil {
		return err
	}
	return u.finish()
}

// minClone is the size in bytes from which a content is cloned: one block, for
// smaller ones have no extent of their own.
const minClone = 4096

var temporaryName = regexp.MustCompile(`^o[0-9]+-([0-9]{1,18})-0$`)

// survey reads both trees for what their difference does not say: names in the
// root directory, and old contents that new files have.
func (u *update) survey() error {
	u.copies = map[digest.Digest]tree.Path{}
	for _, n := range u.diff.new.inodes {
		if n.entry.Kind == tree.Regular && n.entry.Size >= minClone && (n.peer == nil || !sameContent(n.peer, n)) {
			u.copies[n.entry.Digest] = ""
		}
	}
	taken := map[uint64]bool{}
	for _, sub := range []Subvolume{u.parent, u.sub} {
		for e, err := range sub.Entries {
			if err != nil {
				return err
			}
			if m := temporaryName.FindStringSubmatch(e.Path.Base()); m != nil && e.Path.Parent() == "/" {
				n, _ := strconv.ParseUint(m[1], 10, 64)
				taken[n] = true
			}
			if place, wanted := u.copies[e.Digest]; wanted && place == "" && e.Kind == tree.Regular && sub.Tree == u.parent.Tree {
				u.copies[e.Digest] = e.Path
			}
		}
	}
	for u.generation = 1; taken[u.generation]; {
		u.generation++
	}
	return u.ctx.Err()
}

// touch notes that the names in a directory of the new tree changed.
func (u *update) touch(dir tree.Path) {
	if dir != "" {
		u.touched[dir] = true
	}
}

// clear takes away every old name that does not stay.
func (u *update) clear() {
	edges := u.diff.old.edges
	for i := len(edges) - 1; i >= 0; i-- {
		if e := edges[i]; !e.kept {
			u.touch(u.diff.after(e.path.Parent()))
			u.take(e)
		}
	}
}

// take takes away one name.
func (u *update) take(e *edge) {
	n := e.inode
	if n == nil || n.peer == nil || n.temp != "" || n.peer.place != "" {
		c := cmdUnlink
		if e.kind == tree.Directory {
			c = cmdRmdir
		}
		u.begin(c).path(attrPath, e.path).end()
		return
	}
	u.moved++
	n.temp = temporary(firstIno-1+u.moved, u.generation)
	u.rename(e.path, n.temp)
	u.touch("/")
}

// placeDirectories gives each directory its new name.
func (u *update) placeDirectories() {
	for _, e := range u.diff.new.edges {
		if e.kind != tree.Directory || e.kept {
			continue
		}
		u.touch(e.path.Parent())
		if old := e.inode.peer; old != nil {
			u.rename(old.temp, e.path)
		} else {
			u.make(cmdMkdir, e.path).end()
		}
	}
}

// placeFiles gives each file its new names, and what is in it.
func (u *update) placeFiles() error {
	for _, e := range u.diff.new.edges {
		if e.kind == tree.Directory {
			continue
		}
		if err := u.ctx.Err(); err != nil {
			return err
		}
		if !e.kept {
			u.touch(e.path.Parent())
			u.place(e)
		}
		if n := e.inode; n != nil && n.names[0] == e {
			if err := u.fill(n); err != nil {
				return fmt.Errorf("%q: %w", string(e.path), err)
			}
		}
		if u.err != nil {
			return u.err
		}
	}
	return nil
}

// place gives a file one name.
func (u *update) place(e *edge) {
	n := e.inode
	switch {
	case n == nil:
		u.link(e.path, e.target)
		return
	case n.place != "":
		u.link(e.path, n.place)
		return
	case n.peer != nil:
		u.rename(n.peer.temp, e.path)
	case n.entry.Kind == tree.Symlink:
		u.make(cmdSymlink, e.path).text(attrPathLink, n.entry.Target).end()
	default:
		u.make(cmdMkfile, e.path).end()
	}
	n.place = e.path
}

// fill gives a file that has its first name content and attributes.
func (u *update) fill(n *inode) error {
	if n.peer == nil {
		if n.entry.Kind == tree.Regular {
			if err := u.newContent(n.entry); err != nil {
				return err
			}
		}
		u.attributes(n.entry, nil, n.entry.Kind == tree.Regular)
		u.utimes(n.entry.Path, n.entry.Mtime)
		return nil
	}
	old := n.peer.entry
	u.removeXattrs(n.entry, old)
	written := !sameContent(n.peer, n)
	if written {
		if err := u.changedContent(n.entry, old); err != nil {
			return err
		}
	}
	u.attributes(n.entry, old, written)
	if written || old.Mtime != n.entry.Mtime {
		u.utimes(n.entry.Path, n.entry.Mtime)
	}
	return nil
}

// newContent fills a new file.
func (u *update) newContent(e *tree.Entry) error {
	if u.clone(e) {
		return nil
	}
	return u.content(e)
}

// clone takes a content from the parent, if it has it.
func (u *update) clone(e *tree.Entry) bool {
	from := u.copies[e.Digest]
	if from == "" {
		return false
	}
	u.begin(cmdClone).number(attrFileOffset, 0).number(attrCloneLen, uint64(e.Size)).path(attrPath, e.Path).
		uuid(attrCloneUUID, UUIDOf(u.parent.Tree)).number(attrCloneCtransid, ctransid).
		path(attrClonePath, from).number(attrCloneOffset, 0).end()
	return true
}

// changedContent writes what is different in a file that was there.
func (u *update) changedContent(e, old *tree.Entry) error {
	if u.copies[e.Digest] != "" {
		u.truncate(e.Path, 0)
		u.clone(e)
		return nil
	}
	before, err := contentOf(u.parent, old)
	if err != nil {
		return err
	}
	defer before.Close()
	now, err := contentOf(u.sub, e)
	if err != nil {
		return err
	}
	defer now.Close()
	for offset := int64(0); u.err == nil; offset += int64(len(u.chunk)) {
		n, err := readChunk(now, u.chunk)
		if err != nil {
			return err
		}
		m, err := readChunk(before, u.oldChunk)
		if err != nil {
			return err
		}
		u.writeChanged(e.Path, offset, u.chunk[:n], u.oldChunk[:m])
		if n < len(u.chunk) && m < len(u.oldChunk) {
			break
		}
		if err := u.ctx.Err(); err != nil {
			return err
		}
	}
	if e.Size != old.Size {
		u.truncate(e.Path, e.Size)
	}
	return nil
}

// blockSize is the unit in which contents are compared, in bytes.
const blockSize = 4096

// writeChanged writes the blocks of a piece that differ from those that were there,
// neighbours together.
func (u *update) writeChanged(p tree.Path, offset int64, now, before []byte) {
	if len(before) == 0 && zero(now) {
		return // a hole
	}
	for start := 0; start < len(now); {
		end := start
		for end < len(now) && !sameBlock(now, before, end) {
			end = min(end+blockSize, len(now))
		}
		if end > start {
			u.writeData(p, offset+int64(start), now[start:end])
		}
		start = end + blockSize
	}
}

func sameBlock(now, before []byte, at int) bool {
	end := min(at+blockSize, len(now))
	return end <= len(before) && string(now[at:end]) == string(before[at:end])
}

// finish gives directories their attributes, and times last.
func (u *update) finish() error {
	for e, err := range u.sub.Entries {
		if err == nil {
			err = u.ctx.Err()
		}
		if err != nil {
			return err
		}
		if e.Kind != tree.Directory {
			continue
		}
		changed := u.diff.new.directory(e.Path)
		if changed != nil {
			var old *tree.Entry
			if changed.peer != nil {
				old = changed.peer.entry
				u.removeXattrs(e, old)
			}
			u.attributes(e, old, false)
		}
		if changed != nil || u.touched[e.Path] {
			u.utimes(e.Path, e.Mtime)
		}
	}
	return u.err
}
