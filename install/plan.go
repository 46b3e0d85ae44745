package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/release"
)

// PlanOptions are choices for a plan.
type PlanOptions struct {
	// DryRun makes a plan only to be shown. It takes no lock and changes nothing but
	// the cached metadata of remotes; it cannot be applied.
	DryRun bool
	// Backend is the form in which things are installed; "" for the one that they
	// have, or the best of this machine.
	Backend string
	// Seeds are local folders whose files may have contents that would be fetched.
	Seeds []string
	// PacksOnly does without deltas.
	PacksOnly bool
	// OnDemand fetches nothing but what the installation itself needs: contents come
	// when they are read, and meanwhile (backend fuse).
	OnDemand bool
	// Explain finds out what a fresh install would cost, for Step.Route; it asks for
	// the index and the list of deltas for it.
	Explain bool
}

// Action is what a plan does to one ref.
type Action string

// The actions.
const (
	Add       Action = "install"
	Upgrade   Action = "update"
	Downgrade Action = "downgrade" // to a release that was made earlier
	Remake    Action = "remake"    // the same release in another form, or kept for itself from now on
	Remove    Action = "remove"
)

// Step is what a plan does to one ref.
type Step struct {
	Action   Action
	Ref      release.Ref
	Before   *Installed       // nil for what is new
	After    *Installed       // nil for what is removed
	Release  *release.Release // what will be installed, or nil
	Gains    []string         // permissions that it has not had, in words that are safe to print
	Bytes    int64            // to fetch
	Disk     int64            // bytes that the store will grow by
	Route    Route            // by which it comes
	contents *contents
}

// Route is how the contents of a release come.
type Route struct {
	Hops   []fetch.Hop // deltas, in order
	Packs  fetch.Way   // and what no delta brings
	Reused int64       // bytes of contents that are here already
	Fresh  fetch.Way   // what it would cost with nothing here; see PlanOptions.Explain
}

// Plan is a transaction that can be looked at before it is applied. Unless it is a
// dry run it holds the installation, so that what it says stays true: close it.
type Plan struct {
	Verb     Verb
	Steps    []Step // by ref
	Warnings []Warning
	Silent   error    // of an update: why remotes could not be asked, whose refs stay as they are; else nil
	Notes    []string // ways that were closed, and what was done instead; Apply may add some

	Requests int   // that fetching contents will take, if nothing has to be repeated
	Bytes    int64 // to fetch, as they travel
	Objects  int64 // contents to fetch
	Reused   int64 // bytes of contents that are on this machine already
	Disk     int64 // bytes that the store will grow by

	inst    *Installation
	opt     PlanOptions
	base    *Generation
	after   *Generation // what will be installed
	from    *sources
	notes   sync.Mutex
	held    *os.File // the lock; nil in a dry run
	scratch *scratchStore
	trees   trees
	spent   time.Duration // of planning
	applied bool
}

// PlanInstall plans to install releases: those of the wanted versions, or the
// newest, and what they require. What is installed in another version moves to
// the wanted one, up or down.
func (i *Installation) PlanInstall(ctx context.Context, wanted []Wanted, opt PlanOptions) (*Plan, error) {
	return i.plan(ctx, Install, opt, func(p *Plan, d *draft) error {
		if err := p.from.use(ctx, askedFor(wanted)); err != nil {
			return err
		}
		for _, w := range wanted {
			o, err := p.from.choose(w, p.base)
			if err != nil {
				return err
			}
			f, err := i.look(ctx, o, w.Version)
			if err != nil {
				return err
			}
			if err := d.put(ctx, f, false); err != nil {
				return err
			}
		}
		return nil
	})
}

// askedFor gives the remotes that are asked for: nil, for all, unless each of the
// wanted says one.
func askedFor(wanted []Wanted) (names []string) {
	for _, w := range wanted {
		if w.Remote == "" {
			return nil
		}
		if !slices.Contains(names, w.Remote) {
			names = append(names, w.Remote)
		}
	}
	return names
}

// PlanUpdate plans to move what is installed, or the refs that are named, to the
// newest releases of the remotes that they came from. If nothing is new it takes
// two small requests for each of these remotes, and has no steps. What came from a
// remote that cannot be asked stays as it is, with a warning and Plan.Silent; an
// error if none of the remotes can be asked.
func (i *Installation) PlanUpdate(ctx context.Context, refs []string, opt PlanOptions) (*Plan, error) {
	return i.plan(ctx, Update, opt, func(p *Plan, d *draft) error {
		chosen, err := p.chosen(refs)
		if err != nil || len(chosen) == 0 {
			return err
		}
		silent, err := p.from.ask(ctx, remotesOf(chosen))
		if err != nil {
			return err
		}
		p.Silent = joined(silent)
		for _, in := range chosen {
			if silent[in.Remote] != nil {
				p.warn(in.Ref, "stays as it is: the remote %q cannot be asked", in.Remote)
				continue
			}
			o, err := p.from.same(in)
			if errors.Is(err, release.ErrUnknownRef) && len(refs) == 0 {
				p.warn(in.Ref, "the remote %q does not have it any more", in.Remote)
				continue
			}
			if err != nil {
				return err
			}
			if err := p.update(ctx, d, in, o); err != nil {
				return err
			}
		}
		return nil
	})
}

