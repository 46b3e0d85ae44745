package deploy

import (
	"sync/atomic"

	"github.com/larch-project/larch/internal/beneath"
)

// handle is a directory that several goroutines use; the last one closes it.
type handle struct {
	*beneath.Dir
	users atomic.Int32
}

func newHandle(dir *beneath.Dir) *handle {
	h := &handle{Dir: dir}
	h.users.Store(1)
	return h
}

func (h *handle) share() *handle {
	h.users.Add(1)
	return h
}

func (h *handle) release() {
	if h.users.Add(-1) == 0 {
		h.Close()
	}
}
