package main

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestAMessageReachesAll(t *testing.T) {
	c := start(t, quick(30))
	for _, spread := range []string{"broadcast", "random"} {
		number, err := c.send(anyNode, spread, anyNode)
		must(t, err)
		m := awaitReached(t, c, number, 30, 30)
		if m.Spread != spread || m.Delivered != 29 || m.Copies < 29 || m.Datagrams < 29 || m.Bytes < 29*(payloadSize+headers) {
			t.Errorf("the %s message is shown as %+v", spread, m)
		}
		if m.Half <= 0 || m.Half > m.Most || m.Most > m.All {
			t.Errorf("it took %v ms to half, %v ms to 99 %%, %v ms to all", m.Half, m.Most, m.All)
		}
	}
	arcs := 0
	for _, v := range show(t, c).Copies {
		if took := v.At - v.Sent; took < 1.49 || took > 2.51 {
			t.Errorf("a copy took %v ms on a network of 2 ms, give or take a quarter", took)
		}
		if v.Message == 1 && v.Lo != v.Hi {
			arcs++
		}
	}
	if arcs == 0 {
		t.Error("the broadcast handed on no arcs of the ring")
	}
}

func TestADirectMessageReachesOne(t *testing.T) {
	c := start(t, quick(10))
	number, err := c.send(2, "direct", 7)
	must(t, err)
	m := awaitReached(t, c, number, 1, 1)
	if m.From != 2 || m.To != 7 || m.Copies < 1 {
		t.Errorf("the message from 2 to 7 is shown as %+v", m)
	}
	if f := show(t, c); len(f.Got) != 1 || f.Got[0].Node != 7 {
		t.Errorf("it was to reach node 7 only, and was delivered so: %+v", f.Got)
	}
}

func TestACrashedNodeComesBackAndCatchesUp(t *testing.T) {
	c := start(t, quick(30))
	before, err := c.details(5)
	must(t, err)
	must(t, c.crash(5))
	number, err := c.send(1, "broadcast", anyNode)
	must(t, err)
	awaitReached(t, c, number, 29, 29)
	restarted, err := c.restart(5)
	if must(t, err); restarted != 1 {
		t.Errorf("%d nodes were restarted instead of one", restarted)
	}
	awaitReached(t, c, number, 30, 30)
	after, err := c.details(5)
	must(t, err)
	if after.ID == before.ID || after.Address != before.Address {
		t.Errorf("node 5 came back as %s at %s, was %s at %s", after.ID, after.Address, before.ID, before.Address)
	}
	if after.State != "CONNECTED" || len(after.Members) == 0 || after.Stats.Delivered == 0 {
		t.Errorf("node 5 says of itself %+v", after)
	}
}

func TestManyNodesCrashAtOnce(t *testing.T) {
	c := start(t, quick(30))
	crashed, err := c.crashShare(20)
	if must(t, err); crashed != 6 {
		t.Errorf("20 %% of 30 nodes were %d", crashed)
	}
	number, err := c.send(anyNode, "broadcast", anyNode)
	must(t, err)
	awaitReached(t, c, number, 24, 24)
	restarted, err := c.restart(anyNode)
	if must(t, err); restarted != 6 {
		t.Errorf("%d nodes were restarted instead of 6", restarted)
	}
	awaitReached(t, c, number, 30, 30)
}

func TestAMessageHasReachedAllWhenThoseWhoLackItAreGone(t *testing.T) {
	c := start(t, quick(30))
	must(t, c.partition(true))
	number, err := c.send(0, "broadcast", anyNode)
	must(t, err)
	f := show(t, c)
	far := []int{} // nodes in the other half
	for _, n := range f.Nodes {
		if (n.Ring < 0.5) != (f.Nodes[0].Ring < 0.5) {
			far = append(far, n.Node)
		}
	}
	near := 30 - len(far)
	if m := awaitReached(t, c, number, near, 30); m.All != 0 {
		t.Fatalf("a message that half of the nodes lack has reached all after %v ms", m.All)
	}
	for _, i := range far {
		must(t, c.crash(i))
	}
	if m := awaitReached(t, c, number, near, near); m.All == 0 || m.Most == 0 {
		t.Errorf("a message that all who are left have is told as %+v", m)
	}
}

func TestAMessageWaitsAtTheCut(t *testing.T) {
	c := start(t, quick(30))
	must(t, c.partition(true))
	number, err := c.send(0, "broadcast", anyNode)
	must(t, err)
	near := 0 // nodes in the half of node 0
	f := show(t, c)
	for _, n := range f.Nodes {
		if (n.Ring < 0.5) == (f.Nodes[0].Ring < 0.5) {
			near++
		}
	}
	awaitReached(t, c, number, near, 30)
	f = show(t, c)
	for _, v := range f.Copies {
		across := (f.Nodes[v.From].Ring < 0.5) != (f.Nodes[v.To].Ring < 0.5)
		if across != (v.Fate == cut) {
			t.Errorf("a copy from node %d to %d, across is %v, had the fate %q", v.From, v.To, across, v.Fate)
		}
	}
	must(t, c.partition(false))
	awaitReached(t, c, number, 30, 30)
}

