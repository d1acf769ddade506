package cluster

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// recorded is a datagram as an attacker on the way has recorded it.
type recorded struct {
	from, to netip.AddrPort
	b        []byte
}

// record lets a cluster do everything that makes it send datagrams. It returns them, the node
// that left, and the recipient of each Direct message.
func record(c *cluster) (all []recorded, gone *simNode, recipients map[string]*simNode) {
	c.t.Helper()
	c.net.SetTap(func(e simnet.Event) {
		if e.Kind == simnet.Sent {
			all = append(all, recorded{e.From, e.To, slices.Clone(e.Payload)})
		}
	})
	c.form()
	recipients = map[string]*simNode{}
	for i := range 24 {
		n, to := c.nodes[i%8], c.nodes[(i+3)%8]
		n.publish(broadcast)
		n.publish(random)
		recipients[n.publish(direct(to))] = to
		c.net.Run(100 * time.Millisecond)
		c.net.SetLoss([]float64{0, 0.3}[i/8%2]) // some messages must be repaired
	}
	c.net.SetLoss(0)
	c.net.Run(10 * time.Second)
	gone = c.nodes[7]
	gone.leave()
	c.net.Run(time.Second)
	gone.crash()
	c.net.Run(10 * time.Second)
	c.net.SetTap(nil)
	return all, gone, recipients
}

// All recorded datagrams, with every type of message, are sent to every node, from their
// source and from elsewhere, at once, a minute later and two hours later.
func TestReplayChangesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 8, lan(1), node.Config{Keys: [][]byte{testKey('k')}})
	all, gone, recipients := record(c)
	kinds, key := map[wire.Type]bool{}, keyring(t, 'k')
	for _, d := range all {
		messages, ok := key.Open(slices.Clone(d.b[wire.HeaderSize:]), d.b[:wire.HeaderSize])
		if !ok {
			t.Fatal("seed 1: a recorded datagram cannot be opened")
		}
		read, err := wiretest.Read(messages, d.to, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read {
			kinds[m.Kind] = true
		}
	}
	if len(kinds) != int(wire.TypeSealed)-1 {
		t.Fatalf("seed 1: only %v were recorded", kinds)
	}
	up := c.up()
	elsewhere := netip.MustParseAddrPort("10.9.9.9:999")
	for _, pause := range []time.Duration{0, time.Minute, 2 * time.Hour} {
		c.net.Run(pause)
		for i, d := range all {
			for _, n := range up {
				n.handle(d.from, slices.Clone(d.b))
				n.handle(elsewhere, slices.Clone(d.b))
			}
			if i%50 == 0 {
				c.net.Run(time.Millisecond)
			}
		}
		c.net.Run(90 * time.Second)
		c.noDuplicates()
		for _, n := range up {
			for text, to := range recipients {
				if n != to && n.got[text] > 0 {
					t.Fatalf("seed 1: %v later %q, which is for %v only, was delivered to %v", pause, text, to.addr, n.addr)
				}
			}
			if n.State() != node.Connected || n.Members() != len(up)-1 || n.knows(gone.ID()) {
				t.Fatalf("seed 1: %v later node %v is %v with %d members, the one that left among them: %v; %+v",
					pause, n.addr, n.State(), n.Members(), n.knows(gone.ID()), n.Stats())
			}
		}
		text := up[0].publish()
		c.await(time.Second, "the next message is everywhere", func() bool { return c.delivered(text, up[0]) })
	}
}
