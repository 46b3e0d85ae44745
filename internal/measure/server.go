package measure

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// Server serves a folder on loopback, ranges and validators included, and counts.
type Server struct {
	URL      string
	listener net.Listener

	mu    sync.Mutex
	idle  *sync.Cond // no connection is open
	open  int
	count Count
}

// Count is what a server was asked and sent.
type Count struct {
	Requests int64
	Bytes    int64 // of answers, headers included
}

// Serve serves a folder until Close.
func Serve(dir string) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + listener.Addr().String(), listener: listener}
	s.idle = sync.NewCond(&s.mu)
	go http.Serve(countingListener{listener, s}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.add(Count{Requests: 1})
		serveFile(w, r, dir)
	}))
	return s, nil
}

// serveFile answers as common servers do: the validator is of size and time.
func serveFile(w http.ResponseWriter, r *http.Request, dir string) {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(path.Clean("/"+r.URL.Path))))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// Close ends the listening.
func (s *Server) Close() { s.listener.Close() }

// Reset starts counting anew, once no connection is open any more.
func (s *Server) Reset() {
	s.Count()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count = Count{}
}

// Count says what was asked and sent since Reset. It waits until no connection is
// open, so it is complete once the client's process has ended.
func (s *Server) Count() Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open > 0 {
		s.idle.Wait()
	}
	return s.count
}

func (s *Server) add(c Count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Requests += c.Requests
	s.count.Bytes += c.Bytes
}

// connections notes that so many more are open.
func (s *Server) connections(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += n
	if s.open == 0 {
		s.idle.Broadcast()
	}
}

// countingListener counts what is sent, headers included.
type countingListener struct {
	net.Listener
	server *Server
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.server.connections(1)
	return &countingConn{TCPConn: c.(*net.TCPConn), server: l.server}, nil
}

type countingConn struct {
	*net.TCPConn
	server *Server
	closed sync.Once
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.server.add(Count{Bytes: int64(n)})
	return n, err
}

// ReadFrom keeps sendfile for all that are compared.
func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.server.add(Count{Bytes: n})
	return n, err
}

func (c *countingConn) Close() error {
	c.closed.Do(func() { c.server.connections(-1) })
	return c.TCPConn.Close()
}
