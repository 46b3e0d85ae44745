package measure

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTextGoesBetweenMarkers(t *testing.T) {
	for what, test := range map[string]struct{ before, after string }{
		"markers":      {"a\n<!-- roadtest -->\nold\n<!-- /roadtest -->\nb\n", "a\n<!-- roadtest -->\nnew\n<!-- /roadtest -->\nb\n"},
		"empty":        {"<!-- roadtest -->\n<!-- /roadtest -->\n", "<!-- roadtest -->\nnew\n<!-- /roadtest -->\n"},
		"no markers":   {"a\n", "new\n"},
		"one marker":   {"a\n<!-- roadtest -->\nold\n", "new\n"},
		"wrong order":  {"<!-- /roadtest -->\n<!-- roadtest -->\n", "new\n"},
		"other marker": {"<!-- bench -->\n<!-- /bench -->\n", "new\n"},
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "README.md")
			if err := os.WriteFile(file, []byte(test.before), 0o644); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time, nothing changes
				if err := WriteBetween(file, "roadtest", "new\n"); err != nil {
					t.Fatal(err)
				}
				if have, err := os.ReadFile(file); err != nil || string(have) != test.after {
					t.Errorf("%q %v", have, err)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "new.md")
	if err := WriteBetween(file, "roadtest", "new\n"); err != nil {
		t.Error(err)
	}
}
