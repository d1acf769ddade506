package gossip

import (
	"fmt"
	"testing"
	"time"
)

// One node after another is restarted, while all talk through a network that loses,
// reorders and duplicates. Nothing leaves a log or a window, so each life of a node gets
// every message, once: also what was said before it, or while nobody was there.
func TestSimRollingRestartsThroughARoughNetworkLoseNothing(t *testing.T) {
	heavy(t)
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			c := newSimCluster(t, 32, rough(seed), Config{})
			c.form()
			said := map[string]*simNode{}
			for i := range c.nodes {
				n, seedNode := c.nodes[i], c.nodes[(i+1)%32]
				c.traffic(time.Second, 100*time.Millisecond, said, Broadcast, Random)
				c.await(time.Minute, "others have what the node said", func() bool { return n.outlived(said) })
				n.crash()
				c.noDuplicates()
				clear(n.got)
				for text, from := range said {
					if from == n {
						said[text] = nil // its next life is to get it too
					}
				}
				c.traffic(time.Second, 100*time.Millisecond, said, Broadcast, Random)
				n.restart(seedNode)
				c.traffic(time.Second, 100*time.Millisecond, said, Broadcast, Random)
			}
			c.everybodyGot(2*time.Minute, said)
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

// outlived reports whether what a node said is at some other node, so that it does not
// end with it.
func (n *simNode) outlived(said map[string]*simNode) bool {
	for text, from := range said {
		heard := from != n
		for _, x := range n.c.up() {
			heard = heard || x.got[text] > 0
		}
		if !heard {
			return false
		}
	}
	return true
}
