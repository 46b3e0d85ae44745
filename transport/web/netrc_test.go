package web

import (
	"strings"
	"testing"
)

func TestFindLogin(t *testing.T) {
	const host = "example.org"
	tests := []struct {
		name, text string
		want       login
		message    string // part of the error
	}{
		{"empty", "", login{}, ""},
		{"one line", "machine example.org login a password b", login{"a", "b"}, ""},
		{"lines", "machine\n\texample.org\nlogin\na\npassword b\n", login{"a", "b"}, ""},
		{"case", "machine EXAMPLE.ORG login a password b", login{"a", "b"}, ""},
		{"other host", "machine example.com login a password b", login{}, ""},
		{"second", "machine x login c password d machine example.org password b login a account z", login{"a", "b"}, ""},
		{"first counts", "machine example.org login a password b machine example.org login c password d", login{"a", "b"}, ""},
		{"default", "machine x login c password d\ndefault login a password b", login{"a", "b"}, ""},
		{"comment", "# machine example.org\nmachine example.org login a password b", login{"a", "b"}, ""},
		{"hash in a word", "machine example.org login a password #b", login{"a", "#b"}, ""},
		{"words as values", "machine example.org login login password machine", login{"login", "machine"}, ""},
		{"macro", "machine example.org login a password b\nmacdef init\nrm machine\n\nmachine x login y password z", login{"a", "b"}, ""},
		{"macro at the end", "macdef init\nput", login{}, ""},
		{"no password", "machine example.org login a", login{}, "needs a login"},
		{"no login", "machine example.org password a", login{}, "needs a login"},
		{"colon", "machine example.org login a:b password c", login{}, "needs a login"},
		{"another without password", "machine x login a", login{}, ""},
		{"unknown word", "machine example.org login a password b\nhunter2", login{}, "line 2: neither"},
		{"no machine", "\nlogin hunter2", login{}, "line 2: no machine"},
		{"cut", "machine example.org login a password", login{}, "line 1: ends"},
		{"cut at once", "machine", login{}, "line 1: ends"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			have, err := findLogin(test.text, host)
			if have != test.want {
				t.Errorf("%+v, not %+v", have, test.want)
			}
			switch {
			case err == nil && test.message != "":
				t.Errorf("no error, not %q", test.message)
			case err != nil && (test.message == "" || !strings.Contains(err.Error(), test.message)):
				t.Errorf("error %v, not %q", err, test.message)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error repeats the file: %v", err)
			}
		})
	}
}

func FuzzFindLogin(f *testing.F) {
	f.Add("machine example.org login a password b\n# c\nmacdef x\ny\n\ndefault login c password d")
	f.Fuzz(func(t *testing.T, text string) {
		have, err := findLogin(text, "example.org")
		if err != nil && have != (login{}) {
			t.Error("an error and a login")
		}
		if strings.ContainsAny(have.user+have.password, " \t\r\n") || strings.Contains(have.user, ":") {
			t.Errorf("impossible login %+v", have)
		}
	})
}
