package fuse

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

const (
	logName    = folder + "/log"
	logOldName = folder + "/log.old"

	// maxLog bounds the log, in bytes; there are two of them.
	maxLog = 128 << 10
)

// logFile is where the server says what it cannot tell who reads: a line for each
// damaged block, and what to do. A log that is full becomes the old one.
type logFile struct {
	root *beneath.Dir
	now  func() time.Time
	mu   sync.Mutex
}

func newLog(root *beneath.Dir, now func() time.Time) *logFile { return &logFile{root: root, now: now} }

// printf adds a line. There is nobody to tell if that does not work.
func (l *logFile) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.now().UTC().Format(time.RFC3339) + " " + fmt.Sprintf(format, args...) + "\n"
	_ = l.append(line)
}

func (l *logFile) append(line string) error {
	if st, err := l.root.Lstat(logName); err == nil && st.Size+int64(len(line)) > maxLog {
		if err := l.root.Rename(logName, logOldName); err != nil {
			return err
		}
	}
	f, err := l.root.OpenFile(logName, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// Log reads what the server of a site has said, the oldest line first.
func Log(root *beneath.Dir) ([]byte, error) {
	var all []byte
	for _, name := range []string{logOldName, logName} {
		data, err := root.ReadFile(name, maxLog)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}
