package btrfssend

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/larch-project/larch/tree"
)

// Errors of reading that callers decide on. A stream that was cut off matches
// io.ErrUnexpectedEOF, and what no tree can hold is a *tree.RuleError.
var (
	// ErrFormat is matched when a file is no stream that can be read, or makes no
	// sense: it names what is not there, or would lead elsewhere.
	ErrFormat = errors.New("not a btrfs send stream that can be read")
	// ErrParent is matched when a stream starts from a subvolume, or takes contents
	// of one, that no stream before it has made.
	ErrParent = errors.New("the stream of another subvolume must be given before this one")
	// ErrSubvolume is matched when no stream makes a subvolume of the wanted name.
	ErrSubvolume = errors.New("no such subvolume in the streams")
)

// Limits of one command, with its header, in bytes: those of the kernel. Version 2
// has none; the kernel's longest commands are of 144 KiB, or 192 KiB on machines
// with pages of 64 KiB.
const (
	maxCommand1 = 64 << 10
	maxCommand2 = 256 << 10
)

// decoder reads the commands of streams, one stream behind the other.
type decoder struct {
	r       io.Reader
	version uint32
	forms   []form
	table   *crc32.Table
	at      int64 // bytes read so far
	buf     []byte
}

func newDecoder(r io.Reader) *decoder {
	return &decoder{r: r, forms: forms(), table: crc32.MakeTable(crc32.Castagnoli), buf: make([]byte, maxCommand2)}
}

// message is a command with its attributes; nil are those that it has not. They
// are good until the next one is read.
type message struct {
	cmd    command
	name   string
	at     int64 // where it begins in the file
	values [attrCount][]byte
}

// read fills p: io.EOF is the end before the first byte.
func (d *decoder) read(p []byte) error {
	n, err := io.ReadFull(d.r, p)
	d.at += int64(n)
	return err
}

// start reads the header of a stream; io.EOF is the end of the file.
func (d *decoder) start() error {
	head := d.buf[:streamHeader]
	before := d.at
	err := d.read(head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if begin := head[:min(d.at-before, int64(len(magic)))]; !strings.HasPrefix(magic, string(begin)) {
		return fmt.Errorf("%w: it does not begin as one", ErrFormat)
	}
	if err != nil {
		return err
	}
	d.version = binary.LittleEndian.Uint32(head[len(magic):])
	if d.version == 0 || d.version > MaxVersion {
		return fmt.Errorf("%w: version %d of the format; 1 to %d are known", ErrFormat, d.version, MaxVersion)
	}
	return nil
}

// next reads one command. That there is none is io.ErrUnexpectedEOF.
func (d *decoder) next() (*message, error) {
	m := &message{at: d.at}
	err := d.command(m)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("the command at byte %d: %w", m.at, err)
	}
	return m, nil
}

func (d *decoder) command(m *message) error {
	head := d.buf[:commandHeader]
	if err := d.read(head); err != nil {
		return err
	}
	length, limit := int64(binary.LittleEndian.Uint32(head)), int64(maxCommand1)
	if d.version > 1 {
		limit = maxCommand2
	}
	if length+commandHeader > limit {
		return fmt.Errorf("%w: a command of %d bytes; at most %d may be", ErrFormat, length, limit-commandHeader)
	}
	m.cmd = command(binary.LittleEndian.Uint16(head[4:]))
	want := binary.LittleEndian.Uint32(head[6:])
	clear(head[6:])
	all := d.buf[:commandHeader+length]
	if err := d.read(all[commandHeader:]); err != nil && length > 0 {
		return err
	}
	if have := checksum(d.table, 0, all); have != want {
		return fmt.Errorf("%w: its CRC is %08x, and should be %08x", ErrFormat, have, want)
	}
	if m.cmd == 0 || int(m.cmd) >= len(d.forms) || d.forms[m.cmd].since > d.version {
		return fmt.Errorf("%w: no command of version %d has the number %d", ErrFormat, d.version, m.cmd)
	}
	m.name = d.forms[m.cmd].name
	if err := d.attributes(m, all[commandHeader:]); err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return nil
}

