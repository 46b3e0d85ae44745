package repo

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/internal/beneath"
)

// keptFrames is how many frames a ContentReader remembers: neighbours share them.
const keptFrames = 8

// ContentReader gives contents out of packs, unchecked. It is not for concurrent
// use.
type ContentReader struct {
	dir     *beneath.Dir // the repository's root
	packs   []Pack
	frames  []Frame
	decoder *zstd.Decoder
	file    *os.File // the pack that was read last
	pack    int32
	stored  []byte
	kept    [keptFrames]keptFrame
	next    int // place in kept for the next frame
}

type keptFrame struct {
	number int32
	data   []byte
}

// Reader reads the contents of a release through its index. The caller closes it.
func (r *Repository) Reader(ix *Index) (*ContentReader, error) {
	return newContentReader(r.dir, ix.Packs, ix.Frames)
}

func newContentReader(dir *beneath.Dir, packs []Pack, frames []Frame) (*ContentReader, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(FrameSize))
	return &ContentReader{dir: dir, packs: packs, frames: frames, decoder: d}, err
}

// Close releases the reader.
func (c *ContentReader) Close() {
	c.decoder.Close()
	if c.file != nil {
		c.file.Close()
	}
}

// Content gives the size bytes that begin at a location, as a stream that is good
// until the next call of Content. The caller checks them.
func (c *ContentReader) Content(at Location, size int64) io.Reader {
	return &frameSequence{from: c, frame: at.Frame, offset: int(at.Offset), left: size}
}

// frame decompresses one frame; the result is good until keptFrames others were.
func (c *ContentReader) frame(n int32) ([]byte, error) {
	for _, k := range c.kept {
		if k.data != nil && k.number == n {
			return k.data, nil
		}
	}
	f := c.frames[n]
	if err := c.readStored(f); err != nil {
		return nil, fmt.Errorf("%s: %w", PackName(c.packs[f.Pack].Digest), err)
	}
	k := &c.kept[c.next%keptFrames]
	c.next++
	data, err := decodeFrame(c.decoder, c.stored, k.data[:0], f.Raw)
	*k = keptFrame{n, data}
	if err != nil {
		k.data = nil
		return nil, fmt.Errorf("%s: frame at %d: %w", PackName(c.packs[f.Pack].Digest), f.Offset, err)
	}
	return data, nil
}

// readStored fills c.stored with the frame as it is in its pack.
func (c *ContentReader) readStored(f Frame) error {
	if c.file == nil || c.pack != f.Pack {
		if c.file != nil {
			c.file.Close()
			c.file = nil
		}
		file, err := c.dir.Open(PackName(c.packs[f.Pack].Digest))
		if err != nil {
			return err
		}
		c.file, c.pack = file, f.Pack
	}
	if cap(c.stored) < int(f.Length) {
		c.stored = make([]byte, maxFrameStored)
	}
	c.stored = c.stored[:f.Length]
	n, err := c.file.ReadAt(c.stored, f.Offset)
	if n == len(c.stored) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// errFrame means that a frame does not decompress to what the index says.
var errFrame = errors.New("frame is damaged")

// decodeFrame appends the content of a frame, of exactly raw bytes, to buf[:0].
// Input untrusted; decoder limits what it takes to the capacity given here.
func decodeFrame(decoder *zstd.Decoder, stored, buf []byte, raw int32) ([]byte, error) {
	if cap(buf) < int(raw) {
		buf = make([]byte, 0, FrameSize)
	}
	data, err := decoder.DecodeAll(stored, buf[:0:raw])
	if err == nil && len(data) != int(raw) {
		err = fmt.Errorf("%d bytes instead of %d", len(data), raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errFrame, err)
	}
	return data, nil
}

// frameSequence is a content as a stream.
type frameSequence struct {
	from   *ContentReader
	frame  int32
	offset int
	left   int64
}

// Read implements io.Reader.
func (s *frameSequence) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int(s.frame) >= len(s.from.frames) {
		return 0, fmt.Errorf("%w: content beyond the last frame", ErrIndex)
	}
	data, err := s.from.frame(s.frame)
	if err != nil {
		return 0, err
	}
	if s.offset >= len(data) {
		return 0, fmt.Errorf("%w: content beyond the end of its frame", ErrIndex)
	}
	n := copy(p[:min(int64(len(p)), s.left)], data[s.offset:])
	s.left -= int64(n)
	if s.offset += n; s.offset == len(data) {
		s.frame, s.offset = s.frame+1, 0
	}
	return n, nil
}
