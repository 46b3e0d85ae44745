package fetch_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
)

// expectDamage fails the test unless err says that a pack is damaged there.
func expectDamage(t *testing.T, err error, want *fetch.DamageError) {
	t.Helper()
	var have *fetch.DamageError
	if !errors.As(err, &have) || !errors.Is(err, digest.ErrMismatch) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(want, have, cmpopts.IgnoreFields(fetch.DamageError{}, "Err")); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(err.Error(), repo.PackName(want.Pack)) {
		t.Errorf("%v does not say where", err)
	}
}

// A wrong frame costs its own contents and one more request.
func TestDamagedFrame(t *testing.T) {
	p, m := publish(t, many(200, 20_000), packing{}), newMachine(t)
	want := p.spoil(100)
	honest, stats := p.open()
	_, plan := m.plan(p)
	expectDamage(t, m.run(t.Context(), p, plan, honest), want)
	if n := m.holds(p); n < 180 || n == 200 {
		t.Errorf("%d objects of 200", n)
	}
	if n := stats.Requests.Load(); n != int64(plan.Requests)+1 {
		t.Errorf("%d requests; %d planned", n, plan.Requests)
	}
}

// The same of a content of several frames: the other frames are fetched once.
func TestDamagedPartOfLargeContent(t *testing.T) {
	items := []item{{name: "a", data: noise(1, 12*repo.FrameSize+7)}, {name: "b", data: noise(2, 300)}}
	p, m := publish(t, items, packing{}), newMachine(t)
	f := p.index.Frames[5]
	flip(t, p.packPath(0), f.Offset+1000)
	honest, stats := p.open()
	_, plan := m.plan(p)
	err := m.run(t.Context(), p, plan, honest)
	if !errors.Is(err, digest.ErrMismatch) {
		t.Fatal(err)
	}
	if b := stats.Bytes.Load(); m.holds(p) != 1 || b > 2*plan.Bytes {
		t.Errorf("%d objects, %d bytes", m.holds(p), b)
	}
	// Frames that do not compress are stored as they are, so what is wrong is
	// known at the end alone. One that does not decompress is known at once.
	flip(t, p.packPath(0), f.Offset+1000)
	flip(t, p.packPath(0), f.Offset)
	before := stats.Bytes.Load()
	expectDamage(t, m.fetch(p, honest), &fetch.DamageError{Pack: p.index.Packs[0].Digest, Offset: f.Offset})
	if b := stats.Bytes.Load() - before; b > plan.Bytes+int64(f.Length) {
		t.Errorf("%d bytes", b)
	}
}

// A mirror that gives something else the first time, and is right the second.
func TestDamageThatPasses(t *testing.T) {
	for name, spoil := range map[string]func(res *transport.Response, err error) error{
		"zeros": func(res *transport.Response, _ error) error { res.Body = body(zeros{}); return nil },
		"too few": func(res *transport.Response, _ error) error {
			res.Body = body(io.LimitReader(res.Body, 70_000))
			return nil
		},
		"nothing":  func(res *transport.Response, _ error) error { res.Body = body(strings.NewReader("")); return nil },
		"no range": func(*transport.Response, error) error { return transport.ErrRange },
		"changed":  func(*transport.Response, error) error { return transport.ErrChanged },
	} {
		t.Run(name, func(t *testing.T) {
			p, m := publish(t, mixed(), packing{maxPack: 1_500_000}), newMachine(t)
			honest, _ := p.open()
			seen := &once{names: map[string]bool{}}
			err := m.fetch(p, transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
				res, err := honest.Fetch(ctx, req)
				if err == nil && req.Name == repo.PackName(p.index.Packs[1].Digest) && seen.first(req.Name) {
					err = spoil(res, err)
				}
				return res, err
			}))
			if err != nil {
				t.Fatal(err)
			}
			m.expectAll(p)
		})
	}
}

type once struct {
	mu    sync.Mutex
	names map[string]bool
}

func (o *once) first(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.names[name]
	o.names[name] = true
	return !was
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func body(r io.Reader) io.ReadCloser { return io.NopCloser(r) }

// A server that gives nothing but nonsense is not asked for all of it.
func TestNonsenseEndsEarly(t *testing.T) {
	p, m := publish(t, many(2000, 6000), packing{shared: 6000, maxPack: 200_000}), newMachine(t)
	honest, stats := p.open()
	err := m.fetch(p, transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
		res, err := honest.Fetch(ctx, req)
		if err == nil {
			res.Body = body(zeros{})
		}
		return res, err
	}))
	var damage *fetch.DamageError
	if !errors.As(err, &damage) {
		t.Fatal(err)
	}
	if n := stats.Requests.Load(); n > 40 {
		t.Errorf("%d requests", n)
	}
}

func TestTransportErrorEndsTheFetch(t *testing.T) {
	p, m := publish(t, mixed(), packing{maxPack: 1_500_000}), newMachine(t)
	gone := errors.New("no route")
	err := m.fetch(p, transportFunc(func(context.Context, transport.Request) (*transport.Response, error) { return nil, gone }))
	var damage *fetch.DamageError
	if !errors.Is(err, gone) || errors.As(err, &damage) {
		t.Error(err)
	}
}

func TestMissingPack(t *testing.T) {
	p, m := publish(t, many(400, 9000), packing{maxPack: 600_000}), newMachine(t)
	if err := os.Remove(p.packPath(2)); err != nil {
		t.Fatal(err)
	}
	honest, stats := p.open()
	_, plan := m.plan(p)
	err := m.run(t.Context(), p, plan, honest)
	var damage *fetch.DamageError
	if !errors.As(err, &damage) || !errors.Is(err, fs.ErrNotExist) || damage.Pack != p.index.Packs[2].Digest {
		t.Errorf("error %v", err)
	}
	if n := m.holds(p); n < 300 {
		t.Errorf("%d objects of 400", n)
	}
	if n := stats.Requests.Load(); n != int64(plan.Requests)+2 { // the index, and the pack again
		t.Errorf("%d requests, %d planned", n, plan.Requests)
	}
}

// The repository was repacked between plan and fetch.
func TestRepacked(t *testing.T) {
	items := append(many(400, 9000), item{name: "large", data: noise(99, 3*repo.FrameSize)})
	old, m := publish(t, items, packing{maxPack: 600_000}), newMachine(t)
	_, plan := m.plan(old)
	for n := range old.index.Packs {
		if n != 1 {
			if err := os.Remove(old.packPath(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := publish(t, items, packing{shared: 50_000})
	if p.release != old.release {
		t.Fatal("another release")
	}
	honest, _ := p.open()
	gone, _ := old.open()
	if err := m.run(t.Context(), p, plan, transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
		res, err := honest.Fetch(ctx, req)
		if errors.Is(err, fs.ErrNotExist) {
			return gone.Fetch(ctx, req)
		}
		return res, err
	})); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
}

// Whatever byte of a pack is wrong: it is found, or made no difference.
func TestEveryFlippedByteOfAPack(t *testing.T) {
	items := []item{{name: "a", data: strings.Repeat("some text ", 30)}, {name: "b", data: noise(1, 90)}, {name: "c", data: noise(2, 80)}}
	p := publish(t, items, packing{shared: 200})
	honest, _ := p.open()
	size := int(p.index.Packs[0].Size)
	for at := range size {
		flip(t, p.packPath(0), int64(at))
		m := newMachine(t)
		if err := m.fetch(p, honest); err == nil {
			m.expectAll(p) // a bit that the format ignores
		} else if !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("byte %d: %v", at, err)
		}
		flip(t, p.packPath(0), int64(at))
	}
}
