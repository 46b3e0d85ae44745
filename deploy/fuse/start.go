package fuse

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/lock"
)

// show has the server show a deployment, which is held, and starts it if there is none.
func (b Backend) show(ctx context.Context, root *beneath.Dir, name string) error {
	key, err := keyOf(root, name)
	if err != nil {
		return err
	}
	if shown(ctx, root, name, key) == nil {
		return nil
	}
	if err := b.ensure(ctx, root); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	err = shown(ctx, root, name, key)
	if errors.Is(err, errStale) {
		if err = forget(ctx, root, key); err == nil {
			err = shown(ctx, root, name, key)
		}
	}
	if err != nil {
		return fmt.Errorf("the server does not show deployment %.12s (see %s): %w", name, logName, err)
	}
	return nil
}

var errStale = errors.New("it shows another tree of that name")

// shown tells whether the mount shows a deployment as it is in its folder. What the
// kernel remembers of a dead mount does not count.
func shown(ctx context.Context, root *beneath.Dir, name string, k key) error {
	return await(ctx, func() error {
		if err := isOurs(root); err != nil {
			return err
		}
		st, err := root.Lstat(mountPoint + "/" + name)
		if err == nil && st.Ino != k.node(0) {
			err = errStale
		}
		return err
	})
}

// await waits for what a server may keep waiting, or for ctx.
func await(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keyOf reads which tree a deployment is.
func keyOf(root *beneath.Dir, name string) (key, error) {
	f, err := root.Open(named(name).Folder() + "/" + indexName)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	var sum digest.Digest
	if _, err := f.ReadAt(sum[:], max(0, size-digest.Size)); err != nil {
		return 0, fmt.Errorf("deployment %.12s: its index is damaged: %w", name, digest.ErrMismatch)
	}
	return newKey(name, sum), nil
}

// claim keeps other processes from starting or ending the server, until it is closed.
func claim(ctx context.Context, root *beneath.Dir) (*os.File, error) {
	f, err := root.OpenFile(lockName, unix.O_RDONLY|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock.Exclusive(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ensure makes sure that there is a server.
func (b Backend) ensure(ctx context.Context, root *beneath.Dir) error {
	if s, err := lookUntil(ctx, root); err != nil || s == alive {
		return err
	}
	if st, err := root.Lstat("."); err != nil {
		return err
	} else if uid := os.Geteuid(); uid != 0 && int(st.Uid) != uid {
		return deploy.ErrUnmounted
	}
	if err := root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	claimed, err := claim(ctx, root)
	if err != nil {
		return err
	}
	defer claimed.Close()
	s, err := lookUntil(ctx, root) // another process may have been quicker
	if err != nil || s == alive {
		return err
	}
	if s == dead {
		if err := detach(ctx, root); err != nil {
			return err
		}
	}
	if err := prepare(root); err != nil {
		return err
	}
	return b.start(ctx, root)
}

// lookUntil is look until ctx ends.
func lookUntil(ctx context.Context, root *beneath.Dir) (s state, err error) {
	found := make(chan state, 1)
	err = await(ctx, func() error {
		s, err := look(root)
		found <- s
		return err
	})
	if err == nil {
		s = <-found
	}
	return s, err
}

// start starts the server in a session of its own, and waits until it has mounted.
func (b Backend) start(ctx context.Context, root *beneath.Dir) error {
	if len(b.Command) == 0 {
		return errors.New("no command is known that serves")
	}
	ready, itsReady, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(b.Command[0], append(b.Command[1:len(b.Command):len(b.Command)], roleSupervisor, root.Path())...)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{root.File(), itsReady}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	itsReady.Close()
	if err != nil {
		return err
	}
	go cmd.Wait() // it outlives this process, or is buried
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(ready, 4<<10))
	switch said := strings.TrimSpace(string(text)); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case said == "":
		return errors.New("it ended before it was ready")
	case said != readyWord:
		return errors.New(said)
	}
	return nil
}

// leave has the server forget a deployment that nobody holds, before it is removed or
// exchanged. Without a server there is nothing to do.
func leave(ctx context.Context, root *beneath.Dir, name string) error {
	k, err := keyOf(root, name)
	if err != nil { // the server cannot show it either
		return nil
	}
	s, err := lookUntil(ctx, root)
	if errors.Is(err, fs.ErrPermission) { // another user's server: it finds out within a second
		return nil
	}
	if err != nil || s != alive {
		return err
	}
	return forget(ctx, root, k)
}

// forgetOrder is the attribute of the mount's root whose reading, with the key of a
// deployment behind it, makes the server and the kernel forget that deployment.
const forgetOrder = "user.larch.forget."

func forget(ctx context.Context, root *beneath.Dir, k key) error {
	return await(ctx, func() error {
		mounted, err := root.OpenDir(mountPoint)
		if err != nil {
			return err
		}
		defer mounted.Close()
		_, err = unix.Fgetxattr(int(mounted.File().Fd()), forgetOrder+k.String(), nil)
		if isDead(err) {
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "forgetting a deployment", Path: mounted.Path(), Err: err}
		}
		return nil
	})
}

// Stop ends the server of the site in this folder: its mount disappears at once, its
// processes end when the last file that is open there is closed. It cannot hang, in
// whatever state the server is. No error if there is none.
func Stop(ctx context.Context, root string) error {
	dir, err := beneath.Open(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	return stop(ctx, dir)
}

func stop(ctx context.Context, root *beneath.Dir) error {
	there, err := root.Exists(folder)
	if err != nil || !there {
		return err
	}
	claimed, err := claim(ctx, root)
	if err != nil {
		return err
	}
	defer claimed.Close()
	return detach(ctx, root)
}

// key names a tree under a name: what the node ids of its directories begin with. It
// is never 0, and below 2^31.
type key uint32

// String gives 8 hex digits.
func (k key) String() string {
	return hex.EncodeToString([]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)})
}

// parseKey is the inverse of String.
func parseKey(text string) (key, error) {
	n, err := strconv.ParseUint(text, 16, 31)
	return key(n), err
}

// newKey hashes a deployment's name and its index.
func newKey(name string, index digest.Digest) key {
	sum := digest.Of(append(index[:], name...))
	return key(uint32(sum[0])|uint32(sum[1])<<8|uint32(sum[2])<<16|uint32(sum[3]&0x7f)<<24) | 1
}

// node is the id of an entry that is no regular file.
func (k key) node(i uint32) uint64 { return uint64(k)<<32 | uint64(i) }
