package cluster

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/node"
)

func TestRestartAtTheSameAddressReplacesTheOldNode(t *testing.T) {
	c := newCluster(t, 8, lan(17), node.Config{})
	c.form()
	n := c.nodes[5]
	old := n.ID()
	n.crash()
	n.restart(c.nodes[0])
	text := n.publish() // before it is a member
	c.await(5*time.Second, "no node lists the old life", func() bool {
		for _, x := range c.nodes {
			if x.knows(old) {
				return false
			}
		}
		return c.complete()
	})
	c.awaitDeliveries(5*time.Second, map[string]*simNode{text: n})
}

// One node after another is restarted, while all publish over a network that loses, reorders
// and duplicates. No log and no window is exceeded, so that each life of a node gets every
// message once, those published before it or between two lives included.
func TestRestartOfAllNodesInTurnLosesNothingOverARoughNetwork(t *testing.T) {
	heavy(t)
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 32, rough(seed), node.Config{})
			c.form()
			sent := map[string]*simNode{}
			for i := range c.nodes {
				n, seedNode := c.nodes[i], c.nodes[(i+1)%32]
				c.traffic(time.Second, 100*time.Millisecond, sent, broadcast, random)
				c.await(time.Minute, "others have the messages of the node", func() bool { return n.outlived(sent) })
				n.crash()
				c.noDuplicates()
				clear(n.got)
				for text, publisher := range sent {
					if publisher == n {
						sent[text] = nil // its next life is to get it too
					}
				}
				c.traffic(time.Second, 100*time.Millisecond, sent, broadcast, random)
				n.restart(seedNode)
				c.traffic(time.Second, 100*time.Millisecond, sent, broadcast, random)
			}
			c.awaitDeliveries(2*time.Minute, sent)
			c.net.Run(10 * time.Second)
			c.noDuplicates()
			for _, n := range c.nodes {
				if s := n.Stats(); s.GaveUpUnseen+s.Evicted > 0 {
					t.Errorf("seed %d: %v gave up %d messages, and %d left its log", seed, n.addr, s.GaveUpUnseen, s.Evicted)
				}
			}
			c.await(time.Minute, "all know all", c.complete)
		})
	}
}

// outlived reports whether each message of a node is at some other node, so that it survives
// the node's end.
func (n *simNode) outlived(sent map[string]*simNode) bool {
	for text, publisher := range sent {
		elsewhere := publisher != n
		for _, x := range n.c.up() {
			elsewhere = elsewhere || x.got[text] > 0
		}
		if !elsewhere {
			return false
		}
	}
	return true
}

// newLife is crash and restart. The randomness of a node, and with it the ids, would repeat
// every 256 lives.
func (n *simNode) newLife(seed *simNode) {
	n.c.t.Helper()
	n.crash()
	clear(n.got)
	own := n.c.seed
	n.c.seed += n.life >> 8 << 32
	n.restart(seed)
	n.c.seed = own
}

// A node lives a thousand times at one address. Each life is delivered a message and has one
// delivered, and the state of the others stays bounded.
func TestRestartAThousandTimesGrowsNothing(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c := newCluster(t, 5, lan(seed), node.Config{DataLogSize: 64 << 10})
		c.form()
		n, others := c.nodes[4], c.nodes[:4]
		for life := range 1000 {
			n.newLife(others[life%4])
			other := others[c.net.Rand().IntN(4)]
			c.awaitDeliveries(time.Minute, map[string]*simNode{n.publish(): n, other.publish(): other})
			for _, x := range others {
				s := x.Stats()
				if s.Members > 4 || s.Lost > 4 || s.Origins > life+6 ||
					s.RetainedBytes > x.config.DataLogSize || s.Retained > s.RetainedBytes/datalog.Overhead ||
					s.QueuedControl+s.AcksPending > 100 {
					t.Fatalf("seed %d: after %d lives at one address %v has grown: %+v", seed, life+1, x.addr, s)
				}
				if s.DropOrigin > 0 {
					t.Fatalf("seed %d: %v had no room for life %d at one address: %+v", seed, x.addr, life+1, s)
				}
			}
		}
		c.await(time.Minute, "all know all", c.complete)
		c.settle()
		c.noDuplicates()
	}
}

// A node that joins is given as much history as its log holds, and its own first message must
// not be evicted before it has been spread.
func TestRestartSpreadsTheFirstMessageDespiteTheHistory(t *testing.T) {
	heavy(t)
	t.Parallel()
	lost := 0
	for seed := range uint64(150) {
		c := newCluster(t, 5, lan(seed), node.Config{DataLogSize: 16 << 10})
		c.form()
		for range 100 { // 69 fill the log
			c.nodes[c.net.Rand().IntN(4)].publish()
			c.net.Run(5 * time.Millisecond)
		}
		c.net.Run(3 * time.Second)
		n := c.nodes[4]
		n.crash()
		clear(n.got)
		n.restart(c.nodes[0])
		text := n.publish()
		c.net.Run(20 * time.Second)
		if !c.delivered(text, n) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of the first messages of 150 new lives, on a network without loss, %d did not reach all nodes", lost)
	}
}

// With a TickInterval of a minute, repair would take longer than the 2 s that are allowed.
func TestRestartSpreadsTheFirstMessageWithoutRepair(t *testing.T) {
	heavy(t)
	t.Parallel()
	late := ""
	for seed := range uint64(200) {
		c := newCluster(t, 5, lan(seed), node.Config{TickInterval: time.Minute})
		c.form()
		n, others := c.nodes[4], c.nodes[:4]
		for life := range 50 {
			n.newLife(others[life%4])
			c.await(time.Second, "a new life is CONNECTED", func() bool { return n.State() == node.Connected })
			text := n.publish()
			start := c.net.Now()
			c.await(10*time.Minute, "a message of a new life is delivered everywhere", func() bool { return c.delivered(text, n) })
			if took := c.net.Now() - start; took > 2*time.Second {
				late += fmt.Sprintf(" %v (seed %d, life %d)", took, seed, life+2)
			}
		}
	}
	if late != "" {
		t.Errorf("without loss messages of new lives take%s", late)
	}
}

// At first the others take the new life for the old one.
func TestRestartIsFoundByDirectMessages(t *testing.T) {
	givenUp := 0
	for seed := range uint64(10) {
		c := newCluster(t, 4, lan(seed), node.Config{})
		c.form()
		c.net.Run(20 * time.Second)
		c.nodes[3].crash()
		c.nodes[3].restart(c.nodes[0])
		c.net.Run(15 * time.Millisecond) // the others have received nothing of it yet
		text := c.nodes[1].publish(direct(c.nodes[3]))
		c.net.Run(10 * time.Second)
		if c.nodes[3].got[text] != 1 && c.nodes[1].Stats().GivenUp == 0 {
			t.Fatalf("seed %d: a Direct message to a node that was just restarted arrived %d times, and is not counted as given up", seed, c.nodes[3].got[text])
		}
		givenUp += 1 - c.nodes[3].got[text]
	}
	if givenUp > 3 { // it may take longer to join than a message is tried
		t.Errorf("of 10 Direct messages to nodes that were just restarted %d were given up", givenUp)
	}
}
