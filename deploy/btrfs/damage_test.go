package btrfs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/btrfs/btrfstest"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// a bit that flips on the disk is an error when it is read, and never other bytes;
// what is made once more of a content that was put right is right
func TestDamageUnderTheFileSystem(t *testing.T) {
	image := btrfstest.Image(t, 256)
	dir := btrfstest.Mount(t, image)
	root, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, trees: map[string][]*tree.Entry{}}
	if m.store, err = store.Open(root); err != nil {
		t.Fatal(err)
	}
	m.site = deploy.Site{Root: root, Content: named{m.store.Contents(nil), m}}
	m.release("one", "", "whole", "not touched", "hurt", "unmistakable")
	if err := errors.Join(m.store.Close(), root.Close(), unix.Unmount(dir, 0)); err != nil {
		t.Fatal(err)
	}
	flipInImage(t, image, bytes.Repeat([]byte("unmistakable "), 100))
	m.dir = btrfstest.Mount(t, image)
	if data, err := os.ReadFile(m.path("one", "whole")); err != nil || !bytes.Equal(data, text("not touched")) {
		t.Errorf("the file beside it: %d bytes, error %v", len(data), err)
	}
	data, err := os.ReadFile(m.path("one", "hurt"))
	if !errors.Is(err, unix.EIO) || !bytes.HasPrefix(text("unmistakable"), data) {
		t.Errorf("the damaged file: %d bytes, error %v", len(data), err)
	}
}

// flipInImage changes one bit of the first place in a file that has these bytes.
func flipInImage(t *testing.T, image string, needle []byte) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for at := int64(0); ; at += int64(len(buf) - len(needle)) {
		n, err := f.ReadAt(buf, at)
		if i := bytes.Index(buf[:n], needle); i >= 0 {
			if _, err := f.WriteAt([]byte{needle[50] ^ 1}, at+int64(i)+50); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == io.EOF {
			t.Fatal("the content is not on the disk as it is")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
