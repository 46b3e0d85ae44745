package btrfssend

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larch-project/larch/tree"
)

// id is the number of an inode: the same in a subvolume and in its snapshots.
type id int64

// node is what the names of an inode have in common.
type node struct {
	kind     tree.Kind // 0 is something that no tree can hold
	special  string    // what that is
	mode     uint32
	uid, gid uint32
	mtime    tree.Time
	names    uint32
	target   string // of a symlink
	xattrs   []tree.Xattr
	size     int64
	pieces   extents
	children map[string]id
}

// volume is the state of a subvolume. Of what it has in common with the one of
// which it is a snapshot, it has no copy.
type volume struct {
	name  string
	uuid  UUID
	base  *volume // nil: it began empty
	nodes map[id]*node
	root  id
}

// get gives an inode for reading.
func (v *volume) get(i id) *node {
	for ; v != nil; v = v.base {
		if n := v.nodes[i]; n != nil {
			return n
		}
	}
	return nil
}

// What things take in memory, roughly, in bytes.
const (
	nodeCost   = 256
	nameCost   = 80
	xattrCost  = 80
	extentCost = 24
)

func (n *node) cost() int64 {
	sum := nodeCost + int64(len(n.target)) + extentCost*int64(len(n.pieces))
	for _, x := range n.xattrs {
		sum += xattrCost + int64(len(x.Name)+len(x.Value))
	}
	return sum
}

func (n *node) namesCost() (sum int64) {
	for name := range n.children {
		sum += nameCost + int64(len(name))
	}
	return sum
}

// charge counts memory, and refuses what is too much.
func (r *receiver) charge(bytes int64) error {
	if r.held += bytes; r.held > r.limit {
		return fmt.Errorf("%w: names, attributes and pieces of files take more than %d MiB of memory", ErrFormat, r.limit>>20)
	}
	return nil
}

// own gives an inode for changing: the volume's own copy.
func (r *receiver) own(i id) (*node, error) {
	if n := r.now.nodes[i]; n != nil {
		return n, nil
	}
	n := *r.now.get(i)
	if err := r.charge(n.cost() + n.namesCost()); err != nil {
		return nil, err
	}
	n.xattrs, n.pieces, n.children = slices.Clone(n.xattrs), slices.Clone(n.pieces), maps.Clone(n.children)
	r.now.nodes[i] = &n
	return &n, nil
}

// add makes an inode, without a name.
func (r *receiver) add(n node) (id, error) {
	r.last++
	r.now.nodes[r.last] = &n
	return r.last, r.charge(n.cost())
}

// find gives the inode at a path.
func (v *volume) find(p relative) (id, *node, error) {
	at := v.root
	n := v.get(at)
	if p == "" {
		return at, n, nil
	}
	for name := range strings.SplitSeq(string(p), "/") {
		if n.kind != tree.Directory {
			return 0, nil, fmt.Errorf("%w: a name of %q is no directory", ErrFormat, string(p))
		}
		next, found := n.children[name]
		if !found {
			return 0, nil, fmt.Errorf("%w: there is no %q", ErrFormat, string(p))
		}
		at, n = next, v.get(next)
	}
	return at, n, nil
}

// parent splits a path into the directory and the last name.
func (r *receiver) parent(p relative) (dir id, n *node, base string, err error) {
	if p == "" {
		return 0, nil, "", fmt.Errorf("%w: the subvolume itself cannot be named anew", ErrFormat)
	}
	above := relative("")
	base = string(p)
	if i := strings.LastIndexByte(base, '/'); i >= 0 {
		above, base = p[:i], base[i+1:]
	}
	if dir, n, err = r.now.find(above); err == nil && n.kind != tree.Directory {
		err = fmt.Errorf("%w: %q is no directory", ErrFormat, string(above))
	}
	return dir, n, base, err
}

// enter gives an inode a name that nothing has.
func (r *receiver) enter(p relative, i id) error {
	dir, n, base, err := r.parent(p)
	if err != nil {
		return err
	}
	if _, found := n.children[base]; found {
		return fmt.Errorf("%w: there is a %q already", ErrFormat, string(p))
	}
	if n, err = r.own(dir); err != nil {
		return err
	}
	named, err := r.own(i)
	if err != nil {
		return err
	}
	if named.names++; n.children == nil {
		n.children = map[string]id{}
	}
	n.children[base] = i
	return r.charge(nameCost + int64(len(base)))
}

// remove takes a name away, and the inode with its last name.
func (r *receiver) remove(p relative) error {
	dir, n, base, err := r.parent(p)
	if err != nil {
		return err
	}
	i, found := n.children[base]
	if !found {
		return fmt.Errorf("%w: there is no %q", ErrFormat, string(p))
	}
	if n, err = r.own(dir); err != nil {
		return err
	}
	delete(n.children, base)
	r.held -= nameCost + int64(len(base))
	named, err := r.own(i)
	if err != nil {
		return err
	}
	if named.names--; named.names == 0 {
		r.held -= named.cost()
		delete(r.now.nodes, i)
	}
	return nil
}
