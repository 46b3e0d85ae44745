package fuse

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// orderFolder has, for each deployment of which that was asked, the digests of its
// contents in the order in which they were first read, a line each.
const orderFolder = folder + "/order"

// maxOrder bounds such a file, in bytes: as many contents as a tree has files.
const maxOrder = 4 << 20 * (2*digest.Size + 1)

// Record has the server note in which order the contents of a deployment are first read,
// from the next time on that it is opened; Order reads it. It begins anew if there was a
// record.
func Record(root *beneath.Dir, name string) error {
	if err := root.MkdirAll(orderFolder, 0o755); err != nil {
		return err
	}
	if err := root.RemoveAll(path.Join(orderFolder, name)); err != nil {
		return err
	}
	f, err := root.Create(path.Join(orderFolder, name), 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// Order gives the contents of a deployment that were read, in the order of their first
// reads: those to fetch first for a next start. fs.ErrNotExist if there is no record.
func Order(root *beneath.Dir, name string) ([]digest.Digest, error) {
	text, err := root.ReadFile(path.Join(orderFolder, name), maxOrder)
	if err != nil {
		return nil, err
	}
	var all []digest.Digest
	for line := range bytes.Lines(text) {
		d, err := digest.Parse(string(bytes.TrimSuffix(line, []byte("\n"))))
		if err != nil { // the end of what was written when the machine stopped
			break
		}
		all = append(all, d)
	}
	return all, nil
}

// order records the first reads of one deployment. Who uses it holds a lock.
type order struct {
	file *os.File
	ino  uint64
	left map[uint64]bool // files that were not read yet; two may have one content
	seen map[digest.Digest]bool
}

// recorded gives the record of a deployment, or nil if none is wanted; old is the one
// so far.
func recorded(root *beneath.Dir, d *deployment, old *order) *order {
	st, err := root.Lstat(path.Join(orderFolder, d.name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && old != nil && old.ino == st.Ino {
		return old
	}
	f, err := root.OpenFile(path.Join(orderFolder, d.name), unix.O_WRONLY|unix.O_APPEND, 0)
	if err != nil {
		return old
	}
	old.close()
	o := &order{file: f, ino: st.Ino, left: map[uint64]bool{}, seen: map[digest.Digest]bool{}}
	for id, i := range d.files() {
		if !d.index.record(i).inline() {
			o.left[id] = true
		}
	}
	return o
}

// note records a read.
func (o *order) note(id uint64, d digest.Digest) {
	if !o.left[id] {
		return
	}
	delete(o.left, id)
	if !o.seen[d] {
		o.seen[d] = true
		_, _ = o.file.WriteString(d.String() + "\n") // a record that ends early is of use, too
	}
}

func (o *order) close() {
	if o != nil {
		o.file.Close()
	}
}

// watch records the first reads of a deployment, if that is wanted.
func (n *nodes) watch(d *deployment) {
	n.loading.Lock()
	defer n.loading.Unlock()
	o := recorded(n.root, d, d.order)
	n.mu.Lock()
	defer n.mu.Unlock()
	if d.order == nil && o != nil {
		n.recording.Add(1)
	}
	d.order = o
}

// noteRead records a read, in all deployments that have the file and want it.
func (n *nodes) noteRead(id uint64, d digest.Digest) {
	if n.recording.Load() == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.byName {
		if o.order != nil {
			o.order.note(id, d)
		}
	}
}
