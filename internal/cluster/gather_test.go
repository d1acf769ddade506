package cluster

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// gather makes a cluster whose nodes know one another from the start, as after a long life, so
// that only the spreading of messages is measured.
func gather(t testing.TB, c spreadCase, seed uint64) *cluster {
	t.Helper()
	net := lan(seed)
	if c.wide {
		net.LatencyMin, net.LatencyMax = 10*time.Millisecond, 150*time.Millisecond
	}
	cluster := newCluster(t, c.nodes, net, c.config)
	for _, n := range cluster.nodes {
		n.join()
	}
	for _, n := range cluster.nodes {
		if c.partial {
			n.acquaintSome(cluster)
		} else {
			for _, m := range cluster.nodes {
				n.Acquaint(0, m.ID(), m.addr)
			}
		}
	}
	cluster.net.Run(4 * time.Second)
	cluster.net.SetLoss(c.loss)
	return cluster
}

// acquaintSome gives a node the members nearest to it and others at distances that grow by
// octaves, as a view selects them.
func (n *simNode) acquaintSome(c *cluster) {
	meet := func(m *simNode) { n.Acquaint(0, m.ID(), m.addr) }
	for range 12 * n.config.MaxMembers {
		meet(c.nodes[c.net.Rand().IntN(len(c.nodes))])
	}
	ring := slices.SortedFunc(slices.Values(c.nodes), func(a, b *simNode) int { return cmp.Compare(a.ID(), b.ID()) })
	i := slices.Index(ring, n)
	for d := 1; d <= 8; d++ {
		meet(ring[(i+d)%len(ring)])
		meet(ring[(i-d+len(ring))%len(ring)])
	}
}

// idler is a socket that sends everything but Data, and so passes nothing on.
type idler struct{ socket }

func (s idler) Send(b []byte, to netip.AddrPort) error {
	if h, _ := wire.ParseHeader(b); h.Type == wire.TypeData {
		return nil
	}
	return s.socket.Send(b, to)
}
