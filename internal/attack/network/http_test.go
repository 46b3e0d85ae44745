package network

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/trust"
)

// atOnce bounds what one update may read of a server that sends what nobody wants:
// bytes. What version 2 itself takes is less than half of it.
const atOnce = 4 << 20

// lies has the server give one answer for all names with some prefixes.
func lies(answer transporttest.Answer, prefixes ...string) func(*world, *forger) {
	return func(w *world, _ *forger) {
		for _, prefix := range prefixes {
			w.server.lie(prefix, answer)
		}
	}
}

// packed has contents come by packs: there are no deltas. What was refused is told.
func packed(then func(*world, *forger)) func(*world, *forger) {
	return func(w *world, f *forger) {
		w.server.lie("deltas/", transporttest.Status(404))
		then(w, f)
	}
}

// contents are the files that hold contents.
var contents = []string{"deltas/", "packs/"}

// TestEndless has every kind of file come without end.
func TestEndless(t *testing.T) {
	for _, c := range []struct {
		file string
		want verdict
	}{
		{"trust/2.root.json", verdict{err: bounded.ErrTooLarge}},
		{"trust/timestamp.json", verdict{err: bounded.ErrTooLarge}},
		{"trust/3.snapshot.json", verdict{err: bounded.ErrTooLarge}},
		{"trust/3.publisher-main.json", verdict{err: bounded.ErrTooLarge}},
		{"larch.json", verdict{err: bounded.ErrTooLarge}},
		{"releases/", verdict{err: digest.ErrMismatch, trusts: atVersion2}},
		{"deltas/", verdict{}},
		{"packs/", verdict{}}, // by deltas
		{"index/", verdict{}}, // of what deltas brought
		{"", verdict{err: bounded.ErrTooLarge}},
	} {
		t.Run("H-01 an endless "+c.file, func(t *testing.T) {
			w := newWorld(t)
			w.server.lie(c.file, transporttest.Endless)
			err := w.update()
			if n := w.stats.Bytes.Load(); n > atOnce {
				t.Errorf("%d bytes were read", n)
			}
			w.judge(err, c.want)
		})
	}
	for _, c := range []struct {
		file string
		want verdict
	}{
		{"index/", verdict{err: repo.ErrIndex, trusts: atVersion2}},
		{"trees/", verdict{err: digest.ErrMismatch, trusts: atVersion2}},
		{"packs/", verdict{err: digest.ErrMismatch, trusts: atVersion2}},
	} {
		t.Run("H-01 an endless "+c.file+" without deltas", func(t *testing.T) {
			w := newWorld(t)
			w.server.lie("deltas/", transporttest.Status(404))
			w.server.lie(c.file, transporttest.Endless)
			err := w.update()
			if n := w.stats.Bytes.Load(); n > atOnce {
				t.Errorf("%d bytes were read", n)
			}
			w.judge(err, c.want)
		})
	}
	for what, stream := range map[string]string{
		"signatures": `{"signatures":[` + strings.Repeat(`{"keyid":"`+strings.Repeat("0", 64)+`","sig":"00"},`, 100),
		"keys":       `{"signatures":[],"signed":{"_type":"root","keys":{` + strings.Repeat(`"`+strings.Repeat("0", 64)+`":{},`, 100),
		"depth":      strings.Repeat("[", 10_000),
		"white":      strings.Repeat(" ", 10_000),
	} {
		for number, file := range map[string]string{"A-13": "trust/2.root.json", "B-14": "trust/timestamp.json"} {
			t.Run(number+" "+what+" without end", func(t *testing.T) {
				w := newWorld(t)
				w.server.lie(file, endless(stream))
				err := w.update()
				if n := w.stats.Bytes.Load(); n > 1<<20 {
					t.Errorf("%d bytes were read", n)
				}
				w.judge(err, verdict{err: bounded.ErrTooLarge})
			})
		}
	}
}

// endless repeats a text for ever.
func endless(text string) transporttest.Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for {
			if _, err := w.Write([]byte(text)); err != nil {
				return
			}
		}
	}
}

