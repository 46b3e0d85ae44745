package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// usage is what a command took.
type usage struct {
	cpu    time.Duration // user and system
	wall   time.Duration
	memory int64 // peak, bytes
}

func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// measure runs a command to its end.
func measure(env []string, name string, args ...string) (usage, string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return usage{}, "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, complaint.String())
	}
	state := cmd.ProcessState
	rusage := state.SysUsage().(*syscall.Rusage)
	return usage{state.UserTime() + state.SystemTime(), wall, rusage.Maxrss << 10}, out.String(), nil
}

// server serves a folder on loopback and counts.
type server struct {
	url             string
	listener        net.Listener
	requests, bytes atomic.Int64
}

func serve(dir string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + listener.Addr().String(), listener: listener}
	files := http.FileServer(http.Dir(dir))
	go http.Serve(countingListener{listener, s}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		files.ServeHTTP(w, r)
	}))
	return s, nil
}

func (s *server) close() { s.listener.Close() }

// reset starts counting anew.
func (s *server) reset() { s.requests.Store(0); s.bytes.Store(0) }

// countingListener counts what is sent, headers included.
type countingListener struct {
	net.Listener
	server *server
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c.(*net.TCPConn), l.server}, nil
}

type countingConn struct {
	*net.TCPConn
	server *server
}

func (c countingConn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.server.bytes.Add(int64(n))
	return n, err
}

// ReadFrom keeps sendfile for both sides of the comparison.
func (c countingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.server.bytes.Add(n)
	return n, err
}
