package repo

import (
	"bytes"
	"testing"

	"github.com/larch-project/larch/digest"
)

// FuzzParseRetired: what is accepted is in its one form.
func FuzzParseRetired(f *testing.F) {
	f.Add([]byte(`{"` + PackName(digest.Of(nil)) + `":"2026-11-22T12:00:00Z"}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseRetired(data)
		if err != nil {
			return
		}
		if again, err := encodeRetired(list); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q becomes %q, %v", data, again, err)
		}
	})
}

// FuzzParseFormat: there is one format.
func FuzzParseFormat(f *testing.F) {
	f.Add([]byte(`{"features":[],"format":1}` + "\n"))
	f.Add([]byte(`{"features":["x"],"format":2}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := ParseFormat(data); err == nil && string(data) != `{"features":[],"format":1}`+"\n" {
			t.Errorf("%q is accepted", data)
		}
	})
}
