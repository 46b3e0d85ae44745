package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/measure"
)

// server is nginx in one process, with a log of what each answer had.
type server struct {
	dir  string // that is served
	url  string
	log  string
	exec *exec.Cmd
}

const config = `worker_processes 1;
master_process off;
daemon off;
user root;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 8192; }
http {
	log_format bytes '$status $bytes_sent';
	access_log %[1]s/access.log bytes;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	sendfile on;
	keepalive_requests 100000;
	server { listen %[2]s; root %[3]s; }
}
`

func startServer(dir string) (*server, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, fmt.Errorf("the server: %w: `sh scripts/deps.sh nginx` installs it", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	own := filepath.Join(filepath.Dir(dir), "nginx")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return nil, err
	}
	address, err := free()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(own, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, own, address, dir), 0o644); err != nil {
		return nil, err
	}
	s := &server{dir: dir, url: "http://" + address, log: filepath.Join(own, "access.log")}
	s.exec = measure.Command(program, "-c", file, "-p", own)
	if err := s.exec.Start(); err != nil {
		return nil, err
	}
	return s, s.wait(address)
}

// free finds an address that nobody listens at.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// wait returns when the server answers.
func (s *server) wait(address string) (err error) {
	for range 600 {
		var c net.Conn
		if c, err = net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(err, s.stop())
}

func (s *server) stop() error {
	return errors.Join(s.exec.Process.Kill(), ignore(s.exec.Wait()))
}

// ignore leaves aside that a process was ended.
func ignore(err error) error {
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return nil
	}
	return err
}

// served is what the server has done since it began.
type served struct {
	requests, errors int64 // errors are answers of 500 and above
	bytes            int64 // headers included
	cpu              time.Duration
}

func (a served) since(b served) served {
	return served{a.requests - b.requests, a.errors - b.errors, a.bytes - b.bytes, a.cpu - b.cpu}
}

// now reads the log, and what the kernel says of the process.
func (s *server) now() (total served, err error) {
	f, err := os.Open(s.log)
	if err != nil {
		return total, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var status int
		var bytes int64
		if _, err := fmt.Sscan(lines.Text(), &status, &bytes); err != nil {
			return total, fmt.Errorf("%s: %q: %w", s.log, lines.Text(), err)
		}
		total.requests++
		total.bytes += bytes
		if status >= 500 {
			total.errors++
		}
	}
	total.cpu, err = cpu(s.exec.Process.Pid)
	return total, err
}

// cpu is what a process that runs has taken so far (proc_pid_stat(5)).
func cpu(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(after) // from the third one
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ is 100 on Linux
}
