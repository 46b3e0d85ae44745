package erofs

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Fields of a line of a dump.
const (
	fieldPath = iota
	fieldSize
	fieldMode
	fieldNlink
	fieldUID
	fieldGID
	fieldRdev
	fieldMtime
	fieldPayload
	fieldContent
	fieldDigest
	fieldCount
)

const (
	// maxXattrText bounds the attributes of a line, escaped, in bytes.
	maxXattrText = 65535
	// maxLine bounds a line, in bytes. Content and attributes take at most a tenth of it;
	// the rest is for paths, which upstream does not bound.
	maxLine = 1 << 20
)

// errMistake is matched by what is refused although upstream takes it: there it gives
// an image that nobody meant, or one that depends on what was in memory.
var errMistake = errors.New("mkcomposefs takes this, by mistake")

// ReadDump adds the entries of a composefs dump, as `mkcomposefs --from-file` reads
// it: numbers are as in C, too large ones are cut. What upstream accepts by mistake is
// refused: owners and devices that are no numbers, and digests that are none where they
// count. Input untrusted; the error names the line.
//
// Source: composefs-dump(5).
func (b *Builder) ReadDump(r io.Reader) error {
	in := bufio.NewReaderSize(r, maxLine)
	p := &dumpParser{}
	for line := 1; ; line++ {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("line %d: %w", line, bad("longer than %d bytes", maxLine))
		}
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF && len(text) == 0 {
			return nil
		}
		p.buf = p.buf[:0]
		if addErr := p.add(b, bytes.TrimSuffix(text, []byte("\n"))); addErr != nil {
			return fmt.Errorf("line %d: %w", line, addErr)
		}
		if err == io.EOF {
			return nil
		}
	}
}

// dumpParser reads lines; what it makes is good until the next.
type dumpParser struct {
	fields [fieldCount][]byte
	node   Node
	buf    []byte // of what was escaped
	xattrs []Xattr
}

func (p *dumpParser) add(b *Builder, line []byte) error {
	if at := bytes.IndexByte(line, 0); at >= 0 {
		return bad("a NUL at %d", at)
	}
	rest, more := line, true
	for k := range p.fields { // those that are missing are empty, as upstream has it
		p.fields[k], rest, more = bytes.Cut(rest, []byte(" "))
	}
	p.node = Node{}
	path, err := p.text(p.fields[fieldPath])
	if err != nil {
		return err
	}
	if len(path) == 0 {
		return bad("no path")
	}
	p.node.Path = string(path)
	mode := p.fields[fieldMode]
	if further, isLink := bytes.CutPrefix(mode, []byte("@")); isLink {
		return p.link(b, further)
	}
	if err := p.numbers(); err != nil {
		return err
	}
	if err := p.contents(); err != nil {
		return err
	}
	if more {
		if err := p.attributes(rest); err != nil {
			return err
		}
	}
	return b.Add(&p.node)
}

// link is a line of a further name, of which little counts.
func (p *dumpParser) link(b *Builder, mode []byte) error {
	m, err := number(mode, 8)
	if err != nil {
		return err
	}
	switch m & typeBits {
	case typeDir:
		return bad("directories have one name")
	case typeFile, typeLink, typeChar, typeBlock, typeFifo, typeSock:
	default:
		return bad("mode %o has no type", m)
	}
	target, set, err := p.optional(p.fields[fieldPayload])
	if err != nil {
		return err
	}
	switch {
	case !set:
		return bad("a further name of nothing")
	case len(target) == 0:
		return bad("a further name of the root (%w)", errMistake)
	}
	p.node.Link = string(target)
	return b.Add(&p.node)
}

func (p *dumpParser) numbers() error {
	n := &p.node
	var mode, nlink, uid, gid, rdev uint64
	for _, f := range []struct {
		field, base int
		to          *uint64
	}{
		{fieldSize, 10, &n.Size}, {fieldMode, 8, &mode}, {fieldNlink, 10, &nlink},
		{fieldUID, 10, &uid}, {fieldGID, 10, &gid}, {fieldRdev, 10, &rdev},
	} {
		v, err := number(p.fields[f.field], f.base)
		switch mistaken := uid != 0 && (f.field == fieldGID || f.field == fieldRdev); {
		case err != nil && mistaken:
			return fmt.Errorf("%w (%w)", err, errMistake)
		case err != nil:
			return err
		}
		*f.to = v
	}
	n.Mode, n.Nlink, n.UID, n.GID, n.Rdev = uint32(mode), uint32(nlink), uint32(uid), uint32(gid), uint32(rdev)
	sec, nsec, ok := bytes.Cut(p.fields[fieldMtime], []byte("."))
	if !ok {
		return bad("time %.40q without a point", p.fields[fieldMtime])
	}
	s, err := number(sec, 10)
	if err != nil {
		return err
	}
	ns, err := number(nsec, 10)
	n.Sec, n.Nsec = int64(s), uint32(ns)
	return err
}

