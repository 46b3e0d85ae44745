package tree

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/larch-project/larch/digest"
)

// Encoder writes the canonical text of a tree. What it accepts, Decode accepts:
// it refuses entries that are malformed, out of order or there twice.
type Encoder struct {
	w        io.Writer
	hasher   digest.Hasher
	sequence sequence
	buffer   []byte
	info     Info
	err      error // the first; all further calls give it
}

// flushSize is how much text is gathered before it is written, in bytes.
const flushSize = 64 << 10

// NewEncoder writes a text to w, in pieces of about 64 KiB.
func NewEncoder(w io.Writer) *Encoder {
	return &Encoder{w: w, buffer: make([]byte, 0, flushSize+flushSize/8)}
}

// Write adds the next entry. The error is a *RuleError, or comes from the writer
// underneath; after an error the text is of no use. e is not kept.
func (enc *Encoder) Write(e *Entry) error {
	if enc.err != nil {
		return enc.err
	}
	if v := enc.sequence.add(e); v != nil {
		enc.err = v
		return v
	}
	enc.buffer = appendEntry(enc.buffer, e)
	if len(enc.buffer) >= flushSize {
		enc.flush()
	}
	return enc.err
}

func (enc *Encoder) flush() {
	enc.hasher.Write(enc.buffer)
	if _, err := enc.w.Write(enc.buffer); err != nil {
		enc.err = fmt.Errorf("writing a tree: %w", err)
	}
	enc.buffer = enc.buffer[:0]
}

// Close checks that the tree is whole and writes what is left. It does not close
// the writer underneath.
func (enc *Encoder) Close() error {
	if enc.err != nil {
		return enc.err
	}
	if v := enc.sequence.end(); v != nil {
		enc.err = v
		return v
	}
	if enc.flush(); enc.err != nil {
		return enc.err
	}
	enc.info = enc.sequence.info
	enc.info.Digest, enc.info.Size = enc.hasher.Digest(), enc.hasher.Size()
	return nil
}

// Info describes the tree after Close; before, it is zero.
func (enc *Encoder) Info() Info { return enc.info }

// Type bits as in st_mode.
const (
	typeBits      = 0o170000
	typeDirectory = 0o040000
	typeRegular   = 0o100000
	typeSymlink   = 0o120000
)

// appendEntry appends an entry's line.
func appendEntry(b []byte, e *Entry) []byte {
	b = appendEscaped(b, string(e.Path), false)
	b = strconv.AppendInt(append(b, ' '), e.Size, 10)
	b = append(b, ' ')
	switch e.Kind {
	case Directory:
		b = strconv.AppendUint(b, uint64(e.Mode|typeDirectory), 8)
	case Symlink:
		b = strconv.AppendUint(b, uint64(e.Mode|typeSymlink), 8)
	case Hardlink:
		b = strconv.AppendUint(append(b, '@'), uint64(e.Mode|typeRegular), 8)
	default:
		b = strconv.AppendUint(b, uint64(e.Mode|typeRegular), 8)
	}
	b = strconv.AppendUint(append(b, ' '), uint64(e.Nlink), 10)
	b = strconv.AppendUint(append(b, ' '), uint64(e.UID), 10)
	b = strconv.AppendUint(append(b, ' '), uint64(e.GID), 10)
	b = strconv.AppendInt(append(b, " 0 "...), e.Mtime.Sec, 10)
	b = strconv.AppendUint(append(b, '.'), uint64(e.Mtime.Nsec), 10)
	b = appendPayload(append(b, ' '), e)
	for _, x := range e.Xattrs {
		b = appendEscaped(append(b, ' '), x.Name, true)
		b = appendEscaped(append(b, '='), x.Value, true)
	}
	return append(b, '\n')
}

// appendPayload appends the fields payload, content and digest.
func appendPayload(b []byte, e *Entry) []byte {
	switch {
	case e.Kind == Symlink || e.Kind == Hardlink:
		return append(appendOptional(b, e.Target), " - -"...)
	case e.Kind == Regular && e.Size > InlineMax:
		b = hex.AppendEncode(b, e.Digest[:1])
		b = hex.AppendEncode(append(b, '/'), e.Digest[1:])
		return hex.AppendEncode(append(b, " - "...), e.Digest[:])
	case e.Kind == Regular && e.Size > 0:
		return append(appendOptional(append(b, "- "...), e.Inline), " -"...)
	}
	return append(b, "- - -"...)
}

// appendOptional escapes a field in which a lone dash means that it is not set.
func appendOptional[T string | []byte](b []byte, field T) []byte {
	if len(field) == 1 && field[0] == '-' {
		return append(b, `\x2d`...)
	}
	return appendEscaped(b, field, false)
}

// appendEscaped writes the escapes that "composefs-info dump" writes, and no
// others; in xattrs = is one of them.
func appendEscaped[T string | []byte](b []byte, field T, xattr bool) []byte {
	const digits = "0123456789abcdef"
	plain := 0 // from where on the bytes are not appended yet
	for i := range len(field) {
		c := field[i]
		if c > ' ' && c <= '~' && c != '\\' && (c != '=' || !xattr) {
			continue
		}
		b = append(b, field[plain:i]...)
		plain = i + 1
		switch c {
		case '\\':
			b = append(b, '\\', '\\')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		}
	}
	return append(b, field[plain:]...)
}
