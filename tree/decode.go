package tree

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/larch-project/larch/digest"
)

// MaxLine is more than any line of a tree can have, in bytes with its end.
const MaxLine = 128 << 10

// Decode reads the text of a tree and gives its entries, each a value of its own
// with Digest filled in for all regular files. An error is the last thing that
// is given: a *RuleError for a text that is not canonical, or what r reported.
//
// The text is untrusted: whatever it says, memory is bounded by MaxLine and by
// what rule F12 grants to hardlinks; what was accepted, an Encoder writes again
// with the same bytes. But entries come before the end of the text was seen:
// whoever acts on them checks the text first, or uses Verified and acts at the end.
func Decode(r io.Reader) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		d := newDecoder(r)
		for {
			e, err := d.next()
			if err == io.EOF {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Verified is Decode for a tree that a release names: it reads no more than the
// size that info says, and the sequence ends cleanly only if digest, size and
// counts are those of info. Other bytes match digest.ErrMismatch.
func Verified(r io.Reader, info Info) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		d := newDecoder(digest.NewReader(r, info.Digest, info.Size))
		for {
			e, err := d.next()
			if err == io.EOF {
				break
			}
			if err == nil && d.sequence.info.Entries > info.Entries {
				err = d.wrongTotals(info)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		have := d.sequence.info
		if have.Entries != info.Entries || have.Files != info.Files || have.Bytes != info.Bytes {
			yield(nil, d.wrongTotals(info))
		}
	}
}

func (d *decoder) wrongTotals(info Info) error {
	have := d.sequence.info
	return violation(RuleTotals, "the release declares %d entries, %d files and %d bytes; the tree has %d, %d and %d",
		info.Entries, info.Files, info.Bytes, have.Entries, have.Files, have.Bytes).at(have.Entries, "")
}

// decoder reads one line after the other.
type decoder struct {
	lines    *bufio.Reader
	sequence sequence
	again    []byte // the line as an Encoder writes it
}

func newDecoder(r io.Reader) *decoder { return &decoder{lines: bufio.NewReaderSize(r, MaxLine)} }

// next gives the next entry, or io.EOF behind the last of a whole tree.
func (d *decoder) next() (*Entry, error) {
	line, err := d.line()
	if err != nil {
		return nil, err
	}
	e := &Entry{}
	if v := parse(e, line[:len(line)-1]); v != nil {
		return nil, v.at(d.number(), e.Path)
	}
	if v := d.sequence.add(e); v != nil {
		return nil, v
	}
	d.again = appendEntry(d.again[:0], e)
	if !bytes.Equal(line, d.again) {
		return nil, otherSpelling(line, d.again).at(d.number()-1, e.Path)
	}
	return e, nil
}

// number is that of the line after those that were accepted.
func (d *decoder) number() int64 { return d.sequence.info.Entries + 1 }

// line gives the next line with its end, valid until the next call.
func (d *decoder) line() ([]byte, error) {
	line, err := d.lines.ReadSlice('\n')
	switch {
	case err == nil:
		return line, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, violation(RuleLines, "a line of more than %d bytes", MaxLine).at(d.number(), "")
	case err != io.EOF:
		return nil, fmt.Errorf("reading a tree: %w", err)
	case len(line) > 0:
		return nil, violation(RuleLines, "the last line has no end").at(d.number(), "")
	}
	if v := d.sequence.end(); v != nil {
		return nil, v
	}
	return nil, io.EOF
}

// otherSpelling says where a line stops being written as it has to be.
func otherSpelling(line, want []byte) *RuleError {
	i := 0
	for i < len(line) && i < len(want) && line[i] == want[i] {
		i++
	}
	return violation(RuleCanonical, "not in canonical form from byte %d on: %.40q instead of %.40q",
		i+1, line[i:], want[i:])
}
