package fuse

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/verity"
)

const (
	// treeBytes bounds the leaves that are kept in memory: those of 4 GiB of content. The
	// tree of a larger content is kept alone.
	treeBytes = 32 << 20
	// openFiles bounds the objects that are kept open.
	openFiles = 128
	// closedTries is how often, at most, an object may be closed, to make room for another,
	// before it was read.
	closedTries = 100
	// openReaders bounds the contents that are kept open at the Source.
	openReaders = 32
	// pageGroup is how much of a file the kernel may keep in one piece, in bytes.
	pageGroup = 2 << 20
)

// blocks reads contents, block by block checked against their digests.
type blocks struct {
	root    *beneath.Dir
	source  Source // or nil
	trees   *cache[digest.Digest, *digest.Tree]
	objects *cache[string, object]
	readers *cache[digest.Digest, Reader]
}

func newBlocks(root *beneath.Dir, source Source) *blocks {
	return &blocks{
		root: root, source: source,
		trees:   newCache[digest.Digest, *digest.Tree](treeBytes, nil),
		objects: newCache[string](openFiles, object.close),
		readers: newCache[digest.Digest](openReaders, func(r Reader) { r.Close() }),
	}
}

// read fills p from a content of d, from offset on, which is within the content as the
// end is. The bytes are right, or there is an error: digest.ErrMismatch, which names the
// block, or fs.ErrNotExist.
func (b *blocks) read(cancel <-chan struct{}, d *deployment, c content, offset int64, p []byte) error {
	first := offset / digest.BlockSize * digest.BlockSize
	end := min((offset+int64(len(p))+digest.BlockSize-1)/digest.BlockSize*digest.BlockSize, c.size())
	if first == offset && end == offset+int64(len(p)) {
		return b.readWhole(cancel, d, c, offset, p)
	}
	all := make([]byte, end-first)
	err := b.readWhole(cancel, d, c, first, all)
	copy(p, all[offset-first:])
	return err
}

// readWhole is read for whole blocks.
func (b *blocks) readWhole(cancel <-chan struct{}, d *deployment, c content, offset int64, p []byte) error {
	err := b.readStored(d, c, offset, p)
	if errors.Is(err, fs.ErrNotExist) && b.source != nil {
		return b.readSource(cancel, c, offset, p)
	}
	return err
}

// readStored reads whole blocks of what the store has. An object may have been exchanged
// for a right one since it was opened, so a wrong one is opened once more.
func (b *blocks) readStored(d *deployment, c content, offset int64, p []byte) error {
	name := d.index.path(c)
	err := b.readObject(d, c, name, offset, p)
	for range closedTries {
		if !errors.Is(err, fs.ErrClosed) {
			break
		}
		err = b.readObject(d, c, name, offset, p)
	}
	if damaged(err) || errors.Is(err, unix.EIO) {
		b.objects.remove(name)
		err = b.readObject(d, c, name, offset, p)
	}
	return err
}

func (b *blocks) readObject(d *deployment, c content, name string, offset int64, p []byte) error {
	o, err := b.open(name, c)
	if err != nil {
		return err
	}
	n, err := o.readAt(p, offset)
	switch {
	case err == io.EOF:
		return &digest.MismatchError{Want: c.digest(), WantSize: c.size(), HaveSize: offset + int64(n)}
	case err != nil || o.sealed:
		return err
	case int64(len(p)) == c.size() && digest.Of(p) == c.digest(): // in one piece: no tree is needed
		return nil
	}
	t, err := b.tree(d, c, o.file)
	if err != nil {
		return err
	}
	return t.Verify(offset, p)
}

// readAt reads so that content is not in memory twice: it will be in the cache of the
// mount. What is not in memory anyhow is read past the cache, which saves a copy, too.
func (o object) readAt(p []byte, offset int64) (int, error) {
	if o.direct != nil && aligned(p) && !inMemory(o.direct, offset, int64(len(p))) {
		if n, err := o.direct.ReadAt(p, offset); !errors.Is(err, unix.EINVAL) {
			return n, err
		}
	}
	o.spared.begin(offset, int64(len(p)))
	n, err := o.file.ReadAt(p, offset)
	o.spared.end(o.file, offset, int64(len(p)))
	return n, err
}

// aligned tells whether memory is as disks want it.
func aligned(p []byte) bool {
	return len(p)%digest.BlockSize == 0 && uintptr(unsafe.Pointer(&p[0]))%digest.BlockSize == 0
}

