package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// deliveries returns the texts that will be delivered to a node, in this order.
func (n *simNode) deliveries() *[]string {
	var got []string
	n.onDeliver = func(_ uint64, payload []byte) { got = append(got, string(payload)) }
	return &got
}

func TestOrderOfEachOriginIsKeptOverARoughNetwork(t *testing.T) {
	heavy(t)
	for seed := range uint64(5) {
		c := newCluster(t, 16, rough(seed), node.Config{Ordered: true})
		c.form()
		got := c.nodes[9].deliveries()
		for i := range 300 {
			for k := range 2 {
				c.nodes[k].publishText(fmt.Sprintf("%c %03d", 'a'+k, i))
			}
			c.net.Run(4 * time.Millisecond)
		}
		c.await(time.Minute, "all messages are delivered to the node", func() bool { return len(*got) == 600 })
		for k := range 2 {
			mine := slices.DeleteFunc(slices.Clone(*got), func(s string) bool { return !strings.HasPrefix(s, string(rune('a'+k))) })
			if !slices.IsSorted(mine) || len(mine) != 300 {
				t.Fatalf("seed %d: the messages of origin %d were delivered as %v", seed, k, mine)
			}
		}
		c.noDuplicates()
	}
}

// A message that arrives in its turn need not wait, and so need not fit in the log, whose size
// says only how much is retained for others.
func TestOrderIsKeptByANodeThatRetainsNothing(t *testing.T) {
	c := newCluster(t, 3, lan(23), node.Config{MaxMessageSize: 1400})
	n := c.add(otherAddr, node.Config{MaxMessageSize: 1400, Ordered: true, DataLogSize: 1})
	c.form()
	got := n.deliveries()
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("%0*d", 1000-10*i, i))
		c.nodes[0].publishText(want[i])
		c.net.Run(time.Second)
	}
	if s := n.Stats(); !slices.Equal(*got, want) || s.GaveUpUnseen != 0 {
		t.Fatalf("seed 23: a node that retains nothing got %d of 10 messages and gave up %d", len(*got), s.GaveUpUnseen)
	}
}

// Messages that wait for their turn are not evicted by those of other origins: a burst of all nodes
// at once that is larger than the log loses nothing.
func TestBurstOfAllNodesIsDeliveredInOrder(t *testing.T) {
	heavy(t)
	for _, x := range []struct{ nodes, each, log int }{{40, 50, 256 << 10}, {40, 50, 32 << 10}, {100, 30, 256 << 10}} {
		t.Run(fmt.Sprintf("%d nodes, %d messages each, log %d", x.nodes, x.each, x.log), func(t *testing.T) {
			t.Parallel()
			c := settled(t, x.nodes, lan(5), node.Config{Ordered: true, DataLogSize: x.log})
			var all []*stream
			for _, n := range c.nodes {
				all = append(all, newStream(n, 0))
			}
			start := c.net.Now()
			for i := range x.each {
				for _, s := range all {
					c.await(time.Minute, fmt.Sprintf("message %d of node %v is accepted", i, s.n.addr), s.try)
				}
			}
			for _, s := range all {
				s.everywhere(time.Minute)
			}
			t.Logf("complete after %v", c.net.Now()-start)
			c.noDuplicates()
		})
	}
}