// TestFraming has answers that are no HTTP, or that say two things.
func TestFraming(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for what, text := range map[string]string{
		"H-02 a length that is too large":       ok + "Content-Length: 10\r\n\r\nab",
		"H-02 a length that is too small":       ok + "Content-Length: 1\r\n\r\nabcdef",
		"H-02 a negative length":                ok + "Content-Length: -1\r\n\r\nab",
		"H-02 two lengths":                      ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"H-02 a length with a sign":             ok + "Content-Length: +2\r\n\r\nab",
		"H-02 a length of 2^64":                 ok + "Content-Length: 18446744073709551616\r\n\r\nab",
		"H-02 chunked and a length":             ok + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"H-02 a chunk that is cut":              ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"H-02 a chunk beyond 64 bits":           ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nab",
		"H-04 a line end within a header":       ok + "X: a\r\n b\rc\r\nContent-Length: 2\r\n\r\nab",
		"H-04 a megabyte of header":             ok + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\nab",
		"H-04 100,000 headers":                  ok + strings.Repeat("X: y\r\n", 100_000) + "\r\nab",
		"H-04 a bad status line":                "HTTP/1.1 abc OK\r\n\r\nab",
		"H-04 a status without end":             "HTTP/1.1 200 " + strings.Repeat("o", 1<<20),
		"H-04 a body without a header":          "<html>",
		"H-04 a NUL in a header":                ok + "X: a\x00b\r\nContent-Length: 2\r\n\r\nab",
		"H-04 nothing":                          "",
		"H-04 another protocol":                 "SSH-2.0-OpenSSH_9.2\r\n",
		"H-04 100 answers that go on":           strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100) + ok + "\r\nab",
		"H-11 gzip as the transfer's encoding":  ok + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"H-18 a second answer that none awaits": ok + "Content-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ncd",
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			for _, prefix := range []string{"trust/timestamp.json", "releases/"} {
				w.server.lie(prefix, transporttest.Raw(text))
				if err := w.update(); err == nil {
					t.Errorf("%s: no error", prefix)
				} else {
					readable(t, err.Error())
				}
				w.server.repent()
			}
			w.before = w.look() // of version 2 the head may be trusted
			for _, prefix := range contents {
				w.server.lie(prefix, transporttest.Raw(text))
			}
			w.judge(w.update(), verdict{any: true, trusts: atVersion2})
		})
	}
}

// TestRanges has parts that are not those that were asked for.
func TestRanges(t *testing.T) {
	header := func(name, value string) transporttest.Answer {
		return transporttest.Header(func(_ int, h http.Header) { h.Set(name, value) })
	}
	run(t, []attack{
		{"H-03 no ranges", "the whole file does as well", packed(lies(transporttest.NoRanges, "packs/")), verdict{}},
		{
			"H-03 another range", "what comes is what was asked for, from its beginning",
			packed(lies(transporttest.ContentRange("bytes 0%[2]d-%[2]d/%[3]d"), "packs/")), verdict{any: true, trusts: atVersion2},
		},
		{
			"H-03 another total", "sizes agree", packed(lies(transporttest.ContentRange("bytes %[1]d-%[2]d/%[2]d"), "packs/")),
			verdict{any: true, trusts: atVersion2},
		},
		{
			"H-03 no total", "a range does not say where it is from", packed(lies(header("Content-Range", "bytes 0-0/*"), "packs/")),
			verdict{any: true, trusts: atVersion2},
		},
		{
			"H-03 several parts", "one range is one part", packed(lies(header("Content-Type", "multipart/byteranges; boundary=x"), "packs/")),
			verdict{any: true, trusts: atVersion2},
		},
		{
			"H-03 no such range", "a server that has less than was signed", packed(lies(transporttest.Status(416), "packs/")),
			verdict{any: true, trusts: atVersion2},
		},
		{
			"H-03 the right range of another place", "digests guard what ranges cannot", packed(lies(shifted, "packs/")),
			verdict{err: digest.ErrMismatch, trusts: atVersion2},
		},
	})
}

// shifted says that it gives the range, and gives the bytes beside it.
func shifted(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	var first, last int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n < 2 {
		honest.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, 64<<20))
	w.WriteHeader(http.StatusPartialContent)
	w.Write(noise(uint64(first), last-first+1))
}

