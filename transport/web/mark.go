package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/larch-project/larch/transport"
)

// mark is what an answer says by which the same content can be known again.
type mark struct {
	etag     string // with its quotes, and W/ if weak
	modified string // the date as sent
	settled  bool   // modified long enough before it was sent to stand for one content
}

// readMark reads the validators of an answer; malformed ones count for nothing.
func readMark(h http.Header) mark {
	var m mark
	if etag := h.Get("ETag"); isETag(etag) {
		m.etag = etag
	}
	date, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil || !transport.ValidValidator(h.Get("Last-Modified")) {
		return m
	}
	m.modified = h.Get("Last-Modified")
	sent, err := http.ParseTime(h.Get("Date"))
	m.settled = err == nil && sent.Sub(date) >= time.Second // RFC 9110 §8.8.2.2
	return m
}

func isETag(s string) bool {
	opaque := strings.TrimPrefix(s, "W/")
	return transport.ValidValidator(s) && len(opaque) >= 2 &&
		opaque[0] == '"' && strings.IndexByte(opaque[1:], '"') == len(opaque)-2
}

// validator is what callers get. A date stands for one content only if the file
// has not changed in the second in which it was sent: otherwise the same date may
// come to stand for the next content too, and that would never be fetched.
func (m mark) validator() string {
	switch {
	case m.etag != "":
		return m.etag
	case m.settled:
		return m.modified
	}
	return ""
}

// strong is what an If-Range header may hold, or empty. (RFC 9110 §13.1.5)
func (m mark) strong() string {
	switch {
	case m.etag != "" && m.etag[0] == '"':
		return m.etag
	case m.etag == "" && m.settled:
		return m.modified
	}
	return ""
}

// contradicts tells whether two answers cannot be of the same content. Answers
// without validators contradict nothing: the caller's digest decides.
func (m mark) contradicts(o mark) bool {
	if m.etag != "" && o.etag != "" {
		return strings.TrimPrefix(m.etag, "W/") != strings.TrimPrefix(o.etag, "W/")
	}
	return m.modified != "" && o.modified != "" && m.modified != o.modified
}

// condition sets the header that asks whether a copy is still good. A validator
// of another kind of transport asks for nothing.
func condition(h http.Header, validator string) {
	if isETag(validator) {
		h.Set("If-None-Match", validator)
	} else if _, err := http.ParseTime(validator); err == nil {
		h.Set("If-Modified-Since", validator)
	}
}
