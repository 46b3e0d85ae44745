package btrfssend

import (
	"fmt"
	"strings"

	"github.com/larch-project/larch/tree"
)

// inode is what some names of one of two trees have in common: one file with all
// its names, one directory, or one symlink.
type inode struct {
	entry *tree.Entry // at the first name
	names []*edge     // those that are in the difference of the trees
	peer  *inode      // what it becomes, or what it was; nil: it goes away, or is new
	temp  tree.Path   // where it is out of the way
	place tree.Path   // of what is new: a name that it has already
}

// edge is a name in the difference of two trees.
type edge struct {
	path   tree.Path
	kind   tree.Kind // of the entry; only the first name of a file is Regular
	inode  *inode    // nil of one more name of a file that is not in the difference
	target tree.Path // of such a name: the file's first
	kept   bool      // it stays where it is, in the directory where it is
}

// whole tells whether all names of an inode are in the difference.
func (n *inode) whole() bool {
	return n.entry.Kind != tree.Regular || len(n.names) == int(n.entry.Nlink)
}

// side is what one of two trees has in their difference.
type side struct {
	edges  []*edge // in canonical order
	inodes []*inode
	byPath map[tree.Path]*edge
}

func (s *side) add(e *tree.Entry) {
	d := &edge{path: e.Path, kind: e.Kind}
	switch first := s.byPath[tree.Path(e.Target)]; {
	case e.Kind != tree.Hardlink:
		d.inode = &inode{entry: e}
		s.inodes = append(s.inodes, d.inode)
	case first == nil:
		d.target = tree.Path(e.Target)
	default:
		d.inode = first.inode
	}
	if d.inode != nil {
		d.inode.names = append(d.inode.names, d)
	}
	s.edges = append(s.edges, d)
	s.byPath[e.Path] = d
}

// directory gives the directory of a path, or nil.
func (s *side) directory(p tree.Path) *inode {
	if d := s.byPath[p]; d != nil && d.kind == tree.Directory {
		return d.inode
	}
	return nil
}

// difference is what two trees do not have in common, with the inodes of one
// matched with those of the other.
type difference struct {
	old, new side
}

