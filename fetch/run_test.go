package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// mixed has contents of every size that matters, some of them twice.
func mixed() []item {
	items := many(60, 9_000)
	for i, size := range []int{0, 1, tree.InlineMax, tree.InlineMax + 1, 4096, 4097, 128<<10 - 1, 128 << 10,
		repo.FrameSize - 1, repo.FrameSize, repo.FrameSize + 1, 2*repo.FrameSize + 512<<10, 5 * repo.FrameSize} {
		data := noise(uint64(1000+i), size)
		items = append(items,
			item{name: fmt.Sprintf("s%09d", size), data: data, run: i%2 == 0},
			item{name: fmt.Sprintf("t%09d", size), data: data},
		)
	}
	return append(items, item{name: "zeros", data: string(make([]byte, 3*repo.FrameSize+5))})
}

func TestFetchEverything(t *testing.T) {
	for name, how := range map[string]packing{
		"as published":     {},
		"many packs":       {maxPack: 1_500_000},
		"frames of one":    {shared: 1},
		"frames of no use": {shared: repo.FrameSize, maxPack: 3_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			p, m := publish(t, mixed(), how), newMachine(t)
			transport, stats := p.open()
			need, plan := m.plan(p)
			if need.Objects != int64(len(p.index.Objects)) || need.Reused != 0 {
				t.Errorf("%+v", need)
			}
			if err := m.run(t.Context(), p, plan, transport); err != nil {
				t.Fatal(err)
			}
			m.expectAll(p)
			if r, b := stats.Requests.Load(), stats.Bytes.Load(); r != int64(plan.Requests) || b != plan.Bytes {
				t.Errorf("%d requests, %d bytes; planned %d, %d", r, b, plan.Requests, plan.Bytes)
			}
			need, plan = m.plan(p)
			if need.Objects != 0 || need.Disk != 0 || plan.Requests != 0 || plan.Bytes != 0 {
				t.Errorf("after all that: %+v, %+v", need, plan)
			}
		})
	}
}

func TestNothingToFetchNeedsNoNetwork(t *testing.T) {
	items := many(20, 1000)
	p, m := publish(t, items, packing{}), newMachine(t)
	m.put(items...)
	need, err := fetch.Survey(t.Context(), p.entries(), m.store)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := fetch.NewPlan(need, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.run(t.Context(), p, plan, nil); err != nil {
		t.Error(err)
	}
	if need.Reused != 20*1000 {
		t.Errorf("%d bytes reused", need.Reused)
	}
}

// The numbers that are shown before the act.
func TestTotals(t *testing.T) {
	twice := noise(1, 5000)
	items := []item{
		{name: "both-plain", data: twice}, {name: "both-run", data: twice, run: true},
		{name: "here", data: noise(2, 6000)},
		{name: "inline", data: "short"},
		{name: "twin", data: noise(3, 7000), run: true},
		{name: "zz", data: noise(4, 100)},
	}
	p, m := publish(t, items, packing{shared: 1}), newMachine(t)
	m.put(item{data: noise(2, 6000)}, item{data: noise(3, 7000)})
	need, plan := m.plan(p)
	type totals struct{ Objects, Bytes, Reused, Disk int64 }
	have := totals{need.Objects, need.Bytes, need.Reused, need.Disk}
	want := totals{Objects: 2, Bytes: 5100, Reused: 13_000, Disk: 8192 + 8192 + 8192 + 4096}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	transport, stats := p.open()
	if err := m.run(t.Context(), p, plan, transport); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
	if stats.Requests.Load() != int64(plan.Requests) {
		t.Errorf("%d requests of %d", stats.Requests.Load(), plan.Requests)
	}
	if !need.Has(store.Object{Digest: digest.Of([]byte(twice)), Size: 5000, Executable: true}) ||
		need.Has(store.Object{Digest: digest.Of([]byte(noise(4, 100))), Size: 100, Executable: true}) {
		t.Error("the need does not know what will be there")
	}
}

// Neighbours are fetched together, strangers are not, and ranges end at 8 MiB.
func TestRequests(t *testing.T) {
	const size = 20_000
	all := many(1200, size) // 24 MB, a frame each
	tests := []struct {
		name     string
		wanted   func(i int) bool
		requests int
		bytes    int64 // at least
	}{
		{"all", func(int) bool { return true }, 3, 1200 * size},
		{"one", func(i int) bool { return i == 700 }, 1, size},
		{"neighbours", func(i int) bool { return i == 3 || i == 4 }, 1, 2 * size},
		{"a gap of three", func(i int) bool { return i == 3 || i == 7 }, 1, 5 * size},
		{"a gap of four", func(i int) bool { return i == 3 || i == 8 }, 2, 2 * size},
		{"every fifth", func(i int) bool { return i%5 == 0 }, 240, 240 * size},
		{"none", func(int) bool { return false }, 0, 0},
	}
	p := publish(t, all, packing{shared: 1})
	place := numbers(p)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			have := haveFunc(func(o store.Object) bool {
				i, ok := place[o.Digest]
				return ok && !test.wanted(i)
			})
			need, err := fetch.Survey(t.Context(), p.entries(), have)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := fetch.NewPlan(need, p.index)
			if err != nil {
				t.Fatal(err)
			}
			if plan.Requests != test.requests || plan.Bytes < test.bytes || plan.Bytes > test.bytes+test.bytes/50 {
				t.Errorf("%d requests for %d bytes; want %d for %d", plan.Requests, plan.Bytes, test.requests, test.bytes)
			}
		})
	}
}

