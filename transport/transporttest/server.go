package transporttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Address is where a Server answers behind Pipe. Any other would do as well.
const Address = "http://repository.example/r"

// Answer answers one request; honest is what would answer it well.
type Answer func(w http.ResponseWriter, r *http.Request, honest http.Handler)

// Server serves files below the path /r/, each request by the next answer of its
// script, and honestly when the script is over. It may be used concurrently.
type Server struct {
	mu     sync.Mutex
	files  fs.FS
	script []Answer
	always Answer
	seen   []*http.Request
}

// NewServer makes an honest server. The files of files must be io.Seekers, as
// those of os.DirFS and fstest.MapFS are; those that differ should differ in size
// or time.
func NewServer(files fs.FS) *Server { return &Server{files: files} }

// Next adds answers for the requests to come.
func (s *Server) Next(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, answers...)
}

// Always sets the answer for requests that the script has none for.
func (s *Server) Always(answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = answer
}

// Replace sets other files.
func (s *Server) Replace(files fs.FS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = files
}

// Requests gives the requests seen so far, in the order in which they came.
func (s *Server) Requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r)
	honest, answer := serveFiles(s.files), s.always
	if len(s.script) > 0 {
		answer, s.script = s.script[0], s.script[1:]
	}
	s.mu.Unlock()
	if answer == nil {
		answer = Honest
	}
	answer(w, r, honest)
}

// serveFiles serves files as a good static server does: with ranges, and
// validators made of size and time. Folders have no listings.
func serveFiles(files fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/r/")
		f, err := files.Open(name)
		if !ok || err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		content, seekable := f.(io.ReadSeeker)
		if err != nil || !seekable || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), content)
	})
}

// Pipe starts a web server whose connections are in memory, and gives the
// function that dials it, whatever the address. It ends with the test, and no
// goroutine of it is left then.
func Pipe(tb testing.TB, handler http.Handler) func(ctx context.Context, network, address string) (net.Conn, error) {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var running sync.WaitGroup // Serve, connections, and handlers, which may outlive theirs
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			handler.ServeHTTP(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				running.Add(1)
			case http.StateClosed, http.StateHijacked:
				running.Done()
			}
		},
	}
	running.Go(func() { server.Serve(l) })
	tb.Cleanup(func() {
		server.Close()
		running.Wait()
	})
	return l.dial
}

// listener hands one end of each pipe to the server.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
