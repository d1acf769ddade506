package cluster

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// silence makes all nodes know of origins that sent one message each, long ago.
func (c *cluster) silence(origins int) {
	for i := range origins {
		for j, n := range c.nodes {
			by := c.nodes[(i+j+1)%len(c.nodes)]
			if by == n {
				by = c.nodes[(j+1)%len(c.nodes)]
			}
			n.handleData(by.addr, wire.Data{Origin: uint64(i+1) * 0x9e3779b97f4a7c15, Counter: 1, Flags: wire.FlagPull})
		}
		if i%50 == 49 {
			c.net.Run(20 * time.Millisecond)
		}
	}
	c.net.Run(10 * time.Second)
	for _, n := range c.nodes {
		clear(n.got)
	}
}

// However many origins were silent, a node that was away has at once what was sent meanwhile.
func TestNodeThatWasAwayIsWholeSoonWithManySilentOrigins(t *testing.T) {
	heavy(t)
	for _, silent := range []int{4000, 8100} {
		t.Run(fmt.Sprint(silent), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 8, lan(31), node.Config{DataLogSize: 1 << 20})
			c.form()
			for _, n := range c.nodes {
				n.publish()
			}
			c.net.Run(time.Second)
			c.silence(silent)
			away := c.nodes[0]
			c.partition(1)
			sent := map[string]*simNode{}
			for i := range 1200 {
				n := c.nodes[1+i%7]
				sent[n.publish()] = n
				c.net.Run(50 * time.Millisecond)
			}
			c.net.Heal()
			took := c.await(2*time.Second, "the node has all that was sent while it was away", func() bool {
				for text := range sent {
					if away.got[text] == 0 {
						return false
					}
				}
				return true
			})
			t.Logf("it was whole after %v", took)
		})
	}
}
