package install

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/trust"
)

// faultCase is a transaction that is stopped at each of its changes.
type faultCase struct {
	name     string
	old, new string // what is installed before and after
	do       func(context.Context, *Installation) error
}

func faultCases(p *publisher) []faultCase {
	return []faultCase{
		{"remote add", "Hello 1.0", "Hello 1.0", func(ctx context.Context, i *Installation) error {
			if _, err := i.AddRemote(ctx, "second", p.path, p.fingerprint); !errors.Is(err, ErrRemoteExists) {
				return err
			}
			return nil
		}},
		{"remote remove", "Hello 1.0", "Hello 1.0", func(ctx context.Context, i *Installation) error {
			if err := i.RemoveRemote(ctx, "example"); !errors.Is(err, ErrUnknownRemote) {
				return err
			}
			return nil
		}},
		{"install", "Hello 1.0", "Hello 1.0, More 2", func(ctx context.Context, i *Installation) error {
			_, err := install(ctx, i, "more")
			return err
		}},
		{"update", "Hello 1.0", "Hello 1.1", func(ctx context.Context, i *Installation) error {
			_, err := update(ctx, i)
			return err
		}},
		{"uninstall", "Hello 1.0", "", func(ctx context.Context, i *Installation) error {
			_, err := uninstall(ctx, i, "hello")
			return err
		}},
		{"undo", "Hello 1.0", "Hello 0.9", func(ctx context.Context, i *Installation) error {
			_, err := i.Undo(ctx)
			return err
		}},
		{"gc", "Hello 1.0", "Hello 1.0", func(ctx context.Context, i *Installation) error {
			_, err := i.GC(ctx, GCOptions{})
			return err
		}},
	}
}

// TestFaultAtEveryChange stops transactions before each change that they make to
// the installation: once, so that what was begun is cleaned up, and for good, as a
// killed process would. The old state or the new one must be there, whole; the
// next run must reach the new one and leave nothing over. Without LARCH_TEST_LONG
// it is each eleventh change.
func TestFaultAtEveryChange(t *testing.T) {
	p, start := faultWorld(t)
	for _, c := range faultCases(p) {
		t.Run(c.name, func(t *testing.T) {
			reference := start.copy(t)
			var count atomic.Int64
			if err := c.do(t.Context(), reference.faulty(func(string, string) error { count.Add(1); return nil })); err != nil {
				t.Fatal(err)
			}
			reference.expect(c.new)
			want := reference.collected()
			step := int64(11)
			if os.Getenv("LARCH_TEST_LONG") != "" {
				step = 1
			}
			for n := int64(0); n < count.Load(); n += step {
				for _, sticky := range []bool{false, true} {
					faultOnce(t, start.copy(t), c, n, sticky, want)
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d changes", count.Load())
		})
	}
}

// faultWorld is a machine with something in its past, and news in its remote.
func faultWorld(t *testing.T) (*publisher, *machine) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "0.9", program("0.9"), withDeltas)
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	p.publish(hello, "1.0", program("1.0"), withDeltas)
	p.publish("app/org.example.More/"+arch+"/stable", "2", program("2"), withDeltas)
	m.update()
	p.publish(hello, "1.0.1", program("1.0.1"), withDeltas)
	p.publish(hello, "1.1", program("1.1"), withDeltas) // two deltas on
	must[any](t)(nil, m.Refresh(t.Context()))
	return p, m
}

// copy makes a second machine like the first, links and all.
func (m *machine) copy(t *testing.T) *machine {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "machine")
	if out, err := exec.Command("cp", "-a", m.dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return openMachine(t, dir)
}

// collected is all that is there when nothing is there that need not be.
func (m *machine) collected() string {
	m.t.Helper()
	must[*Collected](m.t)(m.GC(m.t.Context(), GCOptions{}))
	return m.listing()
}

// TestFaultInRepair stops a repair before each change. Another one must succeed.
func TestFaultInRepair(t *testing.T) {
	_, start := verifyWorld(t)
	want := start.listing()
	for _, pattern := range []string{"objects/*/*", "current/exports/bin/*", "trees/*"} {
		damage(t, must[[]string](t)(filepath.Glob(filepath.Join(start.dir, pattern)))[0], flip(7))
	}
	for n := int64(0); ; n += 3 {
		m := start.copy(t)
		var count atomic.Int64
		_, err := m.faulty(func(op, name string) error {
			if count.Add(1) > n {
				return unix.EIO
			}
			return nil
		}).Repair(t.Context(), VerifyOptions{})
		if err == nil {
			t.Logf("%d changes", n)
			return
		}
		if v, err := openMachine(t, m.dir).Repair(t.Context(), VerifyOptions{}); err != nil || len(v.Findings) > 0 {
			t.Fatalf("after %d changes: %+v, %v", n, v, err)
		}
		m.expect("Hello 1")
		if have := m.listing(); have != want {
			t.Fatalf("after %d changes:\n%s\nwant:\n%s", n, have, want)
		}
	}
}

func faultOnce(t *testing.T, m *machine, c faultCase, n int64, sticky bool, want string) {
	t.Helper()
	var count atomic.Int64
	var what string
	err := c.do(t.Context(), m.faulty(func(op, name string) error {
		at := count.Add(1) - 1
		if at == n {
			what = op + " " + name
		}
		if at == n || sticky && at > n {
			return unix.EIO
		}
		return nil
	}))
	where := func() { t.Logf("change %d (%s), sticky %v: %v", n, what, sticky, err) }
	defer func() {
		if t.Failed() {
			where()
		}
	}()
	after := openMachine(t, m.dir)
	have := after.versions()
	if have != c.old && have != c.new || err == nil && have != c.new {
		t.Errorf("installed: %q", have)
	}
	if err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, ErrBackend) {
		t.Errorf("another error: %v", err)
	}
	after.expect(have)
	if have != c.new || c.old == c.new {
		if err := c.do(t.Context(), after.Installation); err != nil {
			t.Errorf("the next run: %v", err)
		}
	}
	after.expect(c.new)
	if have := after.collected(); have != want {
		t.Errorf("left over:\n%s\nwant:\n%s", have, want)
	}
}
