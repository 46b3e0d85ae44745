package web

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/larch-project/larch/transport"
)

// extent is the part of a file that an answer holds. The zero value: nothing.
type extent struct {
	start int64
	end   int64 // behind the last byte; -1 unknown
	size  int64 // of the whole file; -1 unknown
}

// judge takes an answer that is what was asked for, or the whole file instead of
// a range, and refuses every other.
func (a *attempt) judge(q query, res *http.Response) error {
	a.mark = readMark(res.Header)
	switch res.StatusCode {
	case http.StatusOK:
		a.extent = extent{0, res.ContentLength, res.ContentLength}
	case http.StatusPartialContent:
		x, err := part(q, res)
		if err != nil {
			return err
		}
		a.extent = x
	case http.StatusNotModified:
		if q.held == "" {
			return fmt.Errorf("%w: not modified, though nothing was held", transport.ErrAnswer)
		}
		a.notModified = true
		return nil
	default:
		status := &transport.StatusError{Code: res.StatusCode}
		if status.Temporary() {
			status.RetryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
		}
		return status
	}
	if coding := res.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fmt.Errorf("%w: the file is encoded as %.32q, which was not asked for", transport.ErrAnswer, coding)
	}
	return nil
}

// part checks that a 206 answer is a part of what was asked for, from its
// beginning.
func part(q query, res *http.Response) (extent, error) {
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); strings.HasPrefix(kind, "multipart/") {
		return extent{}, fmt.Errorf("%w: several parts came instead of one", transport.ErrRange)
	}
	text := strings.Join(res.Header.Values("Content-Range"), ", ")
	x, ok := parseContentRange(text)
	if !ok {
		return extent{}, fmt.Errorf("%w: it says Content-Range: %.64q", transport.ErrRange, text)
	}
	wrong := !q.ranged() || x.start != q.offset || q.end >= 0 && x.end > q.end
	if wrong || res.ContentLength >= 0 && res.ContentLength != x.end-x.start {
		return extent{}, fmt.Errorf("%w: asked for bytes %s, %d came as %.64q",
			transport.ErrRange, q.bytes(), res.ContentLength, text)
	}
	return x, nil
}

// bytes is the range asked for, as messages have it.
func (q query) bytes() string {
	if q.end < 0 {
		return fmt.Sprintf("%d-", q.offset)
	}
	return fmt.Sprintf("%d-%d", q.offset, q.end-1)
}

// parseContentRange reads "bytes FIRST-LAST/SIZE", where SIZE may be "*".
// (RFC 9110 §14.4)
func parseContentRange(s string) (extent, bool) {
	unit, rest, _ := strings.Cut(s, " ")
	span, total, _ := strings.Cut(rest, "/")
	first, last, _ := strings.Cut(span, "-")
	start, ok1 := parseDigits(first)
	end, ok2 := parseDigits(last)
	size, ok3 := parseDigits(total)
	if total == "*" {
		size, ok3 = -1, true
	}
	if !ok1 || !ok2 || !ok3 || !strings.EqualFold(unit, "bytes") {
		return extent{}, false
	}
	end++
	return extent{start, end, size}, start < end && (size < 0 || end <= size)
}

// parseDigits reads a number of at most 18 digits, which leaves room to add.
func parseDigits(s string) (int64, bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func redirects(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect decides where a redirect may lead: to http or https, never from https
// to http, never with a user, and into a private network only from there.
// Messages show no path or query, which may be secrets.
func (t *Transport) redirect(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("%w: to nowhere", transport.ErrRedirect)
	}
	why := ""
	switch {
	case to.Scheme != "http" && to.Scheme != "https":
		why = "neither http nor https"
	case to.Scheme == "http" && (from.Scheme == "https" || t.base.Scheme == "https"):
		why = "https does not become http"
	case to.Host == "":
		why = "no host"
	case to.User != nil:
		why = "it names a user"
	case private(to.Hostname()) && !private(from.Hostname()):
		why = "a private address"
	default:
		return to, nil
	}
	return nil, fmt.Errorf("%w to %.256q: %s", transport.ErrRedirect, to.Scheme+"://"+to.Host, why)
}
