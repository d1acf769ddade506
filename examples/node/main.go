// Node joins a cluster, says a line from time to time and prints what it hears.
// It shows the loop that a program with work of its own would write.
//
//	go run ./examples/node -listen 127.0.0.1:0 -seed 127.0.0.1:7070 -say hello -every 2s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.com/gossip"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	listen  gossip.Address
	seeds   []gossip.Address
	cluster string
	say     string
	every   time.Duration
}

// run returns the exit code: 2 if the command line is wrong, 1 if the node fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fail := func(code int, problem any) int {
		fmt.Fprintln(stderr, "node:", problem)
		return code
	}
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return fail(2, err)
	}

	receiver := func(origin gossip.NodeID, payload []byte) {
		fmt.Fprintf(stdout, "%v says %q\n", origin, payload)
	}
	node, err := gossip.New(o.listen, receiver, gossip.Config{
		Cluster: o.cluster,
		OnStateChange: func(old, now gossip.State) {
			if now != gossip.StateDestroyed { // which is Close, in the end
				fmt.Fprintf(stderr, "node: %v, was %v\n", now, old)
			}
			if now == gossip.StateDisconnected && ctx.Err() == nil {
				fmt.Fprintf(stderr, "node: nobody answers at %v; trying on\n", o.seeds)
			}
		},
	})
	switch {
	case errors.Is(err, gossip.ErrConfig), errors.Is(err, gossip.ErrAddress):
		return fail(2, err)
	case err != nil:
		return fail(1, fmt.Sprintf("cannot listen there, choose another address by -listen: %v", err))
	}
	defer node.Close()

	if len(o.say) > node.MaxPayload() {
		return fail(2, fmt.Sprintf("-say takes at most %d bytes", node.MaxPayload()))
	}
	if err := node.Join(o.seeds...); err != nil {
		return fail(2, err)
	}
	fmt.Fprintf(stdout, "%v listens on %v\n", node.ID(), node.Address())
	if err := loop(ctx, node, o, stderr); err != nil {
		return fail(1, err)
	}
	return 0
}

// loop drives the node until ctx ends, and says goodbye. Node.Run does the same
// for a program that has nothing else to do in its loop.
func loop(ctx context.Context, node *gossip.GossipService, o options, stderr io.Writer) error {
	// The loop waits in Receive and nowhere else; this ends the wait.
	defer context.AfterFunc(ctx, node.Wake)()
	next := time.Now()
	for ctx.Err() == nil {
		if o.say != "" && time.Until(next) <= 0 {
			next = time.Now().Add(o.every)
			err := node.SendData([]byte(o.say))
			if errors.Is(err, gossip.ErrQueueFull) {
				fmt.Fprintln(stderr, "node: too much to send, one line less:", err)
			} else if err != nil {
				return err
			}
		}
		wait, err := node.Tick()
		if err != nil {
			return err
		}
		if o.say != "" {
			wait = min(wait, time.Until(next))
		}
		if _, err := node.Send(); err != nil {
			return err
		}
		if _, err := node.Receive(wait); err != nil {
			return err
		}
	}
	err := node.Leave()
	for sent := 1; sent > 0 && err == nil; {
		sent, err = node.Send() // the goodbyes
	}
	return err
}

func parse(args []string, help io.Writer) (o options, err error) {
	if o.listen, err = gossip.ParseAddress("127.0.0.1:0"); err != nil {
		return o, err
	}
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run says what is wrong, in one line
	flags.TextVar(&o.listen, "listen", o.listen, "`address` to listen on; port 0 lets the system choose one")
	flags.Func("seed", "`address` of a node that is there, 127.0.0.1:7070 or /ip4/127.0.0.1/udp/7070; several are separated by commas, or each has a flag", func(s string) error {
		for text := range strings.SplitSeq(s, ",") {
			var seed gossip.Address
			if err := seed.UnmarshalText([]byte(text)); err != nil {
				return err
			}
			o.seeds = append(o.seeds, seed)
		}
		return nil
	})
	flags.StringVar(&o.cluster, "cluster", "", "`name` of the cluster; nodes of others are ignored")
	flags.StringVar(&o.say, "say", "", "`line` to say to all; none if empty")
	flags.DurationVar(&o.every, "every", 5*time.Second, "how often to say it")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(help)
		flags.Usage()
		return o, err
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case len(o.seeds) == 0:
		return o, errors.New("-seed is missing: the address of a node to join, e.g. -seed 127.0.0.1:7070")
	case o.every <= 0:
		return o, fmt.Errorf("-every %v is not a time to wait", o.every)
	}
	return o, nil
}
