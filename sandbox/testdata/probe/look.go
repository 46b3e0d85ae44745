package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// look prints what the program can see or do; false if there is no such verb.
func look(verb string, args []string) bool {
	switch verb {
	case "args":
		fmt.Printf("%q\n", args)
	case "cat":
		for _, name := range args {
			text, err := os.ReadFile(name)
			if err != nil {
				fmt.Println(err)
			}
			os.Stdout.Write(text)
		}
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "fds":
		files()
	case "families":
		families()
	case "fork":
		n, _ := strconv.Atoi(args[0])
		fork(n)
	case "limits":
		limits()
	case "reach":
		for _, name := range args {
			fmt.Println(name, reach(name))
		}
	case "sleep":
		fmt.Println("up")
		time.Sleep(time.Hour)
	case "terminal":
		terminal()
	case "wait":
		fmt.Println("up")
		bytes.NewBuffer(nil).ReadFrom(os.Stdin)
	case "write":
		fmt.Println(errors.Join(os.MkdirAll(filepath.Dir(args[0]), 0o755), os.WriteFile(args[0], []byte(args[1]), 0o644)))
	default:
		return false
	}
	return true
}

// files lists the open files without opening one besides the list itself.
func files() {
	fd, err := syscall.Open("/proc/self/fd", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	buffer := make([]byte, 1<<16)
	n, _ := syscall.ReadDirent(fd, buffer)
	_, _, names := syscall.ParseDirent(buffer[:n], -1, nil)
	for _, name := range names {
		if name != strconv.Itoa(fd) {
			target, _ := os.Readlink("/proc/self/fd/" + name)
			fmt.Println(name, target)
		}
	}
}

// families prints the families of which a socket can be had.
func families() {
	for family := range 64 {
		for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_RAW, syscall.SOCK_SEQPACKET} {
			fd, err := syscall.Socket(family, kind, 0)
			if err == nil {
				fmt.Println(family, "opened")
				syscall.Close(fd)
			} else if err != syscall.EAFNOSUPPORT {
				fmt.Println(family, "known")
			}
		}
	}
}

// fork starts so many processes that stay, and prints how many it got.
func fork(n int) {
	got := 0
	for range n {
		if exec.Command("/proc/self/exe", "sleep").Start() != nil {
			break
		}
		got++
	}
	fmt.Println(got)
}

func limits() {
	for _, kind := range []int{syscall.RLIMIT_FSIZE, syscall.RLIMIT_CORE, syscall.RLIMIT_DATA, 6 /* RLIMIT_NPROC */} {
		var l syscall.Rlimit
		syscall.Getrlimit(kind, &l)
		fmt.Println(kind, l.Cur, l.Max)
	}
}

// reach tells what can be done with a file: "-", "ro" or "rw".
func reach(name string) string {
	info, err := os.Lstat(name)
	if err != nil {
		return "-"
	}
	if info.IsDir() {
		if entries, err := os.ReadDir(name); err != nil || len(entries) == 0 {
			return "-" // hidden behind an empty one
		}
		probe := filepath.Join(name, ".probe")
		if os.WriteFile(probe, nil, 0o600) == nil {
			os.Remove(probe)
			return "rw"
		}
		return "ro"
	}
	if f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close()
		return "rw"
	}
	if f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close()
		return "ro"
	}
	return "-"
}

// terminal types into the caller's terminal, if it can.
func terminal() {
	letter := byte('x')
	const push = 0x5412 // TIOCSTI
	for fd := range uintptr(3) {
		_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, fd, push, uintptr(unsafe.Pointer(&letter)))
		fmt.Println("push", int(errno))
	}
	_, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	fmt.Println("tty", errors.Is(err, syscall.ENXIO))
}
