package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/larch-project/larch/release"
)

// maxRequired is how many refs one plan adds because others require them.
const maxRequired = 256

// draft is what will be installed, while that is being decided.
type draft struct {
	plan *Plan
	list map[release.Ref]Installed
	new  map[release.Ref]*found // releases that were looked up for it
}

func newDraft(p *Plan) *draft {
	d := &draft{plan: p, list: map[release.Ref]Installed{}, new: map[release.Ref]*found{}}
	for _, in := range p.base.Installed {
		d.list[in.Ref] = in
	}
	return d
}

// put installs a release.
func (d *draft) put(ctx context.Context, f *found, automatic bool) error {
	requires, err := requirements(f.release)
	if err != nil {
		return err
	}
	before := d.plan.base.Find(f.ref)
	backend, err := d.backend(ctx, f.ref, before)
	if err != nil {
		return err
	}
	d.new[f.ref] = f
	d.list[f.ref] = Installed{
		Ref: f.ref, Version: f.release.Version, Release: f.digest, Remote: f.Name,
		RootKey: f.Fingerprint, Backend: backend, Automatic: automatic, Requires: requires,
	}
	return nil
}

// backend chooses the form: the wanted one, that of before, or the best here.
func (d *draft) backend(ctx context.Context, ref release.Ref, before *Installed) (string, error) {
	wanted, i := d.plan.opt.Backend, d.plan.inst
	if wanted == "" && before != nil {
		if _, err := i.backend(before.Backend); err == nil {
			return before.Backend, nil
		}
	}
	if !d.plan.opt.DryRun {
		chosen, err := i.chooseBackend(ctx, wanted)
		if err != nil {
			return "", err
		}
		d.advise(ref, chosen)
		return chosen.Name, nil
	}
	if wanted == "" { // trying them would change something
		return i.opt.Backends[0].Name(), nil
	}
	_, err := i.backend(wanted)
	return wanted, err
}

// advise says what would make a backend better, before the first use of it.
func (d *draft) advise(ref release.Ref, b *BackendSupport) {
	for _, in := range d.list {
		if in.Backend == b.Name {
			return
		}
	}
	if b.Note != "" {
		d.plan.Warnings = append(d.plan.Warnings, Warning{ref, b.Name + ": " + b.Note})
	}
}

func (d *draft) remove(ref release.Ref) { delete(d.list, ref) }

// settle adds what is required and not there, and takes away what is not required
// any more and came only for that.
func (d *draft) settle(ctx context.Context) error {
	if err := d.require(ctx); err != nil {
		return err
	}
	needed := map[release.Ref]bool{}
	for ref, in := range d.list {
		if !in.Automatic {
			d.mark(ref, needed)
		}
	}
	maps.DeleteFunc(d.list, func(ref release.Ref, _ Installed) bool { return !needed[ref] })
	return nil
}

// mark notes a ref and all that it requires.
func (d *draft) mark(ref release.Ref, needed map[release.Ref]bool) {
	in, there := d.list[ref]
	if !there || needed[ref] {
		return
	}
	needed[ref] = true
	for _, r := range in.Requires {
		d.mark(r, needed)
	}
}

// require adds what is missing until nothing is. What an uninstall would have to
// add again it must not remove.
func (d *draft) require(ctx context.Context) error {
	for added := 0; ; added++ {
		who, ref := d.missing()
		switch {
		case ref.IsZero():
			return nil
		case d.plan.Verb == Uninstall:
			return fmt.Errorf("%s is %w: %s: uninstall that first", ref, ErrRequired, who.Ref)
		case added == maxRequired:
			return fmt.Errorf("%s: %w: it requires more than %d others", who.Ref, ErrRelease, maxRequired)
		}
		if err := d.add(ctx, who, ref); err != nil {
			return fmt.Errorf("%s requires %s: %w", who.Ref, ref, err)
		}
	}
}

// missing finds a ref that is required and not there, by somebody who stays.
func (d *draft) missing() (who Installed, ref release.Ref) {
	needed := map[release.Ref]bool{}
	for ref, in := range d.list {
		if !in.Automatic {
			d.mark(ref, needed)
		}
	}
	for _, in := range d.sorted() {
		for _, r := range in.Requires {
			if _, there := d.list[r]; !there && needed[in.Ref] {
				return in, r
			}
		}
	}
	return Installed{}, release.Ref{}
}

// add installs a ref because another one requires it: from the same remote if
// that has it, else from the only one that does.
func (d *draft) add(ctx context.Context, who Installed, ref release.Ref) error {
	from := d.plan.from
	if err := from.use(ctx, []string{who.Remote}); err != nil {
		return err
	}
	o, err := from.only(ref, who.Remote)
	if errors.Is(err, release.ErrUnknownRef) {
		if err := from.use(ctx, nil); err != nil {
			return err
		}
		o, err = from.only(ref, "")
	}
	if err != nil {
		return err
	}
	f, err := d.plan.inst.look(ctx, o, "")
	if err != nil {
		return err
	}
	return d.put(ctx, f, true)
}

func (d *draft) sorted() []Installed {
	return slices.SortedFunc(maps.Values(d.list), func(a, b Installed) int { return compareRefs(a.Ref, b.Ref) })
}

func (d *draft) generation() *Generation { return &Generation{Installed: d.sorted()} }
