package fuse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
)

// connection reads the kernel's requests from the device and writes the answers. The
// protocol itself is go-fuse's; its own loop would insist on a connection that begins
// with the kernel's greeting, which a child that takes over does not get again.
type connection struct {
	fd     int
	server *gofuse.ProtocolServer
	asked  *underway
	owed   map[int]int               // slots of asked, and the sizes of the requests in them
	loan   func(unique uint64) *loan // see files.loan
	idle   atomic.Int32              // readers that wait for a request
	all    atomic.Int32              // readers
	group  sync.WaitGroup
	large  sync.Pool // *[]byte of largeAnswer and more; the bytes of files in it are aligned
	served sync.Once
	first  func() // is called when a request has been answered

	mu  sync.Mutex
	err error // the first
}

const (
	// inputSize holds the largest request: nobody writes, so that is a list of nodes to
	// forget. The kernel wants 8 KiB at least, and room for maxWrite.
	inputSize = 32 << 10
	maxWrite  = 4 << 10

	headerSize  = int(unsafe.Sizeof(gofuse.OutHeader{}))
	smallAnswer = 16 << 10
	largeAnswer = maxRead + 4<<10

	// maxReaders bounds the requests that are under way: most of them wait for a Source.
	maxReaders = 256
)

// protocol gives a server that has not been greeted.
func protocol(files gofuse.RawFileSystem) *gofuse.ProtocolServer {
	return gofuse.NewProtocolServer(files, &gofuse.MountOptions{
		MaxWrite: maxRead, MaxReadAhead: maxRead, MaxBackground: 64,
		EnableSymlinkCaching: true,
		Logger:               log.New(io.Discard, "", 0),
	})
}

// greet reads the kernel's first request, answers it, and gives it.
func greet(fd int) ([]byte, error) {
	init, answer := make([]byte, inputSize), make([]byte, smallAnswer)
	n, err := readRequest(fd, init)
	if err != nil {
		return nil, err
	}
	init = init[:n]
	n, status := protocol(gofuse.NewDefaultRawFileSystem()).HandleRequest([][]byte{init}, [][]byte{answer})
	if status != gofuse.OK || n < headerSize+int(unsafe.Sizeof(gofuse.InitOut{})) {
		return nil, fmt.Errorf("answer of %d bytes: %v", n, status)
	}
	(*gofuse.InitOut)(unsafe.Pointer(&answer[headerSize])).MaxWrite = maxWrite
	if _, err := unix.Write(fd, answer[:n]); err != nil {
		return nil, err
	}
	return init, nil
}

// newConnection goes on with a connection whose greeting was answered; memory has what is
// owed of it.
func newConnection(fd int, files *files, memory, init []byte, first func()) (*connection, error) {
	c := &connection{fd: fd, server: protocol(files), loan: files.loan, first: first}
	c.asked, c.owed = newUnderway(memory)
	c.large.New = func() any { b := make([]byte, digest.BlockSize+largeAnswer)[digest.BlockSize-headerSize:]; return &b }
	if _, status := c.server.HandleRequest([][]byte{init}, [][]byte{make([]byte, smallAnswer)}); status != gofuse.OK {
		return nil, fmt.Errorf("the kernel's greeting: %v", status)
	}
	return c, nil
}

// serve answers until the mount is gone, first what the child before owed.
func (c *connection) serve() error {
	for slot, size := range c.owed {
		c.all.Add(1)
		c.group.Go(func() {
			defer c.all.Add(-1)
			c.read(slot, size)
		})
	}
	for range runtime.GOMAXPROCS(0) + 1 {
		c.addReader()
	}
	c.group.Wait()
	return c.err
}

// addReader adds one, unless there are too many.
func (c *connection) addReader() {
	if c.all.Add(1) > maxReaders {
		c.all.Add(-1)
		return
	}
	c.idle.Add(1)
	c.group.Go(func() {
		defer c.all.Add(-1)
		c.read(c.asked.take(), 0)
	})
}

// read answers one request after the other, which come to a slot; there are size bytes
// of the first one there if the child before owes an answer. The last reader that is
// free finds another one first, so that one that waits keeps nobody waiting.
func (c *connection) read(slot, size int) {
	defer c.asked.give(slot)
	in, out := c.asked.slot(slot), make([]byte, smallAnswer)
	if size > 0 {
		markTakenOver(in)
	}
	for {
		if size == 0 {
			var err error
			if size, err = readRequest(c.fd, in); err != nil {
				c.end(err)
				return
			}
			if c.idle.Add(-1) == 0 {
				c.addReader()
			}
		}
		if err := c.answer(in[:size], out); err != nil {
			c.end(err)
			return
		}
		settle(in)
		size = 0
		if c.idle.Add(1) > maxIdle() {
			c.idle.Add(-1)
			return
		}
	}
}

