package keyfile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// File is a key file. The zero value is an empty one. It is not safe for
// concurrent change.
type File struct {
	groups []*Group
	byName map[string]*Group
}

// Group is a named list of keys with values, each key once. A nil Group has no
// keys, so that a missing group needs no asking for.
type Group struct {
	name   string
	keys   []string
	values map[string]string // as written
}

// Groups gives the groups in the order of the text.
func (f *File) Groups() []*Group { return f.groups }

// Group finds a group by its name; nil if there is none.
func (f *File) Group(name string) *Group { return f.byName[name] }

// Add appends an empty group. A name that is taken or cannot be written is an error.
func (f *File) Add(name string) (*Group, error) {
	if err := checkGroup(name); err != nil {
		return nil, err
	}
	if f.byName[name] != nil {
		return nil, fmt.Errorf("group %.80q is there twice", name)
	}
	if f.byName == nil {
		f.byName = make(map[string]*Group)
	}
	g := &Group{name: name, values: make(map[string]string)}
	f.groups = append(f.groups, g)
	f.byName[name] = g
	return g, nil
}

// Bytes gives the text that Parse reads as the same file: the groups with a blank
// line between them, and no comments.
func (f *File) Bytes() []byte {
	var b strings.Builder
	for i, g := range f.groups {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("[" + g.name + "]\n")
		for _, key := range g.keys {
			b.WriteString(key + "=" + g.values[key] + "\n")
		}
	}
	return []byte(b.String())
}

// Name is what stands between the brackets.
func (g *Group) Name() string {
	if g == nil {
		return ""
	}
	return g.name
}

// Keys gives the keys in the order of the text, those with a locale too.
func (g *Group) Keys() []string {
	if g == nil {
		return nil
	}
	return g.keys
}

// Has tells whether the group has a key.
func (g *Group) Has(key string) bool {
	_, ok := g.raw(key)
	return ok
}

func (g *Group) raw(key string) (string, bool) {
	if g == nil {
		return "", false
	}
	raw, ok := g.values[key]
	return raw, ok
}

// String gives a value with its escapes resolved; "" for a missing key. An
// unknown escape is an error that matches ErrFormat.
func (g *Group) String(key string) (string, error) {
	raw, _ := g.raw(key)
	value, _, err := unescape(raw, false)
	return value, g.fail(key, err)
}

// List gives the parts of a value between its semicolons, with their escapes
// resolved; none for a missing or empty one. The last part may have a semicolon
// behind it or not. An unknown escape is an error that matches ErrFormat.
func (g *Group) List(key string) (parts []string, err error) {
	for rest, _ := g.raw(key); rest != "" && err == nil; {
		var part string
		part, rest, err = unescape(rest, true)
		parts = append(parts, part)
	}
	return parts, g.fail(key, err)
}

// Bool gives a value that is true or false; false for a missing key.
func (g *Group) Bool(key string) (bool, error) {
	raw, ok := g.raw(key)
	switch raw = strings.TrimRight(raw, " \t"); {
	case !ok || raw == "false":
		return false, nil
	case raw == "true":
		return true, nil
	}
	return false, g.fail(key, fmt.Errorf("%.80q: want true or false", raw))
}

func (g *Group) fail(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: group %q: key %q: %w", ErrFormat, g.Name(), key, err)
}

// SetString gives a key a value, at the end if the key is new. A key or a value
// that cannot be written is an error.
func (g *Group) SetString(key, value string) error { return g.set(key, Escape(value)) }

// SetList gives a key a list.
func (g *Group) SetList(key string, parts ...string) error {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(strings.ReplaceAll(Escape(part), ";", `\;`) + ";")
	}
	return g.set(key, b.String())
}

func (g *Group) add(key, raw string) error {
	if g.Has(key) {
		return fmt.Errorf("key %.80q is there twice", key)
	}
	return g.set(key, raw)
}

func (g *Group) set(key, raw string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if !utf8.ValidString(raw) || !utf8.ValidString(key) {
		return fmt.Errorf("key %.80q: not UTF-8", key)
	}
	if err := checkPrintable(raw); err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	if !g.Has(key) {
		g.keys = append(g.keys, key)
	}
	g.values[key] = raw
	return nil
}