// number reads what C's strtoull does, and all of it.
func number(text []byte, base int) (uint64, error) {
	digits := bytes.TrimLeft(text, "\t\v\f\r")
	negative := false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	if len(digits) == 0 || bytes.ContainsFunc(digits, func(c rune) bool { return c < '0' || c >= '0'+rune(base) }) {
		return 0, bad("%.40q is no number", text)
	}
	v, err := strconv.ParseUint(string(digits), base, 64)
	switch {
	case err != nil: // too large
		return math.MaxUint64, nil
	case negative:
		return -v, nil
	}
	return v, nil
}

// contents reads what depends on the type.
func (p *dumpParser) contents() error {
	n := &p.node
	payload, _, err := p.optional(p.fields[fieldPayload])
	if err != nil {
		return err
	}
	content, inside, err := p.optionalBytes(p.fields[fieldContent])
	if err != nil {
		return err
	}
	if err := p.digest(inside); err != nil {
		return err
	}
	if inside && uint64(len(content)) != n.Size {
		return bad("content of %d bytes in a file of %d", len(content), n.Size)
	}
	if n.Mode&typeBits == typeLink {
		n.Target = string(payload)
		return nil
	}
	n.Object = string(payload)
	if inside {
		n.Content = content
	}
	return nil
}

// digest reads the digest of a file whose content is elsewhere. Of others it does not
// count, whatever it is.
func (p *dumpParser) digest(inside bool) error {
	n := &p.node
	name, measured, err := p.optional(p.fields[fieldDigest])
	if err != nil || !measured || n.Mode&typeBits != typeFile || inside || n.Size == 0 {
		return err
	}
	if len(name) != 2*len(n.Digest) {
		return bad("a digest of %d digits (%w)", len(name), errMistake)
	}
	if _, err := hex.Decode(n.Digest[:], name); err != nil {
		return bad("digest %q: %w (%w)", name, err, errMistake)
	}
	n.Measured = true
	return nil
}

func (p *dumpParser) attributes(rest []byte) error {
	if len(rest) > maxXattrText {
		return bad("attributes of %d bytes, limit %d", len(rest), maxXattrText)
	}
	p.xattrs = p.xattrs[:0]
	for len(rest) > 0 {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte(" "))
		key, value, ok := bytes.Cut(text, []byte("="))
		if !ok {
			return bad("attribute %.40q without =", text)
		}
		name, err := p.text(key)
		if err != nil {
			return err
		}
		content, err := p.unescape(value)
		if err != nil {
			return err
		}
		p.xattrs = append(p.xattrs, Xattr{string(name), content})
	}
	p.node.Xattrs = p.xattrs
	return nil
}

// optional reads a field in which a lone dash means nothing.
func (p *dumpParser) optional(field []byte) (value []byte, set bool, err error) {
	if string(field) == "-" {
		return nil, false, nil
	}
	value, err = p.text(field)
	return value, err == nil, err
}

func (p *dumpParser) optionalBytes(field []byte) (value []byte, set bool, err error) {
	if string(field) == "-" {
		return nil, false, nil
	}
	value, err = p.unescape(field)
	return value, err == nil, err
}

// text is unescape for what ends at a NUL.
func (p *dumpParser) text(field []byte) ([]byte, error) {
	value, err := p.unescape(field)
	if at := bytes.IndexByte(value, 0); at >= 0 {
		value = value[:at]
	}
	return value, err
}

// unescape gives a field as it is meant; the result is the parser's.
func (p *dumpParser) unescape(field []byte) ([]byte, error) {
	if bytes.IndexByte(field, '\\') < 0 {
		return field, nil
	}
	start := len(p.buf)
	for k := 0; k < len(field); k++ {
		c := field[k]
		if c != '\\' {
			p.buf = append(p.buf, c)
			continue
		}
		if k++; k == len(field) {
			return nil, bad("a backslash at the end")
		}
		switch field[k] {
		case '\\':
			c = '\\'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'x':
			if len(field)-k < 3 {
				return nil, bad("%q: two hex digits must follow", field[k-1:])
			}
			var one [1]byte
			if _, err := hex.Decode(one[:], field[k+1:k+3]); err != nil {
				return nil, bad("%q: %w", field[k-1:k+3], err)
			}
			c = one[0]
			k += 2
		default:
			return nil, bad("%q is no escape", field[k-1:k+1])
		}
		p.buf = append(p.buf, c)
	}
	return p.buf[start:], nil
}
