package install

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// floorName is where package trust keeps its memory, and maxFloor what we copy.
const (
	floorName = "floor.json"
	maxFloor  = 256 << 10
)

// Repair is Verify, and then mends what it found: documents and contents are
// fetched from the remote that they came from, exactly those that are damaged, and
// take the place of the damaged ones only when they are verified; deployments and
// exports are made anew from them and exchanged. What cannot be mended is an error,
// after all else was tried, and stays as it was; a deployment in use is one such,
// deploy.ErrInUse.
func (i *Installation) Repair(ctx context.Context, opt VerifyOptions) (*Verified, error) {
	held, err := i.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	before, err := i.verify(ctx, opt)
	if err != nil || len(before.Findings) == 0 {
		return before, err
	}
	if err := i.repair(ctx); err != nil {
		return before, fmt.Errorf("repairing: %w", err)
	}
	after, err := i.verify(ctx, opt)
	if err == nil {
		after.Repaired = max(0, len(before.Findings)-len(after.Findings))
	}
	return after, err
}

// repair mends all that generations need.
func (i *Installation) repair(ctx context.Context) error {
	all := &sources{inst: i}
	defer all.Close()
	errs := []error{i.repairRemotes(ctx, all), i.repairForms(ctx)}
	if err := i.store.Begin(); err != nil {
		return err
	}
	history, err := i.History()
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, in := range eachOf(history) {
		if name := in.deployment().Folder(); !done[name] {
			done[name] = true
			errs = append(errs, i.repairRelease(ctx, all, in))
		}
	}
	for _, in := range eachOf(history) {
		if all.replaced {
			errs = append(errs, i.forget(ctx, in))
		}
	}
	errs = append(errs, i.barrier())
	for _, g := range history {
		errs = append(errs, i.repairGeneration(g))
	}
	return errors.Join(errs...)
}

// repairRemotes writes damaged copies anew, and asks remotes again whose metadata
// cannot be read.
func (i *Installation) repairRemotes(ctx context.Context, all *sources) error {
	v := newVerification(i)
	errs := []error{v.remotes(ctx)}
	for _, f := range v.found {
		errs = append(errs, i.repairRemote(ctx, all, f.Affects[0], path.Base(f.Where)))
	}
	return errors.Join(errs...)
}

func (i *Installation) repairRemote(ctx context.Context, all *sources, name, what string) error {
	r, err := i.remote(name)
	if err != nil {
		return fmt.Errorf("%w: \"larch remote remove %s\" and add it again", err, name)
	}
	folder := path.Join(remotes, name)
	if what != trustName {
		if err := i.root.RemoveAll(path.Join(folder, what)); err != nil { // the other copy is whole
			return err
		}
		return i.writeRemote(folder, r)
	}
	if err := all.open(ctx, []string{name}); err != nil {
		return err
	}
	if all.named(name).refresh(ctx) == nil {
		return nil
	}
	return i.repairTrust(ctx, r)
}

// repairTrust begins to trust a remote anew, by the key that it was begun with, and
// keeps the memory of what must not be undercut.
func (i *Installation) repairTrust(ctx context.Context, r Remote) error {
	aside, folder := path.Join(scratch, "remote-"+r.Name), path.Join(remotes, r.Name)
	if err := i.root.RemoveAll(aside); err != nil {
		return err
	}
	if err := i.root.MkdirAll(path.Join(aside, trustName), 0o755); err != nil {
		return err
	}
	if err := i.copyFloor(path.Join(folder, trustName), path.Join(aside, trustName)); err != nil {
		return err
	}
	s, err := i.openSource(ctx, aside, r, new(transport.Stats))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.client.Bootstrap(ctx, r.Fingerprint); err != nil {
		return fmt.Errorf("remote %q: %w", r.Name, err)
	}
	if err := i.root.Exchange(path.Join(aside, trustName), path.Join(folder, trustName)); err != nil {
		return err
	}
	return i.root.RemoveAll(aside)
}

// copyFloor takes over the floor, if it is whole; trust ignores a damaged one.
func (i *Installation) copyFloor(from, to string) error {
	data, err := i.root.ReadFile(path.Join(from, floorName), maxFloor)
	if err != nil { // gone: the documents alone say what must not be undercut
		return nil
	}
	return durable.WriteFile(i.root, path.Join(to, floorName), data, 0o644)
}

