package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// compares watches a node, and returns whether it has sent a hash of what it has seen. While a
// node skips history it sends none.
func (n *simNode) compares() (seen func() bool) {
	any := false
	n.watch(func(m wiretest.Message) {
		any = any || m.Kind == wire.TypeStatus && m.Status.Mode == wire.Summary && m.Status.Mark != 0
	})
	return func() bool { return any }
}

func TestHistoryIsDeliveredToANewcomerUnlessItSkips(t *testing.T) {
	for _, skip := range []bool{false, true} {
		c := newCluster(t, 8, lan(21), node.Config{})
		c.form()
		for i := range 200 {
			c.nodes[i%8].publish()
			c.net.Run(5 * time.Millisecond)
		}
		c.net.Run(3 * time.Second)
		newcomer := c.add(otherAddr, node.Config{SkipHistory: skip})
		newcomer.join(c.nodes[3])
		c.net.Run(10 * time.Second)
		want := 200
		if skip {
			want = 0
		}
		if len(newcomer.got) != want {
			t.Fatalf("seed 21: with SkipHistory %v a newcomer got %d of 200 old messages instead of %d", skip, len(newcomer.got), want)
		}
		sent := map[string]*simNode{}
		for i := range 50 {
			sent[c.nodes[i%8].publish()] = c.nodes[i%8]
			c.net.Run(20 * time.Millisecond)
		}
		c.awaitDeliveries(5*time.Second, sent)
		if len(newcomer.got) != want+50 {
			t.Fatalf("seed 21: after 50 further messages it got %d instead of %d", len(newcomer.got), want+50)
		}
		c.noDuplicates()
	}
}

// A newcomer can tell how much it does not know of.
func TestHistoryThatNobodyRetainsIsCounted(t *testing.T) {
	for _, skip := range []bool{false, true} {
		c := newCluster(t, 8, lan(21), node.Config{DataLogSize: 16 << 10})
		c.form()
		for i := range 400 {
			c.nodes[i/50].publish() // the last ones speak last
			c.net.Run(5 * time.Millisecond)
		}
		c.net.Run(3 * time.Second)
		newcomer := c.add(otherAddr, node.Config{SkipHistory: skip})
		newcomer.join(c.nodes[3])
		c.net.Run(10 * time.Second)
		if s := newcomer.Stats(); s.HistoryMissed != uint64(400-len(newcomer.got)) || s.GaveUpUnseen != 0 || !skip && len(newcomer.got) == 0 {
			t.Fatalf("seed 21: with SkipHistory %v a newcomer got %d of 400 old messages, and says that it misses %d", skip, len(newcomer.got), s.HistoryMissed)
		}
		c.net.Run(time.Minute)
		if s := newcomer.Stats(); s.HistoryMissed != uint64(400-len(newcomer.got)) || s.GaveUpUnseen != 0 {
			t.Fatalf("seed 21: a minute later a newcomer with %d of 400 messages says that it misses %d, and %d for good", len(newcomer.got), s.HistoryMissed, s.GaveUpUnseen)
		}
	}
}

func TestHistoryOfManyOriginsIsSkippedPageByPage(t *testing.T) {
	c := newCluster(t, 60, lan(22), node.Config{})
	c.form()
	for _, n := range c.nodes {
		n.publish()
	}
	c.net.Run(5 * time.Second)
	newcomer := c.add(otherAddr, node.Config{SkipHistory: true})
	compares := newcomer.compares()
	newcomer.join(c.nodes[3])
	c.net.Run(20 * time.Second)
	if len(newcomer.got) > 0 {
		t.Fatalf("seed 22: a newcomer that skips history got %d old messages", len(newcomer.got))
	}
	if !compares() {
		t.Fatal("seed 22: after 20 s it still skips")
	}
	sent := map[string]*simNode{}
	for _, n := range c.nodes {
		sent[n.publish()] = n
	}
	c.awaitDeliveries(10*time.Second, sent)
}

// However late its seed answers, the messages published before that are history to a newcomer.
func TestHistoryIsSkippedBehindASeedThatAnswersLate(t *testing.T) {
	c := newCluster(t, 4, lan(24), node.Config{})
	c.form()
	for i := range 20 {
		c.nodes[i%4].publish()
		c.net.Run(50 * time.Millisecond)
	}
	newcomer := c.add(otherAddr, node.Config{SkipHistory: true})
	c.partition(4)
	newcomer.join(c.nodes[3])
	c.net.Run(time.Minute)
	c.net.Heal()
	c.await(20*time.Second, "the newcomer has skipped", newcomer.compares())
	c.net.Run(10 * time.Second)
	if len(newcomer.got) > 0 {
		t.Fatalf("seed 24: a newcomer whose seed answered after a minute got %d old messages", len(newcomer.got))
	}
	c.awaitDeliveries(5*time.Second, map[string]*simNode{c.nodes[1].publish(): c.nodes[1]})
}

// A node that left and joins again is a newcomer, though it knows the origins.
func TestHistoryIsSkippedByANodeThatLeftAndJoins(t *testing.T) {
	for seed := range uint64(10) {
		c := newCluster(t, 4, lan(seed), node.Config{})
		n := c.add(otherAddr, node.Config{SkipHistory: true, Ordered: seed%2 == 1})
		c.form()
		publish := func() {
			for i := range 20 {
				c.nodes[i%4].publish()
				c.net.Run(50 * time.Millisecond)
			}
			c.net.Run(time.Second)
		}
		c.net.Run(5 * time.Second)
		publish()
		n.leave()
		publish()
		n.join(c.nodes[1])
		c.await(20*time.Second, "the node has skipped", n.compares())
		publish()
		if len(n.got) != 40 {
			t.Fatalf("seed %d: of 20 messages before it left, 20 meanwhile and 20 after, a node got %d instead of 40", seed, len(n.got))
		}
		c.noDuplicates()
	}
}

// Newcomers that know nothing yet cannot tell what is history.
func TestHistoryIsSkippedAmongOtherNewcomers(t *testing.T) {
	for seed := range uint64(30) {
		c := newCluster(t, 4, lan(seed), node.Config{})
		c.form()
		for range 20 {
			c.nodes[c.net.Rand().IntN(4)].publishText("old")
		}
		c.net.Run(20 * time.Second)
		for i := range 12 {
			n := c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), 7070), node.Config{SkipHistory: i%4 == 0})
			n.join(c.nodes[i%3])
		}
		c.net.Run(40 * time.Second)
		text := c.nodes[1].publish()
		c.await(3*time.Second, "all have a new message", func() bool { return c.delivered(text, c.nodes[1]) })
		for i, n := range c.nodes[4:] {
			if old := n.got["old"]; old > 0 && i%4 == 0 || old == 0 && i%4 != 0 {
				t.Errorf("seed %d: newcomer %d, with SkipHistory %v, got %d old messages", seed, i, i%4 == 0, old)
			}
		}
	}
}
