package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/check"
	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/trust"
)

const fixRepair = "run larch verify --repair"

// Verified says what is wrong with an installation.
type Verified struct {
	Findings []check.Finding // that are left
	Repaired int             // findings that are gone
	Objects  int64           // that the store has
	Measured int64           // of these, not read: the kernel answers for them (fs-verity)
}

// VerifyOptions say how thorough to be. The zero value suits.
type VerifyOptions struct {
	// ReadAll reads contents, too, that the kernel has measured and checks whenever
	// they are read: it finds blocks that decayed on the disk before anybody needs
	// them.
	ReadAll bool
}

// Verify reads all that is installed, in the current generation and in those that
// undo can go back to, down to the last byte of each file, and finds everything
// that is not as it was signed or written. It changes nothing and needs no
// permission to write.
func (i *Installation) Verify(ctx context.Context, opt VerifyOptions) (*Verified, error) {
	held, err := i.share(ctx)
	if err != nil {
		return nil, err
	}
	defer held()
	return i.verify(ctx, opt)
}

// share keeps transactions from beginning while something is read that they
// change. An installation without a lock has not begun.
func (i *Installation) share(ctx context.Context) (release func(), err error) {
	f, err := i.root.Open(lockName)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	shared, err := lock.TryShared(f)
	if err == nil && !shared {
		i.opt.Waiting()
		err = lock.Shared(ctx, f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// verification collects findings; a file is named once.
type verification struct {
	inst     *Installation
	found    []check.Finding
	at       map[string]int // by Where
	measured int64
}

func newVerification(i *Installation) *verification {
	return &verification{inst: i, at: map[string]int{}}
}

func (v *verification) report(f check.Finding) {
	at, again := v.at[f.Where]
	if !again {
		v.at[f.Where] = len(v.found)
		v.found = append(v.found, f)
		return
	}
	if have := &v.found[at]; len(have.Affects) == 0 { // nobody knew yet who needs it
		have.Affects, have.Fix = f.Affects, f.Fix
	}
}

func (i *Installation) verify(ctx context.Context, opt VerifyOptions) (*Verified, error) {
	v := newVerification(i)
	generations, unreadable, err := i.history()
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Sorted(maps.Keys(unreadable)) {
		v.report(check.Finding{
			Where: path.Join(generationName(n), stateName), Problem: unreadable[n].Error(),
			Fix: "undo cannot go back to it; larch gc --keep 0 removes it",
		})
	}
	if err := v.all(ctx, generations, opt); err != nil {
		return nil, fmt.Errorf("verifying %s: %w", i.root.Path(), err)
	}
	usage, err := i.store.Usage(ctx)
	return &Verified{Findings: v.found, Objects: usage.Objects, Measured: v.measured}, err
}

func (v *verification) all(ctx context.Context, generations []*Generation, opt VerifyOptions) (err error) {
	whole := v.releases(generations)
	list := make([]check.Installed, len(whole))
	for n, w := range whole {
		list[n] = w.Installed
	}
	if v.measured, err = check.Store(ctx, v.inst.store, list, !opt.ReadAll, v.report); err != nil {
		return err
	}
	for _, w := range whole {
		if err := v.deployment(ctx, w); err != nil {
			return err
		}
	}
	for _, g := range generations {
		if err := v.generation(g); err != nil {
			return err
		}
	}
	return v.remotes(ctx)
}

// deployed is a release in a form, and the first ref that it is installed as.
type deployed struct {
	check.Installed
	backend string
}

// releases lists what generations have installed, each once; those without a
// document are reported, for nothing more is known of them.
func (v *verification) releases(generations []*Generation) (list []deployed) {
	seen := map[deploy.Deployment]bool{}
	for _, in := range eachOf(generations) {
		if seen[in.deployment()] {
			continue
		}
		seen[in.deployment()] = true
		rel, err := v.inst.document(in.Release)
		if err != nil {
			v.report(check.Finding{Where: "releases/" + in.Release.String(), Problem: err.Error(), Affects: []string{in.Ref.String()}, Fix: fixRepair})
			continue
		}
		list = append(list, deployed{check.Installed{Ref: in.Ref.String(), Release: in.Release, Tree: rel.Tree.Info()}, in.Backend})
	}
	return list
}

func eachOf(generations []*Generation) (list []Installed) {
	for _, g := range generations {
		list = append(list, g.Installed...)
	}
	return list
}

func (v *verification) deployment(ctx context.Context, d deployed) error {
	b, err := v.inst.backend(d.backend)
	if err != nil {
		return err
	}
	if !v.inst.store.HasTree(d.Tree.Digest, d.Tree.Size) { // reported; nothing to compare with
		return nil
	}
	return check.Deployment(ctx, b, v.inst.site(), v.inst.store, d.Installed, v.report)
}

// generation compares a generation's folder with its list.
func (v *verification) generation(g *Generation) error {
	folder := generationName(g.Number)
	wrong := func(name, problem string, affects ...string) {
		v.report(check.Finding{Where: path.Join(folder, name), Problem: problem, Affects: affects, Fix: fixRepair})
	}
	for _, name := range []string{stateName, copyName} {
		if _, err := v.inst.readState(g.Number, name); err != nil {
			wrong(name, err.Error())
		}
	}
	expected := map[string]bool{stateName: true, copyName: true}
	for _, in := range g.Installed {
		name := path.Join(refsName, in.Ref.String())
		expected[name] = true
		if target, err := v.inst.root.Readlink(path.Join(folder, name)); err != nil || target != refTarget(in) {
			wrong(name, "does not lead to the deployment", in.Ref.String())
		}
		for _, e := range in.Exports {
			name := path.Join(exportsName, e.Name)
			expected[name] = true
			if problem := v.export(path.Join(folder, name), e); problem != "" {
				wrong(name, problem, in.Ref.String())
			}
		}
	}
	return v.extra(folder, ".", expected, wrong)
}

// export judges one exported file.
func (v *verification) export(name string, e Export) string {
	data, err := v.inst.root.ReadFile(name, maxIcon)
	if errors.Is(err, fs.ErrNotExist) {
		return "is missing"
	}
	if err != nil {
		return err.Error()
	}
	st, err := v.inst.root.Lstat(name)
	switch {
	case err != nil:
		return err.Error()
	case digest.Of(data) != e.Digest:
		return "has other content"
	case st.Mode&0o7777 != uint32(exportMode(e.Name)):
		return fmt.Sprintf("has mode %04o instead of %04o", st.Mode&0o7777, exportMode(e.Name))
	}
	return ""
}

// extra finds files of a generation that it should not have.
func (v *verification) extra(folder, name string, expected map[string]bool, wrong func(name, problem string, affects ...string)) error {
	names, err := v.inst.root.ReadDir(path.Join(folder, name))
	for _, base := range names {
		inner := path.Join(name, base)
		if expected[inner] {
			continue
		}
		st, err := v.inst.root.Lstat(path.Join(folder, inner))
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			wrong(inner, "is not in the list")
		} else if err := v.extra(folder, inner, expected, wrong); err != nil {
			return err
		}
	}
	return err
}

// remotes looks at what is kept about remotes.
func (v *verification) remotes(ctx context.Context) error {
	names, err := v.inst.root.ReadDir(remotes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if checkName(name) != nil {
			continue
		}
		for _, base := range []string{remoteName, remoteCopy} {
			if _, err := v.inst.readRemote(name, base); err != nil {
				v.remote(name, base, err)
			}
		}
		dir, err := v.inst.trustDir(path.Join(remotes, name))
		if err == nil {
			err = errors.Join(trust.NewClient(dir, nil, v.inst.opt.Now).Load(ctx), dir.Close())
		}
		if err != nil {
			v.remote(name, trustName, err)
		}
	}
	return err
}

func (v *verification) remote(name, base string, err error) {
	v.report(check.Finding{Where: path.Join(remotes, name, base), Problem: err.Error(), Affects: []string{name}, Fix: fixRepair})
}
