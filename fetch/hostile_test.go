package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// Indexes that cannot be true are refused by the plan.
func TestPlanRefuses(t *testing.T) {
	items := many(20, 3000)
	for i := range 150 {
		items = append(items, item{name: fmt.Sprintf("large%03d", i), data: strings.Repeat(string([]byte{byte(i)}), repo.FrameSize+1)})
	}
	p := publish(t, items, packing{shared: 6000})
	first := func(ix *repo.Index) int { // the first content of two frames
		for n, o := range ix.Objects {
			if ix.Frames[o.Frame].Raw == repo.FrameSize {
				return n
			}
		}
		return -1
	}
	for name, spoil := range map[string]func(ix *repo.Index){
		"too few contents":  func(ix *repo.Index) { ix.Objects = ix.Objects[1:] },
		"too many contents": func(ix *repo.Index) { ix.Objects = append(ix.Objects, ix.Objects[0]) },
		"no frames":         func(ix *repo.Index) { ix.Frames = nil },
		"beyond the frame":  func(ix *repo.Index) { ix.Objects[0].Offset = 5000 },
		"beyond the last":   func(ix *repo.Index) { ix.Objects[first(ix)].Frame = int32(len(ix.Frames) - 1) },
		"second frame":      func(ix *repo.Index) { ix.Objects[first(ix)].Frame++ },
		"not at the start":  func(ix *repo.Index) { ix.Objects[first(ix)].Offset = 1 },
		"short frame":       func(ix *repo.Index) { ix.Frames[ix.Objects[first(ix)].Frame].Raw-- },
		"overlap":           func(ix *repo.Index) { ix.Frames[1].Offset-- },
		"one on the other":  func(ix *repo.Index) { ix.Frames[1].Offset = ix.Frames[0].Offset },
		"scattered": func(ix *repo.Index) { // all first halves before all second ones
			for i := range ix.Frames {
				ix.Frames[i].Pack = int32(i % 2)
			}
			ix.Packs = append(ix.Packs, ix.Packs[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			ix := &repo.Index{
				Packs:   append([]repo.Pack(nil), p.index.Packs...),
				Frames:  append([]repo.Frame(nil), p.index.Frames...),
				Objects: append([]repo.Location(nil), p.index.Objects...),
			}
			spoil(ix)
			need, err := fetch.Survey(t.Context(), p.entries(), newMachine(t).store)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fetch.NewPlan(need, ix); !errors.Is(err, repo.ErrIndex) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestPlanWithoutIndex(t *testing.T) {
	p := publish(t, many(1, 100), packing{})
	need, err := fetch.Survey(t.Context(), p.entries(), newMachine(t).store)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch.NewPlan(need, nil); !errors.Is(err, repo.ErrIndex) {
		t.Errorf("error %v", err)
	}
}

// Indexes that can be true and are not cost a download, and nothing else.
func TestIndexesThatLie(t *testing.T) {
	for name, spoil := range map[string]func(ix *repo.Index){
		"other contents": func(ix *repo.Index) {
			ix.Objects[3], ix.Objects[4] = ix.Objects[4], ix.Objects[3]
		},
		"one place for all": func(ix *repo.Index) {
			for i := range ix.Objects {
				if ix.Objects[i].Offset > 0 {
					ix.Objects[i].Offset = 1
				}
			}
		},
		"frames that are none": func(ix *repo.Index) {
			ix.Frames[0].Offset++
			ix.Frames[0].Length--
		},
		"more than there is": func(ix *repo.Index) { ix.Frames[0].Raw++ },
		"less than there is": func(ix *repo.Index) {
			last := &ix.Frames[len(ix.Frames)-1]
			last.Length--
		},
		"a pack that is another": func(ix *repo.Index) { ix.Packs[0].Digest = ix.Packs[1].Digest },
		"a pack that ends":       func(ix *repo.Index) { ix.Frames[len(ix.Frames)-1].Length += 100 },
	} {
		t.Run(name, func(t *testing.T) {
			p, m := publish(t, many(100, 5000), packing{maxPack: 200_000}), newMachine(t)
			spoil(p.index)
			honest, _ := p.open()
			if err := m.fetch(p, honest); !errors.Is(err, digest.ErrMismatch) && !errors.Is(err, repo.ErrIndex) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A frame that says it holds more than it may is not decompressed.
func TestBomb(t *testing.T) {
	p, m := publish(t, []item{{name: "a", data: noise(1, 100)}}, packing{}), newMachine(t)
	bomb := compress(make([]byte, 64<<20))
	d := digest.Of(bomb)
	p.write(repo.PackName(d), bomb)
	p.index.Packs[0] = repo.Pack{Digest: d, Size: int64(len(bomb))}
	p.index.Frames[0].Length = int32(len(bomb))
	honest, _ := p.open()
	if err := m.fetch(p, honest); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("error %v", err)
	}
}

// A pack without end is read as far as it is wanted, from a server with ranges
// and from one without.
func TestEndlessServer(t *testing.T) {
	p, m := publish(t, many(100, 5000), packing{}), newMachine(t)
	for _, whole := range []bool{false, true} {
		var stats transport.Stats
		endless := transport.Counting(transportFunc(func(_ context.Context, req transport.Request) (*transport.Response, error) {
			res := &transport.Response{Body: body(zeros{}), Offset: req.Offset, Size: -1}
			if whole {
				res.Offset = 0
			}
			return res, nil
		}), &stats)
		if err := m.fetch(p, endless); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("error %v", err)
		}
		if n := stats.Bytes.Load(); n > 4*p.index.Packs[0].Size {
			t.Errorf("%d bytes read", n)
		}
	}
}

// An answer that begins behind what was asked for, against the contract.
func TestAnswerFromElsewhere(t *testing.T) {
	p, m := publish(t, many(100, 5000), packing{}), newMachine(t)
	err := m.fetch(p, transportFunc(func(_ context.Context, req transport.Request) (*transport.Response, error) {
		return &transport.Response{Body: body(zeros{}), Offset: req.Offset + 1, Size: -1}, nil
	}))
	if !errors.Is(err, transport.ErrRange) {
		t.Errorf("error %v", err)
	}
}

func TestOneContentWithTwoSizes(t *testing.T) {
	d := digest.Of([]byte("x"))
	_, err := fetch.Survey(t.Context(), func(yield func(*tree.Entry, error) bool) {
		for _, size := range []int64{100, 200} {
			if !yield(&tree.Entry{Kind: tree.Regular, Size: size, Digest: d}, nil) {
				return
			}
		}
	}, newMachine(t).store)
	if err == nil {
		t.Error("accepted")
	}
}

// FuzzFetch fetches by an index and from a pack that are both made up: it ends, and
// the store holds nothing but what it should.
func FuzzFetch(f *testing.F) {
	items := []item{
		{name: "a", data: noise(1, 70)}, {name: "b", data: string(make([]byte, 5000))},
		{name: "c", data: string(make([]byte, 2*repo.FrameSize+100)), run: true}, {name: "d", data: string(make([]byte, 5000)), run: true},
	}
	p := publish(f, items, packing{shared: 100})
	var index bytes.Buffer
	if err := p.index.Encode(&index); err != nil {
		f.Fatal(err)
	}
	honest, _ := p.open()
	res, err := honest.Fetch(context.Background(), transport.Request{Name: repo.PackName(p.index.Packs[0].Digest)})
	if err != nil {
		f.Fatal(err)
	}
	pack, err := io.ReadAll(res.Body)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(index.Bytes(), pack)
	f.Add(index.Bytes(), pack[:len(pack)/2])
	f.Fuzz(func(t *testing.T, index, pack []byte) {
		ix, err := repo.ReadIndex(bytes.NewReader(index), 4, 1000)
		if err != nil {
			return
		}
		m := newMachine(t)
		need, err := fetch.Survey(t.Context(), p.entries(), m.store)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := fetch.NewPlan(need, ix)
		if err != nil {
			return
		}
		if m.run(t.Context(), p, plan, madeUp(pack)) == nil {
			m.expectAll(p)
		}
	})
}

// madeUp serves one pack under all names.
func madeUp(pack []byte) transport.Transport {
	return transportFunc(func(_ context.Context, req transport.Request) (*transport.Response, error) {
		if req.Offset > int64(len(pack)) {
			return nil, transport.ErrRange
		}
		return &transport.Response{Body: body(bytes.NewReader(pack[req.Offset:])), Offset: req.Offset, Size: int64(len(pack))}, nil
	})
}
