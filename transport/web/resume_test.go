package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// headers gives what each request said in one header.
func (w *world) headers(name string) []string {
	var values []string
	for _, r := range w.server.Requests() {
		values = append(values, r.Header.Get(name))
	}
	return values
}

// A break costs one more request, for what is missing, of the same content.
func TestResume(t *testing.T) {
	bubble(t, web.Options{}, func(t *testing.T, w *world) {
		w.server.Next(transporttest.CutAfter(100_000), transporttest.CutAfter(50_000))
		data, res, err := w.fetch(t, transport.Request{Name: "packs/a", Offset: 7, Length: 200_000})
		if err != nil || !bytes.Equal(data, content[7:200_007]) {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		ranges := []string{"bytes=7-200006", "bytes=100007-200006", "bytes=150007-200006"}
		if diff := cmp.Diff(ranges, w.headers("Range")); diff != "" {
			t.Errorf("ranges (-want +have):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"", res.Validator, res.Validator}, w.headers("If-Range")); diff != "" {
			t.Errorf("If-Range (-want +have):\n%s", diff)
		}
		if n := w.stats.Bytes.Load(); n != 200_000 {
			t.Errorf("%d bytes were received", n)
		}
	})
}

// A line that breaks again and again costs no waiting while it makes progress,
// and hardly a byte more.
func TestResumeOften(t *testing.T) {
	bubble(t, web.Options{Retries: 1}, func(t *testing.T, w *world) {
		big := make([]byte, 10<<20)
		for i := range big {
			big[i] = byte(i >> 12)
		}
		w.server.Replace(fstest.MapFS{"packs/a": {Data: big}})
		w.server.Always(transporttest.CutAfter(64 << 10))
		began := time.Now()
		res, err := w.web.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var data bytes.Buffer
		if _, err := data.ReadFrom(res.Body); err != nil || !bytes.Equal(data.Bytes(), big) {
			t.Errorf("%d bytes, %v", data.Len(), err)
		}
		if n, took := w.stats.Bytes.Load(), time.Since(began); n > 11<<20 || took > time.Second {
			t.Errorf("%d bytes were received in %v", n, took)
		}
	})
}

// Progress too small to count does not go on for ever, nor does a server that
// has to be read from the beginning each time.
func TestResumeEnds(t *testing.T) {
	rangeless := func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		noRanges := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transporttest.NoRanges(w, r, honest) })
		transporttest.CutAfter(150_000)(w, r, noRanges)
	}
	for name, answer := range map[string]transporttest.Answer{
		"small progress": transporttest.CutAfter(1000),
		"no ranges":      rangeless,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Always(answer)
				data, _, err := w.fetch(t, transport.Request{Name: "packs/a"})
				checkError(t, err)
				if !bytes.Equal(data, content[:len(data)]) {
					t.Error("wrong bytes")
				}
				if n := w.stats.Requests.Load(); n > 10 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// A server without ranges is read again from the beginning, and what is known is
// skipped.
func TestResumeWithoutRanges(t *testing.T) {
	for name, answer := range map[string]transporttest.Answer{
		"with sizes":         transporttest.NoRanges,
		"without sizes":      transporttest.NoSizes,
		"without validators": transporttest.NoValidators,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Next(transporttest.CutAfter(100_000))
				w.server.Always(answer)
				data, _, err := w.fetch(t, transport.Request{Name: "packs/a"})
				if err != nil || !bytes.Equal(data, content) {
					t.Errorf("%d bytes, %v", len(data), err)
				}
			})
		})
	}
}

// noTags sends dates alone.
func noTags(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	plain := r.Clone(r.Context())
	plain.Header.Del("If-None-Match")
	transporttest.Header(func(_ int, h http.Header) { h.Del("ETag") })(w, plain, honest)
}

