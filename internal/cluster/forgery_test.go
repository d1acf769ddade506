package cluster

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// forger is an address at which there is no node. Data from there is forged.
var forger = netip.MustParseAddrPort("203.0.113.9:999")

// One forged number must not move a node past the messages that it published just before.
func TestForgedOwnNumberCostsNoMessageInFlight(t *testing.T) {
	for seed := range uint64(5) {
		net := lan(seed)
		net.Loss = 0.3
		c := newCluster(t, 8, net, node.Config{})
		c.form()
		n := c.nodes[3]
		sent := map[string]*simNode{}
		for i := range 40 {
			if i == 20 {
				n.handleData(forger, wire.Data{Origin: n.ID(), Counter: uint32(n.Stats().Sent) + 2000})
			}
			sent[n.publish()] = n
			c.net.Run(time.Millisecond)
		}
		c.awaitDeliveries(time.Minute, sent)
	}
}

// A forger may use a node's first numbers before the node. The forged message must not be
// repaired at the node itself again and again.
func TestForgedFirstNumbersAreSkipped(t *testing.T) {
	c := newCluster(t, 8, lan(15), node.Config{})
	c.form()
	n := c.nodes[3]
	c.nodes[6].handleData(forger, wire.Data{Origin: n.ID(), Counter: 5, Payload: []byte("false")})
	c.net.Run(10 * time.Second)
	before := n.Stats().Duplicate
	c.net.Run(30 * time.Second)
	if again := n.Stats().Duplicate - before; again > 0 {
		t.Errorf("seed 15: a message that was forged in a node's name is repaired %d times more at the node itself", again)
	}
	sent := map[string]*simNode{}
	for range 10 {
		sent[n.publish()] = n
	}
	c.awaitDeliveries(5*time.Second, sent)
}

// A forger uses a member's next numbers. The messages of the member are delivered all the same.
func TestForgedNextNumbersSilenceNoMember(t *testing.T) {
	c := newCluster(t, 8, lan(14), node.Config{})
	c.form()
	n := c.nodes[3]
	sent := map[string]*simNode{n.publish(): n}
	c.awaitDeliveries(5*time.Second, sent)
	before := n.Stats().Duplicate
	c.nodes[6].handleData(forger, wire.Data{Origin: n.ID(), Counter: 30, Payload: []byte("false")})
	c.await(10*time.Second, "the forged message reaches the node itself", func() bool { return n.Stats().Duplicate > before })
	for range 40 {
		sent[n.publish()] = n
		c.net.Run(20 * time.Millisecond)
	}
	c.awaitDeliveries(10*time.Second, sent)
}

// A member forges the last number there is in the name of another one, again and again, and even
// with each new id. The others must hear all that the victim has accepted, and list it once.
func TestForgedNumberFarAheadSilencesNoMember(t *testing.T) {
	for name, x := range map[string]struct {
		before  int  // messages that the victim has published before
		follows bool // the forger uses each new id of the victim
		ordered bool
	}{
		"from the start": {}, "after messages": {before: 30}, "in order": {before: 30, ordered: true}, "again": {before: 30, follows: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 8, lan(21), node.Config{Records: true, Ordered: x.ordered})
			c.form()
			n, liar := c.nodes[3], c.nodes[6]
			warned := map[string]int{}
			n.onRecord = func(r node.Record) {
				if r.Level == slog.LevelWarn {
					warned[r.Message]++
				}
			}
			sent := map[string]*simNode{}
			for range x.before {
				sent[n.publish()] = n
				c.net.Run(20 * time.Millisecond)
			}
			old, start := n.ID(), c.net.Now()
			for i := 0; c.net.Now()-start < 14*time.Second; i++ {
				name := old
				if x.follows {
					name = n.ID()
				}
				if i%25 == 0 {
					for _, other := range c.nodes {
						if other != liar && other != n {
							other.handleData(liar.addr, wire.Data{Origin: name, Counter: 1<<32 - 1, Payload: []byte("false")})
						}
					}
					c.net.Run(100 * time.Millisecond)
				}
				c.published++
				text := fmt.Sprint("true ", c.published)
				if n.tryPublish([]byte(text)) == nil {
					sent[text] = n
				}
				c.net.Run(20 * time.Millisecond)
			}
			if len(sent) < x.before+50 {
				t.Fatalf("seed 21: the victim took only %d messages", len(sent))
			}
			c.awaitDeliveries(10*time.Second, sent)
			c.await(10*time.Second, "all know all", c.complete)
			for text := range sent {
				for _, other := range c.nodes {
					if other != n && other.got[text] != 1 {
						t.Fatalf("seed 21: %q was delivered to %v %d times", text, other.addr, other.got[text])
					}
				}
			}
			for _, other := range c.nodes {
				if m, ok := other.member(n.ID()); other != n && (!ok || m.Addr != n.addr || other.knows(old)) {
					t.Fatalf("seed 21: %v does not list the victim once, with its new id", other.addr)
				}
			}
			if s := n.Stats(); n.ID() == old || s.DropForged == 0 {
				t.Fatalf("seed 21: the victim counts %d forged messages, and its id is new: %v", s.DropForged, n.ID() != old)
			}
			for what, times := range warned {
				if times > 1 {
					t.Errorf("seed 21: in less than a minute it is recorded %d times that %s", times, what)
				}
			}
			if len(warned) != 1 {
				t.Errorf("seed 21: recorded is %v", warned)
			}
		})
	}
}

// What a stranger sends in the name of a member, to others or to the member itself, changes
// nothing there, whatever the numbers.
func TestForgedNumbersOfAStrangerSilenceNoMember(t *testing.T) {
	for _, step := range []uint32{1, 7, 64, 1000, 1 << 20, 1<<32 - 1} {
		for _, flags := range []uint8{0, wire.FlagDirect} {
			c := newCluster(t, 6, lan(uint64(step)), node.Config{})
			c.form()
			n, to := c.nodes[3], c.nodes[1]
			sent := map[string]*simNode{}
			directs := map[string]bool{}
			publish := func() {
				sent[n.publish()] = n
				directs[n.publish(direct(to))] = true
				c.net.Run(5 * time.Millisecond)
			}
			for range 70 { // beyond the lead of an unvalidated source
				publish()
			}
			c.net.Run(time.Second)
			old := n.ID()
			for i := range uint32(1000) {
				for _, x := range []*simNode{to, n} {
					x.handleData(forger, wire.Data{Origin: old, Counter: 70 + (i+1)*step, Flags: flags, Payload: []byte("false")})
				}
			}
			for range 300 {
				publish()
			}
			c.net.Run(3 * time.Second)
			lost := 0
			for text := range directs {
				if to.got[text] != 1 {
					lost++
				}
			}
			for text := range sent {
				if to.got[text] != 1 {
					lost++
				}
			}
			if most := unvalidatedLead; lost > most || flags == wire.FlagDirect && lost > 0 || n.ID() != old {
				t.Errorf("after 1000 forged numbers, %d apart, with flags %x, %d of 740 messages do not arrive; the id is new: %v", step, flags, lost, n.ID() != old)
			}
		}
	}
}

// unvalidatedLead is how far a stranger may run ahead of what members have sent.
const unvalidatedLead = 64
