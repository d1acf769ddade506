package cluster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// A node offers a new message a moment later. A node that left before that and joins again is a
// new node, which does not offer it.
func TestLeaveForgetsMessagesThatWereToBeOffered(t *testing.T) {
	for seed := range uint64(10) {
		c := newCluster(t, 4, lan(seed), node.Config{})
		c.form()
		c.net.Run(20 * time.Second)
		n := c.nodes[3]
		old := c.nodes[0].publish()
		c.net.RunWhile(time.Second, func() bool { return n.got[old] == 0 })
		n.leave()
		c.net.Run(time.Second)
		n.join(c.nodes[0])
		c.net.Run(20 * time.Second)
		offered := map[string]bool{}
		n.watch(func(m wiretest.Message) {
			if m.Kind != wire.TypeStatus || m.Status.Mode != wire.Offer {
				return
			}
			digest := m.Status.Digest
			for origin, _, runs, ok := digest.Next(nil); ok; origin, _, runs, ok = digest.Next(nil) {
				for _, r := range runs {
					offered[fmt.Sprintf("messages %d to %d of %x", r.First, r.Last, origin)] = true
				}
			}
		})
		c.nodes[1].publish()
		c.net.Run(time.Second)
		if len(offered) != 1 {
			t.Errorf("seed %d: a node that left and joined offers %v, though only one message is new", seed, offered)
		}
	}
}

// Some nodes miss the goodbye. Others tell them, and nobody brings the id back from hearsay.
func TestLeaveIsKnownEverywhereAndForGood(t *testing.T) {
	heavy(t)
	for seed, loss := range []float64{0.02, 0.02, 0.1, 0.2} {
		c := gather(t, spreadCase{nodes: 100 + 30*seed, loss: loss}, uint64(seed))
		n := c.nodes[7]
		id := n.ID()
		n.leave()
		n.turn()
		n.crash()
		c.await(time.Minute, "nobody lists a node that said goodbye", func() bool { return c.listed(map[uint64]bool{id: true}) == 0 })
		for range 30 {
			c.net.Run(10 * time.Second)
			if listed := c.listed(map[uint64]bool{id: true}); listed > 0 {
				t.Fatalf("seed %d: at %v %d nodes list a node again that said goodbye", seed, c.net.Now(), listed)
			}
		}
		for _, m := range c.up() {
			if s := m.Stats(); loss < 0.1 && (s.MembersLost > 0 || s.Lost > 0) {
				t.Errorf("seed %d: %v takes a goodbye for %d losses, and looks for %d", seed, m.addr, s.MembersLost, s.Lost)
			}
		}
	}
}

// toOne counts the Hellos that nodes send to an address, and the bytes with their headers, and
// what else they send there.
type toOne struct {
	hellos, bytes, others int
	by                    map[netip.AddrPort]int
}

func (c *cluster) countTo(addr netip.AddrPort) *toOne {
	y := &toOne{by: map[netip.AddrPort]int{}}
	c.net.SetTap(func(e simnet.Event) {
		if e.Kind != simnet.Sent || e.To != addr {
			return
		}
		y.bytes += len(e.Payload) + 28
		if h, _ := wire.ParseHeader(e.Payload); h.Type == wire.TypeHello {
			y.hellos++
			y.by[e.From]++
		} else {
			y.others++
		}
	})
	return y
}

// A member says again and again that each of the others left, and that it is lost.
func TestLeaveInAnothersNameRemovesNobody(t *testing.T) {
	c := gather(t, spreadCase{nodes: 32, loss: 0.02}, 1)
	liar, victim := c.nodes[5], c.nodes[9]
	toVictim := c.countTo(victim.addr)
	const rounds = 60
	for range rounds {
		for _, n := range c.nodes {
			for _, m := range c.nodes {
				if n == liar || m == liar || n == m {
					continue
				}
				list := wire.WriteList(nil, wire.Lost)
				list.Add(wire.Member{ID: m.ID(), Addr: m.addr}, 1<<10)
				n.handle(liar.addr, append(wire.Header{Type: wire.TypeMemberList, Seq: 5}.AppendTo(nil), list.Body()...))
				n.handle(liar.addr, append(wire.Header{Type: wire.TypeLeave, Seq: 6}.AppendTo(nil), wire.AppendLeave(nil, m.ID())...))
			}
		}
		c.net.Run(time.Second)
	}
	if !c.complete() {
		t.Errorf("seed 1: a liar removed members\n%s", c.describe())
	}
	for _, n := range c.nodes {
		if lost := n.Stats().MembersLost; lost > 0 {
			t.Errorf("seed 1: %v lost %d members to a liar", n.addr, lost)
		}
	}
	if most := 31 * rounds / 4; toVictim.hellos > most {
		t.Errorf("seed 1: in %d s the nodes asked the victim of a liar %d times; the bound is %d", rounds, toVictim.hellos, most)
	}
}
