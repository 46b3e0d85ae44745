package repo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/pipeline"
)

// LargeSize is from where a content has frames of its own, in bytes.
const LargeSize = 128 << 10

// packer turns contents into frames and frames into packs, and adds both to a
// catalog. Contents are given one after the other; frames are compressed in
// parallel behind. Packs get their names at the end of close; an error before
// leaves nothing.
type packer struct {
	catalog *catalog
	shared  *rawFrame // the frame that small contents share, while it is open
	queue   chan *rawFrame
	written chan error // the outcome of write
	failed  context.Context
	fail    context.CancelCauseFunc

	Bytes int64 // written into packs, once closed
}

// rawFrame is a frame before compression and, later, after.
type rawFrame struct {
	number int32 // in the catalog
	data   []byte
	stored []byte
}

var rawFrames = sync.Pool{New: func() any { return &rawFrame{data: make([]byte, 0, FrameSize)} }}

// newPacker starts packs below dir, the repository's root.
func newPacker(ctx context.Context, dir *beneath.Dir, c *catalog) *packer {
	p := &packer{catalog: c, queue: make(chan *rawFrame), written: make(chan error, 1)}
	p.failed, p.fail = context.WithCancelCause(ctx)
	go func() {
		err := p.write(dir, &packWriter{dir: dir})
		p.fail(err)
		p.written <- err
	}()
	return p
}

// addSmall puts a content below LargeSize into the shared frame. p may be reused
// by the caller.
func (p *packer) addSmall(data []byte) (Location, error) {
	if p.shared != nil && len(p.shared.data)+len(data) > SharedSize {
		if err := p.flush(); err != nil {
			return Location{}, err
		}
	}
	if p.shared == nil {
		p.shared = p.open()
	}
	at := Location{p.shared.number, int32(len(p.shared.data))}
	p.shared.data = append(p.shared.data, data...)
	return at, nil
}

// addLarge cuts a content into frames. The error matches digest.ErrMismatch if
// r does not give what the digest names; the packs are spoilt then.
func (p *packer) addLarge(r io.Reader, d digest.Digest, size int64) (Location, error) {
	checked := digest.NewReader(r, d, size)
	first := int32(-1)
	for size > 0 {
		f := p.open()
		if first < 0 {
			first = f.number
		}
		f.data = f.data[:min(size, FrameSize)]
		if _, err := io.ReadFull(checked, f.data); err != nil {
			return Location{}, err
		}
		size -= int64(len(f.data))
		if err := p.send(f); err != nil {
			return Location{}, err
		}
	}
	if _, err := checked.Read(make([]byte, 1)); err != io.EOF {
		return Location{}, err
	}
	return Location{Frame: first}, nil
}

// open takes a place in the catalog for a frame; write fills in where it is.
func (p *packer) open() *rawFrame {
	f := rawFrames.Get().(*rawFrame)
	f.data = f.data[:0]
	p.catalog.mu.Lock()
	defer p.catalog.mu.Unlock()
	f.number = p.catalog.addFrame(Frame{})
	return f
}

func (p *packer) flush() error {
	f := p.shared
	p.shared = nil
	if f == nil {
		return nil
	}
	return p.send(f)
}

func (p *packer) send(f *rawFrame) error {
	select {
	case p.queue <- f:
		return nil
	case <-p.failed.Done():
		return context.Cause(p.failed)
	}
}

// close writes what is left and gives the packs their names; on return they
// survive power loss.
func (p *packer) close() error {
	err := p.flush()
	close(p.queue)
	if written := <-p.written; written != nil {
		err = written
	}
	return err
}

// abort ends the work and leaves nothing.
func (p *packer) abort() {
	p.fail(context.Canceled)
	close(p.queue)
	<-p.written
}

func (p *packer) frames() iter.Seq2[*rawFrame, error] {
	return func(yield func(*rawFrame, error) bool) {
		for f := range p.queue {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// write compresses the frames of the queue and appends them to packs.
func (p *packer) write(dir *beneath.Dir, packs *packWriter) (err error) {
	defer packs.drop()
	codecs := newCodecs()
	defer codecs.close()
	for f, err := range pipeline.Ordered(p.failed, runtime.GOMAXPROCS(0), p.frames(), codecs.compress) {
		if err == nil {
			err = p.place(f, packs)
		}
		if err != nil {
			return err
		}
		rawFrames.Put(f)
	}
	if err := context.Cause(p.failed); err != nil {
		return err
	}
	return p.finish(packs)
}

// place appends a frame to the open pack, or to a new one if it is full.
func (p *packer) place(f *rawFrame, packs *packWriter) error {
	if packs.size+int64(len(f.stored)) > MaxPack {
		if err := p.finish(packs); err != nil {
			return err
		}
	}
	p.catalog.mu.Lock()
	defer p.catalog.mu.Unlock()
	if packs.size == 0 {
		packs.number = p.catalog.reservePack()
	}
	p.catalog.frames[f.number] = Frame{
		Pack: packs.number, Offset: packs.size, Length: int32(len(f.stored)), Raw: int32(len(f.data)),
	}
	return packs.append(f.stored)
}

// finish names the open pack, if there is one.
func (p *packer) finish(packs *packWriter) error {
	if packs.size == 0 {
		return nil
	}
	pack, err := packs.finish()
	if err != nil {
		return err
	}
	p.Bytes += pack.Size
	p.catalog.mu.Lock()
	defer p.catalog.mu.Unlock()
	p.catalog.namePack(packs.number, pack)
	return nil
}

// codecs are compressors and their checks, one pair for each core.
type codecs struct {
	free chan codec
}

type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	check   []byte
}

func newCodecs() *codecs {
	c := &codecs{free: make(chan codec, runtime.GOMAXPROCS(0))}
	for range cap(c.free) {
		c.free <- codec{}
	}
	return c
}

func (c *codecs) close() {
	for range cap(c.free) {
		if one := <-c.free; one.decoder != nil {
			one.decoder.Close()
		}
	}
}

// compress fills in a frame's stored form, and reads it back: a compressor with a
// fault must not reach a repository.
func (c *codecs) compress(_ context.Context, f *rawFrame) (_ *rawFrame, err error) {
	one := <-c.free
	defer func() { c.free <- one }()
	if one.encoder == nil {
		if one, err = newCodec(); err != nil {
			return nil, err
		}
	}
	f.stored = one.encoder.EncodeAll(f.data, f.stored[:0])
	one.check, err = one.decoder.DecodeAll(f.stored, one.check[:0])
	if err != nil || !bytes.Equal(one.check, f.data) {
		return nil, fmt.Errorf("compressing a frame: it does not decompress to what it was (%v); please report this", err)
	}
	return f, nil
}

func newCodec() (c codec, err error) {
	c.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(FrameSize),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return c, err
	}
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(FrameSize))
	c.check = make([]byte, 0, FrameSize)
	return c, err
}
