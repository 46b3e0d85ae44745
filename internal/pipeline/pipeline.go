// Package pipeline does work in parallel and hands the results on in order.
package pipeline

import (
	"context"
	"iter"
)

// Ordered calls do for each value of in, up to workers at a time, and yields the
// results in the order of in. At most twice workers values are under way, so
// memory is bounded by them. The first error, of in, do or ctx, is the last
// thing that is yielded; a consumer that stops ends the work. in runs in a
// goroutine of its own, and has ended when the sequence ends.
func Ordered[T, R any](ctx context.Context, workers int, in iter.Seq2[T, error], do func(context.Context, T) (R, error)) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		queue := make(chan chan result[R], workers)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			feed(ctx, workers, in, do, queue)
		}()
		defer func() {
			cancel(context.Canceled)
			for pending := range queue {
				<-pending
			}
			<-stopped
		}()
		for pending := range queue {
			r := <-pending
			if !yield(r.value, r.err) || r.err != nil {
				return
			}
		}
	}
}

type result[R any] struct {
	value R
	err   error
}

// feed starts the work and queues where each result will appear.
func feed[T, R any](ctx context.Context, workers int, in iter.Seq2[T, error], do func(context.Context, T) (R, error), queue chan<- chan result[R]) {
	defer close(queue)
	slots := make(chan struct{}, workers)
	for value, err := range in {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		pending := make(chan result[R], 1)
		if err != nil {
			pending <- result[R]{err: err}
			queue <- pending
			return
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			r, err := do(ctx, value)
			pending <- result[R]{r, err}
		}()
		queue <- pending
	}
}
