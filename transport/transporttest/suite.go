package transporttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/larch-project/larch/transport"
)

// bigSize is the size of the suite's largest file: odd, and beyond every buffer.
const bigSize = 3<<20 + 17

// suite is one run: a transport of a folder.
type suite struct {
	dir       string
	transport transport.Transport
	files     map[string][]byte
}

// Run tests whether a transport keeps the contract of package transport. open
// makes one for the files of a folder, and has it closed with the test; files
// are replaced and removed while it is in use.
func Run(t *testing.T, open func(t *testing.T, dir string) transport.Transport) {
	tests := []struct {
		name string
		run  func(*suite, *testing.T)
	}{
		{"whole files", (*suite).wholeFiles},
		{"ranges", (*suite).ranges},
		{"no such range", (*suite).noSuchRange},
		{"missing", (*suite).missing},
		{"impossible requests", (*suite).impossible},
		{"not modified", (*suite).notModified},
		{"at once", (*suite).atOnce},
		{"canceled", (*suite).canceled},
		{"closed", (*suite).closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{dir: t.TempDir(), files: someFiles()}
			for name := range s.files {
				s.write(t, name)
			}
			s.transport = open(t, s.dir)
			test.run(s, t)
		})
	}
}

func someFiles() map[string][]byte {
	big := make([]byte, bigSize)
	random := rand.NewChaCha8([32]byte{'s', 'u', 'i', 't', 'e'})
	random.Read(big)
	return map[string][]byte{
		"larch.json":               []byte("{}\n"),
		"packs/big":                big,
		"empty":                    {},
		"odd/%2e%2e/a?b#c;d e+é:f": []byte("odd"),
	}
}

func (s *suite) write(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", s.files[name], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// fetch fetches and compares with what the file has; it gives the Response,
// which is closed.
func (s *suite) fetch(t *testing.T, req transport.Request) *transport.Response {
	t.Helper()
	res, err := s.transport.Fetch(t.Context(), req)
	if err != nil {
		t.Errorf("%+v: %v", req, err)
		return &transport.Response{}
	}
	defer res.Body.Close()
	have, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%+v: reading: %v", req, err)
	}
	file := s.files[req.Name]
	want := file[req.Offset:]
	if req.Length > 0 {
		want = want[:min(req.Length, int64(len(want)))]
	}
	if res.Offset == 0 && req.Offset > 0 {
		want = file
	} else if res.Offset != req.Offset {
		t.Errorf("%+v: begins at %d", req, res.Offset)
	}
	if res.NotModified {
		want = nil
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%+v: %d bytes came, not the %d of the file", req, len(have), len(want))
	}
	if res.Size >= 0 && res.Size != int64(len(file)) {
		t.Errorf("%+v: says a size of %d, not %d", req, res.Size, len(file))
	}
	if res.Validator != "" && !transport.ValidValidator(res.Validator) {
		t.Errorf("%+v: impossible validator %q", req, res.Validator)
	}
	return res
}

func (s *suite) wholeFiles(t *testing.T) {
	for name := range s.files {
		s.fetch(t, transport.Request{Name: name})
		s.fetch(t, transport.Request{Name: name, Length: -1})
	}
}

func (s *suite) ranges(t *testing.T) {
	spans := [][2]int64{
		{0, 1}, {0, bigSize}, {0, bigSize + 1}, {1, 1}, {1, -1}, {4095, 4097}, {1 << 20, 1 << 20},
		{bigSize - 1, 1}, {bigSize - 1, -1}, {bigSize - 1, 1000}, {1, 1 << 62}, {17, 0},
	}
	for _, span := range spans {
		s.fetch(t, transport.Request{Name: "packs/big", Offset: span[0], Length: span[1]})
	}
}

