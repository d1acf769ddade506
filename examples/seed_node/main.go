// Seed_node is the node through which others join a cluster. It needs no seed itself
// and prints the messages it receives. Its loop is Run.
//
//	go run ./examples/seed_node -listen 127.0.0.1:7070
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 2 if the command line is wrong, 1 if the node fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.Exit("seed_node", seed(ctx, args, stdout, stderr), stderr)
}

func seed(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	listen, err := gossip.ParseAddress("127.0.0.1:7070")
	if err != nil {
		return err
	}
	var (
		others  cli.Seeds
		wait    time.Duration
		cluster string
	)
	flags := flag.NewFlagSet("seed_node", flag.ContinueOnError)
	flags.TextVar(&listen, "listen", listen, "`address` to listen on; 0.0.0.0 or [::] for all addresses of the machine")
	flags.Var(&others, "seed", "`addresses` of other seeds, separated by commas")
	flags.DurationVar(&wait, "wait", 0, "how long another seed may take to answer; 0 for no limit")
	flags.StringVar(&cluster, "cluster", "", "`name` of the cluster; nodes of other clusters are ignored")
	if err := cli.Parse(flags, args, stdout); err != nil {
		return err
	}
	if wait < 0 {
		return cli.Usage("-wait %v is negative", wait)
	}

	ctx, stdout, stopPrinting := cli.Printing(ctx, stdout)
	defer stopPrinting()
	receiver := func(origin gossip.NodeID, payload []byte) {
		fmt.Fprintf(stdout, "%v says %q\n", origin, payload)
	}
	node, joined, err := cli.NewNode(listen, receiver, gossip.Config{
		Cluster: cluster,
		OnStateChange: func(old, now gossip.State) {
			if now != gossip.StateDestroyed { // that is only Close, at the end
				fmt.Fprintf(stderr, "seed_node: %v, was %v\n", now, old)
			}
			if now == gossip.StateDisconnected && ctx.Err() == nil {
				fmt.Fprintf(stderr, "seed_node: nobody answers at %v; still trying\n", &others)
			}
		},
	})
	if err != nil {
		return err
	}
	defer node.Close()
	ctx, stop := cli.Within(ctx, wait, joined, others)
	defer stop()
	if err := others.Join(ctx, node, net.DefaultResolver.LookupNetIP); err != nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprintf(stdout, "%v listens on %v\n", node.ID(), node.Address())
	if err := node.Run(ctx); err != nil { // leaves the cluster when ctx ends
		return err
	}
	return cli.Cause(ctx)
}
