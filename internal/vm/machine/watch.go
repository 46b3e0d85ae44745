package machine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"

	"github.com/larch-project/larch/internal/vm/guest"
)

// errBoot ends a machine whose commands have not begun in time.
var errBoot = errors.New("the commands did not begin")

// watch follows what a guest says, and ends it by cancelling.
type watch struct {
	stdout io.Writer
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	up    bool
	ended []int // statuses of the commands
}

func newWatch(stdout io.Writer, cutText string, cancel context.CancelCauseFunc) *watch {
	w := &watch{stdout: stdout, cancel: cancel}
	if cutText != "" {
		w.stdout = &trigger{out: stdout, text: []byte(cutText), fire: func() { cancel(ErrCut) }}
	}
	return w
}

// events reads what the guest says of its progress, to the end.
func (w *watch) events(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		e, err := guest.ParseEvent(lines.Text())
		if err != nil {
			return err
		}
		w.note(e)
	}
	return lines.Err()
}

func (w *watch) note(e guest.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Up {
		w.up = true
	} else {
		w.ended = append(w.ended, e.Status)
	}
}

func (w *watch) isUp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up
}

func (w *watch) statuses() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ended)
}

// tooLate ends a machine that is not up.
func (w *watch) tooLate() {
	if !w.isUp() {
		w.cancel(errBoot)
	}
}

// trigger passes everything on, and fires once when a text has gone through, be it
// in pieces.
type trigger struct {
	out  io.Writer
	text []byte
	fire func() // nil afterwards
	last []byte // the end of what went through, shorter than text
}

func (t *trigger) Write(b []byte) (int, error) {
	n, err := t.out.Write(b)
	if t.fire == nil {
		return n, err
	}
	seen := append(t.last, b[:n]...)
	if bytes.Contains(seen, t.text) {
		t.fire()
		t.fire = nil
	}
	t.last = slices.Clone(seen[max(0, len(seen)-len(t.text)+1):])
	return n, err
}

// lines are the guest's ways out, as the files that QEMU inherits: its descriptors
// 3, 4 and 5.
type lines struct {
	theirs []*os.File
	ours   []*os.File
	read   []func(io.Reader) error
}

// connect makes a pipe for each line, before cmd is started.
func connect(cmd *exec.Cmd, stdout, stderr io.Writer, events func(io.Reader) error) (*lines, error) {
	copyTo := func(w io.Writer) func(io.Reader) error {
		return func(r io.Reader) error {
			_, err := io.Copy(w, r)
			return err
		}
	}
	l := &lines{read: []func(io.Reader) error{copyTo(stdout), copyTo(stderr), events}}
	for range l.read {
		r, w, err := os.Pipe()
		if err != nil {
			l.abandon()
			return nil, err
		}
		l.ours, l.theirs = append(l.ours, r), append(l.theirs, w)
	}
	cmd.ExtraFiles = l.theirs
	return l, nil
}

// drain reads all lines to their ends, which is when QEMU has ended.
func (l *lines) drain() error {
	closeAll(l.theirs) // QEMU has them
	errs := make([]error, len(l.read))
	var readers sync.WaitGroup
	for i, read := range l.read {
		readers.Go(func() {
			defer l.ours[i].Close() // then QEMU cannot block on what nobody reads
			if err := read(l.ours[i]); err != nil {
				errs[i] = fmt.Errorf("reading what the guest says: %w", err)
			}
		})
	}
	readers.Wait()
	return errors.Join(errs...)
}

func (l *lines) abandon() {
	closeAll(l.theirs)
	closeAll(l.ours)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
