package repo

import "github.com/larch-project/larch/digest"

// Files of a repository, relative to it. All but the format file, the signed
// head and the indexes never change once they have their names.
const (
	FormatName  = "larch.json"
	RetiredName = "retired.json"
	lockName    = "lock"
	spansFolder = "spans"
)

// ReleaseName is where a release document is.
func ReleaseName(d digest.Digest) string { return "releases/" + d.String() }

// TreeName is where the sealed text of a tree is, by the text's own digest.
func TreeName(d digest.Digest) string { return "trees/" + d.String() + ".zst" }

// SpansName is where the sealed list of the spans of a tree's large contents is.
func SpansName(tree digest.Digest) string { return spansFolder + "/" + tree.String() + ".zst" }

// PackName is where a pack is, by the digest of its bytes.
func PackName(d digest.Digest) string { return "packs/" + d.String() + ".pack" }

// IndexName is where the sealed index of a release is.
func IndexName(release digest.Digest) string { return "index/" + release.String() + ".zst" }
