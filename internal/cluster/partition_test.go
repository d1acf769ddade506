package cluster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// partition cuts the first n nodes off from the others.
func (c *cluster) partition(n int) {
	var a, b []netip.AddrPort
	for i, x := range c.nodes {
		if i < n {
			a = append(a, x.addr)
		} else {
			b = append(b, x.addr)
		}
	}
	c.net.Partition(a, b)
}

func TestPartitionOfAMinuteHealsWithin10Seconds(t *testing.T) {
	heavy(t)
	c := newCluster(t, 64, lan(3), node.Config{})
	c.form()
	c.partition(32)
	sent := map[string]*simNode{}
	for i := range 20 {
		n := c.nodes[i*3]
		sent[n.publish()] = n
		c.net.Run(3 * time.Second)
	}
	c.net.Heal()
	t.Logf("messages %v after", c.awaitDeliveries(10*time.Second, sent))
	t.Logf("views %v after", c.await(10*time.Second, "all know all again", c.complete))
	c.noDuplicates()
}

func TestPartitionOfOneNodeFor50SecondsHealsWithin5(t *testing.T) {
	for _, size := range []int{2, 5, 24} {
		c := newCluster(t, size, lan(uint64(size)), node.Config{})
		c.form()
		c.partition(1)
		c.net.Run(50 * time.Second)
		if members := c.nodes[1].Members(); members != size-2 {
			t.Fatalf("seed %d: after the cut a node of %d has %d members instead of %d", size, size, members, size-2)
		}
		c.net.Heal()
		t.Logf("%d nodes: %v", size, c.await(5*time.Second, "all know all again", c.complete))
	}
}

func TestPartitionOf256HealsForMessagesWithin750Milliseconds(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			c := gather(t, spreadCase{nodes: 256}, seed)
			c.partition(128)
			c.net.Run(time.Minute)
			sent := map[string]*simNode{}
			for range 20 {
				n := c.nodes[c.net.Rand().IntN(256)]
				sent[n.publish()] = n
				c.net.Run(50 * time.Millisecond)
			}
			c.net.Run(5 * time.Second)
			c.net.Heal()
			took := c.awaitDeliveries(10*time.Second, sent)
			t.Logf("the last message was delivered to the last node after %v", took)
			if took > 750*time.Millisecond {
				t.Errorf("seed %d: the last of 20 messages was delivered to the last node %v after the halves were joined", seed, took)
			}
		})
	}
}

// A node that is cut off has no peer to request missing messages from, so that this time does
// not count: after the partition they are repaired, not given up.
func TestPartitionGivesUpNothingThatWasMissingBefore(t *testing.T) {
	for seed := range uint64(10) {
		for _, ordered := range []bool{false, true} {
			c := newCluster(t, 2, lan(seed), node.Config{})
			n := c.add(otherAddr, node.Config{Ordered: ordered, OrderedWait: 20 * time.Second})
			c.form()
			c.partition(2)
			sent := map[string]*simNode{}
			for range 2 {
				sent[c.nodes[0].publish()] = c.nodes[0]
			}
			n.handleData(c.nodes[0].addr, wire.Data{Origin: c.nodes[0].ID(), Counter: 2, Payload: []byte("message 2")})
			c.net.Run(2 * time.Minute)
			c.net.Heal()
			c.awaitDeliveries(10*time.Second, sent)
			if lost := n.Stats().GaveUpUnseen; lost > 0 {
				t.Errorf("seed %d: with Ordered %v a node gave up %d messages that its peers retain", seed, ordered, lost)
			}
			c.noDuplicates()
		}
	}
}

// Two nodes of a cluster are left, and each knows only dead ones besides the other: it must
// probe all of them in turn, and soon enough the one that lives.
func TestPartitionHealsAmongManyDeadNodes(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		c := newCluster(t, 202, lan(seed), node.Config{})
		c.nodes[0].join()
		for _, n := range c.nodes[1:] {
			n.join(c.nodes[0])
		}
		c.net.Run(30 * time.Second)
		for _, n := range c.nodes[2:] {
			n.crash()
		}
		c.net.Run(2 * time.Minute)
		c.net.Partition([]netip.AddrPort{c.nodes[0].addr}, []netip.AddrPort{c.nodes[1].addr})
		c.net.Run(10 * time.Minute)
		c.net.Heal()
		c.await(15*time.Second, "both are CONNECTED with each other", c.complete)
	}
}

func TestPartitionOfAnHourHealsWithin15Seconds(t *testing.T) {
	heavy(t)
	for _, c := range []struct{ nodes, cut int }{{2, 1}, {4, 2}, {12, 1}, {12, 4}, {12, 6}} {
		for seed := range uint64(2) {
			x := gather(t, spreadCase{nodes: c.nodes}, seed)
			x.partition(c.cut)
			x.net.Run(time.Hour)
			x.net.Heal()
			t.Logf("%+v: %v", c, x.await(15*time.Second, "all know all again", x.complete))
		}
	}
}

// The lost are forgotten by then, the seeds never.
func TestPartitionOfAWeekHealsByTheSeeds(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c := newCluster(t, 4, lan(seed), node.Config{TickInterval: 10 * time.Second})
		c.form()
		c.partition(int(1 + seed))
		c.net.Run(7 * 24 * time.Hour)
		for _, n := range c.nodes {
			if lost := n.Stats().Lost; lost > 0 {
				t.Errorf("seed %d: after a week %v looks for %d members", seed, n.addr, lost)
			}
		}
		c.net.Heal()
		t.Log(c.await(2*time.Minute, "all know all again", c.complete))
	}
}
