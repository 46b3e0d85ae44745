package hardlink_test

import (
	"fmt"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// BenchmarkMake makes a deployment of 10,000 files in 100 folders whose contents
// are all present, durably.
func BenchmarkMake(b *testing.B) {
	m := newMachine(b, some)
	entries := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	for i := range 10_000 {
		dir := tree.Path(fmt.Sprintf("/%03d", i/100))
		if i%100 == 0 {
			entries = append(entries, &tree.Entry{Path: dir, Kind: tree.Directory, Mode: 0o755, Nlink: 1})
		}
		entries = append(entries, &tree.Entry{Path: dir.Join(fmt.Sprintf("%03d", i%100)), Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(some)), Digest: digest.Of(some)})
	}
	for run := range b.N {
		spec := deploy.Spec{Name: fmt.Sprint("release", run), Tree: entriesOf(entries)}
		if err := (hardlink.Backend{}).Make(b.Context(), m.site, spec); err != nil {
			b.Fatal(err)
		}
	}
}
