package install

import (
	"errors"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/trust"
)

// TestUpdatesDoNotGoBack has a publisher, or a machine that lost what it knew, come
// back to an earlier release: an update refuses, a version that is named does not.
func TestUpdatesDoNotGoBack(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	first := p.publish(hello, "1", program("1"))
	p.publish(hello, "2", program("2"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	head := must[*trust.Repository](t)(trust.Open(p.repo.Dir(), p.keys))
	back := func(e *trust.Edit) error { return e.Set(first.Signature) }
	must[any](t)(nil, head.Commit(t.Context(), p.now, back))
	if _, err := update(t.Context(), m.Installation); !errors.Is(err, trust.ErrRollback) {
		t.Errorf("%v", err)
	}
	m.expect("Hello 2")
	m.install("hello@1")
	m.expect("Hello 1")
	p.publish(hello, "3", program("3"))
	m.update()
	m.expect("Hello 3")
}

// TestEarlier has clocks that are wrong.
func TestEarlier(t *testing.T) {
	a, b := digest.Of([]byte("a")), digest.Of([]byte("b"))
	at := func(minutes int, previous ...digest.Digest) *release.Release {
		r := &release.Release{Created: now.AddDate(0, 0, minutes)}
		for _, d := range previous {
			r.Previous = append(r.Previous, release.Previous{Release: d})
		}
		return r
	}
	for _, c := range []struct {
		what     string
		new, old *release.Release // a, b
		want     bool
	}{
		{"made before", at(1), at(2), true},
		{"made later", at(2), at(1), false},
		{"made at once", at(1), at(1), false},
		{"listed by what is installed", at(1), at(2, a), true},
		{"listed, and a clock went back", at(2), at(1, a), true},
		{"lists what is installed, and a clock went back", at(1, b), at(2), false},
	} {
		if have := earlier(a, c.new, b, c.old); have != c.want {
			t.Errorf("%s: %v", c.what, have)
		}
	}
}
