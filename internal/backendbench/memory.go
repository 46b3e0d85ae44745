package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/pagecache"
)

// inode names a file: a subvolume of btrfs is a device of its own.
type inode struct{ dev, ino uint64 }

// resident is what is in memory, in bytes, of all files of the file system, each counted
// once however many names it has: of the store, of deployments, and of what is served
// there. What overlayfs shows has no memory of its own, but that of the files below it.
func (p *place) resident() (bytes int64, err error) {
	seen := map[inode]bool{}
	err = filepath.WalkDir(p.at, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		if d.IsDir() {
			return below(name)
		}
		if id := (inode{st.Dev, st.Ino}); !seen[id] {
			seen[id] = true
			pages, err := residentPages(name)
			bytes += int64(pages) * int64(os.Getpagesize())
			return err
		}
		return nil
	})
	return bytes, err
}

// below passes over what is no file system with files of its own.
func below(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	switch st.Type {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC:
		return nil
	}
	return fs.SkipDir
}

func residentPages(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	pages, _, err := pagecache.Resident(f)
	return pages, err
}