type haveFunc func(store.Object) bool

func (f haveFunc) Has(o store.Object) bool { return f(o) }

// numbers gives the place of each content in the index.
func numbers(p *published) map[digest.Digest]int {
	m := map[digest.Digest]int{}
	for e := range repo.Contents(p.entries()) {
		m[e.Digest] = len(m)
	}
	return m
}

// What was whole when a fetch ended is not fetched again.
func TestGoesOnWhereItWas(t *testing.T) {
	p, m := publish(t, mixed(), packing{maxPack: 1_500_000}), newMachine(t)
	honest, stats := p.open()
	_, first := m.plan(p)
	total := int64(len(p.index.Objects))
	gone := errors.New("the network is gone")
	for limit := int64(500_000); ; limit += 500_000 {
		var left atomic.Int64
		left.Store(limit)
		err := m.fetch(p, transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
			res, err := honest.Fetch(ctx, req)
			if err == nil {
				res.Body = &failing{res.Body, &left, gone}
			}
			return res, err
		}))
		if err == nil {
			break
		}
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
	}
	m.expectAll(p)
	// From the start each time, it would be more than twelve times all of it; which of
	// the contents that are under way at once become whole depends on the scheduler.
	if fetched := stats.Bytes.Load(); fetched > 11*first.Bytes {
		t.Errorf("%d bytes fetched of %d", fetched, first.Bytes)
	}
	if need, _ := m.plan(p); need.Reused == 0 || total == 0 {
		t.Errorf("%+v", need)
	}
}

// failing is a body that fails when all bodies together gave so many bytes.
type failing struct {
	io.ReadCloser
	left *atomic.Int64
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.left.Add(-int64(n)) < 0 {
		return 0, f.err
	}
	return n, err
}

// An object that is in the store when a fetch ends is not in the next plan.
func TestInterruptedFetchKeepsObjects(t *testing.T) {
	p, m := publish(t, many(300, 20_000), packing{}), newMachine(t)
	honest, _ := p.open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(3_000_000)
	_, plan := m.plan(p)
	err := m.run(ctx, p, plan, transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
		res, err := honest.Fetch(ctx, req)
		if err == nil {
			res.Body = &hook{res.Body, func(n int) {
				if left.Add(-int64(n)) < 0 {
					cancel()
				}
			}}
		}
		return res, err
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	have := m.holds(p)
	if have == 0 || have == 300 {
		t.Errorf("%d objects of 300", have)
	}
	need, _ := m.plan(p)
	if need.Objects != int64(300-have) {
		t.Errorf("%d objects to fetch, %d are here", need.Objects, have)
	}
	if err := m.fetch(p, honest); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
}

type hook struct {
	io.ReadCloser
	after func(n int)
}

func (h *hook) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.after(n)
	return n, err
}

