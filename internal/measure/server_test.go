package measure

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServerCountsWhatIsSent speaks to the server by hand and compares its count
// with what came.
func TestServerCountsWhatIsSent(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("0123456789", 100_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	server, err := Serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ask := func(name, header string) (answer string) {
		c, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n", name, header)
		all, err := io.ReadAll(bufio.NewReader(c))
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	for _, test := range []struct {
		what, name, header, status string
		body                       int
	}{
		{"whole", "/file", "", "200 OK", 1_000_000},
		{"range", "/file", "Range: bytes=5-104\r\n", "206 Partial Content", 100},
		{"missing", "/other", "", "404 Not Found", len("404 page not found\n")},
		{"folder", "/", "", "404 Not Found", len("404 page not found\n")},
		{"outside", "/../../../../../../etc/passwd", "", "404 Not Found", len("404 page not found\n")},
	} {
		t.Run(test.what, func(t *testing.T) {
			server.Reset()
			answer := ask(test.name, test.header)
			header, body, _ := strings.Cut(answer, "\r\n\r\n")
			if !strings.Contains(header, test.status) || len(body) != test.body {
				t.Errorf("%d bytes after %s", len(body), header)
			}
			if have, want := server.Count(), (Count{1, int64(len(answer))}); have != want {
				t.Errorf("counted %v, came %v", have, want)
			}
		})
	}
	t.Run("not modified", func(t *testing.T) {
		_, tag, _ := strings.Cut(ask("/file", "Range: bytes=0-0\r\n"), "Etag: ")
		tag, _, _ = strings.Cut(tag, "\r\n")
		if answer := ask("/file", "If-None-Match: "+tag+"\r\n"); !strings.Contains(answer, "304 Not Modified") {
			t.Errorf("with %s: %s", tag, answer)
		}
	})
	t.Run("several connections", func(t *testing.T) {
		server.Reset()
		var want Count
		for range 5 {
			want.Requests++
			want.Bytes += int64(len(ask("/file", "")))
		}
		if have := server.Count(); have != want {
			t.Errorf("counted %v, came %v", have, want)
		}
	})
}