func (s *streamer) difference() (*difference, error) {
	d := &difference{side{byPath: map[tree.Path]*edge{}}, side{byPath: map[tree.Path]*edge{}}}
	for c, err := range tree.Diff(s.parent.Entries, s.sub.Entries) {
		if err == nil {
			err = s.ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if c.Old != nil {
			d.old.add(c.Old)
		}
		if c.New != nil {
			d.new.add(c.New)
		}
	}
	d.matchDirectories()
	d.matchFiles()
	for _, n := range d.new.edges {
		if o := d.before(n.path); o != nil && o.inode != nil && n.inode != nil && o.inode.peer == n.inode {
			o.kept, n.kept = true, true
			if n.inode.place == "" {
				n.inode.place = n.path
			}
		}
	}
	return d, nil
}

// before gives the name that the old tree had in the same directory, under the same
// name, as a path of the new one; nil if there was none or it is not in the
// difference.
func (d *difference) before(p tree.Path) *edge {
	if p == "/" {
		return d.old.byPath[p]
	}
	parent := p.Parent()
	if dir := d.new.directory(parent); dir != nil {
		if dir.peer == nil {
			return nil
		}
		parent = dir.peer.entry.Path
	}
	return d.old.byPath[parent.Join(p.Base())]
}

// after gives where a directory of the old tree is in the new one; "" if nowhere.
func (d *difference) after(p tree.Path) tree.Path {
	dir := d.old.directory(p)
	switch {
	case dir == nil:
		return p
	case dir.peer == nil:
		return ""
	}
	return dir.peer.entry.Path
}

func pair(old, new *inode) { old.peer, new.peer = new, old }

// matchFiles decides which file becomes which: what is at its place and has the
// content; then what has the content elsewhere, that is a rename; then what is at
// its place. Files of which not all names are in the difference are at their place
// for certain.
func (d *difference) matchFiles() {
	for _, n := range d.new.inodes {
		if o := d.inPlace(n); o != nil && o.entry.Path == n.entry.Path && (!o.whole() || !n.whole()) {
			pair(o, n)
		}
	}
	for _, n := range d.new.inodes {
		if o := d.inPlace(n); o != nil && n.peer == nil && o.whole() && n.whole() && sameContent(o, n) {
			pair(o, n)
		}
	}
	free := map[string][]*inode{}
	for _, o := range d.old.inodes {
		if o.peer == nil && o.entry.Kind != tree.Directory && o.whole() {
			free[contentKey(o.entry)] = append(free[contentKey(o.entry)], o)
		}
	}
	for _, n := range d.new.inodes {
		if n.peer != nil || n.entry.Kind == tree.Directory || !n.whole() {
			continue
		}
		if list := free[contentKey(n.entry)]; len(list) > 0 && worthMoving(n.entry) {
			pair(list[0], n)
			free[contentKey(n.entry)] = list[1:]
		}
	}
	for _, n := range d.new.inodes {
		if o := d.inPlace(n); o != nil && n.peer == nil && o.whole() && n.whole() && n.entry.Kind == tree.Regular {
			pair(o, n)
		}
	}
}

// inPlace gives the file of the same kind that was at the first name of a file.
func (d *difference) inPlace(n *inode) *inode {
	if n.entry.Kind == tree.Directory {
		return nil
	}
	if o := d.before(n.entry.Path); o != nil && o.inode != nil && o.inode.entry.Kind == n.entry.Kind && o.inode.peer == nil {
		return o.inode
	}
	return nil
}

func sameContent(a, b *inode) bool {
	return a.entry.Digest == b.entry.Digest && a.entry.Size == b.entry.Size &&
		(a.entry.Kind != tree.Symlink || a.entry.Target == b.entry.Target)
}

// contentKey is the same for files with the same content, and for symlinks with
// the same target.
func contentKey(e *tree.Entry) string {
	if e.Kind == tree.Symlink {
		return "l" + e.Target
	}
	return "f" + string(e.Digest[:])
}

// worthMoving leaves out what is made anew with as few commands.
func worthMoving(e *tree.Entry) bool { return e.Kind == tree.Regular && e.Size > 0 }

// maxVoters is how many old files of one name and content say where a directory
// has gone.
const maxVoters = 8

// matchDirectories decides which directory becomes which. One that is there in both
// trees stays; of the others, those belong together that have the most names with
// the same content in common, found from the deepest up.
func (d *difference) matchDirectories() {
	var fresh []*inode
	for _, n := range d.new.inodes {
		if n.entry.Kind != tree.Directory {
			continue
		}
		if o := d.old.directory(n.entry.Path); o != nil {
			pair(o, n)
		} else {
			fresh = append(fresh, n)
		}
	}
	votes := d.votes()
	for depth := deepest(fresh); depth > 0; depth-- {
		for _, n := range fresh {
			if depthOf(n.entry.Path) != depth {
				continue
			}
			if o := winner(votes[n]); o != nil {
				pair(o, n)
				d.vote(votes, o.entry.Path, n.entry.Path)
			}
		}
	}
}

// votes counts, for each directory that is only in the new tree, the names that it
// has in common with those that are only in the old one.
func (d *difference) votes() map[*inode]map[*inode]int {
	places := map[string][]tree.Path{}
	for _, o := range d.old.inodes {
		if o.entry.Kind != tree.Directory {
			key := o.entry.Path.Base() + "/" + contentKey(o.entry)
			if len(places[key]) < maxVoters {
				places[key] = append(places[key], o.entry.Path)
			}
		}
	}
	votes := map[*inode]map[*inode]int{}
	for _, n := range d.new.inodes {
		if n.entry.Kind != tree.Directory {
			for _, p := range places[n.entry.Path.Base()+"/"+contentKey(n.entry)] {
				d.vote(votes, p, n.entry.Path)
			}
		}
	}
	return votes
}

// vote says that what was at one path is at another.
func (d *difference) vote(votes map[*inode]map[*inode]int, from, to tree.Path) {
	o, n := d.old.directory(from.Parent()), d.new.directory(to.Parent())
	if o == nil || n == nil || o.peer != nil || n.peer != nil {
		return
	}
	if votes[n] == nil {
		votes[n] = map[*inode]int{}
	}
	votes[n][o]++
}

// winner is the old directory with the most votes that is still free; of several
// the first by its path.
func winner(votes map[*inode]int) (best *inode) {
	for o, n := range votes {
		if o.peer != nil {
			continue
		}
		if best == nil || n > votes[best] || n == votes[best] && o.entry.Path.Compare(best.entry.Path) < 0 {
			best = o
		}
	}
	return best
}

func depthOf(p tree.Path) int { return strings.Count(string(p), "/") }

func deepest(dirs []*inode) (depth int) {
	for _, n := range dirs {
		depth = max(depth, depthOf(n.entry.Path))
	}
	return depth
}

// temporary names something that is out of the way, as the kernel does: in the
// root directory, by inode and generation.
func temporary(ino, generation uint64) tree.Path {
	return tree.Path(fmt.Sprintf("/o%d-%d-0", ino, generation))
}
