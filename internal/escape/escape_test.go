package escape

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"plain, Grüße, 漢字":             "plain, Grüße, 漢字",
		"two\nlines\r\t":               `two\nlines\r\t`,
		"\x1b[31mred\x1b[0m\a\b":       `\x1b[31mred\x1b[0m\a\b`,
		"\u202eright to left\u2066":    `\u202eright to left\u2066`,
		"not UTF-8: \xff\xc0\xaf":      `not UTF-8: \xff\xc0\xaf`,
		"\u0000\u0085\ufeff\U000e0001": `\x00\u0085\ufeff\U000e0001`,
		"a\u0301\u0301\u0301\u0301b":   "a\u0301\u0301\u0301\\u0301b",
	} {
		if have := Text(in); have != want {
			t.Errorf("Text(%q) = %q, want %q", in, have, want)
		}
	}
}

func TestShort(t *testing.T) {
	for _, s := range []string{"", "abc", strings.Repeat("a", 20), strings.Repeat("a", 21), strings.Repeat("\x1b", 20), strings.Repeat("ü", 30), strings.Repeat("\xff", 9)} {
		have := Short(s, 20)
		if len(have) > 20 || !utf8.ValidString(have) || len(s) <= 3 && have != s || strings.Contains(have, "\x1b") {
			t.Errorf("%q: %q", s, have)
		}
	}
}
