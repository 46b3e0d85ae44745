// Package release says what a release is: its ref, its version, the tree that it
// is made of, and what it requires.
//
// A release is one small canonical JSON document, immutable, named by its
// digest. The repository's signed head names the newest release of each ref by
// hash; everything else, the tree and through it all content, is reached from the
// document by digest. So one signature covers every byte, and the document
// carries the sizes that cap whatever is fetched next.
//
// Format: spec/3-release.md.
package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/escape"
	"github.com/larch-project/larch/tree"
)

// Limits on a release document, which readers enforce.
const (
	MaxSize     = 1 << 20  // bytes of the document
	MaxMetadata = 64 << 10 // bytes of the keyfile that it carries
	MaxPrevious = 16       // earlier releases that it names
	maxRequires = 64
	maxNotes    = 256 // annotations
	maxText     = 4096
	maxTree     = 4 << 30 // bytes of the tree's text
)

// ErrFormat is matched by every error about a document that is not what
// spec/3-release.md says.
var ErrFormat = errors.New("not a release document")

// Release is what one version of a ref is.
type Release struct {
	Annotations map[string]string `json:"annotations"` // for people and shops: title, summary, homepage, license
	Image       digest.Digest     `json:"composefs"`   // of the tree's composefs image; zero if it cannot have one
	Created     time.Time         `json:"created"`     // UTC, whole seconds
	Message     string            `json:"message"`     // what changed
	Metadata    string            `json:"metadata"`    // text of the tree's /metadata; "" if it has none
	Previous    []Previous        `json:"previous"`    // earlier releases, newest first, at most MaxPrevious
	Ref         Ref               `json:"ref"`
	Requires    []Ref             `json:"requires"`
	Tree        Tree              `json:"tree"`
	Version     string            `json:"version"`
}

// Previous names an earlier release of the same ref.
type Previous struct {
	Release digest.Digest `json:"release"`
	Version string        `json:"version"`
}

// Tree says how large the tree is, before any of it is fetched.
type Tree struct {
	Bytes   int64         `json:"bytes"`   // installed: the sizes of all regular files
	Digest  digest.Digest `json:"digest"`  // of the text
	Entries int64         `json:"entries"` // lines
	Files   int64         `json:"files"`   // regular files, each hardlinked one once
	Size    int64         `json:"size"`    // bytes of the text
}

// NewTree takes what an encoder found.
func NewTree(i tree.Info) Tree { return Tree{i.Bytes, i.Digest, i.Entries, i.Files, i.Size} }

// Info is the tree as its decoder must find it.
func (t Tree) Info() tree.Info {
	return tree.Info{Digest: t.Digest, Size: t.Size, Entries: t.Entries, Files: t.Files, Bytes: t.Bytes}
}

// Encode gives the one form of the document, and its name. It refuses what
// Decode would refuse.
func (r *Release) Encode() ([]byte, digest.Digest, error) {
	if err := r.check(); err != nil {
		return nil, digest.Digest{}, err
	}
	data, err := r.marshal()
	if err == nil && len(data) > MaxSize {
		err = fmt.Errorf("%w: %d bytes, limit %d", ErrFormat, len(data), MaxSize)
	}
	return data, digest.Of(data), err
}

func (r *Release) marshal() ([]byte, error) {
	full := *r // empty lists and maps, not null
	if full.Annotations == nil {
		full.Annotations = map[string]string{}
	}
	if full.Previous == nil {
		full.Previous = []Previous{}
	}
	if full.Requires == nil {
		full.Requires = []Ref{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(full) // ends with a newline
	return b.Bytes(), err
}

// Decode reads a document. Input untrusted: at most MaxSize bytes, one canonical
// form; anything else is an error that matches ErrFormat.
func Decode(data []byte) (*Release, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrFormat, len(data), MaxSize)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	r := new(Release)
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrFormat, escape.Short(err.Error(), 300)) // it may hold all of a text
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows the document", ErrFormat)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	again, err := r.marshal()
	if err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: not in canonical form", ErrFormat)
	}
	return r, nil
}

func (r *Release) check() error {
	for _, check := range []func() error{
		r.Ref.check,
		func() error { return CheckVersion(r.Version) },
		r.checkTree, r.checkTime, r.checkLists, r.checkTexts,
	} {
		if err := check(); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	return nil
}

func (r *Release) checkTree() error {
	t := r.Tree
	switch {
	case t.Digest.IsZero():
		return errors.New("tree without a digest")
	case t.Size <= 0 || t.Size > maxTree:
		return fmt.Errorf("tree of %d bytes", t.Size)
	case t.Entries <= 0 || t.Entries > t.Size:
		return fmt.Errorf("tree of %d entries in %d bytes", t.Entries, t.Size)
	case t.Files < 0 || t.Files > t.Entries:
		return fmt.Errorf("tree of %d files in %d entries", t.Files, t.Entries)
	case t.Bytes < 0 || t.Bytes > math.MaxInt64/2:
		return fmt.Errorf("tree of %d installed bytes", t.Bytes)
	}
	return nil
}

func (r *Release) checkTime() error {
	c := r.Created
	if c.Location() != time.UTC || c.Nanosecond() != 0 || c.Year() < 1970 || c.Year() > 9999 {
		return fmt.Errorf("created %v: want whole seconds, UTC", c)
	}
	return nil
}

func (r *Release) checkLists() error {
	if len(r.Previous) > MaxPrevious || len(r.Requires) > maxRequires || len(r.Annotations) > maxNotes {
		return errors.New("a list is too long")
	}
	for _, p := range r.Previous {
		if p.Release.IsZero() {
			return errors.New("previous release without a digest")
		}
		if err := CheckVersion(p.Version); err != nil {
			return err
		}
	}
	for _, ref := range r.Requires {
		if err := ref.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Release) checkTexts() error {
	if len(r.Metadata) > MaxMetadata {
		return fmt.Errorf("metadata of %d bytes, limit %d", len(r.Metadata), MaxMetadata)
	}
	if !utf8.ValidString(r.Metadata) {
		return errors.New("metadata is not UTF-8")
	}
	texts := []string{r.Message}
	for name, value := range r.Annotations {
		texts = append(texts, name, value)
	}
	for _, s := range texts {
		if len(s) > maxText || !utf8.ValidString(s) {
			return fmt.Errorf("text %.40q: want UTF-8 of at most %d bytes", s, maxText)
		}
	}
	return nil
}
