package fuse

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// locator tells where the content of an entry is, below the site's root.
type locator func(e *tree.Entry) (string, error)

// builder makes an index of a tree. It holds the whole tree: about 400 bytes for each
// entry.
type builder struct {
	locate   locator
	nodes    []node // as they stand in the tree
	contents []byte
	leaves   int64 // bytes of leaves of the contents so far
	number   map[contentKey]uint32
	places   map[string]uint32
	spans    []byte
	heap     []byte
	linked   map[tree.Path]int // files with several names
	wanted   []*tree.Entry     // for each content an entry that has it
}

// node is an entry on its way into the index.
type node struct {
	record   [recordSize]byte
	children []int // in the order of names
}

type contentKey struct {
	digest digest.Digest
	place  uint32
}

// buildIndex makes the index of a tree, and gives an entry for each of its contents, in
// their order.
func buildIndex(text digest.Digest, entries iter.Seq2[*tree.Entry, error], locate locator) ([]byte, []*tree.Entry, error) {
	b := &builder{locate: locate, number: map[contentKey]uint32{}, places: map[string]uint32{}, linked: map[tree.Path]int{}}
	var open []int // the directories from the root to the last entry
	var depth []tree.Path
	for e, err := range entries {
		if err != nil {
			return nil, nil, err
		}
		for len(depth) > 0 && depth[len(depth)-1] != e.Path.Parent() {
			open, depth = open[:len(open)-1], depth[:len(depth)-1]
		}
		i, err := b.add(e)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.Path.Quoted(), err)
		}
		if len(open) > 0 {
			parent := &b.nodes[open[len(open)-1]]
			parent.children = append(parent.children, i)
		}
		if e.Kind == tree.Directory {
			open, depth = append(open, i), append(depth, e.Path)
		}
	}
	if len(b.nodes) == 0 {
		return nil, nil, fmt.Errorf("a tree without entries: %w", digest.ErrMismatch)
	}
	data, err := b.finish(text)
	return data, b.wanted, err
}

// add takes one entry and gives its number.
func (b *builder) add(e *tree.Entry) (int, error) {
	var n node
	if e.Kind == tree.Hardlink {
		first, ok := b.linked[tree.Path(e.Target)]
		if !ok {
			return 0, fmt.Errorf("links to %s, which is not before it", tree.Path(e.Target).Quoted())
		}
		n.record = b.nodes[first].record
	} else if err := b.describe(&n, e); err != nil {
		return 0, err
	}
	if e.Kind == tree.Regular && e.Nlink > 1 {
		b.linked[e.Path] = len(b.nodes)
	}
	name := ""
	if e.Path != "/" {
		name = e.Path.Base()
	}
	binary.LittleEndian.PutUint32(n.record[32:], b.keep(name))
	n.record[36] = byte(len(name))
	b.nodes = append(b.nodes, n)
	return len(b.nodes) - 1, nil
}

// describe fills the record of an entry, but for its name.
func (b *builder) describe(n *node, e *tree.Entry) error {
	p := n.record[:]
	kind := map[tree.Kind]uint32{tree.Directory: unix.S_IFDIR, tree.Symlink: unix.S_IFLNK, tree.Regular: unix.S_IFREG}[e.Kind]
	binary.LittleEndian.PutUint32(p, e.Mode|kind)
	binary.LittleEndian.PutUint32(p[4:], e.UID)
	binary.LittleEndian.PutUint32(p[8:], e.GID)
	binary.LittleEndian.PutUint32(p[12:], e.Mtime.Nsec)
	binary.LittleEndian.PutUint64(p[16:], uint64(e.Mtime.Sec))
	var xattrs []byte
	for _, x := range e.Xattrs {
		xattrs = appendCounted(appendCounted(xattrs, x.Name), x.Value)
	}
	binary.LittleEndian.PutUint32(p[48:], b.keep(string(xattrs)))
	binary.LittleEndian.PutUint32(p[52:], uint32(len(xattrs)))
	switch {
	case e.Kind == tree.Symlink:
		binary.LittleEndian.PutUint32(p[40:], b.keep(e.Target))
		binary.LittleEndian.PutUint32(p[44:], uint32(len(e.Target)))
	case e.Kind == tree.Regular && e.Size <= tree.InlineMax:
		p[37] = 1
		binary.LittleEndian.PutUint32(p[40:], b.keep(string(e.Inline)))
		binary.LittleEndian.PutUint32(p[44:], uint32(len(e.Inline)))
		binary.LittleEndian.PutUint64(p[24:], fileID(p, digest.Of(e.Inline), xattrs))
	case e.Kind == tree.Regular:
		number, err := b.content(e)
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(p[40:], number)
		binary.LittleEndian.PutUint64(p[24:], fileID(p, e.Digest, xattrs))
	}
	return nil
}