// attributes reads what stands behind the header of a command.
func (d *decoder) attributes(m *message, rest []byte) error {
	for len(rest) > 0 {
		a, value, after, err := d.attribute(rest)
		if err != nil {
			return err
		}
		if m.values[a] != nil {
			return fmt.Errorf("%w: attribute %d is there twice", ErrFormat, a)
		}
		m.values[a], rest = value, after
	}
	return d.complete(m)
}

// attribute reads one attribute; value is never nil.
func (d *decoder) attribute(p []byte) (a attribute, value, rest []byte, err error) {
	if len(p) < 2 {
		return 0, nil, nil, fmt.Errorf("%w: %d bytes are left behind the attributes", ErrFormat, len(p))
	}
	a = attribute(binary.LittleEndian.Uint16(p))
	if a == 0 || a >= attrCount || sinceVersion(a) > d.version {
		return 0, nil, nil, fmt.Errorf("%w: no attribute of version %d has the number %d", ErrFormat, d.version, a)
	}
	if a == attrData && d.version > 1 { // reaches to the end
		return a, p[2:], nil, nil
	}
	if len(p) < 4 {
		return 0, nil, nil, fmt.Errorf("%w: attribute %d is cut off", ErrFormat, a)
	}
	length := int(binary.LittleEndian.Uint16(p[2:]))
	if p = p[4:]; length > len(p) {
		return 0, nil, nil, fmt.Errorf("%w: attribute %d has %d bytes, and %d are left", ErrFormat, a, length, len(p))
	}
	if _, size := shapeOf(a); size != 0 && size != length && a != attrFileattr {
		return 0, nil, nil, fmt.Errorf("%w: attribute %d has %d bytes instead of %d", ErrFormat, a, length, size)
	}
	return a, p[:length:length], p[length:], nil
}

// complete checks that a command has just the attributes that belong to it.
func (d *decoder) complete(m *message) error {
	f := d.forms[m.cmd]
	var known [attrCount]bool
	for _, a := range f.may {
		known[a] = true
	}
	for _, a := range f.needs {
		if known[a] = true; m.values[a] == nil {
			return fmt.Errorf("%w: attribute %d is missing", ErrFormat, a)
		}
	}
	for a, value := range m.values {
		if value != nil && !known[a] {
			return fmt.Errorf("%w: attribute %d does not belong to it", ErrFormat, a)
		}
	}
	return nil
}

func (m *message) number(a attribute) uint64 {
	var full [8]byte
	copy(full[:], m.values[a])
	return binary.LittleEndian.Uint64(full[:])
}

func (m *message) text(a attribute) string { return string(m.values[a]) }

func (m *message) uuid(a attribute) UUID { return UUID(m.values[a]) }

func (m *message) time(a attribute) tree.Time {
	v := m.values[a]
	return tree.Time{Sec: int64(binary.LittleEndian.Uint64(v)), Nsec: binary.LittleEndian.Uint32(v[8:])}
}

// relative is a path as streams write it: names with slashes between, or nothing
// for the subvolume itself.
type relative string

// path reads a path and refuses what leads out of the subvolume.
func (m *message) path(a attribute) (relative, error) {
	s := m.text(a)
	switch {
	case len(s) > tree.MaxPath:
		return "", fmt.Errorf("%w: a path of %d bytes", ErrFormat, len(s))
	case strings.HasPrefix(s, "/"):
		return "", fmt.Errorf("%w: the path %q is absolute", ErrFormat, s)
	case strings.IndexByte(s, 0) >= 0:
		return "", fmt.Errorf("%w: the path %q has a NUL byte", ErrFormat, s)
	case s == "":
		return "", nil
	}
	if depth := strings.Count(s, "/") + 1; depth > tree.MaxDepth {
		return "", fmt.Errorf("%w: a path of %d names", ErrFormat, depth)
	}
	for name := range strings.SplitSeq(s, "/") {
		if name == "" || name == "." || name == ".." || len(name) > tree.MaxName {
			return "", fmt.Errorf("%w: the path %q has the name %q", ErrFormat, s, name)
		}
	}
	return relative(s), nil
}
