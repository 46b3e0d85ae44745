package digest

import (
	"io"
)

// Reader hands on content that is checked by its end: the end of the content is
// reported only if all of it matched, so a clean io.EOF never stands behind
// wrong bytes. Bytes given before the end are not yet vouched for.
type Reader struct {
	from   io.Reader
	hasher Hasher
	want   Digest
	size   int64
	err    error
}

// NewReader checks r against a digest and a size in bytes. It reads at most one
// byte more than size from r. The error for other content is a *MismatchError.
func NewReader(r io.Reader, want Digest, size int64) *Reader {
	return &Reader{from: r, want: want, size: size}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	left := r.size - r.hasher.size
	if int64(len(p)) > left+1 {
		p = p[:left+1]
	}
	n, err := r.from.Read(p)
	if int64(n) > left {
		r.err = &MismatchError{Want: r.want, WantSize: r.size, HaveSize: r.size + 1}
		return int(left), r.err
	}
	r.hasher.Write(p[:n])
	if err == io.EOF {
		err = r.verdict()
	}
	r.err = err
	return n, err
}

func (r *Reader) verdict() error {
	if have := r.hasher.Digest(); have != r.want || r.hasher.size != r.size {
		return &MismatchError{Want: r.want, Have: have, WantSize: r.size, HaveSize: r.hasher.size}
	}
	return io.EOF
}

// Verify reads r to its end and compares; nil means the content is whole.
func Verify(r io.Reader, want Digest, size int64) error {
	have, n, err := Sum(io.LimitReader(r, size+1))
	if err == nil && (have != want || n != size) {
		err = &MismatchError{Want: want, Have: have, WantSize: size, HaveSize: n}
	}
	return err
}
