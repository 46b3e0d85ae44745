package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// content is what servers have as packs/a.
var content = bytes.Repeat([]byte("0123456789abcdef"), 20_000)

var modified = time.Unix(9e8, 0) // before the time of a bubble

func files() fs.FS { return fstest.MapFS{"packs/a": {Data: content, ModTime: modified}} }

// redirected sends each request once around the corner.
func redirected(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	if r.URL.RawQuery == "" {
		transporttest.Redirect(r.URL.EscapedPath()+"?moved")(w, r, honest)
		return
	}
	honest.ServeHTTP(w, r)
}

// world is a server in memory, a transport to it, and what came of using it.
type world struct {
	server *transporttest.Server
	web    *web.Transport
	stats  transport.Stats
}

// bubble runs a test in a bubble where time costs nothing, and goroutines that
// outlive it are an error. At most one second of that time passes between the
// end of a test and the end of the bubble.
func bubble(t *testing.T, opt web.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{server: transporttest.NewServer(files())}
		opt.Dial = transporttest.Pipe(t, w.server)
		opt.Stats = &w.stats
		opt.Getenv = func(string) string { return "" }
		w.web = open(t, transporttest.Address, opt)
		test(t, w)
		w.web.Close()
	})
}

// fetch fetches and reads at most a little more than the file has.
func (w *world) fetch(t *testing.T, req transport.Request) ([]byte, *transport.Response, error) {
	t.Helper()
	res, err := w.web.Fetch(t.Context(), req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, int64(len(content))+1))
	return data, res, err
}

// Each of these gives an error of the right kind in bounded time, with text that
// can be shown, and the next request is served as if nothing had been.
func TestHostile(t *testing.T) {
	any := errors.New("any error")
	part := transport.Request{Name: "packs/a", Offset: 1000, Length: 500}
	tests := []struct {
		name   string
		req    transport.Request
		answer transporttest.Answer
		want   error
		within time.Duration
	}{
		{"garbage", transport.Request{}, transporttest.Garbage(), any, 15 * time.Second},
		{"nothing", transport.Request{}, transporttest.Raw(""), any, 15 * time.Second},
		{"HTTP/0.9", transport.Request{}, transporttest.Raw("<html>"), any, 15 * time.Second},
		{"status without end", transport.Request{}, transporttest.Raw("HTTP/1.1 200 " + strings.Repeat("o", 1<<20)), any, 15 * time.Second},
		{"two lengths", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), any, 15 * time.Second},
		{"negative length", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab"), any, 15 * time.Second},
		{"length beyond 64 bits", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nab"), any, 15 * time.Second},
		{"body too short", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), any, 15 * time.Second},
		{"body cut while chunked", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), any, 15 * time.Second},
		{"chunk without end", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nab"), any, 15 * time.Second},
		{"unknown transfer coding", transport.Request{}, transporttest.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"), any, 15 * time.Second},
		{"hanging before the header", transport.Request{}, transporttest.Hang, transport.ErrStalled, 61 * time.Second},
		{"a header a byte a second", transport.Request{}, transporttest.SlowRaw("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1000), time.Second), transport.ErrStalled, 61 * time.Second},
		{"hanging in the body", transport.Request{}, transporttest.HangAfter(1000), transport.ErrStalled, 62 * time.Second},
		{"a byte a second", transport.Request{}, transporttest.Drip(time.Second), transport.ErrStalled, 62 * time.Second},
		{"half the floor", transport.Request{}, transporttest.Slow(512, time.Second), transport.ErrStalled, 125 * time.Second},
		{"huge header", transport.Request{}, transporttest.HugeHeader(), any, 15 * time.Second},
		{"gzip", transport.Request{}, transporttest.Encoded("gzip"), transport.ErrAnswer, 0},
		{"odd encoding", part, transporttest.Encoded("odd\u009b31m"), transport.ErrAnswer, 0},
		{"not modified to the first request", transport.Request{}, transporttest.Status(304), transport.ErrAnswer, 0},
		{"part unasked", transport.Request{}, transporttest.Status(206, "Content-Range", "bytes 0-3/4"), transport.ErrRange, 0},
		{"part of nothing", part, transporttest.Status(206), transport.ErrRange, 0},
		{"other start", part, transporttest.ContentRange("bytes 0%[2]d-%[2]d/%[3]d"), transport.ErrRange, 0},
		{"other unit", part, transporttest.ContentRange("lines %d-%d/%d"), transport.ErrRange, 0},
		{"total below the end", part, transporttest.ContentRange("bytes %[1]d-%[2]d/%[2]d"), transport.ErrRange, 0},
		{"end beyond what was asked", part, transporttest.ContentRange("bytes %[1]d-9999/%[3]d"), transport.ErrRange, 0},
		{"several parts", part, transporttest.Header(func(_ int, h http.Header) { h.Set("Content-Type", "multipart/byteranges; boundary=x") }), transport.ErrRange, 0},
		{"no such range", part, transporttest.Status(416), transport.ErrRange, 0},
		{"moved for ever", transport.Request{}, transporttest.RedirectLoop, transport.ErrRedirect, 0},
		{"moved to a file", transport.Request{}, transporttest.Redirect("file:///etc/passwd"), transport.ErrRedirect, 0},
		{"forbidden", transport.Request{}, transporttest.Status(403), fs.ErrPermission, 0},
		{"gone", transport.Request{}, transporttest.Status(410), fs.ErrNotExist, 0},
		{"odd status", transport.Request{}, transporttest.Status(299), any, 0},
		{"unavailable", transport.Request{}, transporttest.Status(503), any, 15 * time.Second},
		{"too many requests", transport.Request{}, transporttest.Status(429, "Retry-After", "1000000000"), any, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Always(test.answer)
				req := test.req
				req.Name = "packs/a"
				began := time.Now()
				_, _, err := w.fetch(t, req)
				checkError(t, err)
				if err == nil || test.want != any && !errors.Is(err, test.want) {
					t.Errorf("error %v, not %v", err, test.want)
				}
				if took := time.Since(began); took > test.within+time.Second { // a second to get rid of a text
					t.Errorf("took %v, not %v", took, test.within)
				}
				w.server.Always(nil)
				if data, _, err := w.fetch(t, transport.Request{Name: "packs/a"}); err != nil || !bytes.Equal(data, content) {
					t.Errorf("afterwards: %d bytes, %v", len(data), err)
				}
			})
		})
	}
}

