package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// Limits on what an application exports; spec/9-install.md §9.6.
const (
	maxDesktop = 256 << 10 // bytes of a desktop entry
	maxIcon    = 1 << 20   // bytes of an icon
	maxPixels  = 4096      // of an icon's width and height
	maxExports = 64        // files of one application
)

const (
	applications = "share/applications"
	icons        = "share/icons/hicolor"
)

// Warning is something that does not stop a transaction, and that people should
// know.
type Warning struct {
	Ref  release.Ref
	Text string // may hold a stranger's text, quoted
}

// exporter makes the exports of a generation. Those of a ref that has not changed
// are taken over from the generation before.
type exporter struct {
	inst     *Installation
	base     *Generation
	anew     bool   // take nothing over
	trees    *trees // may be nil
	changes  []Change
	warnings []Warning
}

// candidate is a file that a ref would export.
type candidate struct {
	name  string
	owner release.Ref
	write func(exports *beneath.Dir) (digest.Digest, error)
}

// write is an exportWriter. A name that two refs want goes to the one that had it
// before, else to the first in the order of refs; the other is warned of.
func (x *exporter) write(exports *beneath.Dir, list []Installed) ([]Installed, error) {
	x.changes = changes(x.base, &Generation{Installed: list})
	wanted := map[string][]candidate{}
	for _, in := range list {
		found, err := x.candidates(in)
		if err != nil {
			return nil, fmt.Errorf("exports of %s: %w", in.Ref, err)
		}
		for _, c := range found {
			wanted[c.name] = append(wanted[c.name], c)
		}
	}
	made := map[release.Ref][]Export{}
	for name, rivals := range wanted {
		c := x.choose(rivals)
		if err := exports.MkdirAll(path.Dir(name), 0o755); err != nil {
			return nil, err
		}
		d, err := c.write(exports)
		if err != nil {
			return nil, fmt.Errorf("exporting %s of %s: %w", name, c.owner, err)
		}
		made[c.owner] = append(made[c.owner], Export{Digest: d, Name: name})
	}
	full := slices.Clone(list)
	for n := range full {
		full[n].Exports = made[full[n].Ref]
		slices.SortFunc(full[n].Exports, func(a, b Export) int { return strings.Compare(a.Name, b.Name) })
	}
	return full, nil
}

// choose decides who exports a name.
func (x *exporter) choose(rivals []candidate) candidate {
	chosen := rivals[0]
	for _, c := range rivals {
		if x.had(c) {
			chosen = c
		}
	}
	for _, c := range rivals {
		if c.owner != chosen.owner {
			x.warn(c.owner, "%s is not exported: %s exports a file of that name", c.name, chosen.owner)
		}
	}
	return chosen
}

func (x *exporter) had(c candidate) bool {
	before := x.base.Find(c.owner)
	return before != nil && slices.ContainsFunc(before.Exports, func(e Export) bool { return e.Name == c.name })
}

func (x *exporter) warn(ref release.Ref, format string, args ...any) {
	x.warnings = append(x.warnings, Warning{ref, fmt.Sprintf(format, args...)})
}

// candidates finds what a ref would export.
func (x *exporter) candidates(in Installed) ([]candidate, error) {
	if in.Ref.Kind != release.App {
		return nil, nil
	}
	if found := x.unchanged(in); found != nil {
		return found, nil
	}
	return x.fresh(in)
}

// unchanged gives the files of the generation before, or nil if they have to be
// made anew: for another release, where one is missing, and where a change of a
// ref with a related id may have given or taken names.
func (x *exporter) unchanged(in Installed) []candidate {
	before := x.base.Find(in.Ref)
	if x.anew || before == nil || before.Release != in.Release || x.disturbed(in.Ref) {
		return nil
	}
	from := path.Join(generationName(x.base.Number), exportsName)
	found := []candidate{}
	for _, e := range before.Exports {
		name := path.Join(from, e.Name)
		if there, err := x.inst.root.Exists(name); err != nil || !there {
			return nil
		}
		found = append(found, candidate{e.Name, in.Ref, func(exports *beneath.Dir) (digest.Digest, error) {
			return e.Digest, exports.Link(x.inst.root, name, e.Name)
		}})
	}
	return found
}

// disturbed tells whether the transaction changes another ref that could export
// the same names.
func (x *exporter) disturbed(ref release.Ref) bool {
	return slices.ContainsFunc(x.changes, func(c Change) bool { return c.Ref != ref && related(c.Ref.ID, ref.ID) })
}

func related(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}

// fresh reads from the store what a release exports: a command under its id, and
// from its folder /export desktop entries and icons.
func (x *exporter) fresh(in Installed) ([]candidate, error) {
	rel, err := x.inst.document(in.Release)
	if err != nil {
		return nil, err
	}
	metadata, err := metadataOf(rel)
	if err != nil {
		return nil, err
	}
	var found []candidate
	if metadata.Command != "" {
		name := "bin/" + in.Ref.ID
		found = append(found, x.file(in.Ref, name, func() ([]byte, error) {
			return shim(x.inst.root.Path(), in.Ref), nil
		}))
	}
	for e, err := range x.trees.of(x.inst.store, rel.Tree.Info()) {
		if err != nil {
			return nil, err
		}
		if e.Kind == tree.Directory || !e.Path.Within("/export") {
			continue
		}
		c, err := x.exported(in.Ref, e)
		var refused refusal
		if errors.As(err, &refused) {
			x.warn(in.Ref, "%q is not exported: %s", string(e.Path), refused)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", string(e.Path), err)
		}
		if found = append(found, c); len(found) > maxExports {
			return nil, fmt.Errorf("%w: it exports more than %d files", ErrRelease, maxExports)
		}
	}
	return found, nil
}

