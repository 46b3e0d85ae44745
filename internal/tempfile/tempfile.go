// Package tempfile makes temporary files that need no removal.
package tempfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// New makes an empty file without a name in os.TempDir, for reading and writing. Its
// space is given back when it is closed, or when the process ends however it ends.
// Where the file system has no such files (open(2), O_TMPFILE) the file has a name
// for a moment, which a kill at that moment leaves.
func New() (*os.File, error) {
	dir := os.TempDir()
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		f, err = named(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("making a temporary file (TMPDIR says where): %w", err)
	}
	return f, nil
}

func named(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "larch-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
