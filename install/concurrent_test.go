package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/trust"
)

// TestManyAtOnce has several installations of one folder, as processes would, do
// different things at the same time, while others read and run.
func TestManyAtOnce(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	for n := range 3 {
		p.publish(fmt.Sprintf("app/org.example.App%d/%s/stable", n, arch), "1", program("1"))
	}
	m := newMachine(t)
	m.trust("example", p)
	m.install("app0")

	stop := make(chan struct{})
	var readers errgroup.Group
	for range 2 {
		i := openMachine(t, m.dir)
		readers.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				o, err := i.OpenApp(t.Context(), "app0")
				if err != nil {
					return err
				}
				version, err := os.ReadFile(filepath.Join(o.Tree.Path, "files/share/version"))
				if err != nil || string(version) != o.Installed.Version {
					return fmt.Errorf("read %q, %w", version, err)
				}
				o.Close()
			}
		})
	}
	var writers errgroup.Group
	for n := range 3 {
		i := openMachine(t, m.dir)
		writers.Go(func() error {
			for range 5 {
				if err := disturb(t.Context(), i.Installation, n); err != nil {
					return fmt.Errorf("%d: %w", n, err)
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	close(stop)
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
	m.expect("App0 1, App2 1")
	g := must[*Generation](t)(m.Current())
	if g.Number < 10 {
		t.Errorf("generation %d: transactions were lost", g.Number)
	}
}

// disturb is one round of the n-th process.
func disturb(ctx context.Context, i *Installation, n int) error {
	switch n {
	case 0:
		_, err := i.GC(ctx, GCOptions{})
		return err
	case 1:
		if _, err := install(ctx, i, "app1"); err != nil {
			return err
		}
		_, err := uninstall(ctx, i, "app1")
		return err
	}
	if _, err := install(ctx, i, "app2"); err != nil {
		return err
	}
	if _, err := uninstall(ctx, i, "app2"); err != nil {
		return err
	}
	_, err := install(ctx, i, "app2")
	return err
}

func TestASecondProcessWaits(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	plan := must[*Plan](t)(m.PlanInstall(t.Context(), []Wanted{{Ref: "hello"}}, PlanOptions{}))
	waiting := make(chan struct{})
	opt := m.opt
	opt.Waiting = sync.OnceFunc(func() { close(waiting) })
	second := must[*Installation](t)(Open(m.dir, opt))
	defer second.Close()

	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := second.GC(impatient, GCOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was given up: %v", err)
	}
	var group errgroup.Group
	group.Go(func() error {
		_, err := install(t.Context(), second, "hello")
		return err
	})
	<-waiting
	must[*Result](t)(plan.Apply(t.Context(), nil))
	plan.Close()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if g := must[*Generation](t)(m.Current()); g.Number != 1 {
		t.Errorf("generation %d, want 1: the second had nothing to do", g.Number)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	p.publish(hello, "2", program("2").with("share/new", noise(5, 5000)))
	must[any](t)(nil, m.Refresh(t.Context()))
	before := m.listing()
	var plans []*Plan
	for _, dry := range []bool{true, false} {
		plan := must[*Plan](t)(m.PlanUpdate(t.Context(), nil, PlanOptions{DryRun: dry}))
		plans = append(plans, plan)
		if _, err := plan.Apply(t.Context(), nil); dry && !errors.Is(err, ErrDryRun) {
			t.Error(err)
		} else if dry {
			if diff := cmp.Diff(before, m.listing()); diff != "" {
				t.Errorf("changed:\n%s", diff)
			}
		}
		plan.Close()
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
	a, b := plans[0], plans[1]
	if a.Bytes != b.Bytes || a.Requests != b.Requests || a.Objects != b.Objects || a.Reused != b.Reused || a.Disk != b.Disk || a.Bytes < 5000 {
		t.Errorf("the dry run says %+v, the real one %+v", a, b)
	}
}

// TestReadOnly lists, verifies and runs what cannot be changed.
func TestReadOnly(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	deny := m.faulty(func(op, name string) error { return fs.ErrPermission })
	if g, err := deny.Current(); err != nil || versionsOf(g) != "Hello 1" {
		t.Errorf("list: %v", err)
	}
	o, err := deny.OpenApp(t.Context(), "hello")
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	o.Close()
	if v, err := deny.Verify(t.Context(), VerifyOptions{}); err != nil || len(v.Findings) != 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if h, err := deny.History(); err != nil || len(h) != 1 {
		t.Errorf("history: %v", err)
	}
	if _, err := deny.Remotes(); err != nil {
		t.Errorf("remotes: %v", err)
	}
	if _, err := update(t.Context(), deny); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("update: %v", err)
	}
}
