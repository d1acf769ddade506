package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// virtual is an address behind which there are many nodes, as that of a service in Kubernetes.
type virtual struct {
	c     *cluster
	addr  netip.AddrPort
	end   *simnet.Endpoint
	idle  time.Duration // after that pause a flow may lead to another node; 0: each datagram may
	nat   bool          // what a node sends to the source of a flow seems to come from addr
	flows map[netip.AddrPort]*flow
}

// flow is where the datagrams of a source are led, and when one last came.
type flow struct {
	to *simNode
	at time.Duration
}

// virtualAddr makes a virtual address of all nodes.
func (c *cluster) virtualAddr(idle time.Duration, nat bool) *virtual {
	addr := netip.MustParseAddrPort("10.96.0.10:7070")
	v := &virtual{c: c, addr: addr, end: c.listenAt(addr), idle: idle, nat: nat, flows: map[netip.AddrPort]*flow{}}
	b := make([]byte, 1<<10)
	v.end.OnReadable(func() {
		for length, from, err := v.end.Receive(b, 0); err == nil; length, from, err = v.end.Receive(b, 0) {
			f := v.flows[from]
			if f == nil || c.net.Now()-f.at >= v.idle {
				f = &flow{to: c.nodes[c.net.Rand().IntN(len(c.nodes))]}
				v.flows[from] = f
			}
			f.at = c.net.Now()
			if !f.to.down {
				f.to.handle(from, b[:length])
			}
		}
	})
	for _, n := range c.nodes {
		n.socket = translated{n.socket, v, n}
	}
	return v
}

// translated is the socket of a node behind a virtual address.
type translated struct {
	socket
	v *virtual
	n *simNode
}

func (s translated) Send(b []byte, to netip.AddrPort) error {
	if f := s.v.flows[to]; s.v.nat && f != nil && f.to == s.n && s.v.c.net.Now()-f.at < max(s.v.idle, time.Second) {
		return s.v.end.Send(b, to)
	}
	return s.socket.Send(b, to)
}

// All nodes start at once, with one seed that leads each to a random one: maybe to itself, maybe
// to one with which it forms an island.
func TestSeedThatIsAVirtualAddressUnitesAllIslands(t *testing.T) {
	heavy(t)
	for _, way := range []struct {
		idle  time.Duration
		nat   bool
		limit time.Duration
	}{
		{0, false, 3 * time.Minute},
		{0, true, 3 * time.Minute},
		{30 * time.Second, false, 5 * time.Minute},
		{2 * time.Minute, false, 30 * time.Minute},
	} {
		slowest := time.Duration(0)
		for seed := range uint64(40) {
			c := newCluster(t, 12, lan(seed), node.Config{})
			v := c.virtualAddr(way.idle, way.nat)
			for _, n := range c.nodes {
				n.joinAt(v.addr)
			}
			slowest = max(slowest, c.await(way.limit, "all know all", c.complete))
		}
		t.Logf("flows of %v, translated %v: %v", way.idle, way.nat, slowest)
	}
}
