package tarball

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/larch-project/larch/tree"
)

// record is where one name of the tree is described in the archive.
type record struct {
	name
	header int64  // where the header begins; of a hardlink, that of what it links to
	first  int32  // the record of the file's first name: mostly this one
	names  uint32 // how many the file has, at the first
	kind   byte   // type flag of the header
}

// index is all names of an archive, in the order of the tree.
type index struct {
	records      []record
	files, bytes int64
}

// link is a hardlink whose target is not looked up yet.
type link struct {
	path, target tree.Path
	header       int64
}

// readIndex reads the headers of an archive of a size in bytes.
func readIndex(r io.ReaderAt, size int64, rules tree.Rules) (*index, error) {
	ix := &index{}
	var links []link
	for offset := int64(0); ; {
		h, content, err := readHeader(r, offset, size)
		if err == io.EOF {
			if offset+blockSize > size { // there are always blocks of zeros at the end
				return nil, fmt.Errorf("the archive is cut off: %w", io.ErrUnexpectedEOF)
			}
			break
		}
		if err != nil {
			return nil, unreadable(err)
		}
		if contentSize(h) > size-content {
			return nil, fmt.Errorf("the archive is cut off within %q: %w", h.Name, io.ErrUnexpectedEOF)
		}
		if links, err = ix.add(links, h, offset, rules); err != nil {
			return nil, err
		}
		offset = content + blocks(contentSize(h))
	}
	return ix, ix.finish(links)
}

// unreadable tells garbage from an archive that was cut off.
func unreadable(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the archive is cut off: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// add checks one header and records it.
func (ix *index) add(links []link, h *tar.Header, offset int64, rules tree.Rules) ([]link, error) {
	if err := checkType(h); err != nil || h.Typeflag == tar.TypeXGlobalHeader {
		return links, err
	}
	path, err := treePath(h.Name)
	if err != nil {
		return nil, err
	}
	if len(ix.records) >= tree.MaxEntries {
		return nil, &tree.RuleError{Path: path, Rule: tree.RuleTotals, Problem: fmt.Sprintf("more than %d entries", tree.MaxEntries)}
	}
	ix.records = append(ix.records, record{name: nameOf(path), header: offset, kind: h.Typeflag})
	if h.Typeflag == tar.TypeLink {
		target, err := treePath(h.Linkname)
		return append(links, link{path, target, offset}), err
	}
	e, err := describe(path, h, rules)
	if err != nil {
		return nil, err
	}
	if e.Kind == tree.Regular {
		ix.files++
		ix.bytes += e.Size
	}
	return links, nil
}

// finish puts the names in order and finds what they have to do with each other.
func (ix *index) finish(links []link) error {
	slices.SortFunc(ix.records, func(a, b record) int {
		return cmp.Or(a.compare(b.name), cmp.Compare(a.header, b.header))
	})
	if err := ix.single(); err != nil {
		return err
	}
	if err := ix.resolve(links); err != nil {
		return err
	}
	return ix.checkParents()
}

// single keeps the last header of a directory that is there several times.
func (ix *index) single() error {
	kept := ix.records[:0]
	for _, r := range ix.records {
		if n := len(kept); n == 0 || kept[n-1].name != r.name {
			kept = append(kept, r)
			continue
		}
		if before := &kept[len(kept)-1]; before.kind != tar.TypeDir || r.kind != tar.TypeDir {
			return broken(r.path(), tree.RuleOrder, "the archive has it twice")
		}
		kept[len(kept)-1] = r
	}
	ix.records = kept
	return nil
}

// resolve gives hardlinks the header of what they link to, in the order of the
// archive: a target stands before its links, so it is resolved already.
func (ix *index) resolve(links []link) error {
	shared := map[int64]struct{}{} // headers of files with several names
	for _, l := range links {
		i, _ := ix.find(l.path)
		t, found := ix.find(l.target)
		if !found || ix.records[t].kind == tar.TypeLink || ix.records[t].header > l.header {
			return broken(l.path, tree.RuleHardlink, "%q is nothing that stands before it in the archive", string(l.target))
		}
		target := &ix.records[t]
		if target.kind == tar.TypeDir {
			return broken(l.path, tree.RuleHardlink, "a hardlink to the directory %q", string(l.target))
		}
		ix.records[i].header, ix.records[i].kind = target.header, target.kind
		if target.kind != tar.TypeSymlink { // each name of a symlink is one of its own
			shared[target.header] = struct{}{}
		}
	}
	ix.group(shared)
	return nil
}

// group tells the names of a file of each other.
func (ix *index) group(shared map[int64]struct{}) {
	first := make(map[int64]int32, len(shared))
	for i := range ix.records {
		r := &ix.records[i]
		r.first = int32(i)
		if _, several := shared[r.header]; several {
			if n, later := first[r.header]; later {
				r.first = n
			} else {
				first[r.header] = r.first
			}
		}
		ix.records[r.first].names++
	}
}

// checkParents refuses what stands below something that is no directory: in the
// order of the tree, the first such name comes directly behind it.
func (ix *index) checkParents() error {
	last, lastKind := tree.Path("/"), byte(tar.TypeDir)
	for i := range ix.records {
		path, kind := ix.records[i].path(), ix.records[i].kind
		if path == "/" && kind != tar.TypeDir {
			return broken(path, tree.RuleOrder, "the root is no directory")
		}
		if lastKind != tar.TypeDir && path.Within(last) {
			return broken(path, tree.RuleOrder, "%q is no directory", string(last))
		}
		last, lastKind = path, kind
	}
	return nil
}

func (ix *index) find(p tree.Path) (int, bool) {
	return slices.BinarySearchFunc(ix.records, nameOf(p), func(r record, n name) int { return r.compare(n) })
}

func broken(p tree.Path, rule, problem string, args ...any) error {
	return &tree.RuleError{Path: p, Rule: rule, Problem: fmt.Sprintf(problem, args...)}
}

// missingParents gives the directories that have to be made before path, when
// last was the entry before it ("" if there was none).
func missingParents(last, path tree.Path) []tree.Path {
	var out []tree.Path
	for p := path; p != "/"; {
		p = p.Parent()
		if p == last || last.Within(p) {
			break
		}
		out = append(out, p)
	}
	slices.Reverse(out)
	return out
}