// Where there are no tags, dates serve as validators.
func TestResumeByDate(t *testing.T) {
	bubble(t, web.Options{}, func(t *testing.T, w *world) {
		w.server.Next(func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			noTags(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				transporttest.CutAfter(100_000)(w, r, honest)
			}))
		})
		w.server.Always(noTags)
		data, res, err := w.fetch(t, transport.Request{Name: "packs/a"})
		if err != nil || !bytes.Equal(data, content) {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		if want := modified.UTC().Format(http.TimeFormat); res.Validator != want {
			t.Errorf("validator %q, not %q", res.Validator, want)
		}
		if diff := cmp.Diff([]string{"", res.Validator}, w.headers("If-Range")); diff != "" {
			t.Errorf("If-Range (-want +have):\n%s", diff)
		}
		_, again, err := w.fetch(t, transport.Request{Name: "packs/a", Validator: res.Validator})
		if err != nil || !again.NotModified {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// What changed behind a break is never sewn together with what came before it.
func TestResumeChanged(t *testing.T) {
	other := bytes.ToUpper(content)
	tests := []struct {
		name   string
		data   []byte    // afterwards
		time   time.Time // afterwards
		answer transporttest.Answer
	}{
		{"other content", other, modified.Add(1), nil},
		{"other content, by its date", other, modified.Add(time.Second), noTags},
		{"other size without validators", content[:len(content)-1], modified, transporttest.NoValidators},
		{"shorter than the break", content[:50_000], modified, transporttest.NoValidators},
		{"shorter, nobody says so", content[:50_000], modified, bare},
		{"other tag on the part", content, modified, transporttest.Header(func(_ int, h http.Header) { h.Set("ETag", `"other"`) })},
		{"wrong total", content, modified, transporttest.ContentRange("bytes %d-%d/99999999")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Next(func(rw http.ResponseWriter, r *http.Request, honest http.Handler) {
					w.server.Replace(fstest.MapFS{"packs/a": {Data: test.data, ModTime: test.time}})
					transporttest.CutAfter(100_000)(rw, r, honest)
				})
				w.server.Always(test.answer)
				data, _, err := w.fetch(t, transport.Request{Name: "packs/a"})
				if !errors.Is(err, transport.ErrChanged) && !errors.Is(err, transport.ErrRange) {
					t.Errorf("%v is not ErrChanged", err)
				}
				if !bytes.Equal(data, content[:100_000]) {
					t.Errorf("%d bytes, not those before the break", len(data))
				}
			})
		})
	}
}

// bare sends the file and says nothing about it.
func bare(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	noRanges := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transporttest.NoRanges(w, r, honest) })
	noValidators := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transporttest.NoValidators(w, r, noRanges) })
	transporttest.NoSizes(w, r, noValidators)
}

// A stalled connection is left for another one: once, and again after progress.
func TestResumeStalled(t *testing.T) {
	bubble(t, web.Options{MinSpeed: 100}, func(t *testing.T, w *world) {
		w.server.Next(transporttest.HangAfter(1000), transporttest.HangAfter(100_000))
		data, _, err := w.fetch(t, transport.Request{Name: "packs/a"})
		if err != nil || !bytes.Equal(data, content) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		ranges := []string{"", "bytes=1000-", "bytes=101000-"}
		if diff := cmp.Diff(ranges, w.headers("Range")); diff != "" {
			t.Errorf("ranges (-want +have):\n%s", diff)
		}
	})
}

// A server may send less of a range than was asked for, and is asked again.
func TestSmallParts(t *testing.T) {
	small := func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		var first, last int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
		clone := r.Clone(r.Context())
		clone.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, min(last, first+39_999)))
		honest.ServeHTTP(w, clone)
	}
	bubble(t, web.Options{}, func(t *testing.T, w *world) {
		w.server.Always(small)
		data, _, err := w.fetch(t, transport.Request{Name: "packs/a", Offset: 100, Length: 100_000})
		if err != nil || !bytes.Equal(data, content[100:100_100]) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		if n := w.stats.Requests.Load(); n != 3 {
			t.Errorf("%d requests, not 3: %q", n, slices.Compact(w.headers("Range")))
		}
	})
}
