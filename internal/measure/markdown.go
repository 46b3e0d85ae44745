package measure

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// WriteBetween writes text into a file: between the lines <!-- NAME --> and
// <!-- /NAME --> if it has them, or as all that is in it.
func WriteBetween(file, name, text string) error {
	document, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if replaced, ok := between(string(document), name, text); ok {
		text = replaced
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// between replaces what stands between a document's markers. It is not ok if it
// has none.
func between(document, name, text string) (string, bool) {
	open, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, opened := strings.Cut(document, open)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return document, false
	}
	return before + open + text + end + after, true
}
