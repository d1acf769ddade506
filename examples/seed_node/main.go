// Seed_node is the node of a cluster that the others are told about. It needs no
// seed itself and prints what it hears. Its loop is Run.
//
//	go run ./examples/seed_node -listen 127.0.0.1:7070
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

	"example.com/gossip"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 2 if the command line is wrong, 1 if the node fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var (
		listen  gossip.Address
		seeds   []gossip.Address
		cluster string
	)
	fail := func(code int, problem any) int {
		fmt.Fprintln(stderr, "seed_node:", problem)
		return code
	}
	standard, err := gossip.ParseAddress("127.0.0.1:7070")
	if err != nil {
		return fail(1, err)
	}
	flags := flag.NewFlagSet("seed_node", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // fail says what is wrong, in one line
	flags.TextVar(&listen, "listen", standard, "`address` to listen on; with 0.0.0.0 or [::], on all of the machine's")
	flags.Func("seed", "`addresses` of other seeds, separated by commas", func(s string) error {
		for text := range strings.SplitSeq(s, ",") {
			var seed gossip.Address
			if err := seed.UnmarshalText([]byte(text)); err != nil {
				return err
			}
			seeds = append(seeds, seed)
		}
		return nil
	})
	flags.StringVar(&cluster, "cluster", "", "`name` of the cluster; nodes of others are ignored")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(stdout)
		flags.Usage()
		return 0
	} else if err != nil {
		return fail(2, err)
	}
	if flags.NArg() > 0 {
		return fail(2, fmt.Sprintf("%q is not a flag", flags.Arg(0)))
	}

	receiver := func(origin gossip.NodeID, payload []byte) {
		fmt.Fprintf(stdout, "%v says %q\n", origin, payload)
	}
	node, err := gossip.New(listen, receiver, gossip.Config{
		Cluster: cluster,
		OnStateChange: func(old, now gossip.State) {
			if now != gossip.StateDestroyed { // which is Close, in the end
				fmt.Fprintf(stderr, "seed_node: %v, was %v\n", now, old)
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

	if err := node.Join(seeds...); err != nil {
		return fail(2, err)
	}
	fmt.Fprintf(stdout, "%v listens on %v\n", node.ID(), node.Address())
	if err := node.Run(ctx); err != nil { // says Leave when ctx ends
		return fail(1, err)
	}
	return 0
}
