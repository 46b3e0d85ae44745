package web_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// Pauses grow, are jittered, and are as long as the server asks for.
func TestPauses(t *testing.T) {
	inTen := func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		date := time.Now().Add(10 * time.Second).UTC().Format(http.TimeFormat)
		transporttest.Status(503, "Retry-After", date)(w, r, honest)
	}
	tests := []struct {
		name     string
		answers  []transporttest.Answer
		from, to time.Duration
	}{
		{"none", nil, 0, 0},
		{"one", answers(503), 125 * time.Millisecond, 250 * time.Millisecond},
		{"five", answers(500, 502, 504, 408, 429), 3875 * time.Millisecond, 7750 * time.Millisecond},
		{"seconds", []transporttest.Answer{transporttest.Status(429, "Retry-After", "10")}, 10 * time.Second, 10250 * time.Millisecond},
		{"date", []transporttest.Answer{inTen}, 10 * time.Second, 10250 * time.Millisecond},
		{"nonsense", []transporttest.Answer{transporttest.Status(503, "Retry-After", "-5 soon")}, 125 * time.Millisecond, 250 * time.Millisecond},
		{"past", []transporttest.Answer{transporttest.Status(503, "Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")}, 125 * time.Millisecond, 250 * time.Millisecond},
		{"garbage", []transporttest.Answer{transporttest.Garbage(), transporttest.Raw("")}, 375 * time.Millisecond, 750 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Next(test.answers...)
				began := time.Now()
				data, _, err := w.fetch(t, transport.Request{Name: "packs/a"})
				if err != nil || !bytes.Equal(data, content) {
					t.Errorf("%d bytes, %v", len(data), err)
				}
				if took := time.Since(began); took < test.from || took > test.to {
					t.Errorf("took %v, not %v to %v", took, test.from, test.to)
				}
				if n := w.stats.Requests.Load(); n != int64(len(test.answers))+1 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func answers(codes ...int) []transporttest.Answer {
	var all []transporttest.Answer
	for _, code := range codes {
		all = append(all, transporttest.Status(code))
	}
	return all
}

// What cannot become better is asked once; the rest as often as the options say.
func TestTries(t *testing.T) {
	tests := []struct {
		name    string
		retries int
		answer  transporttest.Answer
		want    int64
	}{
		{"default", 0, transporttest.Status(503), 6},
		{"two", 2, transporttest.Status(503), 3},
		{"never", -1, transporttest.Status(503), 1},
		{"missing", 0, transporttest.Status(404), 1},
		{"bad request", 0, transporttest.Status(400), 1},
		{"not implemented", 0, transporttest.Status(501), 1},
		{"stalled", 0, transporttest.Hang, 2},
		{"garbage", 0, transporttest.Garbage(), 6},
		{"too long to wait", 0, transporttest.Status(503, "Retry-After", "61"), 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, web.Options{Retries: test.retries}, func(t *testing.T, w *world) {
				w.server.Always(test.answer)
				_, _, err := w.fetch(t, transport.Request{Name: "packs/a"})
				checkError(t, err)
				if n := w.stats.Requests.Load(); n != test.want {
					t.Errorf("%d requests, not %d", n, test.want)
				}
				if failure, _ := errors.AsType[*transport.Error](err); int64(failure.Tries) != test.want {
					t.Errorf("says %d tries, not %d", failure.Tries, test.want)
				}
			})
		})
	}
}

// A server that is not there at all is tried, too.
func TestRefused(t *testing.T) {
	repository := open(t, "http://127.0.0.1:1/r", web.Options{Retries: -1})
	_, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
	want := "fetching packs/a from http://127.0.0.1:1/r: dial tcp 127.0.0.1:1: connect: connection refused; check the address and the network"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nnot %s", err, want)
	}
}
