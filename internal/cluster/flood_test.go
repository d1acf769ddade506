package cluster

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// message returns a message of a kind as a datagram.
func message(kind wire.Type, body []byte) []byte {
	return append(wire.Header{Type: kind, Seq: 1}.AppendTo(nil), body...)
}

// underFlood publishes messages while a node handles 10,000 datagrams a second besides, and returns
// the 99th percentile of the time that messages take to it.
func (c *cluster) underFlood(n *simNode, flood func(i int) (from netip.AddrPort, datagram []byte)) time.Duration {
	c.t.Helper()
	var took []time.Duration
	sent := map[string]*simNode{}
	for i := range 100 {
		by := c.nodes[(i+1)%len(c.nodes)]
		if by == n {
			continue
		}
		start, text := c.net.Now(), by.publish()
		sent[text] = by
		for ms := 0; ms < 20 || n.got[text] == 0; ms++ {
			if ms > 5000 {
				c.t.Fatalf("seed %d: a message did not arrive in 5 s: %+v", c.seed, n.Stats())
			}
			for j := range 10 {
				if flood != nil {
					from, b := flood(10*(20*i+ms) + j)
					n.Handle(n.now(), from, b)
				}
			}
			n.drain()
			n.wakeAt(c.net.Now())
			if c.net.Run(time.Millisecond); n.got[text] > 0 && len(took) <= i {
				took = append(took, c.net.Now()-start)
			}
		}
	}
	c.awaitDeliveries(5*time.Second, sent)
	slices.Sort(took)
	return took[len(took)*99/100]
}

// Whatever is sent to one of 16 nodes, as fast as it goes, no message is missing anywhere, and those
// to the node are not much later.
func TestFloodOfOneNodeDelaysLittle(t *testing.T) {
	heavy(t)
	for _, f := range []struct {
		what string
		next func(c *cluster, i int) (from netip.AddrPort, datagram []byte)
	}{
		{"Hellos of strangers", func(c *cluster, i int) (netip.AddrPort, []byte) {
			m := wire.Hello{Version: wire.Version, From: wire.Member{ID: uint64(i) + 1<<40}}
			return netip.AddrPortFrom(forger.Addr(), uint16(i)|1), message(wire.TypeHello, m.AppendTo(nil))
		}},
		{"new origins of a stranger", func(c *cluster, i int) (netip.AddrPort, []byte) {
			d := wire.Data{Origin: uint64(i)*0x9e3779b97f4a7c15 | 1, Counter: 1, Flags: wire.FlagPull}
			return forger, message(wire.TypeData, d.AppendTo(nil))
		}},
		{"hashes of a member", func(c *cluster, i int) (netip.AddrPort, []byte) {
			return c.nodes[7].addr, message(wire.TypeStatus, wire.Status{Mode: wire.Summary, Mark: uint64(i)}.AppendTo(nil))
		}},
		{"requests of a member", func(c *cluster, i int) (netip.AddrPort, []byte) {
			m := wire.Status{Mode: wire.Request}
			for _, n := range c.nodes {
				m.Digest.Add(n.ID(), 0, []wire.Run{{First: 1, Last: 60000}}, 480)
			}
			return c.nodes[7].addr, message(wire.TypeStatus, m.AppendTo(nil))
		}},
	} {
		t.Run(f.what, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 16, lan(41), node.Config{})
			c.form()
			c.net.Run(5 * time.Second)
			n := c.nodes[3]
			quiet := c.underFlood(n, nil)
			flooded := c.underFlood(n, func(i int) (netip.AddrPort, []byte) { return f.next(c, i) })
			if flooded > 10*quiet {
				t.Errorf("seed 41: 99 %% of the messages are at the node within %v, and within %v in a flood", quiet, flooded)
			}
		})
	}
}
