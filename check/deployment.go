package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// Deployment compares a deployment with its tree, which is in the store, and
// reports every difference: content, missing files, files too many, modes, links,
// times, attributes. Files that are the store's own are left to Store, since
// their content is the store's. Memory does not depend on the size of the tree.
// An error means that the check itself could not go on.
func Deployment(ctx context.Context, b deploy.Backend, site deploy.Site, s *store.Store, in Installed, report func(Finding)) error {
	d := deploy.Deployment{Name: in.Release.String(), Backend: b.Name()}
	view, err := b.Open(ctx, site, d.Name)
	if errors.Is(err, fs.ErrNotExist) {
		report(Finding{Where: d.Folder(), Problem: "is missing", Affects: []string{in.Ref}, Fix: fixRepair})
		return nil
	}
	if errors.Is(err, deploy.ErrDamaged) {
		report(Finding{Where: d.Folder(), Problem: err.Error(), Affects: []string{in.Ref}, Fix: fixRepair})
		return nil
	}
	if err != nil {
		return err
	}
	defer view.Close()
	if view.Compare != nil {
		return reportAll(view.Compare(ctx), d, "", in, report)
	}
	root, err := view.Open()
	if err != nil {
		return err
	}
	defer root.Close()
	stored := func(e *tree.Entry, _ *beneath.Dir, _ string, st *unix.Stat_t) bool {
		return e.Size > tree.InlineMax && s.Is(store.ObjectOf(e), st)
	}
	found := deploy.Compare(ctx, root, s.Tree(in.Tree.Digest, in.Tree.Size), stored)
	return reportAll(found, d, filepath.Base(view.Path), in, report)
}

// reportAll reports the differences of a deployment from what is to be in its folder, or
// in one of those in it.
func reportAll(found iter.Seq2[deploy.Difference, error], d deploy.Deployment, folder string, in Installed, report func(Finding)) error {
	for diff, err := range found {
		if err != nil {
			return fmt.Errorf("checking %s: %w", d.Folder(), err)
		}
		report(Finding{
			Where: filepath.Join(d.Folder(), folder, string(diff.Path)), Problem: diff.Problem,
			Affects: []string{fmt.Sprintf("%s: %s", in.Ref, diff.Path)}, Fix: fixRepair,
		})
	}
	return nil
}
