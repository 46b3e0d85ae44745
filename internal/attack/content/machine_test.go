//go:build !386

package content

import (
	"bytes"
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/tree"
)

// whole: this is all of the client.
const whole = true

// errRelease is what a release is refused with that its kind may not be.
var errRelease = install.ErrRelease

// machine is an installation of the real client.
type machine struct {
	*install.Installation
	dir   string
	notes []string // of the last plan: roads that were closed
	warns []install.Warning
}

// newMachine makes an installation that trusts a repository at this address.
func newMachine(t testing.TB, dir, url string, p *publisher) *machine {
	t.Helper()
	m := openMachine(t, dir, p.start.Add(24*time.Hour))
	if _, err := m.AddRemote(t.Context(), "example", url, p.fingerprint); err != nil {
		t.Fatal(err)
	}
	return m
}

func openMachine(t testing.TB, dir string, at time.Time) *machine {
	t.Helper()
	inst, err := install.Open(dir, install.Options{Now: func() time.Time { return at }, Backends: []deploy.Backend{hardlink.Backend{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inst.Close() })
	return &machine{Installation: inst, dir: dir}
}

// begin installs the newest release.
func (m *machine) begin(ctx context.Context) error {
	return m.apply(ctx)(m.PlanInstall(ctx, []install.Wanted{{Ref: hello.String()}}, install.PlanOptions{}))
}

// back returns to the first release, which an update does not do.
func (m *machine) back(ctx context.Context) error {
	return m.apply(ctx)(m.PlanInstall(ctx, []install.Wanted{{Ref: hello.String(), Version: "1"}}, install.PlanOptions{}))
}

// update moves to the newest release.
func (m *machine) update(ctx context.Context) error {
	return m.apply(ctx)(m.PlanUpdate(ctx, nil, install.PlanOptions{}))
}

func (m *machine) apply(ctx context.Context) func(*install.Plan, error) error {
	return func(p *install.Plan, err error) error {
		if err != nil {
			return err
		}
		defer p.Close()
		done, err := p.Apply(ctx, nil)
		m.notes = slices.Clone(p.Notes)
		if err == nil {
			m.warns = done.Warnings
		}
		return err
	}
}

// version is what is installed, or "".
func (m *machine) version(t testing.TB) string {
	t.Helper()
	g, err := m.Current()
	if err != nil {
		t.Fatal(err)
	}
	if in := g.Find(hello); in != nil {
		return in.Version
	}
	return ""
}

// findings are what verify says, "name problem" each.
func (m *machine) findings(t testing.TB) (list []string) {
	t.Helper()
	v, err := m.Verify(background(), install.VerifyOptions{ReadAll: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Findings {
		list = append(list, f.Where+" "+f.Problem)
	}
	return list
}

// collect removes what is not installed.
func (m *machine) collect(t testing.TB) {
	t.Helper()
	if _, err := m.GC(background(), install.GCOptions{}); err != nil {
		t.Fatal(err)
	}
}

// place is where the installed files are.
func (m *machine) place(t testing.TB) string {
	t.Helper()
	path, err := m.Place(background(), hello.String())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// compare looks whether what is installed is just what a tree lists.
func (m *machine) compare(t testing.TB, info tree.Info, text []byte) {
	t.Helper()
	root := m.place(t)
	var want, have []string
	for e, err := range tree.Verified(bytes.NewReader(text), info) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(e.Path))
	}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(path, root); err == nil {
			have = append(have, "/"+strings.TrimPrefix(name, "/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

// mend repairs what a test has damaged; it must have been found.
func (m *machine) mend(t testing.TB) {
	t.Helper()
	found := m.findings(t)
	done, err := m.Repair(t.Context(), install.VerifyOptions{ReadAll: true})
	if err != nil || len(done.Findings) > 0 {
		t.Fatalf("repair: %+v, %v", done, err)
	}
	if done.Repaired != len(found) {
		t.Errorf("%d repaired of %q", done.Repaired, found)
	}
}
