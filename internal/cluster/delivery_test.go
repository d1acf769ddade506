package cluster

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

func TestDeliveryIsOnceToEachNodeOverARoughNetwork(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			if seed > 1 {
				heavy(t)
			}
			t.Parallel()
			c := newCluster(t, 64, rough(seed), node.Config{})
			c.form()
			sent := map[string]*simNode{}
			for i := range 100 {
				n := c.nodes[c.net.Rand().IntN(len(c.nodes))]
				spread := broadcast
				if i%4 == 0 {
					spread = random
				}
				sent[n.publish(spread)] = n
				c.net.Run(time.Duration(c.net.Rand().IntN(40)) * time.Millisecond)
			}
			c.awaitDeliveries(time.Minute, sent)
			c.net.Run(10 * time.Second)
			c.noDuplicates()
			c.await(5*time.Second, "all know all", c.complete)
		})
	}
}

func TestDeliveryEmptiesTheQueues(t *testing.T) {
	c := newCluster(t, 64, lan(7), node.Config{})
	c.form()
	sent := map[string]*simNode{}
	for range 100 {
		n := c.nodes[c.net.Rand().IntN(len(c.nodes))]
		sent[n.publish()] = n
		c.net.Run(5 * time.Millisecond)
	}
	c.awaitDeliveries(5*time.Second, sent)
	c.settle()
	for _, n := range c.nodes {
		if s := n.Stats(); s.GivenUp > 0 {
			t.Errorf("seed 7: on a network without loss node %v gave up %d messages", n.addr, s.GivenUp)
		}
	}
}

func TestDeliveryOf64MessagesIsFollowedBySilence(t *testing.T) {
	c := newCluster(t, 64, lan(11), node.Config{})
	c.form()
	c.net.Run(15 * time.Second)
	idle := c.datagrams(10 * time.Second)
	sent := map[string]*simNode{}
	for _, n := range c.nodes {
		sent[n.publish()] = n
	}
	c.awaitDeliveries(2*time.Second, sent)
	c.net.Run(2 * time.Second)
	after := c.datagrams(10 * time.Second)
	t.Logf("datagrams per node and second: %.2f before, %.2f after", float64(idle)/640, float64(after)/640)
	if after > 4*640 {
		t.Errorf("seed 11: 2 s after the last message each node sends %.2f datagrams a second; the bound is 4", float64(after)/640)
	}
	c.noDuplicates()
	for _, n := range c.nodes {
		if s := n.Stats(); s.Duplicate > 64 {
			t.Errorf("seed 11: of 64 messages %d further copies arrived at node %v", s.Duplicate, n.addr)
		}
	}
}

// Where there are many origins, a comparison of all of them takes many pages.
func TestDeliveryOfAMissedMessageSucceedsAmongThousandsOfOrigins(t *testing.T) {
	const origins = 2000
	for seed := range uint64(2) {
		c := newCluster(t, 3, lan(seed), node.Config{DataLogSize: 8 << 20})
		c.form()
		for i, n := range c.nodes {
			for o := range uint64(origins) {
				n.handleData(c.nodes[(i+1)%3].addr, wire.Data{Origin: (o + 1) * 0x9e3779b97f4a7c15, Counter: 1, Flags: wire.FlagPull})
			}
		}
		c.net.Run(10 * time.Second)
		sent := map[string]*simNode{}
		for range 4 {
			c.partition(2)
			missed := c.nodes[0].publish()
			sent[missed] = c.nodes[0]
			c.net.Run(1500 * time.Millisecond)
			c.net.Heal()
			c.net.Run(500 * time.Millisecond)
			sent[c.nodes[0].publish()] = c.nodes[0]
			c.await(30*time.Second, "the message that the others retain is delivered", func() bool { return c.nodes[2].got[missed] > 0 })
		}
		c.awaitDeliveries(10*time.Second, sent)
		if lost := c.nodes[2].Stats().GaveUpUnseen; lost > 0 {
			t.Errorf("seed %d: %d messages were given up though others retain them", seed, lost)
		}
	}
}

// The log of a busy node must not be full of single messages.
func TestDeliveryIsNotRecorded(t *testing.T) {
	t.Parallel()
	records := 0
	c := newCluster(t, 8, rough(1), node.Config{Records: true, Ordered: true})
	for _, n := range c.nodes {
		n.onRecord = func(node.Record) { records++ }
	}
	c.form()
	c.net.SetLoss(0)
	c.net.Run(10 * time.Second)
	changes := func() (sum uint64) {
		for _, n := range c.nodes {
			sum += n.Stats().MembersLost + n.Stats().MembersAgain
		}
		return sum
	}
	before, changed := records, changes()
	sent := map[string]*simNode{}
	c.traffic(2*time.Second, 10*time.Millisecond, sent, broadcast, random)
	c.awaitDeliveries(10*time.Second, sent)
	if records != before || changes() != changed || before == 0 {
		t.Errorf("seed 1: %d messages left %d records, and there were %d before", len(sent), records-before, before)
	}
}
