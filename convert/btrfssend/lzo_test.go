package btrfssend

import (
	"bytes"
	"strings"
	"testing"
)

// lzoLiterals is a run of four or more literals, in the middle of a segment.
func lzoLiterals(s string) []byte {
	n := len(s) - 3
	if n <= 15 {
		return append([]byte{byte(n)}, s...)
	}
	out := []byte{0}
	for n -= 15; n > 255; n -= 255 {
		out = append(out, 0)
	}
	return append(append(out, byte(n)), s...)
}

var lzoEnd = []byte{17, 0, 0}

// TestLzoInstructions has every form of instruction, those too that segments of 4
// KiB never have: the kernel's Documentation/staging/lzo.rst says what each does.
func TestLzoInstructions(t *testing.T) {
	far := noise(1, 40000)
	for name, c := range map[string]struct {
		packed [][]byte
		want   string
	}{
		"nothing":                  {nil, ""},
		"literals first":           {[][]byte{{17 + 5}, []byte("hello")}, "hello"},
		"few literals first":       {[][]byte{{17 + 2}, []byte("he"), {1 << 2, 0}}, "hehe"},
		"run of literals":          {[][]byte{lzoLiterals("hello")}, "hello"},
		"long run":                 {[][]byte{lzoLiterals(far[:1000])}, far[:1000]},
		"run that just fits":       {[][]byte{lzoLiterals(far[:18])}, far[:18]},
		"two bytes from near":      {[][]byte{lzoLiterals("abcd"), {64 | 1<<2 | 1, 0, 'x'}, {0<<2 | 0, 0}}, "abcd" + "cdc" + "x" + "xx"},
		"three bytes behind a run": {[][]byte{lzoLiterals(far[:2100]), {2 << 2, 1}}, far[:2100] + far[2100-2055:2100-2052]},
		"three and four":           {[][]byte{lzoLiterals("abcdefgh"), {64 | 7<<2, 0}, {96 | 7<<2 | 2, 0, 'y', 'z'}}, "abcdefgh" + "abc" + "defg" + "yz"},
		"five to eight":            {[][]byte{lzoLiterals("abcdefgh"), {128 | 7<<2, 0}, {7<<5 | 7<<2, 0}}, "abcdefgh" + "abcde" + "fghabcde"},
		"within 16 KiB":            {[][]byte{lzoLiterals(far[:9000]), {32 | 8, 0xff & (8999 << 2), 8999 << 2 >> 8}}, far[:9000] + far[:10]},
		"within 16 KiB, long":      {[][]byte{lzoLiterals(far[:9000]), {32, 0, 7, 0xff & (8999 << 2), 8999 << 2 >> 8}}, far[:9000] + far[:33+255+7]},
		"within 48 KiB":            {[][]byte{lzoLiterals(far[:20000]), {16 | 3, 0xff & ((20000 - 16384) << 2), (20000 - 16384) << 2 >> 8}}, far[:20000] + far[:5]},
		"beyond 32 KiB": {[][]byte{lzoLiterals(far), {16 | 8 | 0, 9, 0xff & ((40000-32768)<<2 | 1), (40000 - 32768) << 2 >> 8, '!'}},
			far + far[:18] + "!"},
		"repeats what it makes": {[][]byte{lzoLiterals("abcd"), {32, 100, 0, 0}}, "abcd" + strings.Repeat("d", 133)},
	} {
		t.Run(name, func(t *testing.T) {
			packed := append(bytes.Join(c.packed, nil), lzoEnd...)
			to := make([]byte, 64<<10)
			n, err := lzo1x(to, packed)
			if err != nil || string(to[:n]) != c.want {
				t.Fatalf("%v, %d bytes instead of %d: %.80q", err, n, len(c.want), to[:n])
			}
			for end := range packed {
				if _, err := lzo1x(to, packed[:end]); err == nil {
					t.Errorf("cut to %d of %d bytes it was read", end, len(packed))
				}
			}
			if n > 0 {
				if _, err := lzo1x(to[:n-1], packed); err == nil {
					t.Error("it was read into less than it needs")
				}
			}
		})
	}
	for name, packed := range map[string][]byte{
		"before the beginning":      {17 + 4, 'a', 'b', 'c', 'd', 64 | 4<<2, 0, 17, 0, 0},
		"bytes behind the end":      {17 + 4, 'a', 'b', 'c', 'd', 17, 0, 0, 0},
		"an end of another length":  {17 + 4, 'a', 'b', 'c', 'd', 18, 0, 0},
		"length without its end":    {17 + 4, 'a', 'b', 'c', 'd', 32, 0, 0, 0},
		"literals that are missing": {17 + 4, 'a', 'b', 'c'},
	} {
		if n, err := lzo1x(make([]byte, 100), packed); err == nil {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}
