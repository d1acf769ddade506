package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// errUnwritten means that a program could not print.
var errUnwritten = errors.New("cannot write")

// Printing returns w, for a program that is useless when it cannot print, and a context that
// ends with ctx, or at the first error of w, which Cause then returns.
func Printing(ctx context.Context, w io.Writer) (context.Context, io.Writer, context.CancelFunc) {
	ctx, fail := context.WithCancelCause(ctx)
	return ctx, printer{w, fail}, func() { fail(nil) }
}

type printer struct {
	io.Writer
	fail context.CancelCauseFunc
}

func (p printer) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if err != nil {
		p.fail(fmt.Errorf("%w: %w", errUnwritten, err))
	}
	return n, err
}
