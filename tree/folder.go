package tree

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/larch-project/larch/internal/beneath"
)

// FolderSource is a folder as a Source. It is read twice: a first pass over the
// inodes alone counts, finds hardlinks and what is not allowed, so that most
// errors come before any content is read; it remembers only inodes with several
// names. No symlink is followed, nothing but directories and regular files is
// opened, and what changes meanwhile is found as far as size, times and inode
// numbers tell: a change in the clock tick of the last one, of the same size,
// does not show. It is safe for concurrent use.
type FolderSource struct {
	root  *beneath.Dir
	rules Rules

	surveying sync.Mutex
	survey    *survey // of the first pass, once it is done
	recent    sightings
}

// Folder opens a folder as the source of a tree of this kind. A symlink at the
// end of dir itself is followed. Close it after use.
func Folder(dir string, rules Rules) (*FolderSource, error) {
	root, err := beneath.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening a folder to scan it: %w", err)
	}
	return &FolderSource{root: root, rules: rules}, nil
}

// Close releases the folder. Contents that are open stay readable.
func (s *FolderSource) Close() error { return s.root.Close() }

// Entries implements Source. Errors are a *RuleError, a *ChangedError, or of the
// file system. A file whose names are all in the folder keeps them: the first in
// canonical order is the regular file, the others are hardlinks to it; names
// outside the folder do not count.
func (s *FolderSource) Entries(ctx context.Context) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		survey, err := s.surveyed(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		links := linker{names: survey.names, first: map[inode]*linked{}}
		for f, err := range s.walk(ctx, false) {
			if err == nil {
				err = links.resolve(&f)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if f.entry.Kind == Regular {
				s.recent.add(f.entry.Path, f.state)
			}
			if !yield(f.entry, nil) {
				return
			}
		}
		if err := links.end(); err != nil {
			yield(nil, err)
		}
	}
}

// Totals implements Source; the numbers are exact, of the first pass.
func (s *FolderSource) Totals(ctx context.Context) (files, bytes int64, err error) {
	survey, err := s.surveyed(ctx)
	if err != nil {
		return 0, 0, err
	}
	return survey.files, survey.bytes, nil
}

// survey is what the first pass found.
type survey struct {
	files, bytes int64
	names        map[inode]uint32 // how many, of files with at least two
}

// surveyed does the first pass, once.
func (s *FolderSource) surveyed(ctx context.Context) (*survey, error) {
	s.surveying.Lock()
	defer s.surveying.Unlock()
	if s.survey != nil {
		return s.survey, nil
	}
	made := &survey{names: map[inode]uint32{}}
	for f, err := range s.walk(ctx, true) {
		if err != nil {
			return nil, err
		}
		made.count(&f)
	}
	for id, n := range made.names {
		if n < 2 {
			delete(made.names, id)
		}
	}
	s.survey = made
	return made, nil
}

func (v *survey) count(f *found) {
	if f.entry.Kind != Regular {
		return
	}
	if f.nlink > 1 {
		v.names[f.state.inode]++
		if v.names[f.state.inode] > 1 {
			return
		}
	}
	v.files++
	v.bytes += f.entry.Size
}

// linker makes the second and further names of a file hardlinks.
type linker struct {
	names map[inode]uint32
	first map[inode]*linked // files some of whose names are still to come
}

func (l *linker) resolve(f *found) error {
	e := f.entry
	if e.Kind != Regular || l.names[f.state.inode] < 2 {
		return nil
	}
	e.Nlink = l.names[f.state.inode]
	file := l.first[f.state.inode]
	if file == nil {
		l.first[f.state.inode] = newLinked(e)
		return nil
	}
	if !file.first.sameInode(e) {
		return &ChangedError{Path: e.Path}
	}
	e.Kind, e.Target, e.Xattrs = Hardlink, string(file.first.Path), nil
	if file.left--; file.left == 0 {
		delete(l.first, f.state.inode)
	}
	return nil
}

// end checks that as many names came as the first pass had seen.
func (l *linker) end() error {
	for _, file := range l.first {
		err := fmt.Errorf("%d of its %d names are gone, or there are new ones", file.left, file.first.Nlink)
		return &ChangedError{Path: file.first.Path, Err: err}
	}
	return nil
}

// sightings remembers in what state the latest regular files were when their
// entries were given, so that one that is replaced before it is opened is found.
// Those that are read as they come, as all users do, are always among them.
type sightings struct {
	mu     sync.Mutex
	states map[Path]state
	order  []Path // a ring, the oldest at next
	next   int
}

// sightingsKept is far more than any reader is behind.
const sightingsKept = 4096

func (s *sightings) add(p Path, st state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states == nil {
		s.states = make(map[Path]state, sightingsKept)
	}
	if len(s.order) < sightingsKept {
		s.order = append(s.order, p)
	} else {
		delete(s.states, s.order[s.next])
		s.order[s.next] = p
		s.next = (s.next + 1) % sightingsKept
	}
	s.states[p] = st
}

func (s *sightings) find(p Path) (state, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, seen := s.states[p]
	return st, seen
}
