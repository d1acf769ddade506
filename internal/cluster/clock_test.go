package cluster

import (
	"math"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// shift makes the node's clock differ by d from the network's from here on.
func (n *simNode) shift(d time.Duration) {
	n.clock = func() time.Duration { return n.c.net.Now() + d }
	n.wakeAt(n.c.net.Now())
}

// For a node whose clock goes back no time passes until the clock is where it was.
func TestClockThatJumpsLosesNothingUncounted(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -10 * time.Second, -time.Minute} {
		for seed := range uint64(6) {
			net, all, smooth, ordered := rough(seed), seed%2 == 0, seed < 2, seed < 4
			if smooth {
				net = lan(seed)
			}
			c := newCluster(t, 8, net, node.Config{Ordered: ordered})
			c.form()
			sent, from, to := map[string]*simNode{}, map[string]*simNode{}, map[string]*simNode{}
			if ordered {
				c.inOrder(from)
			}
			traffic := func() {
				for range 10 {
					c.traffic(100*time.Millisecond, 10*time.Millisecond, sent, broadcast, random)
					c.directTraffic(100*time.Millisecond, 25*time.Millisecond, from, to)
				}
			}
			traffic()
			for i, n := range c.nodes {
				if all || i == 3 {
					n.shift(jump)
				}
			}
			c.net.Run(100 * time.Millisecond)
			traffic()
			c.net.Run(max(0, -jump))
			traffic()
			c.net.Run(40 * time.Second)
			c.accounted(sent, from, to)
			if smooth || !ordered { // nothing is given up because OrderedWait is over
				c.awaitDeliveries(0, sent)
			}
			c.await(10*time.Second, "all know all", c.complete)
		}
	}
}

// All nodes retain all messages: when all their clocks jump by an hour nothing need be given
// up.
func TestClockThatJumpsGivesUpNothingThatOthersRetain(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(10) {
		c := newCluster(t, 16, rough(seed), node.Config{})
		c.form()
		sent := map[string]*simNode{}
		c.traffic(2*time.Second, 20*time.Millisecond, sent, broadcast, random)
		for _, n := range c.nodes {
			n.shift(time.Hour)
		}
		c.awaitDeliveries(time.Minute, sent)
	}
}

const (
	year      = 365 * 24 * time.Hour
	endOfTime = time.Duration(math.MaxInt64) // which the clock reaches after 292 years
)

// A node works the same when it is old, and when its clock shows a late time at the start.
func TestClockRunsFor292YearsButAnHour(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, x := range []struct{ born, ages time.Duration }{{0, 280 * year}, {280 * year, 0}, {0, endOfTime - time.Hour}, {290 * year, year}} {
		for seed := range uint64(2) {
			c := newCluster(t, 0, rough(seed), node.Config{})
			c.net.RunUntil(x.born)
			for i := range 8 {
				c.add(hostAddr(i), node.Config{Ordered: i%2 == 0})
			}
			c.form()
			sent := map[string]*simNode{}
			c.traffic(time.Second, 50*time.Millisecond, sent, broadcast, random)
			c.awaitDeliveries(20*time.Second, sent)
			c.net.Run(5 * time.Second)
			for _, n := range c.nodes {
				n.shift(x.ages)
			}
			c.traffic(time.Second, 50*time.Millisecond, sent, broadcast, random)
			c.awaitDeliveries(20*time.Second, sent)
			c.net.SetLoss(0)
			c.partition(3)
			c.traffic(time.Minute, time.Second, sent)
			c.net.Heal()
			c.nodes[5].crash()
			c.traffic(time.Minute, time.Second, sent)
			clear(c.nodes[5].got)
			c.nodes[5].restart(c.nodes[0])
			c.converge(20*time.Second, sent)
			if now := c.nodes[0].last; now < x.born+x.ages {
				t.Fatalf("seed %d: the age of a node is %v, not %v", seed, now, x.born+x.ages)
			}
		}
	}
}
