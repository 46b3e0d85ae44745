package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/larch-project/larch/digest"
)

// sealed is a document of an installation with the digest of its text, so that
// every flipped bit is noticed; spec/9-install.md §9.1.
type sealed[T any] struct {
	Document T             `json:"document"`
	Seal     digest.Digest `json:"seal"` // of the document's own JSON, with its newline
}

// encodeSealed gives the one form of a document.
func encodeSealed[T any](doc T) ([]byte, error) {
	text, err := encodeJSON(doc)
	if err != nil {
		return nil, err
	}
	return encodeJSON(sealed[T]{doc, digest.Of(text)})
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v) // ends with a newline
	return b.Bytes(), err
}

// decodeSealed accepts what encodeSealed writes and nothing else. Its errors match
// ErrFormat.
func decodeSealed[T any](data []byte) (doc T, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var s sealed[T]
	if err := d.Decode(&s); err != nil {
		return doc, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return doc, fmt.Errorf("%w: something follows the end", ErrFormat)
	}
	again, err := encodeSealed(s.Document)
	if err != nil || !bytes.Equal(again, data) {
		return doc, fmt.Errorf("%w: it is not as it was written", ErrFormat)
	}
	return s.Document, nil
}
