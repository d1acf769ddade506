// Quickstart runs a cluster of three nodes in one process. One of them sends a
// message, the other two print it, and the program ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/gossip"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 2 if there are arguments, 1 if the cluster fails.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "quickstart: unexpected argument %q: run it without arguments\n", args[0])
		return 2
	}
	heard, err := hello(ctx)
	if err == nil {
		slices.Sort(heard) // the nodes receive it in any order
		_, err = fmt.Fprintln(stdout, strings.Join(heard, "\n"))
	}
	if err != nil {
		fmt.Fprintln(stderr, "quickstart:", err)
		return 1
	}
	return 0
}

// hello makes the cluster, sends a message from node 1 and returns what the others got.
func hello(ctx context.Context) (heard []string, err error) {
	// Port 0 lets the system choose a port.
	loopback, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		return nil, err
	}

	nodes := make([]*gossip.GossipService, 3)
	lines := make(chan string, len(nodes))
	for i := range nodes {
		// A receiver runs on the goroutine of its node's loop and must not block it,
		// so the channel has room for every line.
		receiver := func(origin gossip.NodeID, payload []byte) {
			from := 1 + slices.IndexFunc(nodes, func(n *gossip.GossipService) bool { return n.ID() == origin })
			lines <- fmt.Sprintf("node %d got %q from node %d", i+1, payload, from)
		}
		nodes[i], err = gossip.New(loopback, receiver, gossip.Config{})
		if err != nil {
			return nil, err
		}
		defer nodes[i].Close()
	}

	// Each node's loop gets a goroutine. When ctx ends, the node says goodbye.
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	defer loops.Wait()
	defer cancel()
	for _, n := range nodes {
		loops.Go(func() { n.Run(ctx) })
	}

	// The first node is the seed; the others find the cluster through it.
	seed := nodes[0].Address()
	for i, n := range nodes {
		if i == 0 {
			err = n.Join()
		} else {
			err = n.Join(seed)
		}
		if err != nil {
			return nil, err
		}
	}

	// Wait until the nodes have found each other.
	for _, n := range nodes {
		if err := n.WaitForMember(ctx); err != nil {
			return nil, fmt.Errorf("the nodes did not find each other: %w", err)
		}
	}

	if err := nodes[0].SendData([]byte("hello, cluster")); err != nil {
		return nil, err
	}
	for range nodes[1:] {
		select {
		case line := <-lines:
			heard = append(heard, line)
		case <-ctx.Done():
			return nil, fmt.Errorf("the message did not arrive: %w", ctx.Err())
		}
	}
	return heard, nil
}
