package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/larch-project/larch/transport"
)

func TestParseContentRange(t *testing.T) {
	tests := []struct {
		text string
		want extent
		ok   bool
	}{
		{"bytes 0-0/1", extent{0, 1, 1}, true},
		{"bytes 5-9/10", extent{5, 10, 10}, true},
		{"BYTES 5-9/*", extent{5, 10, -1}, true},
		{"bytes 0-999999999999999998/999999999999999999", extent{0, 999999999999999999, 999999999999999999}, true},
		{"", extent{}, false},
		{"bytes */10", extent{}, false},
		{"bytes 5-9", extent{}, false},
		{"bytes 5-9/", extent{}, false},
		{"bytes 5-4/10", extent{}, false},
		{"bytes 5-10/10", extent{}, false},
		{"bytes -5-9/10", extent{}, false},
		{"bytes +5-9/10", extent{}, false},
		{"bytes 5-+9/10", extent{}, false},
		{"bytes  5-9/10", extent{}, false},
		{"bytes 5-9/10 ", extent{}, false},
		{"bytes=5-9/10", extent{}, false},
		{"lines 5-9/10", extent{}, false},
		{"bytes 0x5-9/10", extent{}, false},
		{"bytes 5-9223372036854775807/*", extent{}, false},
		{"bytes 0-18446744073709551616/*", extent{}, false},
		{"bytes 5-9/10, bytes 5-9/10", extent{}, false},
	}
	for _, test := range tests {
		have, ok := parseContentRange(test.text)
		if ok != test.ok || ok && have != test.want {
			t.Errorf("%q: %+v, %v", test.text, have, ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Add("bytes 5-9/*")
	f.Fuzz(func(t *testing.T, text string) {
		x, ok := parseContentRange(text)
		if ok && (x.start < 0 || x.end <= x.start || x.size >= 0 && x.end > x.size) {
			t.Errorf("%+v", x)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	tests := map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		"-1":                            0,
		"1.5":                           0,
		"1000000000":                    1e9 * time.Second,
		"99999999999999999999":          100 * 365 * 24 * time.Hour,
		"Sun, 22 Nov 2026 09:00:30 GMT": 30 * time.Second,
		"Sun, 22 Nov 2026 08:00:00 GMT": 0,
		"tomorrow":                      0,
	}
	for value, want := range tests {
		if have := retryAfter(value, now); have != want {
			t.Errorf("%q: %v, not %v", value, have, want)
		}
	}
}

func TestRetryable(t *testing.T) {
	final := []error{
		context.Canceled,
		transport.ErrChanged,
		fmt.Errorf("wrapped: %w", transport.ErrRange),
		&transport.StatusError{Code: 404},
		http.ErrSchemeMismatch,
		&net.DNSError{IsNotFound: true},
		&tls.CertificateVerificationError{Err: errors.New("no")},
		x509.HostnameError{Certificate: new(x509.Certificate)},
		tls.RecordHeaderError{},
		&net.OpError{Op: "remote error", Err: errors.New("no")},
	}
	for _, err := range final {
		if retryable(err) {
			t.Errorf("%T: %v", err, err)
		}
	}
	passing := []error{
		transport.ErrStalled,
		&transport.StatusError{Code: 503},
		&net.DNSError{IsTemporary: true},
		&net.OpError{Op: "dial", Err: errors.New("refused")},
		io.ErrUnexpectedEOF,
		errors.New("net/http has no types"),
	}
	for _, err := range passing {
		if !retryable(err) {
			t.Errorf("%T: %v is final", err, err)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 22 Nov 2026 09:00:30 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, time.Unix(0, 0)); d < 0 {
			t.Error(d)
		}
	})
}

func FuzzRedirect(f *testing.F) {
	f.Add("/r/a")
	f.Add("https://other.example/")
	f.Add("http://[::1]/")
	base := &url.URL{Scheme: "https", Host: "repository.example", Path: "/r"}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := (&Transport{base: base}).redirect(base, location)
		if err == nil && (to.Scheme != "https" || to.Host == "" || to.User != nil || private(to.Hostname())) {
			t.Errorf("followed to %s", to)
		}
	})
}

func TestMarks(t *testing.T) {
	const early, late = "Sun, 22 Nov 2026 08:00:00 GMT", "Sun, 22 Nov 2026 09:00:00 GMT"
	tests := []struct {
		etag, modified, date string
		validator, strong    string
	}{
		{"", "", late, "", ""},
		{`"a"`, early, late, `"a"`, `"a"`},
		{`W/"a"`, early, late, `W/"a"`, ""},
		{"", early, late, early, early},
		{"", late, late, "", ""},
		{"", early, "", "", ""},
		{`a`, early, late, early, early},
		{`"a`, "", late, "", ""},
		{`"`, "", late, "", ""},
		{`"a"b"`, "", late, "", ""},
		{"\"\u00e9\"", "", late, "", ""},
		{"", "yesterday", late, "", ""},
		{fmt.Sprintf(`"%0510d"`, 1), "", late, fmt.Sprintf(`"%0510d"`, 1), fmt.Sprintf(`"%0510d"`, 1)},
		{fmt.Sprintf(`"%0511d"`, 1), "", late, "", ""},
	}
	for _, test := range tests {
		h := http.Header{"Etag": {test.etag}, "Last-Modified": {test.modified}, "Date": {test.date}}
		m := readMark(h)
		if m.validator() != test.validator || m.strong() != test.strong {
			t.Errorf("%q, %q, %q: validator %q, strong %q", test.etag, test.modified, test.date, m.validator(), m.strong())
		}
	}
}

func TestContradicts(t *testing.T) {
	tests := []struct {
		a, b mark
		want bool
	}{
		{mark{}, mark{}, false},
		{mark{etag: `"a"`}, mark{}, false},
		{mark{etag: `"a"`}, mark{etag: `"a"`}, false},
		{mark{etag: `"a"`}, mark{etag: `W/"a"`}, false},
		{mark{etag: `"a"`}, mark{etag: `"b"`}, true},
		{mark{etag: `"a"`, modified: "x"}, mark{etag: `"a"`, modified: "y"}, false},
		{mark{modified: "x"}, mark{modified: "y"}, true},
		{mark{etag: `"a"`, modified: "x"}, mark{modified: "x"}, false},
	}
	for _, test := range tests {
		if test.a.contradicts(test.b) != test.want || test.b.contradicts(test.a) != test.want {
			t.Errorf("%+v, %+v: not %v", test.a, test.b, test.want)
		}
	}
}
