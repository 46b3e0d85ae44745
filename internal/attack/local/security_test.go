package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityNamesRealTests: what SECURITY.md names as shown by a test has that
// test.
func TestSecurityNamesRealTests(t *testing.T) {
	const module = "../../.."
	text, err := os.ReadFile(filepath.Join(module, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	err = filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		source.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(text), -1)
	if len(names) < 8 {
		t.Errorf("it names only %q", names)
	}
	for _, name := range names {
		if !strings.Contains(source.String(), "\nfunc "+name+"(t *testing.T") {
			t.Errorf("there is no %s", name)
		}
	}
}
