package fuse

import (
	"os"
	"runtime/debug"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/larch-project/larch/internal/beneath"
)

const (
	// memoryLimit is what the child tries to stay below, in bytes, and gcPercent how soon
	// it collects: most of what it has are tables that stay.
	memoryLimit = 96 << 20
	gcPercent   = 40
)

// serveChild answers the kernel until the mount is gone.
func serveChild(root *beneath.Dir, how, initText string, source Source) error {
	again, init, err := parseHow(how, initText)
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	log := newLog(root, time.Now)
	opens, err := mapShared(opensFD, tableSize)
	if err != nil {
		return err
	}
	asked, err := mapShared(askedFD, underwaySize)
	if err != nil {
		return err
	}
	f := &files{
		RawFileSystem: gofuse.NewDefaultRawFileSystem(), nodes: newNodes(root, log), ahead: newAhead(newBlocks(root, source)),
		opens: newOpens(opens, device(deviceFD)), log: log,
	}
	c, err := newConnection(deviceFD, f, asked, init, sayServed)
	if err != nil {
		return err
	}
	f.tell = c.forgetEntry
	if again {
		f.nodes.loadAll(true)
	}
	return c.serve()
}

// sayServed tells the supervisor that this child is of use.
func sayServed() {
	f := os.NewFile(servedFD, "served")
	_, _ = f.Write([]byte{1}) // there may be no supervisor any more
	f.Close()
}
