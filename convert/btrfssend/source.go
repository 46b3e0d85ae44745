package btrfssend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/larch-project/larch/tree"
)

// Source is a subvolume out of streams, as a tree.Source. It is safe for concurrent
// use.
type Source struct {
	spool        *spool
	volume       *volume
	rules        tree.Rules
	files, bytes int64
}

// OpenOptions are choices for Open.
type OpenOptions struct {
	Rules     tree.Rules // of the tree that it becomes
	Subvolume string     // name of the one that is wanted; "" is the last
}

// Open applies streams, which are untrusted, in order. Errors match ErrFormat,
// ErrParent, ErrSubvolume or io.ErrUnexpectedEOF, or are a *tree.RuleError for what
// cannot be part of such a tree; only the subvolume that is wanted has to be one.
// Memory is what names and attributes take, 2 GiB at most; contents go to a file
// without a name in the temporary folder (TMPDIR). Close the source after use.
func Open(ctx context.Context, inputs []Input, opt OpenOptions) (_ *Source, err error) {
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			spool.close()
		}
	}()
	r := &receiver{spool: spool, byUUID: map[UUID]*volume{}, limit: maxHeld}
	defer r.unpack.close()
	for _, in := range inputs {
		if err := r.read(ctx, in.Reader); err != nil {
			return nil, fmt.Errorf("reading the stream %s: %w", in.Name, err)
		}
	}
	if err := spool.flush(); err != nil {
		return nil, err
	}
	v, err := r.choose(opt.Subvolume)
	if err != nil {
		return nil, err
	}
	s := &Source{spool: spool, volume: v, rules: opt.Rules}
	return s, s.inspect(ctx)
}

// choose finds the subvolume that is wanted; of several with its name the last.
func (r *receiver) choose(name string) (*volume, error) {
	for _, v := range slices.Backward(r.volumes) {
		if name == "" || v.name == name {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrSubvolume, name)
}

// inspect finds what cannot be part of the tree before anything of it is used.
func (s *Source) inspect(ctx context.Context) error {
	entries := 0
	for e, err := range s.Entries(ctx) {
		if err != nil {
			return fmt.Errorf("the subvolume %s: %w", s.volume.name, err)
		}
		if entries++; entries > tree.MaxEntries {
			return &tree.RuleError{Path: e.Path, Rule: tree.RuleTotals, Problem: fmt.Sprintf("more than %d entries", tree.MaxEntries)}
		}
		if e.Kind == tree.Regular {
			s.files++
			s.bytes += e.Size
		}
	}
	if s.bytes/maxGrowth > s.spool.size+maxHoles/maxGrowth {
		return fmt.Errorf("%w: the subvolume %s has %d bytes, of which the streams bring only %d", ErrFormat, s.volume.name, s.bytes, s.spool.size)
	}
	return nil
}

// A tree may have so many bytes of holes, and be so many times as large as what the
// streams bring: a stranger's few commands must not keep us busy for years.
const (
	maxHoles  = 1 << 40 // bytes
	maxGrowth = 256
)

// Subvolume is the name of the subvolume.
func (s *Source) Subvolume() string { return s.volume.name }

// Close releases the contents.
func (s *Source) Close() error { return s.spool.close() }

// Totals implements tree.Source.
func (s *Source) Totals(context.Context) (files, bytes int64, err error) {
	return s.files, s.bytes, nil
}

// Entries implements tree.Source.
func (s *Source) Entries(ctx context.Context) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		w := &walk{s, ctx, map[id]tree.Path{}, yield}
		w.at("/", s.volume.root)
	}
}

// walk gives the entries of a tree.
type walk struct {
	*Source
	ctx   context.Context
	first map[id]tree.Path // first names of files that have several
	yield func(*tree.Entry, error) bool
}

// at gives what is at a path, and below it; false ends the walk.
func (w *walk) at(p tree.Path, i id) bool {
	n := w.volume.get(i)
	e, err := w.describe(p, n)
	if err = cmp.Or(w.ctx.Err(), err); err != nil {
		w.yield(nil, err)
		return false
	}
	if n.kind == tree.Regular && n.names > 1 {
		if first, found := w.first[i]; found {
			e.Kind, e.Target, e.Xattrs = tree.Hardlink, string(first), nil
		} else {
			w.first[i] = p
		}
	}
	if !w.yield(e, nil) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		if !w.at(p.Join(name), n.children[name]) {
			return false
		}
	}
	return true
}

// describe makes the entry of an inode at a path, folded and checked.
func (w *walk) describe(p tree.Path, n *node) (*tree.Entry, error) {
	if n.kind == 0 {
		return nil, &tree.RuleError{Path: p, Rule: tree.RuleSpecial, Problem: n.special + " cannot be part of a tree",
			Fix: "remove it from the subvolume before it is sent"}
	}
	e := &tree.Entry{Path: p, Kind: n.kind, Mode: n.mode, UID: n.uid, GID: n.gid, Nlink: 1, Mtime: n.mtime, Xattrs: slices.Clone(n.xattrs)}
	switch n.kind {
	case tree.Regular:
		e.Size, e.Nlink = n.size, n.names
	case tree.Symlink:
		e.Target, e.Size = n.target, int64(len(n.target))
	}
	w.rules.Fold(e)
	if err := w.rules.Check(e); err != nil {
		return nil, err
	}
	return e, e.Check()
}

var errNotFile = errors.New("not a regular file")

// Open implements tree.Source.
func (s *Source) Open(ctx context.Context, e *tree.Entry) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := s.find(e.Path)
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: s.volume.name + ":" + string(e.Path), Err: fs.ErrNotExist}
	}
	if n.kind != tree.Regular {
		return nil, &fs.PathError{Op: "open", Path: s.volume.name + ":" + string(e.Path), Err: errNotFile}
	}
	return &content{spool: s.spool, pieces: n.pieces, size: n.size}, nil
}

// find gives the inode at a path, or nil.
func (s *Source) find(p tree.Path) *node {
	_, n, err := s.volume.find(relative(strings.TrimPrefix(string(p), "/")))
	if err != nil {
		return nil
	}
	return n
}