// fileBit marks the node ids of regular files.
const fileBit = 1 << 63

// fileID gives the node id of a regular file: the same for all that may be one inode.
func fileID(p record, d digest.Digest, xattrs []byte) uint64 {
	h := sha256.New()
	h.Write(p.inode())
	h.Write(d[:])
	h.Write(xattrs)
	return binary.LittleEndian.Uint64(h.Sum(nil)) | fileBit
}

// content numbers the content of an entry.
func (b *builder) content(e *tree.Entry) (uint32, error) {
	name, err := b.locate(e)
	if err != nil {
		return 0, err
	}
	key := contentKey{e.Digest, b.place(strings.Replace(name, shard(e.Digest), placeMark, 1))}
	if number, ok := b.number[key]; ok {
		return number, nil
	}
	number := uint32(len(b.wanted))
	b.number[key] = number
	b.wanted = append(b.wanted, e)
	b.contents = append(b.contents, e.Digest[:]...)
	b.contents = binary.LittleEndian.AppendUint64(b.contents, uint64(e.Size))
	b.contents = binary.LittleEndian.AppendUint64(b.contents, uint64(b.leaves))
	b.contents = binary.LittleEndian.AppendUint64(b.contents, uint64(key.place))
	b.leaves += leavesSize(e.Size)
	return number, nil
}

// place numbers where contents are.
func (b *builder) place(name string) uint32 {
	number, ok := b.places[name]
	if !ok {
		number = uint32(len(b.places))
		b.places[name] = number
		b.spans = binary.LittleEndian.AppendUint32(b.spans, b.keep(name))
		b.spans = binary.LittleEndian.AppendUint32(b.spans, uint32(len(name)))
	}
	return number
}

// keep appends to the heap.
func (b *builder) keep(s string) uint32 {
	at := uint32(len(b.heap))
	b.heap = append(b.heap, s...)
	return at
}

// finish writes the index: directories get their children behind each other.
func (b *builder) finish(text digest.Digest) ([]byte, error) {
	if len(b.heap) > maxIndex/2 {
		return nil, fmt.Errorf("the names and attributes of the tree have %d bytes, more than %d", len(b.heap), maxIndex/2)
	}
	data := make([]byte, 0, headSize+len(b.nodes)*recordSize+len(b.contents)+len(b.spans)+len(b.heap)+digest.Size)
	data = append(data, indexMagic...)
	for _, n := range []int{len(b.nodes), len(b.wanted), len(b.places), len(b.heap)} {
		data = binary.LittleEndian.AppendUint32(data, uint32(n))
	}
	data = append(data, text[:]...)
	queue := make([]int, 1, len(b.nodes)) // the root
	for i := 0; i < len(queue); i++ {
		n := &b.nodes[queue[i]]
		if record(n.record[:]).kind() == tree.Directory {
			binary.LittleEndian.PutUint32(n.record[40:], uint32(len(queue)))
			binary.LittleEndian.PutUint32(n.record[44:], uint32(len(n.children)))
			queue = append(queue, n.children...)
		}
		data = append(data, n.record[:]...)
	}
	data = slices.Concat(data, b.contents, b.spans, b.heap)
	sum := digest.Of(data)
	return append(data, sum[:]...), nil
}
