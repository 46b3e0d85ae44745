package keyfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSize bounds the text of a key file, in bytes; the largest desktop entries
// with all their translations have a quarter of it.
const MaxSize = 1 << 20

// ErrFormat is matched by every error about text that is not a key file.
var ErrFormat = errors.New("not a key file")

// Parse reads a key file. Input untrusted: at most MaxSize bytes, memory within a
// small multiple of them; every error matches ErrFormat and names the line.
// Comments are not kept.
func Parse(text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrFormat, len(text), MaxSize)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: the text is not UTF-8", ErrFormat)
	}
	f, number := new(File), 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if err := f.line(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFormat, number, err)
		}
	}
	return f, nil
}

// line takes one line, without its end.
func (f *File) line(line string) error {
	line = strings.TrimLeft(line, " \t")
	if line == "" {
		return nil
	}
	if err := checkPrintable(line); err != nil {
		return err
	}
	switch line[0] {
	case '#':
		return nil
	case '[':
		name, ok := strings.CutSuffix(strings.TrimRight(line[1:], " \t"), "]")
		if !ok {
			return fmt.Errorf("group %.80q does not end with a bracket", line)
		}
		_, err := f.Add(name)
		return err
	}
	key, raw, ok := strings.Cut(line, "=")
	switch {
	case !ok:
		return fmt.Errorf("%.80q is neither a group nor a key with a value", line)
	case len(f.groups) == 0:
		return fmt.Errorf("key %.80q is in no group", key)
	}
	return f.groups[len(f.groups)-1].add(strings.TrimRight(key, " \t"), strings.TrimLeft(raw, " \t"))
}

// checkPrintable refuses the control characters of ASCII, but for the tab.
func checkPrintable(s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character %#02x in %.80q", c, s)
		}
	}
	return nil
}

// checkGroup wants what may stand between brackets.
func checkGroup(name string) error {
	if name == "" || strings.ContainsAny(name, "[]\t") || !utf8.ValidString(name) {
		return fmt.Errorf("group name %.80q", name)
	}
	return checkPrintable(name)
}

// checkKey wants a name, and perhaps a locale in brackets behind it: Name[de_DE].
func checkKey(key string) error {
	name, locale, has := strings.Cut(key, "[")
	if has {
		var closed bool
		locale, closed = strings.CutSuffix(locale, "]")
		has = !closed || locale == "" || strings.ContainsFunc(locale, notLocale)
	}
	if has || name == "" || strings.ContainsAny(name, "=]\t") || strings.Trim(name, " ") != name || strings.HasPrefix(name, "#") {
		return fmt.Errorf("key %.80q", key)
	}
	return checkPrintable(key)
}

func notLocale(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-_.@", r)
}
