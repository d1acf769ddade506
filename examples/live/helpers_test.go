package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/gossip"
)

const patience = time.Minute

// quick is a cluster whose nodes wait as short as its network, of 2 ms, allows.
func quick(nodes int) options {
	return options{
		nodes: nodes, seed: 1, latency: 2 * time.Millisecond,
		config: gossip.Config{TickInterval: 50 * time.Millisecond, RetryInterval: 20 * time.Millisecond, AckDelay: time.Millisecond},
	}
}

// start runs a cluster until the test ends, and waits until all have joined.
func start(t *testing.T, o options) *cluster {
	t.Helper()
	c := newCluster(o)
	launch(t, c)
	awaitFrame(t, c, "all nodes are connected", func(f frame) bool { return count(f, "CONNECTED") == o.nodes })
	return c
}

// launch runs a cluster until the test ends.
func launch(t *testing.T, c *cluster) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the cluster ended with %v", err)
		}
	})
}

// awaitFrame waits until what the cluster shows is as it should be.
func awaitFrame(t *testing.T, c *cluster, what string, cond func(frame) bool) frame {
	t.Helper()
	var f frame
	waitUntil(t, func() string {
		return fmt.Sprintf("%s; messages: %+v, traffic: %+v, connected: %d", what, f.Messages, f.Traffic, count(f, "CONNECTED"))
	}, func() bool {
		f = show(t, c)
		return cond(f)
	})
	return f
}

// awaitReached waits until a message has reached so many of so many nodes.
func awaitReached(t *testing.T, c *cluster, number, reached, of int) messageView {
	t.Helper()
	f := awaitFrame(t, c, fmt.Sprintf("message %d has reached %d of %d nodes", number, reached, of), func(f frame) bool {
		m := find(f, number)
		return m != nil && m.Reached == reached && m.Of == of
	})
	return *find(f, number)
}

func find(f frame, number int) *messageView {
	for i := range f.Messages {
		if f.Messages[i].Message == number {
			return &f.Messages[i]
		}
	}
	return nil
}

func count(f frame, state string) (nodes int) {
	for _, n := range f.Nodes {
		if n.State == state {
			nodes++
		}
	}
	return nodes
}

func waitUntil(t *testing.T, what func() string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("after %v it does not hold that %s", patience, what())
		}
	}
}

// must fails the test if err is one.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// show returns what the cluster shows now.
func show(t *testing.T, c *cluster) (f frame) {
	t.Helper()
	must(t, c.do(func() error { f = c.trace.snapshot(); return nil }))
	return f
}
