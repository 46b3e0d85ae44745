package deploy

import (
	"errors"
	"os"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// PlaceFile makes a regular file of its own, whose content is copied, or shared block
// by block, by copy: inode.Copy or inode.Clone.
func PlaceFile(content Content, dir *beneath.Dir, e *tree.Entry, name string, mode uint32, copy func(to, from *os.File, size int64) error) error {
	f, err := dir.Create(name, 0o600)
	if err != nil {
		return err
	}
	if err = dir.Change("write", name); err == nil {
		err = fill(f, content, e, copy)
	}
	if err == nil {
		err = Dress(f, e, mode)
	}
	return errors.Join(err, f.Close())
}

func fill(f *os.File, content Content, e *tree.Entry, copy func(to, from *os.File, size int64) error) error {
	if !e.External() {
		_, err := f.Write(e.Inline)
		return err
	}
	from, err := content.Open(e)
	if err != nil {
		return err
	}
	defer from.Close()
	return copy(f, from, e.Size)
}
