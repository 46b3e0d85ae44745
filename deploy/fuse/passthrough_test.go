package fuse_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/verity"
)

// backs tells whether the kernel may read the object of a content itself.
func (m *machine) backs(t *testing.T, data []byte) bool {
	t.Helper()
	f, err := os.Open(m.object(data))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	have, err := verity.Measure(f)
	return err == nil && have == digest.Of(data) && os.Getuid() == 0 && m.greeting(t).Flags64()&gofuse.CAP_PASSTHROUGH != 0
}

// greeting is the kernel's: every child gets it.
func (m *machine) greeting(t *testing.T) *gofuse.InitIn {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.process(t, "child")))
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	data, err := hex.DecodeString(args[len(args)-1])
	if err != nil || len(data) < int(unsafe.Sizeof(gofuse.InitIn{})) {
		t.Fatalf("greeting of %d bytes, error %v", len(data), err)
	}
	return (*gofuse.InitIn)(unsafe.Pointer(&data[0]))
}

// needsPassthrough opens a deployment of one large file, which the kernel reads itself.
func needsPassthrough(t *testing.T, data []byte) (m *machine, name string) {
	t.Helper()
	m = needsServer(t)
	m.put(t, data)
	name = filepath.Join(m.open(t, backend, specOf(t, "release", data)).Path, "0")
	if !m.backs(t, data) {
		t.Skip("needs root, fs-verity and passthrough: Linux 6.9")
	}
	f, err := os.Open(name) // the first one decides for all
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return m, name
}

// the memory of a large file is its object's, which other backends show, too; nobody
// needs to have read it through the mount
func TestPassthroughSharesMemory(t *testing.T) {
	data := random(1, 4<<20)
	m, name := needsPassthrough(t, data)
	if _, err := os.ReadFile(m.object(data)); err != nil {
		t.Fatal(err)
	}
	if pages, all := residentPages(t, name); pages != all {
		t.Errorf("%d of %d pages of the object are resident through the mount", pages, all)
	}
	drop(t, m.object(data))
	if pages, _ := residentPages(t, name); pages != 0 {
		t.Errorf("%d pages were dropped from the object, and are not from the mount", pages)
	}
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, data) {
		t.Errorf("equal %v, error %v", bytes.Equal(have, data), err)
	}
	if pages, all := residentPages(t, m.object(data)); pages != all {
		t.Errorf("%d of %d pages of the object are resident", pages, all)
	}
}

// what is open when the server is killed can be read, and opened once more
func TestPassthroughChildKilled(t *testing.T) {
	data := random(1, 4<<20)
	m, name := needsPassthrough(t, data)
	var open []*os.File
	for range 3 {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open = append(open, f)
		m.kill(t, "child")
	}
	open[1].Close()
	for _, f := range []*os.File{open[0], open[2]} {
		have := make([]byte, len(data))
		if _, err := f.ReadAt(have, 0); err != nil || !bytes.Equal(have, data) {
			t.Errorf("open before the kill: equal %v, error %v", bytes.Equal(have, data), err)
		}
	}
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, data) {
		t.Errorf("opened after it: equal %v, error %v", bytes.Equal(have, data), err)
	}
	if pages, all := residentPages(t, m.object(data)); pages != all {
		t.Errorf("%d of %d pages of the object are resident", pages, all)
	}
}

// a file that is open without its object stays so until all have closed it: one that
// comes into the store sealed meanwhile is not given to the kernel
func TestPassthroughIsOneWay(t *testing.T) {
	data, other := random(1, 4<<20), random(2, 4<<20)
	m, _ := needsPassthrough(t, data)
	m.put(t, other)
	name := filepath.Join(m.open(t, backend, specOf(t, "other", other)).Path, "0")
	sealed := m.object(other) + ".sealed"
	if err := os.Rename(m.object(other), sealed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.object(other), other, 0o644); err != nil {
		t.Fatal(err)
	}
	first, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := os.Rename(sealed, m.object(other)); err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, other) {
		t.Errorf("opened when it was sealed: equal %v, error %v", bytes.Equal(have, other), err)
	}
	drop(t, m.object(other))
	if pages, all := residentPages(t, name); pages != all {
		t.Errorf("%d of %d pages are resident: they are the object's", pages, all)
	}
	first.Close()
	for range 1000 { // the server hears of it when it comes to it
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, other) {
			t.Fatalf("opened anew: equal %v, error %v", bytes.Equal(have, other), err)
		}
		if pages, all := residentPages(t, m.object(other)); pages == all {
			return
		}
	}
	t.Error("nobody has it open, and it is not given to the kernel")
}

// a bit that changes on the disk, below an object that is sealed, is an error where it
// is, by fs-verity; and around it, where the kernel reads several blocks at a time
func TestPassthroughWrongBlock(t *testing.T) {
	data := random(1, 4<<20)
	m, name := needsPassthrough(t, data)
	const wrong = 300
	flipOnDisk(t, m.object(data), wrong)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf, refused := make([]byte, digest.BlockSize), map[int]bool{}
	for block := range len(data) / len(buf) {
		at := block * len(buf)
		switch _, err := f.ReadAt(buf, int64(at)); {
		case errors.Is(err, unix.EIO):
			refused[block] = true
		case err != nil || !bytes.Equal(buf, data[at:at+len(buf)]):
			t.Errorf("block %d: wrong bytes, or error %v", block, err)
		}
	}
	if !refused[wrong] || refused[0] || refused[len(data)/len(buf)-1] {
		t.Errorf("block %d is wrong, and there is an error for %d, of the first one: %v", wrong, len(refused), refused[0])
	}
}

// flipOnDisk changes a bit of a block of a file where the disk has it.
func flipOnDisk(t *testing.T, name string, block int32) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	const fibmap = 1 // of linux/fs.h
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fibmap, uintptr(unsafe.Pointer(&block))); errno != 0 {
		t.Skipf("where the file is on the disk is not known: %v", errno)
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.OpenFile("/dev/"+filepath.Base(device), os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	buf, at := make([]byte, 1), int64(block)*digest.BlockSize
	if _, err := disk.ReadAt(buf, at); err != nil {
		t.Fatal(err)
	}
	buf[0] ^= 1
	if _, err := disk.WriteAt(buf, at); err != nil {
		t.Fatal(err)
	}
	drop(t, name)
}

// a wrong block of an object that is not sealed is the server's to find
func TestPassthroughNeedsTheSeal(t *testing.T) {
	data, other := random(1, 4<<20), random(2, 4<<20)
	m, _ := needsPassthrough(t, data)
	m.put(t, other)
	name := filepath.Join(m.open(t, backend, specOf(t, "other", other)).Path, "0")
	m.alter(t, other, flip(5000))
	if _, err := os.ReadFile(name); !errors.Is(err, unix.EIO) {
		t.Errorf("read to its end: error %v", err)
	}
	if said := m.log(t); !strings.Contains(said, "other/0: ") || !strings.Contains(said, "block 1 ") {
		t.Errorf("the log does not say so: %s", said)
	}
}

// where files are small, opening them is not asked for
func TestNoPassthroughOfSmallFiles(t *testing.T) {
	m := needsServer(t)
	data := random(1, 300<<10)
	m.put(t, data)
	name := filepath.Join(m.open(t, backend, specOf(t, "release", data)).Path, "0")
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, data) {
		t.Errorf("equal %v, error %v", bytes.Equal(have, data), err)
	}
	if pages, all := residentPages(t, m.object(data)); pages > all/4 {
		t.Errorf("%d of %d pages of the object are resident", pages, all)
	}
}