// TestAnswers has answers that are HTTP, and still not the file.
func TestAnswers(t *testing.T) {
	portal := transporttest.Answer(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html><title>Welcome to the Hotel</title>\x1b[31mplease log in</html>")
	})
	empty := transporttest.Answer(func(http.ResponseWriter, *http.Request, http.Handler) {})
	frozen := transporttest.Answer(func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		if r.Header.Get("If-None-Match") == "" {
			honest.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusNotModified)
	})
	run(t, []attack{
		{
			"H-08 plain http", "integrity comes from signatures, not from TLS",
			func(w *world, _ *forger) {
				if !strings.HasPrefix(w.address, "http://") {
					w.t.Errorf("the address is %s", w.address)
				}
			}, verdict{},
		}, {
			"H-09 the head hangs", "a server that says nothing is left",
			stalls(transporttest.Hang, "trust/timestamp.json"), verdict{err: transport.ErrStalled},
		}, {
			"H-09 a header, a byte at a time", "a header has the same time",
			stalls(transporttest.SlowRaw("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 4000), 20*time.Millisecond), "trust/timestamp.json"),
			verdict{err: transport.ErrStalled},
		}, {
			"H-09 a body, a byte at a time", "what comes below the floor is a stall",
			stalls(transporttest.Drip(20*time.Millisecond), contents...), verdict{err: transport.ErrStalled, trusts: atVersion2},
		}, {
			"H-09 it hangs after most of a body", "the end is as slow as the beginning may be",
			stalls(transporttest.HangAfter(2000), contents...), verdict{err: transport.ErrStalled, trusts: atVersion2},
		}, {
			"H-10 not modified, to a first request", "there is nothing that could be unmodified",
			lies(transporttest.Status(304), "trust/2.root.json"), verdict{err: transport.ErrAnswer},
		}, {
			"H-10 not modified, and no copy is held", "the copy was lost",
			func(w *world, _ *forger) {
				w.removed("floor.json")
				w.server.lie("trust/timestamp.json", transporttest.Status(304))
			}, verdict{err: transport.ErrAnswer},
		}, {
			"H-10 not modified, though it is", "news are hidden: as long as the head lives",
			lies(frozen, "trust/timestamp.json"), verdict{ends: 1},
		}, {
			"H-10 not modified, and the head has run out", "and no longer",
			func(w *world, _ *forger) {
				w.server.lie("trust/timestamp.json", frozen)
				w.clock = w.clock.Add(8 * 24 * time.Hour)
			}, verdict{err: trust.ErrExpired},
		}, {
			"H-10 one tag for two contents", "a validator saves a transfer and proves nothing",
			func(w *world, _ *forger) {
				w.server.lie("", transporttest.Header(func(_ int, h http.Header) { h.Set("ETag", `"same"`) }))
			}, verdict{},
		}, {
			"H-11 gzip", "it was not asked for", lies(transporttest.Encoded("gzip"), contents...),
			verdict{err: transport.ErrAnswer, trusts: atVersion2},
		}, {
			"H-11 an odd encoding", "it was not asked for", lies(transporttest.Encoded("br\u009b31m"), "trust/"),
			verdict{err: transport.ErrAnswer},
		}, {
			"H-12 a captive portal", "the message says that this is no repository", lies(portal, ""),
			verdict{err: trust.ErrFormat, says: []string{"check the address"}},
		}, {
			"H-12 a captive portal for contents", "wrong bytes are found by their digest", lies(portal, contents...),
			verdict{any: true, trusts: atVersion2},
		}, {
			"H-12 empty answers", "as if nothing had come", lies(empty, ""), verdict{err: trust.ErrFormat},
		}, {
			"H-12 empty contents", "as if nothing had come", lies(empty, contents...), verdict{any: true, trusts: atVersion2},
		}, {
			"H-12 one file is missing", "the message names it",
			packed(lies(transporttest.Status(404), "packs/")), verdict{err: fs.ErrNotExist, trusts: atVersion2, says: []string{"packs/"}},
		}, {
			"H-12 the server is down now and then", "it is asked again",
			func(w *world, _ *forger) {
				w.opt.Retries = 2
				w.server.lie("releases/", each(transporttest.Status(503), transporttest.Status(502), transporttest.Honest))
				w.server.lie("deltas/", each(transporttest.Status(500), transporttest.Honest))
			}, verdict{},
		}, {
			"H-12 come back in thirty years", "nobody waits for that",
			func(w *world, _ *forger) {
				w.opt.Retries = 5
				w.server.lie("trust/timestamp.json", transporttest.Status(429, "Retry-After", "1000000000"))
			}, verdict{any: true, says: []string{"429"}},
		}, {
			"H-12 down for ever", "the error says what was asked for", lies(transporttest.Status(503), "releases/"),
			verdict{any: true, trusts: atVersion2, says: []string{"503", "releases/"}},
		}, {
			"H-14 a connection that breaks every 64 KiB", "what came is not fetched again",
			packed(func(w *world, _ *forger) {
				w.opt.Retries = 1
				w.server.lie("packs/", transporttest.CutAfter(64<<10))
			}), verdict{},
		}, {
			"H-18 each file in place of another", "a name is a digest", lies(swapped, "packs/", "deltas/"),
			verdict{err: digest.ErrMismatch, trusts: atVersion2},
		},
	})
	t.Run("H-14 a break costs no bytes", func(t *testing.T) {
		var bytes [2]int64
		for n, cut := range []transporttest.Answer{transporttest.Honest, transporttest.CutAfter(64 << 10)} {
			w := emptyWorld(t, base(t))
			w.opt.Retries = 1
			w.trust()
			w.server.lie("deltas/", transporttest.Status(404))
			w.server.lie("packs/", cut)
			w.install()
			bytes[n] = w.stats.Bytes.Load()
		}
		if bytes[0] < 1<<20 || bytes[1] > bytes[0]+bytes[0]/10 {
			t.Errorf("%d bytes with breaks, %d without", bytes[1], bytes[0])
		}
	})
	t.Run("H-11 every request refuses encodings", func(t *testing.T) {
		w := newWorld(t)
		check(t, w.update())
		for _, r := range w.server.Requests() {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s: Accept-Encoding: %q", r.URL, r.Header.Values("Accept-Encoding"))
			}
		}
	})
}

// stalls has answers that take too long, on a machine that is impatient for the time
// of the attack.
func stalls(answer transporttest.Answer, prefixes ...string) func(*world, *forger) {
	return func(w *world, f *forger) {
		w.opt.StallTime = 300 * time.Millisecond
		lies(answer, prefixes...)(w, f)
	}
}

// swapped gives the content of another file of as many bytes.
func swapped(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	http.ServeContent(w, r, "", start, strings.NewReader(string(noise(99, 3<<20))))
}
