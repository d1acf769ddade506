// Package cluster tests clusters of nodes on a simulated network, in virtual time.
//
// One goroutine does everything, and all randomness comes from a seed, so that a test gives
// the same datagrams in every run and on every machine.
package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// cluster is a cluster of nodes on a simulated network.
type cluster struct {
	t         testing.TB
	seed      uint64
	net       *simnet.Net
	nodes     []*simNode
	published int // by publish
}

// newCluster makes a cluster of n nodes, none of which has joined.
func newCluster(t testing.TB, n int, net simnet.Config, config node.Config) *cluster {
	t.Helper()
	c := &cluster{t: t, seed: net.Seed, net: simnet.New(net)}
	for i := range n {
		c.add(hostAddr(i), config)
	}
	return c
}

// hostAddr returns the address of the i-th node of a cluster.
func hostAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7070)
}

// otherAddr is an address that newCluster gives to no node.
var otherAddr = netip.MustParseAddrPort("10.1.0.0:7070")

// lan is a network with a latency of 5 to 15 ms and no faults.
func lan(seed uint64) simnet.Config {
	return simnet.Config{Seed: seed, LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond}
}

// rough is a network that loses, duplicates and reorders datagrams.
func rough(seed uint64) simnet.Config {
	c := lan(seed)
	c.Loss, c.Duplicate, c.Reorder, c.ReorderDelay = 0.2, 0.1, 0.2, 50*time.Millisecond
	return c
}

// heavy skips a long simulation under the race detector, which makes it ten times as long
// and has nothing to find: one goroutine does everything.
func heavy(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("a long simulation on one goroutine, which is run without the race detector")
	}
}

// add adds a node and starts it.
func (c *cluster) add(addr netip.AddrPort, config node.Config) *simNode {
	c.t.Helper()
	n := &simNode{c: c, addr: addr, config: config, got: map[string]int{}}
	c.nodes = append(c.nodes, n)
	n.start()
	return n
}

// listenAt opens an endpoint.
func (c *cluster) listenAt(addr netip.AddrPort) *simnet.Endpoint {
	c.t.Helper()
	end, err := c.net.Listen(addr)
	if err != nil {
		c.t.Fatalf("seed %d: %v", c.seed, err)
	}
	return end
}

// up returns the nodes that run.
func (c *cluster) up() []*simNode {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *simNode) bool { return n.down })
}

// form joins all nodes to the first and runs until they all know one another.
func (c *cluster) form() {
	c.t.Helper()
	c.nodes[0].join()
	for _, n := range c.nodes[1:] {
		n.join(c.nodes[0])
	}
	c.await(time.Minute, "all know all", c.complete)
}

// complete reports whether all nodes that run are CONNECTED and know one another.
func (c *cluster) complete() bool {
	up := c.up()
	for _, n := range up {
		if n.State() != node.Connected || n.Members() != len(up)-1 {
			return false
		}
	}
	return true
}

// await runs until cond holds, which it must within limit of virtual time, and returns how
// long it took. It looks every 10 ms.
func (c *cluster) await(limit time.Duration, what string, cond func() bool) time.Duration {
	c.t.Helper()
	start := c.net.Now()
	for !cond() {
		if c.net.Now()-start >= limit {
			c.t.Fatalf("seed %d: after %v it does not hold that %s\n%s", c.seed, limit, what, c.describe())
		}
		c.net.Run(10 * time.Millisecond)
	}
	return c.net.Now() - start
}

// describe shows the three nodes that know the fewest members.
func (c *cluster) describe() (s string) {
	up := c.up()
	slices.SortStableFunc(up, func(a, b *simNode) int { return cmp.Compare(a.Members(), b.Members()) })
	for _, n := range up[:min(3, len(up))] {
		s += fmt.Sprintf("%v is %v: %+v\n", n.addr, n.State(), n.Stats())
	}
	return s
}
