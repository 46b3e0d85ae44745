package repo

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// packWriter writes one pack after the other. A pack has no name before it is
// whole.
type packWriter struct {
	dir    *beneath.Dir // the repository's root
	number int32        // of the open pack in the catalog
	size   int64        // bytes of the open pack; 0 if none is open
	file   *os.File
	hasher digest.Hasher
}

// append adds a frame to the open pack, and opens one if there is none.
func (w *packWriter) append(stored []byte) error {
	if w.file == nil {
		if err := w.start(); err != nil {
			return err
		}
	}
	if err := w.dir.Change("write", "packs"); err != nil {
		return err
	}
	if _, err := w.file.Write(stored); err != nil {
		return err
	}
	w.hasher.Write(stored)
	w.size += int64(len(stored))
	return nil
}

func (w *packWriter) start() (err error) {
	w.hasher.Reset()
	w.file, err = temp(w.dir, "packs")
	return err
}

// finish gives the open pack its name; on return it survives power loss.
func (w *packWriter) finish() (Pack, error) {
	pack := Pack{Digest: w.hasher.Digest(), Size: w.size}
	err := name(w.dir, w.file, PackName(pack.Digest))
	w.drop()
	return pack, err
}

// drop closes the open pack without a name.
func (w *packWriter) drop() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	w.size = 0
}

// temp makes an unnamed file in a folder of the repository that everybody may
// read once it has a name.
func temp(root *beneath.Dir, folder string) (*os.File, error) {
	dir, err := root.OpenDir(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.Temp(0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil { // whatever the umask
		f.Close()
		return nil, err
	}
	return f, nil
}

// name makes an unnamed file durable and gives it its name. A file of that name is
// the same, by a publisher that was faster, unless it has decayed: so it is replaced.
func name(root *beneath.Dir, f *os.File, file string) error {
	if err := root.Change("sync", file); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	err := root.LinkFile(f, file)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	aside := path.Join(path.Dir(file), ".new-"+rand.Text())
	if err := root.LinkFile(f, aside); err != nil {
		return err
	}
	return root.Rename(aside, file)
}
