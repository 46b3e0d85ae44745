package install

import (
	"fmt"
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// metadataPath is where a tree has its keyfile.
const metadataPath = tree.Path("/metadata")

// inspected passes a release's tree on and judges it on the way: each entry by the
// rules of its kind of release, and at the end all numbers of the release document
// and its copy of the metadata. What is wrong is an error that matches ErrRelease.
func inspected(rel *release.Release, entries iter.Seq2[*tree.Entry, error]) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		i := inspection{release: rel, rules: rulesOf(rel.Ref.Kind)}
		for e, err := range entries {
			if err == nil {
				err = i.entry(e)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := i.end(); err != nil {
			yield(nil, err)
		}
	}
}

func rulesOf(kind release.Kind) tree.Rules {
	if kind == release.OS {
		return tree.OSRules()
	}
	return tree.ApplicationRules()
}

// inspection counts a tree.
type inspection struct {
	release  *release.Release
	rules    tree.Rules
	found    tree.Info // without digest and size, which reading has checked
	metadata bool
}

func (i *inspection) entry(e *tree.Entry) error {
	if err := i.rules.Check(e); err != nil {
		return fmt.Errorf("%s %s: %w: %w", i.release.Ref, i.release.Version, ErrRelease, err)
	}
	i.found.Entries++
	if e.Kind == tree.Regular {
		i.found.Files++
		i.found.Bytes += e.Size
	}
	if layoutFolder(e.Path) && e.Kind != tree.Directory && i.release.Ref.Kind != release.OS {
		return i.wrong("%s is a %v, not a directory", e.Path, e.Kind)
	}
	if e.Path != metadataPath {
		return nil
	}
	text := []byte(i.release.Metadata)
	if i.metadata = true; e.Kind != tree.Regular || e.Size != int64(len(text)) || e.Digest != digest.Of(text) {
		return i.wrong("its metadata is not the file %s of its tree", metadataPath)
	}
	return nil
}

// layoutFolder tells whether a path is one of the folders by which everything but an
// OS tree is laid out; spec/3-release.md §3.4.
func layoutFolder(p tree.Path) bool { return p == "/files" || p == "/export" }

func (i *inspection) end() error {
	want := i.release.Tree.Info()
	i.found.Digest, i.found.Size = want.Digest, want.Size
	if i.found != want {
		return i.wrong("its tree has %d entries, %d files and %d bytes, not %d, %d and %d",
			i.found.Entries, i.found.Files, i.found.Bytes, want.Entries, want.Files, want.Bytes)
	}
	if i.release.Metadata != "" && !i.metadata {
		return i.wrong("its tree has no file %s", metadataPath)
	}
	return nil
}

func (i *inspection) wrong(format string, args ...any) error {
	return fmt.Errorf("%s %s: %w: %s", i.release.Ref, i.release.Version, ErrRelease, fmt.Sprintf(format, args...))
}
