// Probe does, inside a sandbox, what a hostile program would try, and prints how
// the kernel answered.
//
//	probe call NUMBER[,ARG...]...   makes system calls; one line of errno each
//	probe int80 NUMBER              makes a call through the 32-bit entry
//	probe connect NETWORK ADDRESS   connects a socket
//
// and what look.go has.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	switch os.Args[1] {
	case "call":
		for _, text := range os.Args[2:] {
			fmt.Println(call(text))
		}
	case "int80":
		n, _ := strconv.Atoi(os.Args[2])
		fmt.Println(int80(n))
	case "connect":
		c, err := net.Dial(os.Args[2], os.Args[3])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		c.Close()
		fmt.Println("connected")
	default:
		if !look(os.Args[1], os.Args[2:]) {
			os.Exit(99)
		}
	}
}

// call makes one system call and gives its errno.
func call(text string) int {
	var a [7]uintptr
	for i, part := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(part, 0, 64)
		if err != nil {
			panic(err)
		}
		a[i] = uintptr(n)
	}
	_, _, errno := syscall.RawSyscall6(a[0], a[1], a[2], a[3], a[4], a[5], a[6])
	return int(errno)
}
