package fuse

import (
	"runtime"
	"sync"

	"github.com/larch-project/larch/digest"
)

const (
	// chunkSize is how much is read and checked at a time ahead of who reads a large
	// content from front to back, in bytes, and chunksAhead how many such pieces.
	chunkSize   = 512 << 10
	chunksAhead = 4
	// streamMin is how large a content has to be for that,
	streamMin = 2 * chunkSize
	// and maxStreams for how many contents it is done at the same time.
	maxStreams = 4
)

// ahead reads large contents before they are asked for: of an ordinary user's mount the
// kernel asks for 128 KiB at a time, and would wait for each of them to be read and
// checked. It may be used concurrently.
type ahead struct {
	blocks  *blocks
	slots   chan struct{} // for what is being read
	buffers sync.Pool     // *[chunkSize]byte

	mu      sync.Mutex
	streams []*stream // those used last behind
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
	a := &ahead{blocks: b, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	a.buffers.New = func() any { return new([chunkSize]byte) }
	return a
}

// read is blocks.read, from what was read ahead if it can be.
func (a *ahead) read(cancel <-chan struct{}, d *deployment, c content, offset int64, p []byte) error {
	if c.size() < streamMin || len(p) >= chunkSize { // the kernel itself asks for enough at a time
		return a.blocks.read(cancel, d, c, offset, p)
	}
	for len(p) > 0 {
		n := min(len(p), int(chunkSize-offset%chunkSize))
		if !a.take(d, c, offset, p[:n]) {
			if err := a.blocks.read(cancel, d, c, offset, p[:n]); err != nil {
				return err
			}
		}
		offset, p = offset+int64(n), p[n:]
	}
	return nil
}

// take copies from a chunk, if there is one.
func (a *ahead) take(d *deployment, c content, offset int64, p []byte) bool {
	k := a.use(d, c, offset, int64(len(p)))
	if k == nil {
		return false
	}
	<-k.ready
	ok := k.err == nil
	if ok {
		copy(p, k.data[offset%chunkSize:])
	}
	a.release(k)
	return ok
}

// use finds the chunk at offset, or nil, and begins those that will be wanted if the
// content is read in order.
func (a *ahead) use(d *deployment, c content, offset, n int64) *chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streamLocked(d, c)
	inOrder := offset <= s.reach+chunkSize && offset+chunksAhead*chunkSize >= s.reach
	s.reach = max(s.reach, offset+n)
	if !inOrder {
		s.reach = offset + n
	}
	for i, k := range s.chunks {
		if at := i * chunkSize; at+chunkSize <= s.reach-chunkSize || at > s.reach+(chunksAhead+1)*chunkSize {
			delete(s.chunks, i)
			a.dropLocked(k)
		}
	}
	if inOrder {
		for i := offset / chunkSize; i*chunkSize < min(s.reach+chunksAhead*chunkSize, c.size()); i++ {
			if s.chunks[i] == nil {
				s.chunks[i] = a.begin(d, c, i*chunkSize)
			}
		}
	}
	k := s.chunks[offset/chunkSize]
	if k != nil {
		k.users++
	}
	return k
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

// begin starts to read a chunk.
func (a *ahead) begin(d *deployment, c content, at int64) *chunk {
	k := &chunk{buffer: a.buffers.Get().(*[chunkSize]byte), ready: make(chan struct{}), users: 1}
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
		a.buffers.Put(k.buffer)
		k.buffer = nil
	}
}