func maxIdle() int32 { return int32(runtime.GOMAXPROCS(0) + 2) }

// end notes why there is nothing more to read; that the mount is gone is no error.
func (c *connection) end(err error) {
	if errors.Is(err, unix.ENODEV) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// readRequest reads one request; unix.ENODEV when the mount is gone.
func readRequest(fd int, in []byte) (int, error) {
	for {
		switch n, err := unix.Read(fd, in); err {
		case nil:
			return n, nil
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: who asked has gone
		default:
			return 0, err
		}
	}
}

// takenOver marks requests that the child before may have seen to. The kernel's numbers
// do not have this bit: since Linux 6.9 it is theirs of requests that they send again.
const takenOver = 1 << 63

func markTakenOver(in []byte) {
	binary.NativeEndian.PutUint64(in[uniqueAt:], binary.NativeEndian.Uint64(in[uniqueAt:])|takenOver)
}

// answer answers one request.
func (c *connection) answer(in, out []byte) error {
	if answerSize(in) > len(out) {
		large := c.large.Get().(*[]byte)
		defer c.large.Put(large)
		out = *large
	}
	n, status := c.server.HandleRequest([][]byte{in}, [][]byte{out})
	if n == 0 && status != gofuse.OK { // not understood
		n = refuse(in, out)
	}
	if n == 0 {
		return nil // as with FORGET
	}
	switch err := c.write(out[:n]); err {
	case nil, unix.ENOENT, unix.EINTR: // ENOENT: who asked has gone
		c.served.Do(c.first)
		return nil
	default:
		return err
	}
}

// write sends an answer, with the bytes that were lent for it.
func (c *connection) write(out []byte) error {
	header := (*gofuse.OutHeader)(unsafe.Pointer(&out[0]))
	l := c.loan(header.Unique)
	header.Unique &^= takenOver
	if l == nil {
		_, err := unix.Write(c.fd, out)
		return err
	}
	defer l.release()
	_, err := unix.Writev(c.fd, append([][]byte{out[:headerSize]}, l.pieces...))
	return err
}

// refuse makes the answer EIO.
func refuse(in, out []byte) int {
	header := (*gofuse.OutHeader)(unsafe.Pointer(&out[0]))
	*header = gofuse.OutHeader{Length: uint32(headerSize), Status: -int32(unix.EIO), Unique: (*gofuse.InHeader)(unsafe.Pointer(&in[0])).Unique}
	return headerSize
}

// What is looked at in requests: they begin with a header of requestHeader bytes, which
// has the length u32, the operation u32, the request's number u64.
//
// Source: fuse(4); include/uapi/linux/fuse.h.
const (
	requestHeader  = 40
	opAt, uniqueAt = 4, 8

	opForget, opBatchForget          = 2, 42
	opRead, opReadDir, opReadDirPlus = 15, 28, 44
	opGetXattr, opListXattr          = 22, 23
	opInterrupt                      = 36
	opIoctl                          = 39
)

// answerSize is how many bytes the answer may have, or more.
func answerSize(in []byte) int {
	at := 0 // of the size
	switch binary.NativeEndian.Uint32(in[opAt:]) {
	case opRead, opReadDir, opReadDirPlus:
		at = requestHeader + 16
	case opGetXattr, opListXattr:
		at = requestHeader
	case opIoctl:
		at = requestHeader + 28
	}
	if at == 0 || len(in) < at+4 {
		return smallAnswer
	}
	return headerSize + int(unsafe.Sizeof(gofuse.EntryOut{})) + int(binary.NativeEndian.Uint32(in[at:]))
}

// notify tells the kernel something that it did not ask for.
func (c *connection) notify(code int32, parts ...[]byte) error {
	out := make([]byte, headerSize)
	for _, p := range parts {
		out = append(out, p...)
	}
	header := (*gofuse.OutHeader)(unsafe.Pointer(&out[0]))
	header.Length, header.Status = uint32(len(out)), code
	_, err := unix.Write(c.fd, out)
	return err
}

// notifyInvalidEntry is the code of a name to forget.
const notifyInvalidEntry = 3

// forgetEntry makes the kernel forget a name in the root.
func (c *connection) forgetEntry(name string) error {
	var out [16]byte
	binary.NativeEndian.PutUint64(out[:], gofuse.FUSE_ROOT_ID)
	binary.NativeEndian.PutUint32(out[8:], uint32(len(name)))
	return c.notify(notifyInvalidEntry, out[:], []byte(name), []byte{0})
}
