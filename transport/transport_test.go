package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/transport"
)

func TestCheckNameVectors(t *testing.T) {
	text, err := os.ReadFile("../spec/vectors/transport/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Good, Bad []string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Good) == 0 || len(vectors.Bad) == 0 {
		t.Fatal("no vectors")
	}
	good := append(vectors.Good, strings.Repeat("x", transport.MaxName))
	bad := append(vectors.Bad, strings.Repeat("x", transport.MaxName+1), "\xff", "a/\xc0\xaf")
	for _, name := range good {
		if err := transport.CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range bad {
		if err := transport.CheckName(name); !errors.Is(err, transport.ErrName) {
			t.Errorf("%.100q: %v is not ErrName", name, err)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	f.Add("packs/a")
	f.Add("../a")
	f.Fuzz(func(t *testing.T, name string) {
		if transport.CheckName(name) != nil {
			return
		}
		for part := range strings.SplitSeq(name, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\x00\r\n\t\\") {
				t.Errorf("%q", name)
			}
		}
	})
}

func TestRequests(t *testing.T) {
	tests := []struct {
		req   transport.Request
		bad   bool
		whole bool
		end   int64
	}{
		{transport.Request{Name: "a"}, false, true, -1},
		{transport.Request{Name: "a", Length: -1}, false, true, -1},
		{transport.Request{Name: "a", Offset: 5}, false, false, -1},
		{transport.Request{Name: "a", Length: 5}, false, false, 5},
		{transport.Request{Name: "a", Offset: 5, Length: math.MaxInt64 - 5}, false, false, math.MaxInt64},
		{transport.Request{Name: "a", Offset: 6, Length: math.MaxInt64 - 5}, true, false, 0},
		{transport.Request{Name: "a", Offset: -1}, true, false, 0},
		{transport.Request{Name: "a", Validator: `"x"`}, false, true, -1},
		{transport.Request{Name: "a", Validator: "x\ny"}, true, true, -1},
		{transport.Request{Name: "a", Validator: strings.Repeat("x", transport.MaxValidator+1)}, true, true, -1},
		{transport.Request{}, true, true, -1},
	}
	for _, test := range tests {
		if err := test.req.Check(); (err != nil) != test.bad {
			t.Errorf("%+v: %v", test.req, err)
		}
		if test.bad {
			continue
		}
		if test.req.Whole() != test.whole || test.req.End() != test.end {
			t.Errorf("%+v: whole %v, end %d", test.req, test.req.Whole(), test.req.End())
		}
	}
}

func TestStatusErrors(t *testing.T) {
	kinds := []error{fs.ErrNotExist, fs.ErrPermission, transport.ErrRange}
	tests := []struct {
		code      int
		is        error
		temporary bool
	}{
		{400, nil, false},
		{401, fs.ErrPermission, false},
		{403, fs.ErrPermission, false},
		{404, fs.ErrNotExist, false},
		{407, fs.ErrPermission, false},
		{408, nil, true},
		{410, fs.ErrNotExist, false},
		{416, transport.ErrRange, false},
		{429, nil, true},
		{500, nil, true},
		{501, nil, false},
		{503, nil, true},
		{505, nil, false},
		{600, nil, false},
	}
	for _, test := range tests {
		err := &transport.StatusError{Code: test.code}
		if err.Temporary() != test.temporary {
			t.Errorf("%v: temporary %v", err, err.Temporary())
		}
		for _, kind := range kinds {
			if errors.Is(err, kind) != (kind == test.is) {
				t.Errorf("%v: is %v: %v", err, kind, errors.Is(err, kind))
			}
		}
	}
}

// Each error says what, from where, why, and what to do if anything can be done.
func TestErrors(t *testing.T) {
	tests := []struct {
		cause error
		tries int
		want  string
	}{
		{context.Canceled, 1, "context canceled"},
		{context.DeadlineExceeded, 1, "context deadline exceeded; check the network, try again later, or use a mirror"},
		{&transport.StatusError{Code: 404}, 1, "server answered 404 Not Found"},
		{&transport.StatusError{Code: 401}, 1, "server answered 401 Unauthorized; check the token, the netrc file, or who may read the repository"},
		{&transport.StatusError{Code: 503, RetryAfter: 2 * time.Minute}, 1, "server answered 503 Service Unavailable and asked to wait 2m0s; try again later, or use a mirror"},
		{&transport.StatusError{Code: 599}, 6, "server answered 599 (6 tries); try again later, or use a mirror"},
		{&transport.StatusError{Code: 418}, 1, "server answered 418 I'm a teapot"},
		{transport.ErrStalled, 2, "server does not answer, or too slowly (2 tries); check the network, try again later, or use a mirror"},
		{transport.ErrRange, 0, "server has no such range; check that the address is that of a repository, or use a mirror"},
		{transport.ErrAnswer, 1, "server gave an answer that makes no sense; check that the address is that of a repository, or use a mirror"},
		{transport.ErrChanged, 1, "file changed while it was fetched; try again"},
		{transport.ErrRedirect, 1, "refused redirect; use the address that the repository has now"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route")}, 1, "dial tcp: no route; check the address and the network"},
	}
	for _, test := range tests {
		err := &transport.Error{Name: "packs/a", From: "https://x/r", Tries: test.tries, Err: test.cause}
		if want := "fetching packs/a from https://x/r: " + test.want; err.Error() != want {
			t.Errorf("%s\nnot %s", err, want)
		}
		if !errors.Is(err, test.cause) {
			t.Errorf("%v is not its cause", err)
		}
	}
}
