package btrfssend

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/larch-project/larch/tree"
)

// Input is a file with one or more streams.
type Input struct {
	Name   string // for messages
	Reader io.Reader
}

// maxHeld is what names, attributes and the lists of pieces of files may take, in
// bytes: enough for some five million files.
const maxHeld = 2 << 30

// maxVolumes is how many subvolumes may be given: looking up an inode takes a step
// for each snapshot of a snapshot.
const maxVolumes = 1 << 9

// receiver applies streams.
type receiver struct {
	spool   *spool
	volumes []*volume
	byUUID  map[UUID]*volume
	now     *volume // that is being made; nil between streams
	last    id
	held    int64 // bytes
	limit   int64 // bytes
	unpack  unpacker
}

// read applies all streams of a file.
func (r *receiver) read(ctx context.Context, in io.Reader) error {
	d := newDecoder(bufio.NewReaderSize(in, 256<<10))
	for first := true; ; first = false {
		err := d.start()
		if err == io.EOF && !first {
			return nil
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the stream is cut off at byte %d: %w", d.at, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return fmt.Errorf("byte %d: %w", d.at, err)
		}
		if err := r.stream(ctx, d); err != nil {
			return err
		}
	}
}

// stream applies one stream, to its end.
func (r *receiver) stream(ctx context.Context, d *decoder) error {
	r.now = nil
	for {
		m, err := d.next()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if m.cmd == cmdEnd {
			if r.now == nil {
				return fmt.Errorf("%w: the stream that ends at byte %d has no subvolume", ErrFormat, d.at)
			}
			r.now = nil
			return nil
		}
		if err := r.apply(m); err != nil {
			return fmt.Errorf("%s at byte %d: %w", m.name, m.at, err)
		}
	}
}

// apply does what a command says.
func (r *receiver) apply(m *message) error {
	path, err := m.path(attrPath)
	if err != nil {
		return err
	}
	switch m.cmd {
	case cmdSubvol, cmdSnapshot:
		return r.begin(m, path)
	}
	if r.now == nil {
		return fmt.Errorf("%w: no subvolume was begun", ErrFormat)
	}
	switch m.cmd {
	case cmdMkfile:
		return r.create(path, node{kind: tree.Regular, mode: 0o600})
	case cmdMkdir:
		return r.create(path, node{kind: tree.Directory, mode: 0o700})
	case cmdMkfifo:
		return r.create(path, node{special: "a fifo"})
	case cmdMksock:
		return r.create(path, node{special: "a socket"})
	case cmdMknod:
		return r.create(path, node{special: "a device"})
	case cmdSymlink:
		return r.create(path, node{kind: tree.Symlink, mode: 0o777, target: m.text(attrPathLink)})
	case cmdRename, cmdLink, cmdUnlink, cmdRmdir:
		return r.rearrange(m, path)
	case cmdWrite, cmdEncodedWrite, cmdClone, cmdTruncate, cmdFallocate, cmdUpdateExtent:
		return r.change(m, path)
	}
	return r.attribute(m, path)
}

// begin begins a subvolume; that ends the one before.
func (r *receiver) begin(m *message, name relative) error {
	if len(r.volumes) >= maxVolumes {
		return fmt.Errorf("%w: more than %d subvolumes", ErrFormat, maxVolumes)
	}
	if name == "" {
		return fmt.Errorf("%w: a subvolume without a name", ErrFormat)
	}
	v := &volume{name: string(name), uuid: m.uuid(attrUUID), nodes: map[id]*node{}}
	r.now = v
	if m.cmd == cmdSnapshot {
		if v.base = r.byUUID[m.uuid(attrCloneUUID)]; v.base == nil {
			return fmt.Errorf("%w: %q is a snapshot of %s", ErrParent, v.name, m.uuid(attrCloneUUID))
		}
		v.root = v.base.root
	} else {
		root, err := r.add(node{kind: tree.Directory, mode: 0o755, names: 1})
		if err != nil {
			return err
		}
		v.root = root
	}
	r.volumes = append(r.volumes, v)
	r.byUUID[v.uuid] = v
	return nil
}

// create makes an inode with its first name.
func (r *receiver) create(p relative, n node) error {
	i, err := r.add(n)
	if err != nil {
		return err
	}
	return r.enter(p, i)
}

// rearrange changes names.
func (r *receiver) rearrange(m *message, p relative) error {
	i, n, err := r.now.find(p)
	switch m.cmd {
	case cmdLink:
		from, err := m.path(attrPathLink)
		if err != nil {
			return err
		}
		if i, n, err = r.now.find(from); err != nil {
			return err
		}
		if n.kind == tree.Directory {
			return fmt.Errorf("%w: a hardlink to the directory %q", ErrFormat, string(from))
		}
		return r.enter(p, i)
	case cmdRename:
		if err != nil {
			return err
		}
		to, err := m.path(attrPathTo)
		if err != nil {
			return err
		}
		return r.rename(p, to, i, n)
	}
	switch {
	case err != nil:
		return err
	case m.cmd == cmdUnlink && n.kind == tree.Directory:
		return fmt.Errorf("%w: %q is a directory", ErrFormat, string(p))
	case m.cmd == cmdRmdir && n.kind != tree.Directory:
		return fmt.Errorf("%w: %q is no directory", ErrFormat, string(p))
	case len(n.children) > 0:
		return fmt.Errorf("%w: the directory %q is not empty", ErrFormat, string(p))
	}
	return r.remove(p)
}

// rename does what rename(2) does.
func (r *receiver) rename(from, to relative, i id, n *node) error {
	if from == "" || to == "" {
		return fmt.Errorf("%w: the subvolume itself cannot be renamed", ErrFormat)
	}
	if n.kind == tree.Directory && (to == from || len(to) > len(from) && to[:len(from)] == from && to[len(from)] == '/') {
		return fmt.Errorf("%w: the directory %q cannot be moved into itself", ErrFormat, string(from))
	}
	if j, there, err := r.now.find(to); err == nil {
		switch {
		case i == j:
			return nil // two names of one file
		case (there.kind == tree.Directory) != (n.kind == tree.Directory):
			return fmt.Errorf("%w: %q is in the way", ErrFormat, string(to))
		case len(there.children) > 0:
			return fmt.Errorf("%w: the directory %q is not empty", ErrFormat, string(to))
		}
		if err := r.remove(to); err != nil {
			return err
		}
	}
	if err := r.enter(to, i); err != nil {
		return err
	}
	return r.remove(from)
}
