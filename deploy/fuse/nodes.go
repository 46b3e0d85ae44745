package fuse

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// nodes knows what the node ids mean that the kernel was given. They follow from what
// they stand for, so that a child that takes over understands those of the one before:
//
//   - 1 is the root, in which the deployments are;
//   - a regular file's has the highest bit, and is otherwise a hash of its content and
//     attributes: the same file of several deployments is one inode;
//   - of all others the upper half is the deployment's key, the lower one the number of
//     the record in its index.
type nodes struct {
	root *beneath.Dir
	log  *logFile

	loading sync.Mutex // held while a deployment is read

	mu     sync.Mutex
	byKey  map[key]*deployment
	byName map[string]*deployment // those that are shown
	files  map[uint64]fileRef
	all    bool // all deployments were read once

	recording atomic.Int32 // deployments whose first reads are recorded
}

// deployment is one whose index is in memory.
type deployment struct {
	*leafFile
	name     string
	key      key
	dev, ino uint64 // of the index's file
	owner    owner
	// refs is how often the kernel was given a node of it and has not forgotten it since.
	refs   uint64
	pinned bool // that number is not known: another child has answered before
	order  *order
}

// owner stands for 0:0: who has the installation.
type owner struct{ uid, gid uint32 }

// fileRef is one record of a regular file: any of those that are one inode.
type fileRef struct {
	key  key
	i    uint32
	refs uint32
}

func newNodes(root *beneath.Dir, log *logFile) *nodes {
	return &nodes{root: root, log: log, byKey: map[key]*deployment{}, byName: map[string]*deployment{}, files: map[uint64]fileRef{}}
}

// spot is what a node id stands for.
type spot struct {
	*deployment
	i uint32
	r record
}

// find tells what a node id stands for. What is not known may be of a deployment that
// was not looked up since this child began: all are read then, once.
func (n *nodes) find(id uint64) (spot, bool) {
	n.mu.Lock()
	s, ok := n.findLocked(id)
	again := !ok && !n.all
	n.mu.Unlock()
	if !again {
		return s, ok
	}
	n.loadAll(false)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.findLocked(id)
}

func (n *nodes) findLocked(id uint64) (spot, bool) {
	k, i := key(id>>32), uint32(id)
	if id&fileBit != 0 {
		ref, ok := n.files[id]
		if !ok {
			return spot{}, false
		}
		k, i = ref.key, ref.i
	}
	d := n.byKey[k]
	if d == nil || i >= d.index.entries() {
		return spot{}, false
	}
	return spot{d, i, d.index.record(i)}, true
}

// loadAll reads all deployments.
func (n *nodes) loadAll(pin bool) {
	all, err := deploy.List(n.root)
	if err != nil {
		n.log.printf("listing the deployments: %v", err)
		return
	}
	for _, d := range all {
		if d.Backend == named(d.Name).Backend {
			if d, err := n.show(d.Name); err == nil && pin {
				n.mu.Lock()
				d.pinned = true
				n.mu.Unlock()
			}
		}
	}
	n.mu.Lock()
	n.all = true
	n.mu.Unlock()
}

// show gives the deployment of a name as its folder is now; fs.ErrNotExist if there is
// none.
func (n *nodes) show(name string) (*deployment, error) {
	n.loading.Lock()
	defer n.loading.Unlock()
	st, err := n.root.Lstat(named(name).Folder() + "/" + indexName)
	n.mu.Lock()
	d := n.byName[name]
	n.mu.Unlock()
	if d != nil && err == nil && d.dev == st.Dev && d.ino == st.Ino {
		return d, nil
	}
	if d != nil {
		n.drop(d)
	}
	if err != nil {
		return nil, err
	}
	d, err = n.load(name, st)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.printf("deployment %s cannot be shown: %v: larch verify --repair mends it", name, err)
	}
	return d, err
}

// load reads a deployment, unless it is still known from before.
func (n *nodes) load(name string, st unix.Stat_t) (*deployment, error) {
	folder, err := n.root.OpenDir(named(name).Folder())
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	leaves, err := openLeaves(folder)
	if err != nil {
		return nil, err
	}
	above, err := n.root.Lstat(".")
	if err != nil {
		leaves.close()
		return nil, err
	}
	d := &deployment{leafFile: leaves, name: name, key: newKey(name, leaves.index.digest), dev: st.Dev, ino: st.Ino, owner: owner{above.Uid, above.Gid}}
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.byKey[d.key]; old != nil && old.name == name && old.index.digest == d.index.digest {
		leaves.close() // removed and made again, while something of it was open
		old.dev, old.ino = d.dev, d.ino
		n.byName[name] = old
		return old, nil
	}
	if err := n.addLocked(d); err != nil {
		leaves.close()
		return nil, err
	}
	return d, nil
}

// addLocked adds a deployment, unless a node id of it would have two meanings: one in
// some billions.
func (n *nodes) addLocked(d *deployment) error {
	if n.byKey[d.key] != nil {
		return fmt.Errorf("its key %v is deployment %s's too", d.key, n.byKey[d.key].name)
	}
	for id, i := range d.files() {
		ref, there := n.files[id]
		if !there {
			continue
		}
		if o := n.byKey[ref.key]; !sameFile(o.index, o.index.record(ref.i), d.index, d.index.record(i)) {
			return fmt.Errorf("the node id %x of %q is another file's too", id, d.index.pathOf(i))
		}
	}
	n.byKey[d.key], n.byName[d.name] = d, d
	for id, i := range d.files() {
		if _, there := n.files[id]; !there {
			n.files[id] = fileRef{key: d.key, i: i}
		}
	}
	return nil
}

// files gives the regular files: their node ids and numbers.
func (d *deployment) files() func(yield func(uint64, uint32) bool) {
	return func(yield func(uint64, uint32) bool) {
		for i := range d.index.entries() {
			if r := d.index.record(i); r.kind() == tree.Regular && !yield(r.file(), i) {
				return
			}
		}
	}
}

// idOf gives the node id of a record.
func (d *deployment) idOf(i uint32) uint64 {
	if r := d.index.record(i); r.kind() == tree.Regular {
		return r.file()
	}
	return d.key.node(i)
}

// shownBy gives the shown deployment of a key.
func (n *nodes) shownBy(k key) *deployment {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.byKey[k]; d != nil && n.byName[d.name] == d {
		return d
	}
	return nil
}
