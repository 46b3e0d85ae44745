package transporttest

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Honest answers well.
func Honest(w http.ResponseWriter, r *http.Request, honest http.Handler) { honest.ServeHTTP(w, r) }

// Raw writes text instead of an answer and closes the connection.
func Raw(text string) Answer { return SlowRaw(text, 0) }

// SlowRaw writes text instead of an answer, a byte and a pause at a time if there
// is to be a pause, and closes the connection.
func SlowRaw(text string, pause time.Duration) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler) // HTTP/2: as rude as it can be
		}
		defer conn.Close()
		step := len(text)
		if pause > 0 {
			step = 1
		}
		for rest := text; err == nil && rest != ""; rest = rest[step:] {
			time.Sleep(pause)
			_, err = io.WriteString(conn, rest[:step])
		}
	}
}

// Garbage answers with something that is not HTTP.
func Garbage() Answer { return Raw("\x00\x01\x02 what? \x1b[31m\r\n\r\n") }

// Hang takes a request and never answers.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// HangAfter answers well for n bytes of the body, then says no more.
func HangAfter(n int64) Answer {
	return after(n, func(r *http.Request) { <-r.Context().Done() })
}

// CutAfter answers well for n bytes of the body, then breaks the connection.
func CutAfter(n int64) Answer {
	return after(n, func(*http.Request) { panic(http.ErrAbortHandler) })
}

// after answers well for n bytes, then does something else.
func after(n int64, then func(*http.Request)) Answer {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		left := n
		honest.ServeHTTP(&writer{ResponseWriter: w, write: func(p []byte) (int, error) {
			part := p[:min(int64(len(p)), left)]
			n, err := w.Write(part)
			if left -= int64(n); left == 0 {
				http.NewResponseController(w).Flush()
				then(r)
			}
			return n, err
		}}, r)
	}
}

// Drip answers well but sends one byte at a time.
func Drip(pause time.Duration) Answer { return Slow(1, pause) }

// Slow answers well but pauses after each n bytes.
func Slow(n int, pause time.Duration) Answer {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		honest.ServeHTTP(&writer{ResponseWriter: w, write: func(p []byte) (int, error) {
			sent := 0
			for sent < len(p) {
				k, err := w.Write(p[sent:min(len(p), sent+n)])
				if sent += k; err != nil {
					return sent, err
				}
				http.NewResponseController(w).Flush()
				select {
				case <-time.After(pause):
				case <-r.Context().Done():
					return sent, r.Context().Err()
				}
			}
			return sent, nil
		}}, r)
	}
}

// Endless says that all is well and sends zero bytes for ever.
func Endless(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	zeros := make([]byte, 32<<10)
	for {
		if _, err := w.Write(zeros); err != nil {
			return
		}
	}
}

// NoRanges sends the whole file whatever part was asked for.
func NoRanges(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	whole := r.Clone(r.Context())
	whole.Header.Del("Range")
	honest.ServeHTTP(w, whole)
}

// NoSizes sends no Content-Length.
func NoSizes(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	Header(func(_ int, h http.Header) { h.Del("Content-Length") })(w, r, honest)
}

// NoValidators sends neither ETag nor Last-Modified, and does not look at those
// of the request.
func NoValidators(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	plain := r.Clone(r.Context())
	for _, name := range []string{"If-Range", "If-None-Match", "If-Modified-Since"} {
		plain.Header.Del(name)
	}
	remove := Header(func(_ int, h http.Header) {
		h.Del("ETag")
		h.Del("Last-Modified")
	})
	remove(w, plain, honest)
}

// Header answers well with a header that change has been over.
func Header(change func(code int, h http.Header)) Answer {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		honest.ServeHTTP(&writer{ResponseWriter: w, head: change}, r)
	}
}

// ContentRange answers well, but for what it says about the range: format gets
// the first and last byte and the size.
func ContentRange(format string) Answer {
	return Header(func(_ int, h http.Header) {
		var first, last, size int64
		if _, err := fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err == nil {
			h.Set("Content-Range", fmt.Sprintf(format, first, last, size))
		}
	})
}

// Status answers with a code and an unhelpful text. Headers are name, value, ...
func Status(code int, headers ...string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		if code != http.StatusNotModified {
			io.WriteString(w, "<html>\x1b[31mno</html>")
		}
	}
}

// Redirect points elsewhere.
func Redirect(to string) Answer { return Status(http.StatusFound, "Location", to) }

// RedirectLoop points to where the request went.
func RedirectLoop(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	Redirect(r.URL.Path)(w, r, honest)
}

// HugeHeader answers well after a megabyte of header.
func HugeHeader() Answer {
	return Header(func(_ int, h http.Header) {
		for i := range 1024 {
			h.Set("X-"+strconv.Itoa(i), strings.Repeat("x", 1024))
		}
	})
}

// Encoded says that the file is encoded, which nobody asked for.
func Encoded(coding string) Answer {
	return Header(func(_ int, h http.Header) { h.Set("Content-Encoding", coding) })
}

// writer changes what a handler writes.
type writer struct {
	http.ResponseWriter
	head  func(code int, h http.Header)
	write func(p []byte) (int, error)
	begun bool
}

func (w *writer) WriteHeader(code int) {
	if w.head != nil && !w.begun {
		w.head(code, w.Header())
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.write != nil {
		return w.write(p)
	}
	return w.ResponseWriter.Write(p)
}
