package disk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Image is the content of a device at one time: what a file holds, without its holes.
type Image struct {
	size   int64
	pieces []Entry
}

// ReadImage reads one.
func ReadImage(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m := &Image{size: info.Size()}
	err = extents(f, func(from, to int64) error {
		p := make([]byte, to-from)
		_, err := f.ReadAt(p, from)
		m.pieces = append(m.pieces, Entry{Offset: from, Data: p})
		return err
	})
	return m, err
}

// Build writes the image to a new file, changed by the writes of a log.
func (m *Image) Build(path string, log []Entry) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(m.size); err != nil {
		return err
	}
	for _, entries := range [][]Entry{m.pieces, log} {
		for _, e := range entries {
			if e.Kind != Write {
				continue
			}
			if _, err := f.WriteAt(e.Data, e.Offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// extents calls for each part of a file that is no hole.
func extents(f *os.File, call func(from, to int64) error) error {
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		} else if err != nil {
			return err
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := call(from, to); err != nil && err != io.EOF {
			return err
		}
		at = to
	}
}