// checkError looks at the form of an error: what, from where, in one line that a
// terminal can show.
func checkError(t *testing.T, err error) {
	t.Helper()
	failure, ok := errors.AsType[*transport.Error](err)
	if !ok {
		t.Fatalf("%v (%T) is not a *transport.Error", err, err)
	}
	text := failure.Error()
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if !strings.HasPrefix(text, "fetching packs/a from http://repository.example/r: ") ||
		len(text) > 600 || strings.ContainsFunc(text, odd) {
		t.Errorf("odd message: %q", text)
	}
}

// A server that sends without end is read no further than its caller reads.
func TestEndless(t *testing.T) {
	bubble(t, web.Options{}, func(t *testing.T, w *world) {
		w.server.Always(transporttest.Endless)
		data, res, err := w.fetch(t, transport.Request{Name: "packs/a", Offset: 10})
		if err != nil || len(data) != len(content)+1 || res.Offset != 0 || res.Size != -1 {
			t.Errorf("%d bytes, %+v, %v", len(data), res, err)
		}
		if n := w.stats.Bytes.Load(); n > int64(len(content))+1 {
			t.Errorf("%d bytes were received", n)
		}
	})
}

// What is slow but not below the floor is waited for, and the time that the
// caller takes is not the server's.
func TestNoStall(t *testing.T) {
	bubble(t, web.Options{}, func(t *testing.T, w *world) {
		w.server.Always(transporttest.Slow(1100, time.Second))
		if data, _, err := w.fetch(t, transport.Request{Name: "packs/a"}); err != nil || !bytes.Equal(data, content) {
			t.Errorf("slow: %d bytes, %v", len(data), err)
		}
		w.server.Always(nil)
		res, err := w.web.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		piece := make([]byte, len(content)/10)
		for range 10 {
			time.Sleep(time.Hour)
			if _, err := io.ReadFull(res.Body, piece); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.stats.Requests.Load(); n != 2 {
			t.Errorf("%d requests, not 2", n)
		}
	})
}

// Whatever goes on, the end of the context ends it at once.
func TestCanceled(t *testing.T) {
	for name, answer := range map[string]transporttest.Answer{
		"before the header": transporttest.Hang,
		"in the body":       transporttest.HangAfter(1000),
		"in a pause":        transporttest.Status(503, "Retry-After", "50"),
		"in an error text":  hangingText,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Always(answer)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				began := time.Now()
				res, err := w.web.Fetch(ctx, transport.Request{Name: "packs/a"})
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%v: not the deadline", err)
				}
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func hangingText(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, "not")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// Close ends a Read that waits.
func TestCloseWhileReading(t *testing.T) {
	bubble(t, web.Options{}, func(t *testing.T, w *world) {
		w.server.Always(transporttest.HangAfter(1000))
		res, err := w.web.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			ended <- err
		}()
		synctest.Wait()
		began := time.Now()
		res.Body.Close()
		if err := <-ended; err == nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
