package main

import (
	"testing"
	"time"

	"example.com/gossip"
)

// hold keeps the last node of a cluster from starting until release is called.
func hold(t *testing.T, c *cluster) (release func()) {
	t.Helper()
	n := c.nodes[len(c.nodes)-1]
	c.wakeAt(n, never)
	return func() {
		t.Helper()
		must(t, c.do(func() error { c.wakeAt(n, c.now()); return nil }))
	}
}

func TestClusterSendsAFirstMessageOnceAPageIsOpen(t *testing.T) {
	o := quick(30)
	o.greets = true
	c := start(t, o)
	f := awaitFrame(t, c, "the cluster has settled", func(f frame) bool { return f.Settings.Settled })
	f = awaitFrame(t, c, "some frames follow", func(later frame) bool { return later.Time > f.Time+ms(5*framePace) })
	if len(f.Messages) > 0 {
		t.Errorf("nobody looks, and a message was sent: %+v", f.Messages)
	}
	_, err := c.listen()
	must(t, err)
	if m := awaitReached(t, c, 1, 30, 30); m.Early || m.Spread != "broadcast" {
		t.Errorf("the first message is shown as %+v", m)
	}
	f = show(t, c)
	f = awaitFrame(t, c, "some frames follow", func(later frame) bool { return later.Time > f.Time+ms(5*framePace) })
	if len(f.Messages) != 1 {
		t.Errorf("more than one message was sent: %+v", f.Messages)
	}
}

func TestMessageIsEarlyUntilAllNodesHaveJoined(t *testing.T) {
	o := quick(10)
	o.greets = true
	c := newCluster(o)
	release := hold(t, c)
	launch(t, c)
	_, err := c.listen()
	must(t, err)
	f := awaitFrame(t, c, "all but one have joined", func(f frame) bool { return count(f, "CONNECTED") == 9 })
	f = awaitFrame(t, c, "some frames follow", func(later frame) bool { return later.Time > f.Time+ms(5*framePace) })
	if f.Settings.Settled || len(f.Messages) > 0 {
		t.Errorf("with a node that has not joined the cluster is shown as %+v, with messages %+v", f.Settings, f.Messages)
	}
	expect := func(spread string, to int, early bool) {
		t.Helper()
		number, err := c.send(0, spread, to)
		must(t, err)
		if m := find(show(t, c), number); m == nil || m.Early != early {
			t.Errorf("message %d is shown as %+v", number, m)
		}
	}
	expect("direct", 1, false)
	expect("broadcast", anyNode, true)
	release()
	awaitFrame(t, c, "the cluster has settled", func(f frame) bool { return f.Settings.Settled })
	expect("broadcast", anyNode, false)
	if f := show(t, c); len(f.Messages) != 3 {
		t.Errorf("the first message was sent, and yet another by itself: %+v", f.Messages)
	}
}

func TestClusterIsCalmWhenItsNodesSendLittle(t *testing.T) {
	for _, x := range []struct {
		tick  time.Duration
		limit int // datagrams of a node in one count
	}{{50 * time.Millisecond, calm}, {0, calm}, {time.Second, calm}, {4 * time.Second, calm / 4}} {
		o := quick(2)
		o.config.TickInterval = x.tick
		c := newCluster(o)
		for _, n := range c.nodes {
			if c.isCalm() {
				t.Errorf("a cluster is calm before node %d has joined", n.index)
			}
			c.setState(n, gossip.StateConnected.String())
			c.wakeAt(n, never)
		}
		for _, more := range []int{0, 1} {
			c.end = 0
			if c.isCalm() {
				t.Error("a cluster is calm before datagrams were counted")
			}
			c.end = 1 // the count is over
			c.trace.traffic.Datagrams += 2*x.limit + more
			if got := c.isCalm(); got != (more == 0) {
				t.Errorf("at a TickInterval of %v, with %d datagrams more than the limit, calm is %v", x.tick, more, got)
			}
		}
		c.end = 1
		if c.wakeAt(c.nodes[0], c.now()-2*mostLag); c.isCalm() {
			t.Error("a cluster is calm while its loop lags behind")
		}
	}
}
