package tree

import (
	"bytes"
	"encoding/hex"

	"github.com/larch-project/larch/digest"
)

// fields of a line, in order; xattrs follow.
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

// parse reads a line, without its end, into e. It accepts more than one spelling
// of numbers and escapes: the decoder compares with the canonical one.
func parse(e *Entry, line []byte) *RuleError {
	var fields [fieldCount][]byte
	rest, more := line, true
	for i := range fields {
		if !more {
			return violation(RuleCanonical, "%d fields instead of %d", i, int(fieldCount))
		}
		fields[i], rest, more = cut(rest, ' ')
	}
	path, ok := unescape(fields[fieldPath])
	if !ok {
		return badEscape(fields[fieldPath])
	}
	e.Path = Path(path)
	v := parseNumbers(e, &fields)
	if v == nil {
		v = parsePayload(e, fields[fieldPayload], fields[fieldContent], fields[fieldDigest])
	}
	for more && v == nil {
		var field []byte
		field, rest, more = cut(rest, ' ')
		v = parseXattr(e, field)
	}
	return v
}

// cut is bytes.Cut at one byte.
func cut(b []byte, at byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, at); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

// parseNumbers reads size, mode, nlink, uid, gid, rdev and mtime.
func parseNumbers(e *Entry, fields *[fieldCount][]byte) *RuleError {
	mode, link := bytes.CutPrefix(fields[fieldMode], []byte{'@'})
	sec, nsec, pointed := cut(fields[fieldMtime], '.')
	var n [fieldCount + 1]uint64
	for i, f := range [...]struct {
		text []byte
		base uint64
		max  uint64
	}{
		fieldSize:      {fields[fieldSize], 10, MaxBytes},
		fieldMode:      {mode, 8, 0o177777},
		fieldNlink:     {fields[fieldNlink], 10, 1<<32 - 1},
		fieldUID:       {fields[fieldUID], 10, maxID},
		fieldGID:       {fields[fieldGID], 10, maxID},
		fieldRdev:      {fields[fieldRdev], 10, 1<<32 - 1},
		fieldMtime:     {sec, 10, MaxTime},
		fieldMtime + 1: {nsec, 10, 1e9 - 1},
	} {
		if i == fieldPath {
			continue
		}
		var ok bool
		if n[i], ok = parseNumber(f.text, f.base, f.max); !ok {
			return violation(RuleNumbers, "%.40q is not a number of 0 to %d", f.text, f.max)
		}
	}
	if !pointed {
		return violation(RuleNumbers, "time %.40q without nanoseconds", fields[fieldMtime])
	}
	e.Size, e.Nlink, e.UID, e.GID = int64(n[fieldSize]), uint32(n[fieldNlink]), uint32(n[fieldUID]), uint32(n[fieldGID])
	e.Mtime = Time{int64(n[fieldMtime]), uint32(n[fieldMtime+1])}
	return parseKind(e, uint32(n[fieldMode]), link, n[fieldRdev])
}

func parseKind(e *Entry, mode uint32, link bool, rdev uint64) *RuleError {
	e.Mode = mode &^ typeBits
	switch mode & typeBits {
	case typeDirectory:
		e.Kind = Directory
	case typeSymlink:
		e.Kind = Symlink
	case typeRegular:
		e.Kind = Regular
	default:
		return violation(RuleKinds, "mode %o is that of no directory, regular file or symlink", mode)
	}
	if link && e.Kind != Regular {
		return violation(RuleKinds, "a hardlink to a %v", e.Kind)
	}
	if link {
		e.Kind = Hardlink
	}
	if rdev != 0 {
		return violation(RuleKinds, "device number %d; there are no devices in a tree", rdev)
	}
	return nil
}

// parseNumber reads digits alone: no sign, no space.
func parseNumber(text []byte, base, limit uint64) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	for _, c := range text {
		d := uint64(c - '0')
		if c < '0' || d >= base {
			return 0, false
		}
		if n = n*base + d; n > limit {
			return 0, false
		}
	}
	return n, true
}

// parsePayload reads the fields that say what is in the entry.
func parsePayload(e *Entry, payload, content, name []byte) *RuleError {
	var wants struct{ payload, content, name bool }
	rule := RuleDirectory
	switch e.Kind {
	case Symlink:
		rule, wants.payload = RuleSymlink, true
	case Hardlink:
		rule, wants.payload = RuleHardlink, true
	case Regular:
		rule = RuleRegular
		wants.content = e.Size > 0 && e.Size <= InlineMax
		wants.payload, wants.name = e.Size > InlineMax, e.Size > InlineMax
	}
	if wants.payload != isSet(payload) || wants.content != isSet(content) || wants.name != isSet(name) {
		return violation(rule, "a %v of size %d has other fields set: payload %.40q, content %.40q, digest %.40q",
			e.Kind, e.Size, payload, content, name)
	}
	switch {
	case e.Kind == Regular:
		return parseContent(e, content, name)
	case wants.payload:
		target, ok := unescape(payload)
		if !ok {
			return badEscape(payload)
		}
		e.Target = string(target)
	}
	return nil
}

func isSet(field []byte) bool { return len(field) != 1 || field[0] != '-' }

// parseContent reads content or digest; the payload repeats the digest, so that
// the comparison with the canonical line covers it.
func parseContent(e *Entry, content, name []byte) *RuleError {
	if e.Size > InlineMax {
		if len(name) != 2*digest.Size {
			return violation(RuleRegular, "a digest of %d hex digits", len(name))
		}
		if _, err := hex.Decode(e.Digest[:], name); err != nil {
			return violation(RuleRegular, "digest %q", name)
		}
		return nil
	}
	if e.Size > 0 {
		var ok bool
		if e.Inline, ok = unescape(content); !ok {
			return badEscape(content)
		}
	}
	e.Digest = digest.Of(e.Inline)
	return nil
}

func parseXattr(e *Entry, field []byte) *RuleError {
	key, value, found := cut(field, '=')
	if !found {
		return violation(RuleXattrs, "%.40q is no xattr: it has no =", field)
	}
	name, ok := unescape(key)
	if !ok {
		return badEscape(key)
	}
	x := Xattr{Name: string(name)}
	if len(value) > 0 {
		if x.Value, ok = unescape(value); !ok {
			return badEscape(value)
		}
	}
	e.Xattrs = append(e.Xattrs, x)
	return nil
}

func badEscape(field []byte) *RuleError {
	return violation(RuleCanonical, "a broken escape in %.60q", field)
}

// unescape gives a copy of what a field stands for.
func unescape(field []byte) (out []byte, ok bool) {
	out = make([]byte, 0, len(field))
	for {
		i := bytes.IndexByte(field, '\\')
		if i < 0 {
			return append(out, field...), true
		}
		out = append(out, field[:i]...)
		c, n := unescapeOne(field[i:])
		if n == 0 {
			return nil, false
		}
		out = append(out, c)
		field = field[i+n:]
	}
}

// unescapeOne reads the escape at the beginning of text and gives its length, 0
// for a broken one.
func unescapeOne(text []byte) (c byte, n int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch text[1] {
	case '\\':
		return '\\', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'x':
		var b [1]byte
		if len(text) < 4 {
			return 0, 0
		}
		if _, err := hex.Decode(b[:], text[2:4]); err != nil {
			return 0, 0
		}
		return b[0], 4
	}
	return 0, 0
}
