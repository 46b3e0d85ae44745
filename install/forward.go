package install

import (
	"fmt"
	"slices"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/trust"
)

// forward refuses an update to a release that came before the one that is installed:
// trust.ErrRollback. Signed metadata does not go back, but a machine can lose what it
// knew of it (a backup that was put back), and then what is installed is still known.
// Whoever wants the earlier release installs it by its version.
func (i *Installation) forward(in Installed, f *found) error {
	have, err := i.document(in.Release)
	if err != nil { // damaged, which verify says; nothing to compare with
		return nil
	}
	if !earlier(f.digest, f.release, in.Release, have) {
		return nil
	}
	return fmt.Errorf("remote %q: %s: version %s %w: %s is installed: the server may be out of date or lying; "+
		"if you want to go back, run `larch install %s@%s`", f.Name, f.ref, f.release.Version, trust.ErrRollback, in.Version, f.ref, f.release.Version)
}

// earlier tells whether a release comes before another one of its ref: the later
// lists it, or was made later and is not listed itself. Clocks of publishers alone
// decide nothing.
func earlier(d digest.Digest, rel *release.Release, than digest.Digest, later *release.Release) bool {
	lists := func(r *release.Release, d digest.Digest) bool {
		return slices.ContainsFunc(r.Previous, func(p release.Previous) bool { return p.Release == d })
	}
	return lists(later, d) || rel.Created.Before(later.Created) && !lists(rel, than)
}
