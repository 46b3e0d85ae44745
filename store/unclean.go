package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/inode"
)

// uncleanName is the file that lists the objects an unfinished transaction
// named. It is durable before any of them has its name.
const uncleanName = "unclean"

// maxUnclean bounds what is read of it, in bytes: the names of 4 million objects.
const maxUnclean = 4 << 28

// key is an object without its size, which its digest covers.
type key struct {
	digest     digest.Digest
	executable bool
}

func (o Object) key() key { return key{o.Digest, o.Executable} }

func (k key) object() Object { return Object{Digest: k.digest, Executable: k.executable} }

// doubts are the objects that must be hashed before they are believed.
type doubts struct {
	mu  sync.RWMutex
	set map[key]error // nil until hashed; then what is wrong with it
}

// load takes up the doubts that an unfinished transaction left. Lines that are
// not whole were never made durable, so their objects never had names.
func (d *doubts) load(dir *beneath.Dir) error {
	data, err := dir.ReadFile(uncleanName, maxUnclean)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what an unfinished transaction left: %w", err)
	}
	for line := range bytes.Lines(data) {
		path, whole := bytes.CutSuffix(line, []byte("\n"))
		if o, err := parseObject(string(path)); whole && err == nil {
			d.add(o)
		}
	}
	return nil
}

func (d *doubts) add(o Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == nil {
		d.set = map[key]error{}
	}
	d.set[o.key()] = nil
}

// find tells whether o is in doubt, and what is known to be wrong with it.
func (d *doubts) find(o Object) (doubted bool, wrong error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.set) == 0 { // the ordinary case costs nothing more
		return false, nil
	}
	wrong, doubted = d.set[o.key()]
	return doubted, wrong
}

// settled notes the result of hashing o: nothing wrong ends the doubt.
func (d *doubts) settled(o Object, wrong error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if wrong == nil {
		delete(d.set, o.key())
	} else if d.set != nil {
		d.set[o.key()] = wrong
	}
}

// drop ends the doubts about objects that the condition holds for.
func (d *doubts) drop(condition func(Object) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.set, func(k key, _ error) bool { return condition(k.object()) })
}

// lines lists the doubts as they stand in the file.
func (d *doubts) lines() []byte {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var b bytes.Buffer
	for k := range d.set {
		fmt.Fprintln(&b, k.object().path())
	}
	return b.Bytes()
}

// Doubt has an object hashed again before it is believed, and its mode and time
// put right: for one that a check found wrong. Wrong content keeps the name until
// a verified replacement is there.
func (s *Store) Doubt(o Object) { s.doubts.add(o) }

// restore hashes o, and gives it the mode and time of an object again if it is
// right but for them.
func (s *Store) restore(o Object) error {
	f, err := s.openAny(o)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := digest.Verify(f, o.Digest, o.Size); err != nil {
		return fmt.Errorf("%v: %w", o, unreadable(err))
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || inodeProblem(o, &st) == "" {
		return err
	}
	if err := s.dir.Change("restore", o.Name()); err != nil {
		return err
	}
	if err := f.Chmod(fs.FileMode(o.Mode())); err != nil {
		return err
	}
	return inode.SetTime(f, 0, 0)
}

// settle hashes o if it is in doubt, and is the error of what is wrong with it.
func (s *Store) settle(o Object) error {
	doubted, wrong := s.doubts.find(o)
	if !doubted || wrong != nil {
		return wrong
	}
	err := s.restore(o)
	if err == nil || errors.Is(err, digest.ErrMismatch) {
		s.doubts.settled(o, err)
	}
	return err
}

// Begin starts a transaction, unless one is under way: it makes the store's
// folders, and takes up the doubts of one that died. The caller holds the
// installation's lock until End. A batch begins one by itself.
func (s *Store) Begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began {
		return nil
	}
	if err := s.begin(); err != nil {
		return fmt.Errorf("preparing the store: %w", s.explain(err))
	}
	s.began = true
	return nil
}

func (s *Store) begin() error {
	for _, name := range []string{"objects", "trees", "releases", "tmp"} {
		if err := s.dir.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	if err := s.doubts.load(s.dir); err != nil {
		return err
	}
	tmp, err := s.dir.OpenDir("tmp")
	if err != nil {
		return err
	}
	how, err := probe(tmp)
	if err != nil {
		tmp.Close()
		return err
	}
	s.tmp, s.how = tmp, how
	return nil
}

// announce lists objects that are about to get their names. The barrier that
// makes their contents durable makes the list durable too.
func (s *Store) announce(list []whole) error {
	var lines bytes.Buffer
	lines.WriteByte('\n') // whatever an interrupted write left
	for _, w := range list {
		lines.WriteString(w.object.path())
		lines.WriteByte('\n')
	}
	f, err := s.dir.OpenFile(uncleanName, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	if err = s.dir.Change("write", uncleanName); err == nil {
		_, err = io.Copy(f, &lines)
	}
	return errors.Join(err, f.Close())
}

// Sync makes all names that objects got durable: one barrier for the file
// system.
func (s *Store) Sync() error { return s.explain(s.dir.SyncFS()) }

// End ends the transaction: it makes the names of all that was stored durable,
// and what this transaction named is believed from now on. Doubts that nobody had
// cause to settle stay.
func (s *Store) End() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.began {
		return nil
	}
	if err := s.end(); err != nil {
		return fmt.Errorf("ending the store's transaction: %w", err)
	}
	err := s.tmp.Close()
	s.tmp, s.began = nil, false
	return err
}

func (s *Store) end() error {
	if err := s.Sync(); err != nil {
		return err
	}
	s.doubts.drop(func(o Object) bool { return !s.named(o) })
	if left := s.doubts.lines(); len(left) > 0 {
		return durable.WriteFile(s.dir, uncleanName, left, 0o644)
	}
	if err := s.dir.Remove(uncleanName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sweep removes all that interrupted work left in tmp/. The caller holds the
// installation's lock, and nothing of its own is being written.
func (s *Store) Sweep() error {
	names, err := s.dir.ReadDir("tmp")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		err = errors.Join(err, s.dir.RemoveAll("tmp/"+name))
	}
	return s.explain(err)
}
