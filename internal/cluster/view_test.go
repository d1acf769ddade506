package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// crowded is a cluster of more nodes than a view holds, which join by one seed.
func crowded(t *testing.T, seed uint64, nodes, view int) *cluster {
	t.Helper()
	c := newCluster(t, nodes, lan(seed), node.Config{MaxMembers: view})
	c.nodes[0].join()
	for i, n := range c.nodes[1:] {
		n.join(c.nodes[0])
		if i%5 == 0 {
			c.net.Run(50 * time.Millisecond)
		}
	}
	return c
}

// allIn fails unless each node knows at least that many members and is known to another one.
func (c *cluster) allIn(least int) {
	c.t.Helper()
	known := map[uint64]bool{}
	for _, n := range c.nodes {
		for i := range n.Members() {
			known[n.Member(i).ID] = true
		}
	}
	for _, n := range c.nodes {
		if n.Members() < least {
			c.t.Fatalf("seed %d: of %d nodes %v knows only %d: %+v", c.seed, len(c.nodes), n.addr, n.Members(), n.Stats())
		}
		if !known[n.ID()] {
			c.t.Fatalf("seed %d: of %d nodes none knows %v: %+v", c.seed, len(c.nodes), n.addr, n.Stats())
		}
	}
}

// quickToAll fails unless a message of each of the nodes is everywhere within a second.
func (c *cluster) quickToAll(nodes ...*simNode) {
	c.t.Helper()
	for _, n := range nodes {
		c.awaitDeliveries(time.Second, map[string]*simNode{n.publish(): n})
	}
}

func TestViewsSmallerThanTheClusterAdmitAllNodes(t *testing.T) {
	heavy(t)
	t.Parallel()
	c := crowded(t, 1, 120, 24)
	c.net.Run(15 * time.Second)
	c.allIn(12)
	c.quickToAll(c.nodes[0], c.nodes[1], c.nodes[60], c.nodes[119])
	for i := range 20 { // all views are full when these join
		n := c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), 7070), node.Config{MaxMembers: 24})
		n.join(c.nodes[0])
		c.net.Run(100 * time.Millisecond)
	}
	c.net.Run(15 * time.Second)
	c.allIn(12)
	c.quickToAll(c.nodes[0], c.nodes[60], c.nodes[120], c.nodes[139])
	c.noDuplicates()
	c.net.Run(5 * time.Second)
	if idle := float64(c.datagrams(10*time.Second)) / 10 / float64(len(c.nodes)); idle > 7 {
		t.Errorf("seed %d: an idle node sends %.1f datagrams in a second; the bound is 7", c.seed, idle)
	}
}
