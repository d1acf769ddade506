// Package cli holds what the example programs share: parsing a command line and reporting
// mistakes in it, resolving seeds and reading keys. A single program can do with less.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"example.com/gossip"
)

// usage is an error in the command line.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// Usage returns an error in the command line, for which Exit returns 2.
func Usage(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// Parse parses a command line that has flags only. For -h it prints the usage to help and
// returns flag.ErrHelp; every other error is from Usage.
func Parse(flags *flag.FlagSet, args []string, help io.Writer) error {
	flags.SetOutput(io.Discard) // Exit prints what is wrong, in one line
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(help)
		flags.Usage()
		return err
	case err != nil:
		return Usage("%w; -h lists the flags", err)
	case flags.NArg() > 0:
		return Usage("%q is not a flag; -h lists them", flags.Arg(0))
	}
	return nil
}

// Exit prints the error that ended a program, if any, in one line and returns its exit code:
// 0 without an error and after -h, 2 for a wrong command line, otherwise 1.
func Exit(program string, err error, stderr io.Writer) int {
	var wrong usage
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong), errors.Is(err, gossip.ErrConfig), errors.Is(err, gossip.ErrAddress):
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 2
	default:
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
}

// NewNode is gossip.New for a program with a flag -listen. The function joined reports
// whether the node was ever CONNECTED.
func NewNode(listen gossip.Address, receiver func(gossip.NodeID, []byte), config gossip.Config) (node *gossip.GossipService, joined func() bool, err error) {
	if !listen.IsValid() {
		return nil, nil, Usage("-listen needs an address, such as 127.0.0.1:7070")
	}
	var connected atomic.Bool
	report := config.OnStateChange
	config.OnStateChange = func(old, now gossip.State) {
		if now == gossip.StateConnected {
			connected.Store(true)
		}
		if report != nil {
			report(old, now)
		}
	}
	node, err = gossip.New(listen, receiver, config)
	if err != nil && !errors.Is(err, gossip.ErrConfig) && !errors.Is(err, gossip.ErrAddress) {
		err = fmt.Errorf("cannot listen on %v, choose another address with -listen: %w", listen, err)
	}
	return node, connected.Load, err
}

// Within returns a context that ends with ctx, or when a node has not joined after wait;
// Cause then returns an error that tells what to check. A wait of 0 means no limit.
func Within(ctx context.Context, wait time.Duration, joined func() bool, seeds Seeds) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if wait == 0 {
		return ctx, func() { cancel(nil) }
	}
	timer := time.AfterFunc(wait, func() {
		if !joined() {
			cancel(fmt.Errorf("%w at %s in %v: check that a node runs there, in the same cluster and with the same keys, and that UDP gets through", ErrNobody, &seeds, wait))
		}
	})
	return ctx, func() { timer.Stop(); cancel(nil) }
}

// ErrNobody means that no seed answered in time.
var ErrNobody = errors.New("nobody answers")

// Cause returns the error that ended a context of Within or Printing, or nil if its parent
// ended: the program was interrupted.
func Cause(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, ErrNobody) || errors.Is(err, errUnwritten) {
		return err
	}
	return nil
}
