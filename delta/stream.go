package delta

import (
	"bufio"
	"context"
	"fmt"
	"io"
)

// output counts down what may still be written, and remembers which error was not
// the patch's fault.
type output struct {
	ctx  context.Context
	w    io.Writer
	left int64
	err  error // of w or ctx
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	if int64(len(p)) > o.left {
		return 0, fmt.Errorf("%w: it makes more than it should", ErrFormat)
	}
	if o.ctx.Err() != nil {
		o.err = context.Cause(o.ctx)
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		o.err = fmt.Errorf("writing content: %w", err)
	}
	o.left -= int64(n)
	return n, o.err
}

// input is the patch; it remembers errors other than its end.
type input struct {
	r   *bufio.Reader
	err error
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	return n, i.keep(err)
}

func (i *input) ReadByte() (byte, error) {
	b, err := i.r.ReadByte()
	return b, i.keep(err)
}

func (i *input) keep(err error) error {
	if err != nil && err != io.EOF && i.err == nil {
		i.err = fmt.Errorf("reading patch: %w", err)
	}
	return err
}
