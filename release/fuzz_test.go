package release

import "testing"

// FuzzParseRef: a ref is written as it was read, and is safe as a path.
func FuzzParseRef(f *testing.F) {
	f.Add("app/org.example.Editor/x86_64/stable")
	f.Add("app/../../x/x")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err == nil && r.String() != s {
			t.Errorf("%q becomes %q", s, r)
		}
	})
}

// FuzzParseFilesystem: what is accepted reads back.
func FuzzParseFilesystem(f *testing.F) {
	for _, s := range []string{"home", "xdg-music:ro", "~/x", "/srv/a:create", "!host"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := ParseFilesystem(s)
		if err != nil {
			return
		}
		if again, err := ParseFilesystem(parsed.String()); err != nil || again != parsed {
			t.Errorf("%q: %+v becomes %+v, %v", s, parsed, again, err)
		}
	})
}