// refusal says why a file is not exported.
type refusal string

func (r refusal) Error() string { return string(r) }

// exported judges one file below /export.
func (x *exporter) exported(ref release.Ref, e *tree.Entry) (candidate, error) {
	name := strings.TrimPrefix(string(e.Path), "/export/")
	convert, limit := x.exportKind(ref, name)
	switch {
	case convert == nil:
		return candidate{}, refusal("only desktop entries and icons that are named after the id are")
	case e.Kind != tree.Regular:
		return candidate{}, refusal("it is not a regular file")
	case e.Size > limit:
		return candidate{}, refusal(fmt.Sprintf("it has %d bytes, limit %d", e.Size, limit))
	}
	read := func() ([]byte, error) {
		data, err := x.inst.content(e)
		if err != nil {
			return nil, err
		}
		return convert(data)
	}
	if _, err := read(); err != nil { // judged now, kept in memory only while it is written
		return candidate{}, err
	}
	return x.file(ref, name, read), nil
}

// exportKind tells by a name below /export what it may be: how its content is
// judged and rewritten, and how large it may be; nil if it is not exported.
func (x *exporter) exportKind(ref release.Ref, name string) (convert func([]byte) ([]byte, error), limit int64) {
	dir, base := path.Split(name)
	ext := path.Ext(base)
	if !underID(strings.TrimSuffix(base, ext), ref.ID) {
		return nil, 0
	}
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case dir == applications && ext == ".desktop":
		return func(data []byte) ([]byte, error) { return rewriteDesktop(data, x.inst.root.Path(), ref) }, maxDesktop
	case iconFolder(dir) && ext == ".png":
		return checkPNG, maxIcon
	case iconFolder(dir) && ext == ".svg":
		return checkSVG, maxIcon
	}
	return nil, 0
}

// file is a candidate with content of our own making.
func (x *exporter) file(ref release.Ref, name string, data func() ([]byte, error)) candidate {
	return candidate{name, ref, func(exports *beneath.Dir) (digest.Digest, error) {
		text, err := data()
		if err != nil {
			return digest.Digest{}, err
		}
		return digest.Of(text), writeFile(exports, name, text, exportMode(name))
	}}
}

// exportMode is the mode of an exported file: commands have the run bit.
func exportMode(name string) fs.FileMode {
	if strings.HasPrefix(name, "bin/") {
		return 0o755
	}
	return 0o644
}

// underID tells whether a file's name, without its ending, belongs to an id: it is
// the id, or goes on behind a dot, or is the icon's symbolic form.
func underID(name, id string) bool {
	rest, ok := strings.CutPrefix(name, id)
	if rest = strings.TrimSuffix(rest, "-symbolic"); !ok || rest == "" {
		return ok
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return rest[0] == '.' && len(rest) > 1 && strings.Trim(rest, allowed) == "" && !strings.Contains(rest, "..")
}

// iconFolder tells whether a folder below exports/ is one for icons of
// applications: share/icons/hicolor/48x48/apps, scalable, symbolic, 48x48@2.
func iconFolder(dir string) bool {
	size, ok := strings.CutPrefix(dir, icons+"/")
	if size, ok = strings.CutSuffix(size, "/apps"); !ok || len(size) > 16 {
		return false
	}
	return size == "scalable" || size == "symbolic" || strings.Trim(size, "0123456789x@") == "" && size != ""
}

// checkPNG accepts a picture whose header promises no monster.
func checkPNG(data []byte) ([]byte, error) {
	const header = "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
	if len(data) < len(header)+8 || string(data[:len(header)]) != header {
		return nil, refusal("it is no PNG picture")
	}
	width, height := binary.BigEndian.Uint32(data[16:]), binary.BigEndian.Uint32(data[20:])
	if width == 0 || height == 0 || width > maxPixels || height > maxPixels {
		return nil, refusal(fmt.Sprintf("it has %d x %d pixels, limit %d", width, height, maxPixels))
	}
	return data, nil
}

// checkSVG refuses what makes a reader of XML expand or fetch something before
// it has drawn anything.
func checkSVG(data []byte) ([]byte, error) {
	lower := bytes.ToLower(data)
	for _, bad := range []string{"<!doctype", "<!entity", "<?xml-stylesheet", "\x00"} {
		if bytes.Contains(lower, []byte(bad)) {
			return nil, refusal(fmt.Sprintf("a picture with %q", bad))
		}
	}
	if !bytes.Contains(lower, []byte("<svg")) {
		return nil, refusal("it is no SVG picture")
	}
	return data, nil
}

// shim is a command that runs an application.
func shim(root string, ref release.Ref) []byte {
	return fmt.Appendf(nil, "#!/bin/sh\nexec larch run --root %s %s -- \"$@\"\n", quoteShell(root), quoteShell(ref.String()))
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// content reads a small file of a tree, and checks it.
func (i *Installation) content(e *tree.Entry) ([]byte, error) {
	if e.Size <= tree.InlineMax {
		return e.Inline, nil
	}
	f, err := i.store.Open(store.ObjectOf(e))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bounded.ReadAll(io.Reader(digest.NewReader(f, e.Digest, e.Size)), e.Size)
}
