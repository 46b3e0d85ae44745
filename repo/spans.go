package repo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/tree"
)

const spansMagic = "larch spans 1\n"

// ErrSpans is matched by every error about the form of a list of spans.
var ErrSpans = errors.New("not the spans of this tree")

// HasSpans tells whether the spans of a content of this size are published: of what
// is cut into several frames. Smaller content is checked whole.
func HasSpans(size int64) bool { return size > FrameSize }

// MaxSpans bounds the list of a tree with so many installed bytes, in bytes before
// compression.
func MaxSpans(bytes int64) int64 {
	return int64(len(spansMagic)) + (bytes/digest.Span+bytes/FrameSize+1)*digest.Size
}

// spansWriter writes the list of a tree, if that has large contents.
type spansWriter struct {
	dir  *beneath.Dir // the repository's root
	file *os.File     // nil before the first
	text *sealed.Writer
	w    *bufio.Writer
}

func (s *spansWriter) begin() (err error) {
	if s.file, err = temp(s.dir, spansFolder); err != nil {
		return err
	}
	if s.text, err = sealed.NewWriter(s.file); err != nil {
		return err
	}
	s.w = bufio.NewWriter(s.text)
	_, err = s.w.WriteString(spansMagic)
	return err
}

// add takes the spans of the next distinct content that has them.
func (s *spansWriter) add(spans *digest.Spans) error {
	if s.file == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	_, err := spans.WriteTo(s.w)
	return err
}

// finish makes the list whole; there is a file then if there are spans.
func (s *spansWriter) finish() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.w.Flush(), s.text.Close())
}

func (s *spansWriter) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// ReadSpans reads the list of a tree, of whose entries it takes what HasSpans says,
// each content once, and checks every content's against its digest. Input untrusted:
// it reads what the tree allows; what does not fit is an error that matches ErrSpans
// or digest.ErrMismatch.
func ReadSpans(r io.Reader, entries iter.Seq2[*tree.Entry, error]) (map[digest.Digest]*digest.Spans, error) {
	in := bufio.NewReader(r)
	magic := make([]byte, len(spansMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != spansMagic {
		return nil, fmt.Errorf("%w: it begins with %.40q", ErrSpans, magic)
	}
	all := map[digest.Digest]*digest.Spans{}
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		if e.Kind != tree.Regular || !HasSpans(e.Size) || all[e.Digest] != nil {
			continue
		}
		spans, err := digest.ReadSpans(in, e.Digest, e.Size)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: it ends too early", ErrSpans)
		}
		if err != nil {
			return nil, err
		}
		all[e.Digest] = spans
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its end", ErrSpans)
	}
	return all, nil
}

// ReadSealedSpans is ReadSpans for the form that is published, of a tree with so many
// installed bytes.
func ReadSealedSpans(r io.Reader, bytes int64, entries iter.Seq2[*tree.Entry, error]) (map[digest.Digest]*digest.Spans, error) {
	text, err := sealed.NewReader(r, MaxSpans(bytes))
	if err != nil {
		return nil, err
	}
	defer text.Close()
	return ReadSpans(text, entries)
}

// CheckSpans reads what is published of a tree's spans; a tree may have none.
func (r *Repository) CheckSpans(info tree.Info, entries iter.Seq2[*tree.Entry, error]) error {
	f, err := r.dir.Open(SpansName(info.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := ReadSealedSpans(f, info.Bytes, entries); err != nil {
		return fmt.Errorf("%s: %w", SpansName(info.Digest), err)
	}
	return nil
}
