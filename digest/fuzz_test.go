package digest

import (
	"bytes"
	"testing"
)

// FuzzParse: what is accepted is written again just so.
func FuzzParse(f *testing.F) {
	f.Add(Of([]byte("x")).String())
	f.Add("sha256:00")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := Parse(s); err == nil && d.String() != s {
			t.Errorf("%q becomes %s", s, d)
		}
	})
}

// FuzzReadSpans: spans that are accepted lead to the digest.
func FuzzReadSpans(f *testing.F) {
	data := bytes.Repeat([]byte("some content, "), 200_000)
	h := &Hasher{}
	h.Write(data)
	want := h.Digest()
	f.Add([]byte{}, int64(0))
	f.Add(bytes.Repeat(want[:], 3), int64(len(data)))
	f.Fuzz(func(t *testing.T, list []byte, size int64) {
		if size < 0 || size > 1<<34 {
			return
		}
		if spans, err := ReadSpans(bytes.NewReader(list), want, size); err == nil && spans == nil {
			t.Error("nothing, and no error")
		}
	})
}

// FuzzParseTree: hashes that are accepted lead to the digest.
func FuzzParseTree(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add(make([]byte, 64), int64(8192))
	f.Fuzz(func(t *testing.T, leaves []byte, size int64) {
		if size < 0 || size > 1<<34 {
			return
		}
		if tree, err := ParseTree(leaves, Of([]byte("x")), size); err == nil && tree == nil {
			t.Error("nothing, and no error")
		}
	})
}
