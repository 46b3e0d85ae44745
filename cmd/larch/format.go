package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/larch-project/larch/internal/escape"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// size writes a number of bytes for people, in powers of 1000.
func size(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n), 0
	for ; value >= 999.95 && unit < 5; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %cB", value, " kMGTP"[unit])
}

// count writes a number of things: 1 file, 12,058 files.
func count(n int64, thing string) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n != 1 {
		thing += "s"
	}
	return s + " " + thing
}

// safe makes a stranger's text harmless for a terminal, on one line.
func safe(s string) string { return escape.Text(s) }

// parseSize reads bytes, or as many thousands (of 1,024) as its last letter says.
func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	if n := len(text) - 1; n > 0 {
		if power := strings.IndexByte("KMGT", text[n]&^0x20); power >= 0 {
			number, unit = text[:n], 1<<(10*(power+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no size: 500M, 20G", text)
	}
	return n * unit, nil
}
