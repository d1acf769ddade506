package cluster

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/node"
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
