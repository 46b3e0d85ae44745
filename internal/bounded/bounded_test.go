package bounded

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int64
		ok    bool
	}{{"", 0, true}, {"x", 0, false}, {"12345", 5, true}, {"12345", 4, false}, {"12345", 100, true}} {
		data, err := ReadAll(strings.NewReader(c.text), c.limit)
		if (err == nil) != c.ok || c.ok && string(data) != c.text || !c.ok && !errors.Is(err, ErrTooLarge) {
			t.Errorf("ReadAll(%q, %d) = %q, %v", c.text, c.limit, data, err)
		}
		for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
			data, err = io.ReadAll(Reader(wrap(strings.NewReader(c.text)), c.limit))
			if (err == nil) != c.ok || int64(len(data)) > c.limit || !c.ok && !errors.Is(err, ErrTooLarge) {
				t.Errorf("Reader(%q, %d) = %q, %v", c.text, c.limit, data, err)
			}
		}
	}
}