// update moves one ref to what its remote offers, and asks for nothing if that is
// installed.
func (p *Plan) update(ctx context.Context, d *draft, in Installed, o offer) error {
	if o.target.Custom.Release == in.Release {
		return nil
	}
	f, err := p.inst.look(ctx, o, "")
	if err == nil {
		err = p.inst.forward(in, f)
	}
	if err != nil {
		return err
	}
	return d.put(ctx, f, in.Automatic)
}

// PlanUninstall plans to remove refs, and what came with them and nothing else
// requires: ErrRequired if something that stays requires one of them.
func (i *Installation) PlanUninstall(ctx context.Context, refs []string, opt PlanOptions) (*Plan, error) {
	return i.plan(ctx, Uninstall, opt, func(p *Plan, d *draft) error {
		if len(refs) == 0 { // not everything
			return nil
		}
		chosen, err := p.chosen(refs)
		for _, in := range chosen {
			d.remove(in.Ref)
		}
		return err
	})
}

// attempts are how often a plan is made at most, where each time something that it
// needs is removed from the remote in between.
const attempts = 5

// plan makes a plan: change says what is wanted, and the rest follows. A publisher may
// remove an old release when a new one is there, while a plan for the old one is made;
// then there is one for the new one.
func (i *Installation) plan(ctx context.Context, verb Verb, opt PlanOptions, change func(*Plan, *draft) error) (*Plan, error) {
	for n := 1; ; n++ {
		p := &Plan{Verb: verb, inst: i, opt: opt, from: &sources{inst: i}}
		err := p.make(ctx, change)
		if err == nil {
			return p, nil
		}
		again := n < attempts && p.Outdated(ctx, err)
		if failed := p.Close(); failed != nil || !again {
			return nil, errors.Join(err, failed)
		}
	}
}

// Outdated tells whether something is missing from a remote, by an error of the plan's,
// and one of its remotes has changed since the plan was made: there is another plan then
// that may succeed. It asks the remotes.
func (p *Plan) Outdated(ctx context.Context, err error) bool {
	return errors.Is(err, fs.ErrNotExist) && p.from != nil && p.from.changed(ctx)
}

func (p *Plan) make(ctx context.Context, change func(*Plan, *draft) error) (err error) {
	if !p.opt.DryRun {
		if p.held, err = p.inst.hold(ctx); err != nil {
			return err
		}
	}
	start := p.inst.opt.Now() // waiting for others is no time of ours
	if p.base, err = p.inst.Current(); err != nil {
		return err
	}
	d := newDraft(p)
	if err := change(p, d); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	p.after = d.generation()
	if err := p.prepare(ctx, d); err != nil {
		return err
	}
	p.spent = p.inst.opt.Now().Sub(start)
	return nil
}

// chosen gives what is installed of the named refs, or everything.
func (p *Plan) chosen(refs []string) ([]Installed, error) {
	if len(refs) == 0 {
		return p.base.Installed, nil
	}
	var list []Installed
	for _, short := range refs {
		in, err := p.base.Resolve(short)
		if err != nil {
			return nil, err
		}
		list = append(list, *in)
	}
	return list, nil
}

func remotesOf(list []Installed) []string {
	names := []string{}
	for _, in := range list {
		names = append(names, in.Remote)
	}
	return names
}

func (p *Plan) warn(ref release.Ref, format string, args ...any) {
	p.Warnings = append(p.Warnings, Warning{ref, fmt.Sprintf(format, args...)})
}

// Close gives the installation back. What was fetched for the plan and is worth
// keeping is kept. It may be called again.
func (p *Plan) Close() error {
	var errs []error
	for _, s := range p.Steps {
		if s.contents != nil {
			s.contents.road.Close()
		}
	}
	if p.from != nil {
		errs = append(errs, p.from.Close())
		p.from = nil
	}
	if p.scratch != nil {
		errs = append(errs, p.scratch.Close())
		p.scratch = nil
	}
	if p.held != nil {
		errs = append(errs, p.inst.store.End(), p.held.Close())
		p.held = nil
	}
	return errors.Join(errs...)
}

// compareRefs is the order of refs in states and plans.
func compareRefs(a, b release.Ref) int { return strings.Compare(a.String(), b.String()) }