// inMemory tells whether any of a piece of a file is, or that is not known: before
// Linux 6.5.
func inMemory(f *os.File, offset, n int64) bool {
	conn, err := f.SyscallConn() // another reader may close the file meanwhile
	if err != nil {
		return true
	}
	var have unix.Cachestat_t
	closed := conn.Control(func(fd uintptr) {
		err = unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(offset), Len: uint64(n)}, &have, 0)
	})
	return closed != nil || err != nil || have.Cache > 0
}

// spared is what of a file is read through the cache at the moment, to have the kernel
// forget it then. It keeps pages in groups, and drops only whole ones that nobody reads:
// so what came before goes once more, and, when the last of those who read at the same
// time is done, all that they have read.
type spared struct {
	mu       sync.Mutex
	reading  int
	from, to int64 // what all of them read

	dropping sync.Mutex // two who drop would be in each other's way
}

func (s *spared) begin(offset, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading++; s.reading == 1 {
		s.from, s.to = offset, offset+n
	}
	s.from, s.to = min(s.from, offset), max(s.to, offset+n)
}

func (s *spared) end(f *os.File, offset, n int64) {
	from, to := offset, offset+n
	s.mu.Lock()
	if s.reading--; s.reading == 0 {
		from, to = s.from, s.to
	}
	s.mu.Unlock()
	conn, err := f.SyscallConn() // another reader may close the file meanwhile
	if err != nil {
		return
	}
	s.dropping.Lock()
	defer s.dropping.Unlock()
	from = from / pageGroup * pageGroup
	_ = conn.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), from, to-from, unix.FADV_DONTNEED) })
}

// object is an open file of the store.
type object struct {
	file   *os.File
	direct *os.File // the same, read past the cache; nil if that is not possible or not of use
	// sealed tells that it is the content, and that the kernel checks each block of it:
	// fs-verity's measure is the digest.
	sealed bool
	spared *spared
}

func (o object) close() {
	o.file.Close()
	if o.direct != nil {
		o.direct.Close()
	}
}

// pastCache opens the same file so that it is read past the cache; nil if it cannot.
func pastCache(f *os.File) *os.File {
	again, err := os.OpenFile(procPath(f), unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	return again
}

func (b *blocks) open(name string, c content) (object, error) {
	if o, ok := b.objects.get(name); ok {
		return o, nil
	}
	f, err := b.root.Open(name)
	if err != nil {
		return object{}, err
	}
	measure, err := verity.Measure(f)
	o := object{file: f, sealed: err == nil && measure == c.digest(), spared: new(spared)}
	if !o.sealed && c.size() >= streamMin { // where fs-verity is, the kernel goes through the cache
		o.direct = pastCache(f)
	}
	b.objects.put(name, o, 1)
	return o, nil
}

// tree gives the Merkle tree of a content: from the leaves that Make has kept, or, if
// they are damaged or the content was not there then, from the whole object.
func (b *blocks) tree(d *deployment, c content, f *os.File) (*digest.Tree, error) {
	if t, ok := b.trees.get(c.digest()); ok {
		return t, nil
	}
	t, err := d.tree(c)
	if err != nil {
		if t, err = buildTree(io.NewSectionReader(f, 0, c.size()+1), c); err != nil {
			return nil, err
		}
	}
	b.trees.put(c.digest(), t, int64(len(t.Leaves())))
	return t, nil
}

// readSource has the Source give what the store lacks.
func (b *blocks) readSource(cancel <-chan struct{}, c content, offset int64, p []byte) error {
	r, err := b.reader(cancel, c)
	if err != nil {
		return err
	}
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	b.readers.remove(c.digest())
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// reader opens a content at the Source, unless it is open.
func (b *blocks) reader(cancel <-chan struct{}, c content) (Reader, error) {
	if r, ok := b.readers.get(c.digest()); ok {
		return r, nil
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	opened := make(chan struct{})
	defer close(opened)
	go func() {
		select {
		case <-cancel:
			stop()
		case <-opened:
		}
	}()
	r, err := b.source.Open(ctx, Content{c.digest(), c.size()})
	if err == nil {
		b.readers.put(c.digest(), r, 1)
	}
	return r, err
}

// damaged tells errors that say that what is stored is wrong.
func damaged(err error) bool { return errors.Is(err, digest.ErrMismatch) }
