package btrfssend

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxUnencoded is the content of one compressed extent, in bytes: btrfs makes none
// that is larger.
const maxUnencoded = 128 << 10

// Kinds of compression, as BTRFS_IOC_ENCODED_WRITE numbers them. The five of lzo
// differ in the size of a sector: 4 KiB to 64 KiB.
const (
	packedNot = iota
	packedZlib
	packedZstd
	packedLzo4K
	packedLzo64K = packedLzo4K + 4
)

// unpacker decompresses extents. The zero unpacker is ready for use.
type unpacker struct {
	buf  []byte
	zlib io.ReadCloser
	zstd *zstd.Decoder
}

// unpack gives the part of an extent that a file has. It is good until the next
// call. Input untrusted: what is decompressed has at most maxUnencoded bytes.
func (u *unpacker) unpack(m *message) ([]byte, error) {
	whole, offset, length := m.number(attrUnencodedLen), m.number(attrUnencodedOffset), m.number(attrUnencodedFileLen)
	if m.number(attrEncryption) != 0 {
		return nil, fmt.Errorf("%w: the contents are encrypted", ErrFormat)
	}
	if whole > maxUnencoded || offset > whole || length > whole-offset {
		return nil, fmt.Errorf("%w: %d bytes at %d of an extent of %d", ErrFormat, length, offset, whole)
	}
	if u.buf == nil {
		u.buf = make([]byte, maxUnencoded)
	}
	to, packed := u.buf[:whole], m.values[attrData]
	var n int
	var err error
	switch kind := m.number(attrCompression); {
	case kind == packedNot && len(packed) <= len(to):
		n = copy(to, packed)
	case kind == packedZlib:
		n, err = u.inflate(to, packed)
	case kind == packedZstd:
		n, err = u.unzstd(to, packed)
	case kind >= packedLzo4K && kind <= packedLzo64K:
		n, err = unpackLzo(to, packed, 4096<<(kind-packedLzo4K))
	default:
		err = fmt.Errorf("compression %d of %d bytes", kind, len(packed))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the compressed contents: %w", ErrFormat, err)
	}
	clear(to[n:]) // an extent that is shorter ends with zeros
	return to[offset : offset+length], nil
}

// inflate undoes zlib. What follows the end of the compressed data fills a sector.
func (u *unpacker) inflate(to, packed []byte) (n int, err error) {
	if u.zlib == nil {
		u.zlib, err = zlib.NewReader(bytes.NewReader(packed))
	} else {
		err = u.zlib.(zlib.Resetter).Reset(bytes.NewReader(packed), nil)
	}
	if err != nil {
		return 0, err
	}
	n, err = io.ReadFull(u.zlib, to)
	if err == nil { // there must be an end behind it
		if more, endErr := u.zlib.Read(make([]byte, 1)); more > 0 || endErr != io.EOF {
			return 0, errors.New("it is longer than the extent")
		}
	}
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) && u.ended() {
		err = nil
	}
	return n, err
}

// ended tells whether the compressed data has its end, with the right checksum.
func (u *unpacker) ended() bool {
	_, err := u.zlib.Read(make([]byte, 1))
	return err == io.EOF
}

// unzstd undoes zstd. What follows the first frame fills a sector.
func (u *unpacker) unzstd(to, packed []byte) (int, error) {
	frame, err := firstFrame(packed)
	if err != nil {
		return 0, err
	}
	if u.zstd == nil {
		u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderMaxWindow(maxUnencoded), zstd.WithDecoderLowmem(true))
		if err != nil {
			return 0, err
		}
	}
	out, err := u.zstd.DecodeAll(frame, to[:0:len(to)])
	return len(out), err
}

// firstFrame finds the end of a zstd frame: RFC 8878 §3.1.1.
func firstFrame(p []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(p); err != nil {
		return nil, err
	}
	if h.Skippable {
		return nil, errors.New("a skippable frame")
	}
	at := h.HeaderSize
	for last := false; !last; {
		if at+3 > len(p) {
			return nil, io.ErrUnexpectedEOF
		}
		head := int(p[at]) | int(p[at+1])<<8 | int(p[at+2])<<16
		last = head&1 != 0
		size := head >> 3
		if head>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		at += 3 + size
	}
	if h.HasCheckSum {
		at += 4
	}
	if at > len(p) {
		return nil, io.ErrUnexpectedEOF
	}
	return p[:at], nil
}

// close releases the decoders.
func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}