// A full disk is reported as what it is, at whichever write it happens.
func TestFullDisk(t *testing.T) {
	p := publish(t, append(many(12, 3000), item{name: "large", data: noise(99, 2*repo.FrameSize+1)}), packing{})
	honest, _ := p.open()
	for at := int64(1); ; at += 3 {
		var writes atomic.Int64
		m := useMachine(t, quick(t).WithFault(func(string, string) error {
			if writes.Add(1) >= at {
				return syscall.ENOSPC
			}
			return nil
		}))
		err := m.fetch(p, honest)
		if err == nil {
			m.expectAll(p)
			break
		}
		var damage *fetch.DamageError
		if !errors.Is(err, syscall.ENOSPC) || errors.As(err, &damage) {
			t.Fatalf("change %d: %v", at, err)
		}
	}
}

func TestReadOnlyStore(t *testing.T) {
	p := publish(t, many(3, 1000), packing{})
	m := useMachine(t, quick(t).WithFault(func(string, string) error { return syscall.EROFS }))
	honest, _ := p.open()
	if err := m.fetch(p, honest); !errors.Is(err, store.ErrReadOnly) {
		t.Error(err)
	}
}

// Several trees that share contents are planned at once, and met in order.
func TestPlanAfterPlan(t *testing.T) {
	shared := many(50, 3000)
	one := publish(t, shared, packing{})
	other := publish(t, append([]item{{name: "more", data: noise(77, 5000)}, {name: "run", data: shared[1].data, run: !shared[1].run}}, shared...), packing{})
	m := newMachine(t)
	firstNeed, first := m.plan(one)
	need, err := fetch.Survey(t.Context(), other.entries(), haveFunc(func(o store.Object) bool {
		return m.store.Has(o) || firstNeed.Has(o)
	}))
	if err != nil {
		t.Fatal(err)
	}
	second, err := fetch.NewPlan(need, other.index)
	if err != nil {
		t.Fatal(err)
	}
	if need.Objects != 1 {
		t.Errorf("%+v", need)
	}
	for _, step := range []struct {
		p    *published
		plan *fetch.Plan
	}{{one, first}, {other, second}} {
		transport, _ := step.p.open()
		if err := m.run(t.Context(), step.p, step.plan, transport); err != nil {
			t.Fatal(err)
		}
		m.expectAll(step.p)
	}
}

// What a file of the store became bad: its twin is not copied but fetched.
func TestDamagedTwinIsFetched(t *testing.T) {
	p, m := publish(t, []item{{name: "a", data: noise(1, 5000), run: true}}, packing{}), newMachine(t)
	plain := item{data: p.items[0].data}
	m.put(plain)
	need, err := fetch.Survey(t.Context(), p.entries(), m.store)
	if err != nil || need.Objects != 0 {
		t.Fatalf("%+v, %v", need, err)
	}
	plan, err := fetch.NewPlan(need, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := m.dir.Path() + "/objects/" + objectPath(store.ObjectOf(entryOf(plain)))
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	flip(t, name, 77)
	batch := m.store.NewBatch(t.Context())
	defer batch.Close()
	transport, _ := p.open()
	if err := plan.Run(t.Context(), nil, batch, nil, func(int64) {}); err == nil {
		t.Error("nothing to fetch from, and no error")
	}
	if err := plan.Run(t.Context(), transport, batch, p.again(transport), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
}

func objectPath(o store.Object) string {
	text := o.Digest.String()
	if o.Executable {
		text += ".x"
	}
	return text[:2] + "/" + text[2:]
}
