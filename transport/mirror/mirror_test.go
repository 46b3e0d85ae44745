package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/transport/mirror"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

func openFolder(t *testing.T, dir string) transport.Transport {
	t.Helper()
	repository, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

// serve gives a transport to a server in memory that does not retry.
func serve(t *testing.T, server *transporttest.Server) transport.Transport {
	t.Helper()
	repository, err := web.New(transporttest.Address, web.Options{
		Dial:    transporttest.Pipe(t, server),
		Retries: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func join(t *testing.T, opt mirror.Options, members ...transport.Transport) *mirror.Transport {
	t.Helper()
	m := mirror.New(members[0], members[1:], opt)
	t.Cleanup(func() { m.Close() })
	return m
}

func isHead(name string) bool { return path.Dir(name) == "trust" }

func fetch(t *testing.T, from transport.Transport, req transport.Request) (string, error) {
	t.Helper()
	res, err := from.Fetch(t.Context(), req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return string(data), err
}

// requests counts what the servers have seen.
func requests(servers ...*transporttest.Server) []int {
	var counts []int
	for _, s := range servers {
		counts = append(counts, len(s.Requests()))
	}
	return counts
}

func TestSuite(t *testing.T) {
	bad := func(answer transporttest.Answer) func(*testing.T, string) transport.Transport {
		return func(t *testing.T, dir string) transport.Transport {
			server := transporttest.NewServer(os.DirFS(dir))
			server.Always(answer)
			return serve(t, server)
		}
	}
	for name, primary := range map[string]func(*testing.T, string) transport.Transport{
		"well":          openFolder,
		"empty":         func(t *testing.T, _ string) transport.Transport { return openFolder(t, t.TempDir()) },
		"cut":           bad(transporttest.CutAfter(100_000)),
		"without range": bad(transporttest.NoRanges),
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T, dir string) transport.Transport {
				return join(t, mirror.Options{}, primary(t, dir), openFolder(t, dir))
			})
		})
	}
}

// A mirror that is down is asked once in its time of rest, which grows.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := fstest.MapFS{"packs/a": {Data: []byte("a")}}
		down, well := transporttest.NewServer(files), transporttest.NewServer(files)
		down.Always(transporttest.Status(500))
		m := join(t, mirror.Options{Rest: time.Minute}, serve(t, down), serve(t, well))
		steps := []struct {
			pause time.Duration
			want  []int
		}{
			{0, []int{1, 1}},
			{0, []int{1, 2}},
			{59 * time.Second, []int{1, 3}},
			{2 * time.Second, []int{2, 4}},
			{119 * time.Second, []int{2, 5}},
			{2 * time.Second, []int{3, 6}},
		}
		for _, step := range steps {
			time.Sleep(step.pause)
			if data, err := fetch(t, m, transport.Request{Name: "packs/a"}); data != "a" || err != nil {
				t.Fatalf("%q, %v", data, err)
			}
			if diff := cmp.Diff(step.want, requests(down, well)); diff != "" {
				t.Errorf("after %v: requests (-want +have):\n%s", step.pause, diff)
			}
		}
		down.Always(nil)
		time.Sleep(time.Hour)
		fetch(t, m, transport.Request{Name: "packs/a"})
		fetch(t, m, transport.Request{Name: "packs/a"})
		if diff := cmp.Diff([]int{5, 6}, requests(down, well)); diff != "" {
			t.Errorf("well again: requests (-want +have):\n%s", diff)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A mirror that gave wrong bytes is left alone, whatever it answers to those who have
// asked it before; whoever says so learns whether somebody else is left.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := fstest.MapFS{"packs/a": {Data: []byte("a")}}
		first, second := transporttest.NewServer(files), transporttest.NewServer(files)
		m := join(t, mirror.Options{Rest: time.Minute}, serve(t, first), serve(t, second))
		var answers []*transport.Response
		for range 2 {
			res, err := m.Fetch(t.Context(), transport.Request{Name: "packs/a"})
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, res)
		}
		slow := make(chan struct{})
		first.Always(func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			<-slow
			honest.ServeHTTP(w, r)
		})
		ended := make(chan error)
		go func() {
			_, err := fetch(t, m, transport.Request{Name: "packs/a"})
			ended <- err
		}()
		synctest.Wait()
		if answers[0].Body.Close(); !answers[0].Refused() || !answers[1].Refused() {
			t.Error("nobody is left")
		}
		answers[1].Body.Close()
		close(slow)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		res, err := m.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if diff := cmp.Diff([]int{3, 1}, requests(first, second)); err != nil || diff != "" {
			t.Fatalf("%v; requests (-want +have):\n%s", err, diff)
		}
		if res.Body.Close(); res.Refused() {
			t.Error("somebody is left")
		}
		time.Sleep(2 * time.Minute)
		for range 2 {
			fetch(t, m, transport.Request{Name: "packs/a"})
		}
		if diff := cmp.Diff([]int{5, 1}, requests(first, second)); diff != "" {
			t.Errorf("well again: requests (-want +have):\n%s", diff)
		}
	})
}

