package trust

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/larch-project/larch/internal/beneath"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"1.root.json":                    "root",
		"12.publisher-a-1.json":          "publisher-a-1",
		"0.root.json":                    "",
		"01.root.json":                   "",
		"+1.root.json":                   "",
		"1.root.json.json":               "",
		"1.timestamp.json":               "",
		"timestamp.json":                 "",
		"1.publisher-.json":              "",
		"1.publisher-A.json":             "",
		"1.publisher--a.json":            "",
		"1.publisher-../x.json":          "",
		"99999999999999999999.root.json": "",
	} {
		if role, _, _ := parseVersioned(name); role != want {
			t.Errorf("%s: role %q, want %q", name, role, want)
		}
	}
	for _, ref := range []string{
		"", ".", "a/b/c", "a/b/c/d/e", "a//b/c", "/a/b/c", "a/b/c/", "a/b/c/..", "a/.b/c/d", "a/-b/c/d",
		"a/b\x00/c/d", "a/b\n/c/d", "a/b/c/\u202e", "a/*/c/d", "a/b:c/d/e", "a/\xff/c/d",
	} {
		if err := checkRef(ref); err == nil {
			t.Errorf("%q is a ref", ref)
		}
	}
	for pattern, ok := range map[string]bool{
		"*/*/*/*": true, "app/org.example.*/*/*": true, "app/?/x/y": true,
		"*": false, "app/[a-z]/x/y": false, `app/\*/x/y`: false, "app/**/": false, "": false,
	} {
		if err := checkPattern(pattern); (err == nil) != ok {
			t.Errorf("pattern %q: %v", pattern, err)
		}
	}
}

// Whatever is read, nothing panics, and what is accepted is in its one form.
func FuzzDocuments(f *testing.F) {
	for _, shape := range shapes {
		f.Add([]byte(shape))
	}
	keys, err := OpenKeyStore(f.TempDir()+"/keys", nil)
	if err != nil {
		f.Fatal(err)
	}
	dir, err := beneath.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	defer dir.Close()
	_, err = Init(f.Context(), dir, keys, InitOptions{Now: start, Mirrors: []string{"https://x.example/"}, Lifetimes: Lifetimes{Root: day}})
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"1.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.publisher-main.json"} {
		seed, err := dir.ReadFile(published(name), 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		accepted(t, data, parseSnapshot)
		accepted(t, data, parseTargets)
		accepted(t, data, parsePublisher)
		root, err := accepted(t, data, parseRoot)
		if err == nil {
			startAssembly(root.Signed.Version, data, time.Time{}, nil)
		}
		if head, err := accepted(t, data, parseTimestamp); err == nil {
			new(floor).raise(head)
		}
		if targets, err := parseTargets("x", data); err == nil {
			owner(targets.Signed.Delegations, map[string]*targetsDoc{}, editor)
		}
	})
}

func accepted[M interface{ ToBytes(bool) ([]byte, error) }](t *testing.T, data []byte, parse func(string, []byte) (M, error)) (M, error) {
	m, err := parse("trust/x.json", data)
	if err != nil {
		if !errors.Is(err, ErrFormat) {
			t.Fatalf("error of another kind: %v", err)
		}
		return m, err
	}
	if again, err := m.ToBytes(false); err != nil || !bytes.Equal(again, data) {
		t.Fatalf("two forms: %q and %q: %v", data, again, err)
	}
	return m, nil
}
