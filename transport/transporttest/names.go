package transporttest

import "strings"

// BadNames are names that no transport may take. (spec/6-transport.md §6.1)
func BadNames() []string {
	return []string{
		"", ".", "..", "/", "/larch.json", "packs/", "packs//big", "./larch.json", "packs/./big",
		"../larch.json", "packs/..", "packs/../larch.json", "packs/../../etc/passwd", "...//..",
		"a\x00b", "a\nb", "a\tb", "a\x7fb", "a\u0085b", "a\u202eb", "a\u200bb", "\xff", `a\b`, `..\a`,
		strings.Repeat("x", 1025),
	}
}