func TestAMessageReachesAllInSpiteOfLoss(t *testing.T) {
	c := start(t, quick(30))
	must(t, c.setLoss(30))
	number, err := c.send(anyNode, "broadcast", anyNode)
	must(t, err)
	awaitReached(t, c, number, 30, 30)
	if f := show(t, c); f.Traffic.Lost == 0 || f.Settings.Loss != 30 {
		t.Errorf("of %+v nothing was lost, at a loss of %v %%", f.Traffic, f.Settings.Loss)
	}
}

func TestOnlyTheLatestMessagesAreWatched(t *testing.T) {
	c := start(t, quick(5))
	for i := range mostMessages + 3 {
		number, err := c.send(anyNode, "broadcast", anyNode)
		if must(t, err); number != i+1 {
			t.Fatalf("message %d has the number %d", i+1, number)
		}
		awaitReached(t, c, number, 5, 5)
	}
	if f := show(t, c); len(f.Messages) != mostMessages || f.Messages[0].Message != 4 {
		t.Errorf("%d messages are watched, the first is %d", len(f.Messages), f.Messages[0].Message)
	}
}

func TestRealSockets(t *testing.T) {
	o := quick(8)
	o.real, o.latency = true, 0
	c := start(t, o)
	number, err := c.send(3, "broadcast", anyNode)
	must(t, err)
	awaitReached(t, c, number, 8, 8)
	must(t, c.setLatency(20*time.Millisecond))
	number, err = c.send(3, "broadcast", anyNode)
	must(t, err)
	if m := awaitReached(t, c, number, 8, 8); m.All < 15 {
		t.Errorf("with a latency of 20 ms a message reached all after %v ms", m.All)
	}
	must(t, c.crash(4))
	awaitReached(t, c, number, 7, 7)
	_, err = c.restart(4)
	must(t, err)
	awaitReached(t, c, number, 8, 8)
}

func TestControlsRefuseWhatMakesNoSense(t *testing.T) {
	c := start(t, quick(3))
	must(t, c.crash(2))
	for _, x := range []struct {
		what string
		call func() error
	}{
		{"a message from a node that is not there", func() error { _, err := c.send(3, "broadcast", anyNode); return err }},
		{"a message from a node that is down", func() error { _, err := c.send(2, "broadcast", anyNode); return err }},
		{"a message to the node itself", func() error { _, err := c.send(1, "direct", 1); return err }},
		{"an unknown spread", func() error { _, err := c.send(1, "shout", anyNode); return err }},
		{"a crash of a node that is down", func() error { return c.crash(2) }},
		{"a share of 0 %", func() error { _, err := c.crashShare(0); return err }},
		{"a share of 101 %", func() error { _, err := c.crashShare(101); return err }},
		{"a restart of a node that runs", func() error { _, err := c.restart(1); return err }},
		{"a restart of a node that is not there", func() error { _, err := c.restart(-7); return err }},
		{"a negative loss", func() error { return c.setLoss(-1) }},
		{"a loss of everything", func() error { return c.setLoss(100) }},
		{"a negative latency", func() error { return c.setLatency(-1) }},
		{"a latency of a minute", func() error { return c.setLatency(time.Minute) }},
		{"a look at a node that is not there", func() error { _, err := c.details(3); return err }},
	} {
		if err := x.call(); !errors.Is(err, errRefused) {
			t.Errorf("%s is not refused: %v", x.what, err)
		}
	}
	crashed, err := c.crashShare(100)
	if must(t, err); crashed != 2 {
		t.Errorf("all that ran were %d", crashed)
	}
	if _, err := c.send(anyNode, "broadcast", anyNode); !errors.Is(err, errRefused) {
		t.Errorf("with no node up a message is not refused: %v", err)
	}
}

func TestANodeIsWokenWhenADatagramArrives(t *testing.T) {
	o := quick(1)
	o.latency, o.config = 30*time.Millisecond, slow()
	c := newCluster(o)
	defer c.close()
	n := c.nodes[0]
	must(t, c.begin(n))
	c.turn(n)
	peer, err := c.net.listen(netip.MustParseAddrPort("10.1.0.0:7070"), func(time.Duration) {})
	must(t, err)
	_, err = peer.WriteTo([]byte("not a message"), n.socket.LocalAddr())
	must(t, err)
	at := n.socket.next()
	if n.at > at || c.wakes[0] != n {
		t.Errorf("a datagram arrives at %v, and the node is to be woken at %v", at, n.at)
	}
	if c.turn(n); n.at > at && n.Stats().DatagramsIn == 0 {
		t.Errorf("after a turn before that it is to be woken at %v", n.at)
	}
	waitUntil(t, func() string { return "the node has read the datagram" }, func() bool {
		c.turn(n)
		return n.Stats().DatagramsIn == 1
	})
}
