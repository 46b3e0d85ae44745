package erofs

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// Options choose the format. Upstream's own choice is 0 to 1.
type Options struct {
	MinVersion int // 0 or 1
	MaxVersion int // 1 lets a tree with whiteouts have format 1
}

// Larch is how releases' images are made: one format whatever the tree.
var Larch = Options{MinVersion: 1, MaxVersion: 1}

// Image is laid out, and ready to be written.
type Image struct {
	*Builder
	version int
	acl     bool
	order   []int32 // inodes, as they stand in the image
	oldest  time
	shared  []uint32 // pairs, in the order of their area

	inodesEnd int64 // bytes
	dataStart int64
	blocks    int64
}

type time struct {
	sec  int64
	nsec uint32
}

func (t time) compare(o time) int {
	return cmp.Or(cmp.Compare(t.sec, o.sec), cmp.Compare(t.nsec, o.nsec))
}

// Finish makes the image of what was added. The builder is of no more use. Errors
// match ErrFormat or ErrTooLarge, and name the entry by its number, from 1: in a dump,
// the line.
func (b *Builder) Finish(opt Options) (*Image, error) {
	for _, v := range []int{opt.MinVersion, opt.MaxVersion} {
		if v < 0 || v > 1 {
			return nil, fmt.Errorf("composefs format %d: there are 0 and 1", v)
		}
	}
	if len(b.nodes) == 0 {
		return nil, bad("no root")
	}
	b.folders = nil
	if err := b.sortChildren(); err != nil {
		return nil, err
	}
	if err := b.resolve(); err != nil {
		return nil, err
	}
	img := &Image{Builder: b, version: opt.MinVersion}
	if img.version < 1 && opt.MaxVersion >= 1 && slices.ContainsFunc(b.nodes, func(i inode) bool { return i.whiteout() }) {
		img.version = 1
	}
	if err := img.rewrite(); err != nil {
		return nil, err
	}
	if err := b.addRootWhiteouts(); err != nil {
		return nil, err
	}
	img.walk()
	img.countPairs()
	return img, img.place()
}

