package deploy

import (
	"encoding/json"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

const (
	NoteName = "note"   // in the folder of a deployment
	maxNote  = 64 << 10 // bytes
)

// WriteNote writes what a deployment remembers into its folder, as JSON. The barrier
// of Make makes it durable.
func WriteNote(folder *beneath.Dir, note any) error {
	data, err := json.Marshal(note)
	if err != nil {
		return err
	}
	f, err := folder.Create(NoteName, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// ReadNote reads what WriteNote wrote; a note that is damaged is fs.ErrNotExist.
func ReadNote(folder *beneath.Dir, note any) error {
	data, err := folder.ReadFile(NoteName, maxNote)
	if err == nil && json.Unmarshal(data, note) != nil {
		err = &fs.PathError{Op: "read", Path: NoteName, Err: fs.ErrNotExist}
	}
	return err
}

// Overlaid tells whether overlayfs is mounted at a folder of a deployment, for this
// process.
func Overlaid(folder *beneath.Dir, name string) (bool, error) {
	above, err := folder.Lstat(".")
	if err != nil {
		return false, err
	}
	at, err := folder.OpenDir(name)
	if err != nil {
		return false, err
	}
	defer at.Close()
	st, err := at.Lstat(".")
	if err != nil || st.Dev == above.Dev {
		return false, err
	}
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(int(at.File().Fd()), &sfs); err != nil {
		return false, err
	}
	return sfs.Type == unix.OVERLAYFS_SUPER_MAGIC, nil
}
