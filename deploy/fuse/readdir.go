package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/tree"
)

// firstChild is the offset of the first entry behind "." and "..".
const firstChild = 2

// ReadDir lists a directory from an offset on.
func (f *files) ReadDir(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return f.list(in, out, func(e gofuse.DirEntry, _ *deployment, _ uint32) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus lists a directory, with what a lookup of each name would give.
func (f *files) ReadDirPlus(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return f.list(in, out, func(e gofuse.DirEntry, d *deployment, i uint32) bool {
		to := out.AddDirLookupEntry(e)
		if to != nil && d != nil {
			f.give(d, i, to)
		}
		return to != nil
	})
}

// list adds entries until one does not fit. Offsets are numbers of entries: those of a
// tree never change, those of the root do, like any directory's that is written to.
func (f *files) list(in *gofuse.ReadIn, out *gofuse.DirEntryList, add func(gofuse.DirEntry, *deployment, uint32) bool) gofuse.Status {
	for at := in.Offset; at < firstChild; at++ {
		if !add(gofuse.DirEntry{Name: "..."[:at+1], Mode: unix.S_IFDIR, Off: at + 1}, nil, 0) {
			return gofuse.OK
		}
	}
	skip := max(in.Offset, firstChild) - firstChild
	if in.NodeId == rootID {
		return f.listRoot(skip, add)
	}
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return gofuse.Status(unix.ESTALE)
	}
	if s.r.kind() != tree.Directory {
		return gofuse.ENOTDIR
	}
	for n := skip; n < uint64(s.r.b()); n++ {
		i := s.r.a() + uint32(n)
		r := s.index.record(i)
		e := gofuse.DirEntry{Name: s.index.name(r), Mode: r.mode(), Ino: s.idOf(i), Off: firstChild + n + 1}
		if !add(e, s.deployment, i) {
			break
		}
	}
	return gofuse.OK
}

// listRoot lists the deployments; the kernel looks up by itself what it wants to know of
// them.
func (f *files) listRoot(skip uint64, add func(gofuse.DirEntry, *deployment, uint32) bool) gofuse.Status {
	names, err := f.names()
	if err != nil {
		return gofuse.ToStatus(err)
	}
	for n := skip; n < uint64(len(names)); n++ {
		if !add(gofuse.DirEntry{Name: names[n], Mode: unix.S_IFDIR, Off: firstChild + n + 1}, nil, 0) {
			break
		}
	}
	return gofuse.OK
}
