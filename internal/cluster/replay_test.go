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
	var nodes []uint64
	for _, n := range c.nodes {
		nodes = append(nodes, n.ID())
	}
	for _, d := range all {
		messages, ok := wiretest.Open(key, slices.Clone(d.b), nil, nodes...)
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

// A cluster is recorded, and what was recorded is sent to nodes that have the key but are
// others: later lives of the same nodes, and nodes of other clusters. Nothing opens there but
// first contacts, of which a Hello gets a Welcome and nothing else.
func TestReplayOpensNothingInAnotherLife(t *testing.T) {
	t.Parallel()
	keyed := node.Config{Keys: [][]byte{testKey('k')}, Cluster: "one"}
	again := func(c *cluster, n *simNode) {
		n.crash()
		n.restart(c.nodes[(slices.Index(c.nodes, n)+1)%len(c.nodes)])
	}
	for name, later := range map[string]func(*cluster) []*simNode{
		"a rolling restart": func(c *cluster) []*simNode {
			for _, n := range c.nodes {
				again(c, n)
				c.await(10*time.Second, "the next life is a member", c.complete)
			}
			return c.nodes
		},
		"a restart of all": func(c *cluster) []*simNode {
			for _, n := range c.nodes {
				n.crash()
			}
			for _, n := range c.nodes {
				n.start()
			}
			c.form()
			return c.nodes
		},
		"Leave and Join": func(c *cluster) []*simNode {
			for i, n := range c.nodes {
				n.leave()
				n.join(c.nodes[(i+1)%len(c.nodes)])
				c.await(10*time.Second, "the next life is a member", c.complete)
			}
			return c.nodes
		},
		"another node": func(c *cluster) []*simNode {
			n := c.add(otherAddr, keyed)
			n.join(c.nodes[0])
			c.await(10*time.Second, "it is a member", c.complete)
			return []*simNode{n}
		},
		"another cluster of the same name": func(*cluster) []*simNode {
			other := newCluster(t, 4, lan(77), keyed)
			other.form()
			return other.nodes
		},
		"a cluster of another name": func(*cluster) []*simNode {
			other := newCluster(t, 4, lan(78), node.Config{Keys: keyed.Keys, Cluster: "two"})
			other.form()
			return other.nodes
		},
	} {
		c := newCluster(t, 5, lan(3), keyed)
		var all []recorded
		c.net.SetTap(func(e simnet.Event) {
			if e.Kind == simnet.Sent {
				all = append(all, recorded{e.From, e.To, slices.Clone(e.Payload)})
			}
		})
		c.form()
		for i := range 20 {
			c.nodes[i%5].publish(broadcast)
			c.nodes[i%5].publish(direct(c.nodes[(i+2)%5]))
			c.net.Run(50 * time.Millisecond)
		}
		c.net.Run(20 * time.Second)
		c.net.SetTap(nil)
		for _, n := range later(c) {
			n.c.net.Run(20 * time.Second)
			replayElsewhere(t, name, n, all)
		}
	}
}

// replayElsewhere sends recorded datagrams to a node, from an address that it does not know.
func replayElsewhere(t *testing.T, when string, n *simNode, all []recorded) {
	t.Helper()
	answers, hellos, contacts := 0, 0, 0
	key := keyring(t, 'k')
	n.c.net.SetTap(func(e simnet.Event) {
		if e.Kind == simnet.Sent && e.From == n.addr && e.To == forger {
			answers++
		}
	})
	for _, d := range all {
		if h, _ := wire.ParseHeader(d.b); wire.Binding(h.Seq) == wire.ToAny {
			contacts++
			if messages, ok := wiretest.Open(key, slices.Clone(d.b), []byte("one")); ok {
				if first, _ := wire.ParseHeader(messages); first.Type == wire.TypeHello {
					hellos++
				}
			}
		}
		before := n.Stats()
		n.handle(forger, slices.Clone(d.b))
		after := n.Stats()
		opened := after.DropSealed == before.DropSealed && after.DropTag == before.DropTag
		if h, _ := wire.ParseHeader(d.b); opened && wire.Binding(h.Seq) != wire.ToAny {
			t.Fatalf("seed %d: after %s a datagram for another life opens at %v", n.c.seed, when, n.addr)
		}
		if after.Delivered > before.Delivered || after.Members != before.Members {
			t.Fatalf("seed %d: after %s a recorded datagram changes %v: %+v", n.c.seed, when, n.addr, after)
		}
	}
	n.c.net.Run(10 * time.Second)
	n.c.net.SetTap(nil)
	if hellos == 0 || hellos == contacts || contacts == len(all) || answers > hellos {
		t.Fatalf("seed %d: after %s %d datagrams, of which %d are Hellos and %d first contacts, cause %d answers of %v", n.c.seed, when, len(all), hellos, contacts, answers, n.addr)
	}
}
