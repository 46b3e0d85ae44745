package fuse

import (
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
)

const (
	// chunkSize is how much is read and checked at a time ahead of who reads a large
	// content from front to back, in bytes, and chunksAhead how many such pieces.
	chunkSize   = 1 << 20
	chunksAhead = 4
	// streamMin is how large a content has to be for that,
	streamMin = 2 * chunkSize
	// and maxStreams for how many contents it is done at the same time: 28 MiB of memory
	// at most.
	maxStreams = 4
	// hugePage is the size of the largest pages that memory commonly has, in bytes.
	hugePage = 2 << 20
)

// ahead reads large contents before they are asked for: the kernel has one request under
// way for each that is read, of 128 KiB in an ordinary user's mount and 1 MiB in root's,
// and would wait for each of them to be read and checked, on one core. It may be used
// concurrently.
type ahead struct {
	blocks *blocks
	slots  chan struct{} // for what is being read

	mu      sync.Mutex
	streams []*stream // those used last behind
	free    []*[chunkSize]byte
}

// stream is one content that is read from front to back.
type stream struct {
	of     *deployment
	digest digest.Digest
	reach  int64 // up to where it was asked for
	chunks map[int64]*chunk
}

// chunk is a piece of it. users and gone are guarded by ahead.mu.
type chunk struct {
	buffer *[chunkSize]byte
	data   []byte
	err    error
	ready  chan struct{} // closed when data and err are there
	users  int
	gone   bool
}

func newAhead(b *blocks) *ahead {
	// Twice as many as there are cores: some wait for the disk, some are hashed.
	return &ahead{blocks: b, slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
}

// loan is bytes of chunks, which are to be given back when they were used.
type loan struct {
	from   *ahead
	chunks []*chunk
	pieces [][]byte
}

func (l *loan) release() {
	for _, k := range l.chunks {
		l.from.release(k)
	}
}

// lend gives what blocks.read would read, from what was read ahead; nil if it cannot.
func (a *ahead) lend(d *deployment, c content, offset, n int64) *loan {
	if c.size() < streamMin {
		return nil
	}
	l := &loan{from: a, chunks: a.use(d, c, offset, n)}
	for at := offset; at < offset+n; {
		first := at / chunkSize * chunkSize
		end := min(first+chunkSize, offset+n)
		i := len(l.pieces)
		if i == len(l.chunks) {
			break
		}
		k := l.chunks[i]
		<-k.ready
		if k.err != nil {
			break
		}
		l.pieces = append(l.pieces, k.data[at-first:end-first])
		at = end
	}
	if int64(len(l.pieces)) != (offset+n-1)/chunkSize-offset/chunkSize+1 {
		l.release()
		return nil
	}
	return l
}

// use finds the chunks from offset on, up to the first that is not there, and begins
// those that will be wanted if the content is read in order.
func (a *ahead) use(d *deployment, c content, offset, n int64) (found []*chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streamLocked(d, c)
	inOrder := offset <= s.reach+chunkSize && offset+chunksAhead*chunkSize >= s.reach
	s.reach = max(s.reach, offset+n)
	if !inOrder {
		s.reach = offset + n
	}
	for i, k := range s.chunks {
		if at := i * chunkSize; at+chunkSize <= s.reach-n-chunkSize || at > s.reach+(chunksAhead+1)*chunkSize {
			delete(s.chunks, i)
			a.dropLocked(k)
		}
	}
	if inOrder {
		for i := offset / chunkSize; i*chunkSize < min(s.reach+chunksAhead*chunkSize, c.size()); i++ {
			if s.chunks[i] == nil {
				s.chunks[i] = a.beginLocked(d, c, i*chunkSize)
			}
		}
	}
	for i := offset / chunkSize; i*chunkSize < offset+n; i++ {
		k := s.chunks[i]
		if k == nil {
			break
		}
		k.users++
		found = append(found, k)
	}
	return found
}

// streamLocked gives the stream of a content; the one that was not used for longest
// makes room for a new one.
func (a *ahead) streamLocked(d *deployment, c content) *stream {
	for i, s := range a.streams {
		if s.digest == c.digest() && s.of == d {
			a.streams = append(append(a.streams[:i], a.streams[i+1:]...), s)
			return s
		}
	}
	if len(a.streams) == maxStreams {
		for _, k := range a.streams[0].chunks {
			a.dropLocked(k)
		}
		a.streams = append(a.streams[:0], a.streams[1:]...)
	}
	s := &stream{of: d, digest: c.digest(), chunks: map[int64]*chunk{}, reach: -1 << 62}
	a.streams = append(a.streams, s)
	return s
}

// beginLocked starts to read a chunk.
func (a *ahead) beginLocked(d *deployment, c content, at int64) *chunk {
	k := &chunk{buffer: a.bufferLocked(), ready: make(chan struct{}), users: 1}
	go func() {
		a.slots <- struct{}{}
		k.data = k.buffer[:min(chunkSize, c.size()-at)]
		k.err = a.blocks.readStored(d, c, at, k.data)
		<-a.slots
		close(k.ready)
		a.release(k)
	}()
	return k
}

func (a *ahead) release(k *chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k.users--
	a.reuseLocked(k)
}

func (a *ahead) dropLocked(k *chunk) {
	k.gone = true
	a.reuseLocked(k)
}

// reuseLocked gives a buffer back that nobody wants any more.
func (a *ahead) reuseLocked(k *chunk) {
	if k.gone && k.users == 0 {
		a.free = append(a.free, k.buffer)
		k.buffer = nil
	}
}

// bufferLocked gives a buffer, in huge pages where the kernel has them: a disk that
// writes into small ones is told where each of them is, and takes twice as long.
func (a *ahead) bufferLocked() *[chunkSize]byte {
	if len(a.free) == 0 {
		for p := hugeMemory(); len(p) > 0; p = p[chunkSize:] {
			a.free = append(a.free, (*[chunkSize]byte)(p))
		}
	}
	last := len(a.free) - 1
	b := a.free[last]
	a.free = a.free[:last]
	return b
}

// hugeMemory gives one huge page, or as much memory of another kind.
func hugeMemory() []byte {
	p, err := unix.Mmap(-1, 0, 2*hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]byte, hugePage)
	}
	p = p[-uintptr(unsafe.Pointer(&p[0]))%hugePage:][:hugePage] // what is left out is never touched
	_ = unix.Madvise(p, unix.MADV_HUGEPAGE)
	return p
}
