//go:build amd64

package trace

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// argument gives a call's argument.
func argument(regs *unix.PtraceRegs, n int) uint64 {
	return [...]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}[n]
}

// counts tells whether a call that is about to be made changes the world.
func (t *tracer) counts(tid int, c call, regs *unix.PtraceRegs) bool {
	switch c.kind {
	case creates2:
		var how [8]byte
		if _, err := readMemory(tid, argument(regs, c.arg), how[:]); err != nil {
			return true
		}
		return how[0]&(creating&0xff) != 0 || how[1]&(creating>>8&0xff) != 0 || how[2]&(creating>>16&0xff) != 0
	case toFile, reads:
		return t.ofWorld(descriptor(tid, argument(regs, c.arg)))
	case closes:
		fd := argument(regs, c.arg)
		return t.ofWorld(descriptor(tid, fd)) && writable(tid, fd)
	}
	return true
}

func (t *tracer) ofWorld(path string) bool {
	return path == t.command.World || strings.HasPrefix(path, t.command.World+"/")
}

func procOf(tid int, what string, fd uint64) string {
	return "/proc/" + strconv.Itoa(tid) + "/" + what + "/" + strconv.Itoa(int(int32(fd)))
}

// descriptor says what a file descriptor leads to, or nothing.
func descriptor(tid int, fd uint64) string {
	path, err := os.Readlink(procOf(tid, "fd", fd))
	if err != nil {
		return ""
	}
	return path
}

// writable tells whether a descriptor was opened for writing.
func writable(tid int, fd uint64) bool {
	text, err := os.ReadFile(procOf(tid, "fdinfo", fd))
	if err != nil {
		return false
	}
	_, rest, found := strings.Cut(string(text), "flags:")
	if !found {
		return false
	}
	flags, err := strconv.ParseUint(strings.Fields(rest)[0], 8, 64)
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
}

func readMemory(tid int, at uint64, p []byte) (int, error) {
	local := []unix.Iovec{{Base: &p[0], Len: uint64(len(p))}}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(p)}}
	return unix.ProcessVMReadv(tid, local, remote, 0)
}

// text reads a string, up to the end of a page and 300 bytes.
func text(tid int, at uint64) string {
	if at == 0 {
		return "NULL"
	}
	buf := make([]byte, min(300, 4096-at%4096))
	n, err := readMemory(tid, at, buf)
	if err != nil {
		return "?"
	}
	if end := bytes.IndexByte(buf[:n], 0); end >= 0 {
		n = end
	}
	return string(buf[:n])
}

// describe notes a call for people: its name and what it is about.
func (t *tracer) describe(tid int, c call, regs *unix.PtraceRegs, here bool) {
	words := []string{c.name}
	for _, n := range c.paths {
		words = append(words, strconv.Quote(text(tid, argument(regs, n))))
	}
	switch c.kind {
	case toFile, reads, closes:
		words = append(words, strings.TrimPrefix(descriptor(tid, argument(regs, c.arg)), t.command.World))
	case command:
		words = append(words, fmt.Sprintf("%#x", argument(regs, 1)))
	}
	line := strings.Join(words, " ")
	if here {
		t.result.Call = line
	}
	if t.command.Log {
		t.result.Log = append(t.result.Log, line)
	}
}