// noSuchRange: behind the end is an error, unless the server has no ranges.
func (s *suite) noSuchRange(t *testing.T) {
	for _, offset := range []int64{bigSize, bigSize + 1, 1 << 62} {
		req := transport.Request{Name: "packs/big", Offset: offset, Length: 10}
		res, err := s.transport.Fetch(t.Context(), req)
		if err == nil {
			if res.Offset != 0 {
				t.Errorf("offset %d: begins at %d", offset, res.Offset)
			}
			res.Body.Close()
		} else if !errors.Is(err, transport.ErrRange) {
			t.Errorf("offset %d: %v is not ErrRange", offset, err)
		}
	}
}

func (s *suite) missing(t *testing.T) {
	for _, name := range []string{"missing", "packs/missing", "missing/big", "packs/big/below", "PACKS/BIG"} {
		_, err := s.transport.Fetch(t.Context(), transport.Request{Name: name})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is not fs.ErrNotExist", name, err)
		}
	}
	if _, err := s.transport.Fetch(t.Context(), transport.Request{Name: "packs"}); err == nil {
		t.Error("a folder was fetched")
	}
}

func (s *suite) impossible(t *testing.T) {
	for _, name := range BadNames() {
		_, err := s.transport.Fetch(t.Context(), transport.Request{Name: name})
		if !errors.Is(err, transport.ErrName) {
			t.Errorf("%.100q: %v is not ErrName", name, err)
		}
	}
	for _, req := range []transport.Request{
		{Name: "empty", Offset: -1},
		{Name: "empty", Offset: 1, Length: 1<<63 - 1},
		{Name: "empty", Validator: "\"a\"\r\nHost: b"},
	} {
		if _, err := s.transport.Fetch(t.Context(), req); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v is not fs.ErrInvalid", req, err)
		}
	}
}

func (s *suite) notModified(t *testing.T) {
	const name = "larch.json"
	first := s.fetch(t, transport.Request{Name: name})
	if first.NotModified {
		t.Error("not modified, though nothing was held")
	}
	if first.Validator == "" {
		return // a transport may have none: then nothing is ever "not modified"
	}
	again := s.fetch(t, transport.Request{Name: name, Validator: first.Validator})
	if !again.NotModified || again.Validator != first.Validator {
		t.Errorf("unchanged, but NotModified is %v, validator %q became %q",
			again.NotModified, first.Validator, again.Validator)
	}
	s.files[name] = []byte("{1}\n")
	s.write(t, name)
	changed := s.fetch(t, transport.Request{Name: name, Validator: first.Validator})
	if changed.NotModified || changed.Validator == first.Validator {
		t.Error("changed, but said to be the same")
	}
	for _, foreign := range []string{"x", `"x"`, `W/"x"`, `"`, "Thu, 01 Jan 1970 00:00:00 GMT"} {
		if s.fetch(t, transport.Request{Name: name, Validator: foreign}).NotModified {
			t.Errorf("validator %q, of another server, matches", foreign)
		}
	}
}

// atOnce: eight at a time, each with its own ranges, read in odd pieces.
func (s *suite) atOnce(t *testing.T) {
	var all sync.WaitGroup
	for worker := range uint64(8) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(worker, 0))
			for range 6 {
				offset := random.Int64N(bigSize)
				s.fetch(t, transport.Request{Name: "packs/big", Offset: offset, Length: random.Int64N(1 << 18)})
			}
		})
	}
	all.Wait()
}

func (s *suite) canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	res, err := s.transport.Fetch(ctx, transport.Request{Name: "packs/big"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v is not context.Canceled", err)
	}
	if _, err := s.transport.Fetch(ctx, transport.Request{Name: "empty"}); !errors.Is(err, context.Canceled) {
		t.Errorf("fetching: %v is not context.Canceled", err)
	}
	s.fetch(t, transport.Request{Name: "larch.json"})
}

// closed: a body that was closed early gives no clean end, and others go on.
func (s *suite) closed(t *testing.T) {
	for range 20 {
		res, err := s.transport.Fetch(t.Context(), transport.Request{Name: "packs/big"})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.Body.Read(nil); n != 0 || err != nil {
			t.Errorf("reading nothing: %d, %v", n, err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if _, err := res.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("reading after Close: %v", err)
		}
		res.Body.Close()
	}
	s.fetch(t, transport.Request{Name: "packs/big"})
}
