// Package escape makes a stranger's text harmless for a terminal.
package escape

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text gives s on one line: control characters, direction marks and other
// invisible or unprintable characters, and bytes that are no UTF-8, are written
// as Go escapes. At most three combining marks in a row are kept.
func Text(s string) string {
	var b strings.Builder
	marks := 0
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + hex(s[0]))
		case unicode.Is(unicode.M, r):
			if marks++; marks <= 3 {
				b.WriteRune(r)
			} else {
				b.WriteString(quoted(r))
			}
		case !unicode.IsPrint(r):
			b.WriteString(quoted(r))
		default:
			marks = 0
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// Short is Text of at most so many bytes; what was cut off is told by "...".
func Short(s string, limit int) string {
	cut := len(s) > limit
	text := Text(s[:min(len(s), limit)])
	if cut = cut || len(text) > limit; cut {
		text = strings.ToValidUTF8(text[:min(len(text), max(limit-3, 0))], "") + "..."
	}
	return text
}

func quoted(r rune) string {
	q := strconv.QuoteRuneToASCII(r)
	return q[1 : len(q)-1]
}

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}
