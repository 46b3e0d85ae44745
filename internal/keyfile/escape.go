package keyfile

import (
	"errors"
	"fmt"
	"strings"
)

// Escape writes a value so that it stays on its line and keeps its leading white
// space. A part of a list needs its semicolons escaped besides, which SetList does.
func Escape(value string) string {
	rest := strings.TrimLeft(value, " ")
	return strings.Repeat(`\s`, len(value)-len(rest)) + escapes.Replace(rest)
}

var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

// unescape resolves escapes up to the end or, in a list, up to a semicolon; it
// gives the value and what follows the semicolon.
func unescape(raw string, list bool) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch {
		case list && raw[i] == ';':
			return b.String(), raw[i+1:], nil
		case raw[i] != '\\':
			b.WriteByte(raw[i])
		case i+1 == len(raw):
			return "", "", errors.New("a backslash at the end")
		default:
			i++
			c, ok := escaped(raw[i], list)
			if !ok {
				return "", "", fmt.Errorf("unknown escape %q", raw[i-1:i+1])
			}
			b.WriteByte(c)
		}
	}
	return b.String(), "", nil
}

func escaped(c byte, list bool) (byte, bool) {
	switch c {
	case 's':
		return ' ', true
	case 'n':
		return '\n', true
	case 't':
		return '\t', true
	case 'r':
		return '\r', true
	case '\\':
		return '\\', true
	case ';':
		return ';', list
	}
	return 0, false
}
