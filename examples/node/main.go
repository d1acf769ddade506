// Node joins a cluster, sends a line from time to time and prints the messages it
// receives. It shows the loop of a program that does other work as well.
//
//	go run ./examples/node -listen 127.0.0.1:0 -seed 127.0.0.1:7070 -say hello -every 2s
package main

import (
	"context"
	"errors"
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
	o, err := parse(args, stdout)
	if err == nil {
		err = live(ctx, o, stdout, stderr)
	}
	return cli.Exit("node", err, stderr)
}

// options are the values of the flags.
type options struct {
	listen  gossip.Address
	seeds   cli.Seeds
	wait    time.Duration
	cluster string
	say     string
	every   time.Duration
}

func parse(args []string, help io.Writer) (o options, err error) {
	if o.listen, err = gossip.ParseAddress("127.0.0.1:0"); err != nil {
		return o, err
	}
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.TextVar(&o.listen, "listen", o.listen, "`address` to listen on; port 0 lets the system choose one")
	flags.Var(&o.seeds, "seed", "`address` of a running node, 127.0.0.1:7070 or /ip4/127.0.0.1/udp/7070 or node.example:7070; separate several by commas, or repeat the flag")
	flags.DurationVar(&o.wait, "wait", 10*time.Second, "how long a seed may take to answer; 0 for no limit")
	flags.StringVar(&o.cluster, "cluster", "", "`name` of the cluster; nodes of other clusters are ignored")
	flags.StringVar(&o.say, "say", "", "`line` to send to all nodes; none if empty")
	flags.DurationVar(&o.every, "every", 5*time.Second, "how often to send it")
	if err := cli.Parse(flags, args, help); err != nil {
		return o, err
	}
	switch {
	case len(o.seeds) == 0:
		return o, cli.Usage("-seed is missing: the address of a node to join, e.g. -seed 127.0.0.1:7070")
	case o.every <= 0:
		return o, cli.Usage("-every %v is not positive", o.every)
	case o.wait < 0:
		return o, cli.Usage("-wait %v is negative", o.wait)
	}
	return o, nil
}

// live makes the node, joins the seeds and runs the loop until ctx ends.
func live(ctx context.Context, o options, stdout, stderr io.Writer) error {
	ctx, stdout, stopPrinting := cli.Printing(ctx, stdout)
	defer stopPrinting()
	receiver := func(origin gossip.NodeID, payload []byte) {
		fmt.Fprintf(stdout, "%v says %q\n", origin, payload)
	}
	node, joined, err := cli.NewNode(o.listen, receiver, gossip.Config{
		Cluster: o.cluster,
		OnStateChange: func(old, now gossip.State) {
			if now != gossip.StateDestroyed { // that is only Close, at the end
				fmt.Fprintf(stderr, "node: %v, was %v\n", now, old)
			}
		},
	})
	if err != nil {
		return err
	}
	defer node.Close()
	if len(o.say) > node.MaxPayload() {
		return cli.Usage("-say takes at most %d bytes", node.MaxPayload())
	}
	ctx, stop := cli.Within(ctx, o.wait, joined, o.seeds)
	defer stop()
	if err := o.seeds.Join(ctx, node, net.DefaultResolver.LookupNetIP); err != nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprintf(stdout, "%v listens on %v\n", node.ID(), node.Address())
	if err := loop(ctx, node, o, stderr); err != nil {
		return err
	}
	return cli.Cause(ctx)
}

// loop drives the node until ctx ends. Then Run waits for acknowledgements of the last messages,
// and says goodbye. A program that has nothing else to do in its loop can call Run at once.
func loop(ctx context.Context, node *gossip.GossipService, o options, stderr io.Writer) error {
	// The loop waits in Receive and nowhere else; this ends the wait.
	defer context.AfterFunc(ctx, node.Wake)()
	next := time.Now()
	for ctx.Err() == nil {
		if o.say != "" && time.Until(next) <= 0 {
			next = time.Now().Add(o.every)
			err := node.SendData([]byte(o.say))
			if errors.Is(err, gossip.ErrQueueFull) {
				fmt.Fprintln(stderr, "node: too much to send, a line is dropped:", err)
			} else if err != nil {
				return err
			}
		}
		most := time.Hour // no limit other than that of Tick
		if o.say != "" {
			most = time.Until(next)
		}
		if err := turn(node, most); err != nil {
			return err
		}
	}
	return node.Run(ctx)
}

// turn is one turn of the loop, which waits no longer than most.
func turn(node *gossip.GossipService, most time.Duration) error {
	wait, err := node.Tick() // do retries, repair and upkeep that are due
	if err != nil {
		return err
	}
	if _, err := node.Send(); err != nil { // send what is queued
		return err
	}
	_, err = node.Receive(min(wait, most)) // handle and deliver what came in
	return err
}
