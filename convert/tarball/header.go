package tarball

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/larch-project/larch/tree"
)

// Prefixes of pax records.
const (
	paxXattr  = "SCHILY.xattr."
	paxACL    = "SCHILY.acl."
	paxSparse = "GNU.sparse."
)

// blockSize is the unit of a tar archive, in bytes.
const blockSize = 512

// readHeader reads the header at an offset, with the extensions before it, and
// tells where its content begins. It is how headers are read, each time: what was
// indexed and what is read later cannot be understood differently.
func readHeader(r io.ReaderAt, offset, size int64) (h *tar.Header, content int64, err error) {
	section := io.NewSectionReader(r, offset, size-offset)
	if h, err = tar.NewReader(section).Next(); err != nil {
		return nil, 0, err
	}
	n, err := section.Seek(0, io.SeekCurrent)
	return h, offset + blocks(n), err
}

// blocks rounds up to whole blocks.
func blocks(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

func isRegular(h *tar.Header) bool { return h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeCont }

// contentSize is how many bytes follow a header, without what fills the block.
func contentSize(h *tar.Header) int64 {
	if isRegular(h) {
		return h.Size
	}
	return 0
}

// checkType refuses what cannot be read exactly.
func checkType(h *tar.Header) error {
	sparse := h.Typeflag == tar.TypeGNUSparse
	for key := range h.PAXRecords {
		sparse = sparse || strings.HasPrefix(key, paxSparse)
	}
	if sparse {
		return fmt.Errorf("%w: %q is stored as a sparse file; make the archive without --sparse", ErrFormat, h.Name)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return &tree.RuleError{
			Path: tree.Path("/" + h.Name), Rule: tree.RuleSpecial, Problem: "a device or fifo cannot be part of a tree",
			Fix: "leave it out of the archive",
		}
	}
	return fmt.Errorf("%w: %q has the type %q", ErrFormat, h.Name, h.Typeflag)
}

// treePath gives the path in the tree of a name in an archive.
func treePath(name string) (tree.Path, error) {
	rest := name
	for {
		short := strings.TrimPrefix(rest, "./")
		if short == rest {
			break
		}
		rest = short
	}
	rest = strings.TrimSuffix(rest, "/")
	if rest == "." || rest == "" && name != "" && !strings.HasPrefix(name, "/") {
		return "/", nil
	}
	p := tree.Path("/" + rest)
	if rest == "" {
		p = "" // refused: it has no name, or is the root of the machine
	}
	err := p.Check()
	if rule := (*tree.RuleError)(nil); errors.As(err, &rule) {
		rule.Path, rule.Fix = tree.Path(name), "make the archive with plain relative names: tar -C FOLDER -cf FILE ."
	}
	return p, err
}

// describe makes the entry for a header, folded and checked. Of a hardlink it is
// the header of the first name that counts.
func describe(p tree.Path, h *tar.Header, rules tree.Rules) (*tree.Entry, error) {
	e := &tree.Entry{
		Path: p, Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), Nlink: 1,
		Mtime: tree.Time{Sec: h.ModTime.Unix(), Nsec: uint32(h.ModTime.Nanosecond())},
	}
	switch {
	case h.Typeflag == tar.TypeDir:
		e.Kind = tree.Directory
	case h.Typeflag == tar.TypeSymlink:
		e.Kind, e.Target, e.Size, e.Mode = tree.Symlink, h.Linkname, int64(len(h.Linkname)), 0o777
	default:
		e.Kind, e.Size = tree.Regular, h.Size
	}
	if h.Uid < 0 || int64(h.Uid) > maxID || h.Gid < 0 || int64(h.Gid) > maxID {
		return nil, &tree.RuleError{Path: p, Rule: tree.RuleNumbers, Problem: fmt.Sprintf("owner %d:%d", h.Uid, h.Gid)}
	}
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, paxACL) {
			key = paxXattr + "system.posix_acl"
		}
		if name, found := strings.CutPrefix(key, paxXattr); found {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: name, Value: valueOf(value)})
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	rules.Fold(e)
	if err := rules.Check(e); err != nil {
		return nil, err
	}
	return e, e.Check()
}

// maxID is the largest owner that the entry of a tree has room for.
const maxID = 1<<32 - 1

func valueOf(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// madeDirectory is a directory that the archive has not listed.
func madeDirectory(p tree.Path) *tree.Entry {
	return &tree.Entry{Path: p, Kind: tree.Directory, Mode: 0o755, Nlink: 1}
}