// The head is the primary's word, also that it is missing; a mirror's only while
// the primary cannot be asked.
func TestHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary := transporttest.NewServer(fstest.MapFS{"trust/timestamp.json": {Data: []byte("new")}})
		lagging := transporttest.NewServer(fstest.MapFS{
			"trust/timestamp.json": {Data: []byte("old")},
			"trust/2.root.json":    {Data: []byte("root")},
			"packs/a":              {Data: []byte("a")},
		})
		m := join(t, mirror.Options{Head: isHead}, serve(t, primary), serve(t, lagging))
		expect := func(name, want string, missing bool) {
			t.Helper()
			data, err := fetch(t, m, transport.Request{Name: name})
			if data != want || errors.Is(err, fs.ErrNotExist) != missing {
				t.Errorf("%s: %q, %v", name, data, err)
			}
		}
		expect("trust/timestamp.json", "new", false)
		expect("trust/2.root.json", "", true)
		expect("packs/a", "a", false)
		expect("packs/b", "", true)
		if diff := cmp.Diff([]int{4, 2}, requests(primary, lagging)); diff != "" {
			t.Errorf("requests (-want +have):\n%s", diff)
		}
		primary.Always(transporttest.Garbage())
		expect("trust/timestamp.json", "old", false)
		expect("trust/2.root.json", "root", false)
		expect("trust/3.root.json", "", true)
		if n := len(primary.Requests()); n != 5 {
			t.Errorf("%d requests to the primary, which rests after the fifth", n)
		}
		primary.Always(nil)
		expect("trust/3.root.json", "", true)
		time.Sleep(time.Minute)
		expect("trust/timestamp.json", "new", false)
		m.Close()
	})
}

// A body goes on where it broke, on another mirror, unless the file's size is
// another one there, or the file is one that changes.
func TestMiddleOfBody(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	whole := fstest.MapFS{"packs/a": {Data: content}, "trust/a": {Data: content}}
	short := fstest.MapFS{"packs/a": {Data: content[:len(content)-1]}}
	tests := []struct {
		name    string
		req     transport.Request
		mirrors []fs.FS
		answer  transporttest.Answer // of the mirrors
		want    []byte               // nil: an error
	}{
		{"range", transport.Request{Name: "packs/a", Offset: 5, Length: 100_000}, []fs.FS{whole}, nil, content[5:100_005]},
		{"to the end", transport.Request{Name: "packs/a", Offset: 5}, []fs.FS{whole}, nil, content[5:]},
		{"mirror without ranges", transport.Request{Name: "packs/a", Offset: 5, Length: 100_000}, []fs.FS{whole}, transporttest.NoRanges, content[5:100_005]},
		{"other size", transport.Request{Name: "packs/a"}, []fs.FS{short}, nil, nil},
		{"other size, then right", transport.Request{Name: "packs/a"}, []fs.FS{short, fstest.MapFS{}, whole}, nil, content},
		{"mirror breaks too", transport.Request{Name: "packs/a"}, []fs.FS{whole, whole}, transporttest.CutAfter(40_000), nil},
		{"head", transport.Request{Name: "trust/a"}, []fs.FS{whole}, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			primary := transporttest.NewServer(whole)
			primary.Always(transporttest.CutAfter(70_000))
			members := []transport.Transport{serve(t, primary)}
			for _, files := range test.mirrors {
				server := transporttest.NewServer(files)
				server.Always(test.answer)
				members = append(members, serve(t, server))
			}
			data, err := fetch(t, join(t, mirror.Options{Head: isHead}, members...), test.req)
			if test.want == nil {
				if _, ok := errors.AsType[*transport.Error](err); !ok {
					t.Errorf("%d bytes, %v: not an error of a transport", len(data), err)
				}
			} else if err != nil || data != string(test.want) {
				t.Errorf("%d bytes of %d, %v", len(data), len(test.want), err)
			}
		})
	}
}

// When all fail, the error is of one that may have the file.
func TestAllFail(t *testing.T) {
	down, empty := transporttest.NewServer(fstest.MapFS{}), transporttest.NewServer(fstest.MapFS{})
	down.Always(transporttest.Status(502))
	_, err := fetch(t, join(t, mirror.Options{}, serve(t, empty), serve(t, down)), transport.Request{Name: "packs/a"})
	if status, ok := errors.AsType[*transport.StatusError](err); !ok || status.Code != 502 || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: not that of the server which is down", err)
	}
	_, err = fetch(t, join(t, mirror.Options{}, serve(t, empty), serve(t, empty)), transport.Request{Name: "packs/a"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: not fs.ErrNotExist", err)
	}
}

// The end of the context is nobody's failure and asks nobody else.
func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := fstest.MapFS{"packs/a": {Data: []byte("a")}}
		first, second := transporttest.NewServer(files), transporttest.NewServer(files)
		first.Next(transporttest.Hang)
		m := join(t, mirror.Options{}, serve(t, first), serve(t, second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Fetch(ctx, transport.Request{Name: "packs/a"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: not the deadline", err)
		}
		if data, err := fetch(t, m, transport.Request{Name: "packs/a"}); data != "a" || err != nil {
			t.Errorf("%q, %v", data, err)
		}
		if diff := cmp.Diff([]int{2, 0}, requests(first, second)); diff != "" {
			t.Errorf("requests (-want +have):\n%s", diff)
		}
		m.Close()
	})
}
