package main

import (
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress is a bar on a terminal; elsewhere it is nothing. It never runs
// backwards, and its end is its total.
type progress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
	done int64 // bytes
}

// progress starts a bar for total bytes.
func (c *command) progress(what string, total int64) *progress {
	if c.quiet || c.json || total <= 0 || !terminal(c.err) {
		return &progress{}
	}
	bars := mpb.New(mpb.WithOutput(c.err), mpb.WithWidth(40))
	bar := bars.AddBar(total,
		mpb.PrependDecorators(decor.Name(what+" ")),
		mpb.AppendDecorators(decor.CountersKiloByte("% .1f / % .1f"), decor.Name(" "), decor.AverageSpeed(decor.SizeB1000(0), "% .1f")))
	return &progress{bars: bars, bar: bar}
}

// reach counts up to n bytes in all. It is not for concurrent use.
func (p *progress) reach(n int64) {
	if p.bar != nil && n > p.done {
		p.bar.IncrInt64(n - p.done)
		p.done = n
	}
}

// end takes the bar to its end, or away if the work failed.
func (p *progress) end(err error) {
	if p.bar == nil {
		return
	}
	if err != nil {
		p.bar.Abort(true)
	} else {
		p.bar.SetTotal(-1, true)
	}
	p.bars.Wait()
}
