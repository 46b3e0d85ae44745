package pipeline

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func numbers(n int, last error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if last != nil {
			yield(0, last)
		}
	}
}

var errBad = errors.New("bad")

func TestResultsComeInOrder(t *testing.T) {
	next := 0
	double := func(_ context.Context, n int) (int, error) { return 2 * n, nil }
	for have, err := range Ordered(t.Context(), 4, numbers(1000, nil), double) {
		if err != nil || have != 2*next {
			t.Fatalf("result %d: %d, %v", next, have, err)
		}
		next++
	}
	if next != 1000 {
		t.Errorf("%d results", next)
	}
}

func TestFirstErrorEnds(t *testing.T) {
	fail := func(_ context.Context, n int) (int, error) {
		if n >= 7 {
			return 0, errBad
		}
		return n, nil
	}
	for name, seq := range map[string]iter.Seq2[int, error]{
		"of the work":  Ordered(t.Context(), 3, numbers(100, nil), fail),
		"of the input": Ordered(t.Context(), 3, numbers(7, errBad), fail),
	} {
		good, bad := 0, 0
		for _, err := range seq {
			if errors.Is(err, errBad) {
				bad++
			} else {
				good++
			}
		}
		if good != 7 || bad != 1 {
			t.Errorf("error %s: %d results, %d errors", name, good, bad)
		}
	}
}

// TestNothingIsLeftBehind stops early in every way; synctest fails the test if a
// goroutine outlives it.
func TestNothingIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int32
		work := func(_ context.Context, n int) (int, error) {
			if under.Add(1) > 4 {
				t.Error("more workers than asked for")
			}
			defer under.Add(-1)
			return n, nil
		}
		for range Ordered(t.Context(), 4, numbers(1000, nil), work) {
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for n, err := range Ordered(ctx, 4, numbers(1000, nil), work) {
			if last = err; n == 3 {
				cancel()
			}
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("after the context ended: %v", last)
		}
	})
}