// sortChildren lists each directory's names in the order of bytes.
func (b *Builder) sortChildren() error {
	counts := make([]uint32, len(b.nodes)+1)
	for n := 1; n < len(b.nodes); n++ {
		counts[b.nodes[n].parent+1]++
	}
	for n := range b.nodes {
		b.nodes[n].children = span{counts[n], counts[n+1]}
		counts[n+1] += counts[n]
	}
	b.sorted = make([]int32, len(b.nodes)-1)
	next := counts
	for n := 1; n < len(b.nodes); n++ {
		p := b.nodes[n].parent
		b.sorted[next[p]] = int32(n)
		next[p]++
	}
	for n := range b.nodes {
		if err := b.sortNames(b.children(int32(n))); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) sortNames(list []int32) error {
	compare := func(x, y int32) int {
		return bytes.Compare(b.bytes(b.nodes[x].name), b.bytes(b.nodes[y].name))
	}
	if !slices.IsSortedFunc(list, compare) {
		slices.SortFunc(list, compare)
	}
	for k := 1; k < len(list); k++ {
		if compare(list[k-1], list[k]) == 0 {
			return b.wrong(max(list[k-1], list[k]), "the name is there already")
		}
	}
	return nil
}

// wrong is bad for an entry that was added.
func (b *Builder) wrong(n int32, format string, args ...any) error {
	return fmt.Errorf("entry %d, %q: %w", n+1, b.bytes(b.nodes[n].name), bad(format, args...))
}

func (b *Builder) children(n int32) []int32 {
	c := b.nodes[n].children
	return b.sorted[c.at:][:c.n]
}

// child finds a name in a directory.
func (b *Builder) child(dir int32, name []byte) (int32, bool) {
	list := b.children(dir)
	k := sort.Search(len(list), func(k int) bool { return bytes.Compare(b.bytes(b.nodes[list[k]].name), name) >= 0 })
	if k == len(list) || !bytes.Equal(b.bytes(b.nodes[list[k]].name), name) {
		return 0, false
	}
	return list[k], true
}

// resolve finds the inodes of further names, which may be names of further names.
func (b *Builder) resolve() error {
	for n := range b.nodes {
		if i := &b.nodes[n]; i.further {
			at, ok := b.find(b.bytes(i.data))
			if !ok {
				return b.wrong(int32(n), "it links to %.80q, which is not there", b.bytes(i.data))
			}
			i.target = at
		}
	}
	for n := range b.nodes {
		if err := b.follow(int32(n)); err != nil {
			return err
		}
	}
	return nil
}

// follow leads a further name, and all names on its way, straight to the inode: so
// that a long chain is walked once.
func (b *Builder) follow(n int32) error {
	end := n
	for steps := 0; b.nodes[end].further; steps++ {
		if end = b.nodes[end].target; steps > len(b.nodes) {
			return b.wrong(n, "it links to itself in the end")
		}
	}
	if n != end && b.nodes[end].kind() == typeDir {
		return b.wrong(n, "it links to a directory, %.80q (%w)", b.bytes(b.nodes[n].data), errMistake)
	}
	for b.nodes[n].further {
		n, b.nodes[n].target = b.nodes[n].target, end
	}
	return nil
}

// find looks a path up.
func (b *Builder) find(path []byte) (at int32, ok bool) {
	for part := range bytes.SplitSeq(path, []byte("/")) {
		if len(part) == 0 {
			continue
		}
		if at, ok = b.child(at, part); !ok {
			return 0, false
		}
	}
	return at, true
}

// rewrite makes files of whiteouts, which an overlay on top sees as whiteouts again,
// and the root opaque.
func (img *Image) rewrite() error {
	for n := range img.nodes {
		i := &img.nodes[n]
		if !i.whiteout() {
			continue
		}
		i.mode, i.size = i.mode&^typeBits|typeFile, 0
		if err := img.mark(int32(n), Xattr{escaped + "whiteout", nil}, Xattr{"user.overlay.whiteout", nil}); err != nil {
			return err
		}
		if err := img.markFolder(i.parent); err != nil {
			return err
		}
	}
	img.change(&img.nodes[0], opaque, []byte("y"))
	return nil
}

// markFolder tells overlayfs that a directory has whiteouts; once, for each change of a
// list copies it.
func (img *Image) markFolder(n int32) error {
	if img.nodes[n].marked {
		return nil
	}
	img.nodes[n].marked = true
	marks := []Xattr{{escaped + "whiteouts", nil}, {"user.overlay.whiteouts", nil}}
	if img.version >= 1 {
		marks = append(marks, Xattr{escaped + "opaque", []byte("x")}, Xattr{"user.overlay.opaque", []byte("x")})
	}
	return img.mark(n, marks...)
}

// mark gives an inode attributes. Where they take the place of longer ones upstream's
// count of what it added falls below zero, which it takes for too much; it begins anew
// where the only attribute is replaced.
func (img *Image) mark(n int32, marks ...Xattr) error {
	i, growth := &img.nodes[n], 0
	for _, x := range marks {
		alone := i.xattrs.n == 1
		growth += img.change(i, x.Name, x.Value)
		if alone && i.xattrs.n == 1 {
			growth = xattrGrowth + len(x.Name) + len(x.Value)
		}
		if growth < 0 {
			return img.wrong(n, "attribute %s must be for the whiteout, and is there with a long value", x.Name)
		}
	}
	return nil
}

// addRootWhiteouts hides the folders of contents from kernels that have no data-only
// layers.
func (b *Builder) addRootWhiteouts() error {
	root := b.nodes[0]
	var label []uint32
	if number, known := b.pairs.numbers[selinux]; known {
		for _, p := range b.list(&root) {
			if b.pairs.list[p].attribute == number {
				label = []uint32{p}
			}
		}
	}
	names := slices.Clone(b.children(0))
	for k := range 256 {
		name := fmt.Sprintf("%02x", k)
		if _, there := b.child(0, []byte(name)); there {
			continue
		}
		i := inode{target: -1, mode: typeChar | 0o644, nlink: 1, uid: root.uid, gid: root.gid, sec: root.sec, nsec: root.nsec, name: b.text(name)}
		i.xattrs = span{uint32(len(b.lists)), uint32(len(label))}
		b.lists = append(b.lists, label...)
		names = append(names, int32(len(b.nodes)))
		b.nodes = append(b.nodes, i)
	}
	b.nodes[0].children = span{uint32(len(b.sorted)), uint32(len(names))}
	b.sorted = append(b.sorted, names...)
	return b.sortNames(b.children(0))
}

// walk puts the inodes in order: breadth first.
func (img *Image) walk() {
	img.order = make([]int32, 1, len(img.nodes))
	img.oldest = img.nodes[0].time()
	for k := 0; k < len(img.order); k++ {
		n := img.order[k]
		i := &img.nodes[n]
		i.number = uint32(k)
		if t := i.time(); t.compare(img.oldest) < 0 {
			img.oldest = t
		}
		if i.kind() != typeDir {
			continue
		}
		i.nlink = 2
		for _, c := range img.children(n) {
			child := &img.nodes[c]
			if child.further {
				continue
			}
			if child.kind() == typeDir {
				i.nlink++
			}
			img.order = append(img.order, c)
		}
	}
}

func (i *inode) time() time { return time{i.sec, i.nsec} }

// countPairs finds the attributes that several inodes have, and sorts each inode's.
func (img *Image) countPairs() {
	x := img.pairs
	name := func(p uint32) string { return x.attributes[x.list[p].attribute].name }
	for _, n := range img.order {
		list := img.list(&img.nodes[n])
		slices.SortFunc(list, func(a, b uint32) int { return cmp.Compare(name(a), name(b)) })
		for _, p := range list {
			x.list[p].users++
			img.acl = img.acl || name(p) == aclAccess || name(p) == aclDefault
		}
	}
	for n := range x.list {
		if x.list[n].users > 1 {
			img.shared = append(img.shared, uint32(n))
		}
	}
	slices.SortFunc(img.shared, x.compareShared)
}