// repairForms gives objects whose content is right their modes and times back.
func (i *Installation) repairForms(ctx context.Context) error {
	for found, err := range i.store.Walk(ctx) {
		if err != nil {
			return err
		}
		if found.Problem == "" || found.Digest.IsZero() {
			continue
		}
		if _, err := i.store.Verify(found.Object, true); err != nil {
			continue
		}
		if err := i.repairForm(found); err != nil {
			return err
		}
	}
	return nil
}

func (i *Installation) repairForm(found store.Found) error {
	f, err := i.root.Open(found.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := i.root.Change("chmod", found.Name); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), found.Mode()); err != nil {
		return err
	}
	return inode.SetTime(f, 0, 0)
}

// repairRelease brings back what one release lacks, and remakes its deployment if
// that is not right.
func (i *Installation) repairRelease(ctx context.Context, all *sources, in Installed) error {
	rel, err := i.repairDocuments(ctx, all, in)
	if err == nil {
		err = i.repairContents(ctx, all, in, rel)
	}
	if err == nil {
		info := rel.Tree.Info()
		err = i.deploy(ctx, in, deploy.Spec{
			Info: info, Tree: func() iter.Seq2[*tree.Entry, error] { return i.store.Tree(info.Digest, info.Size) },
		})
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", in.Ref, in.Version, err)
	}
	return nil
}

// origin opens the remote that something came from, which needs no news.
func (all *sources) origin(ctx context.Context, in Installed) (*source, error) {
	if err := all.open(ctx, []string{in.Remote}); err != nil {
		return nil, err
	}
	return all.named(in.Remote), nil
}

// repairDocuments sees to the release document and the tree. The list of what is
// installed names the one, and that the other, so nothing has to be trusted anew.
func (i *Installation) repairDocuments(ctx context.Context, all *sources, in Installed) (*release.Release, error) {
	rel, err := i.document(in.Release)
	if err != nil {
		s, err := all.origin(ctx, in)
		if err != nil {
			return nil, err
		}
		var data []byte
		if rel, data, err = fetch.Previous(ctx, s.t, in.Release); err != nil {
			return nil, err
		}
		if _, err := i.store.PutRelease(data); err != nil {
			return nil, err
		}
	}
	info := rel.Tree.Info()
	if i.store.HasTree(info.Digest, info.Size) {
		return rel, nil
	}
	s, err := all.origin(ctx, in)
	if err != nil {
		return nil, err
	}
	return rel, fetch.Tree(ctx, s.t, info, i.store)
}

// repairContents fetches objects that are missing or that the store doubts.
func (i *Installation) repairContents(ctx context.Context, all *sources, in Installed, rel *release.Release) error {
	c := &contents{digest: in.Release, release: rel, remote: lazily(func(ctx context.Context) (transport.Transport, error) {
		s, err := all.origin(ctx, in)
		if err != nil {
			return nil, err
		}
		return s.t, nil
	})}
	if err := c.survey(ctx, i.store.Tree(rel.Tree.Digest, rel.Tree.Size), i.store, nil); err != nil {
		return err
	}
	if err := c.locate(ctx, i.store, i.store); err != nil {
		return err
	}
	all.replaced = all.replaced || c.need.Objects > 0
	batch := i.store.NewBatch(ctx)
	defer batch.Close()
	return c.fetch(ctx, batch, func(int64) {})
}

// forget has forms whose contents the kernel remembers look at them anew.
func (i *Installation) forget(ctx context.Context, in Installed) error {
	b, err := i.backend(in.Backend)
	if err != nil {
		return err
	}
	f, ok := b.(deploy.Forgetter)
	if !ok {
		return nil
	}
	if err := f.Forget(ctx, i.site(), in.Release.String()); err != nil {
		return fmt.Errorf("%s %s: looking at mended contents: %w", in.Ref, in.Version, err)
	}
	return nil
}

// repairGeneration makes the folder of a generation anew, if it is not right, and
// exchanges it in one step.
func (i *Installation) repairGeneration(g *Generation) error {
	v := newVerification(i)
	if err := v.generation(g); err != nil || len(v.found) == 0 {
		return err
	}
	x := &exporter{inst: i, base: g, anew: true}
	err := i.writeAside(*g, x.write)
	if err == nil {
		err = i.root.SyncFS()
	}
	if err == nil {
		err = i.root.Exchange(asideName, generationName(g.Number))
	}
	if err != nil {
		return fmt.Errorf("generation %d: %w", g.Number, err)
	}
	return i.root.RemoveAll(asideName)
}
