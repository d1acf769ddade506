package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// failing is an output that takes a few bytes.
type failing struct {
	strings.Builder
	room int
}

func (f *failing) Write(b []byte) (int, error) {
	if f.Len()+len(b) > f.room {
		return 0, os.ErrInvalid
	}
	return f.Builder.Write(b)
}

func TestAProgramEndsWhenItCannotPrint(t *testing.T) {
	w := &failing{room: 10}
	ctx, out, stop := Printing(t.Context(), w)
	defer stop()
	if _, err := out.Write([]byte("fits\n")); err != nil || w.String() != "fits\n" || ctx.Err() != nil {
		t.Errorf("what can be written is told as %v, %v, and there is %q", err, ctx.Err(), w)
	}
	if _, err := out.Write([]byte("does not fit\n")); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("the error of the output is told as %v", err)
	}
	within, stopWithin := Within(ctx, 0, nil, nil)
	defer stopWithin()
	for _, ctx := range []context.Context{ctx, within} {
		if err := Cause(ctx); ctx.Err() == nil || !errors.Is(err, os.ErrInvalid) || err.Error() != "cannot write: invalid argument" {
			t.Errorf("the end of the program is told as %v", err)
		}
	}
}
