package main

import (
	"cmp"
	"time"

	"example.com/gossip"
)

const (
	// calm is how many datagrams at most each node sends in a TickInterval, on average, in a
	// cluster that has settled. While nodes join they send several times as many.
	calm = 40

	calmTime = time.Second            // for which they are counted, or a TickInterval if that is shorter
	mostLag  = 100 * time.Millisecond // of a loop that keeps up
)

// opening is how far the start of the cluster has come.
type opening struct {
	settled   bool          // all nodes have joined, and the traffic of joining is over
	end       time.Duration // of the count of datagrams; 0 while nodes join
	datagrams int           // sent before the count
}

// settle notes when the cluster has settled. It then sends a first message, unless there is
// one, as soon as a page is there to show it.
func (c *cluster) settle() {
	if !c.settled && c.isCalm() {
		c.settled = true
		c.trace.settingsChanged()
	}
	if c.settled && c.greets && c.trace.count == 0 && len(c.hub.listeners) > 0 {
		// If the node refuses, the next frame tries another.
		_, _ = c.spread(anyNode, "broadcast", anyNode)
	}
}

// isCalm reports whether all nodes have joined and a count has ended with few datagrams. A
// loop that lags behind sends few because it has no time, so the count starts again.
func (c *cluster) isCalm() bool {
	now, sent := c.now(), c.trace.traffic.Datagrams
	if !c.haveJoined() || now-c.wakes[0].at > mostLag {
		c.end = 0
		return false
	}
	if now < c.end {
		return false
	}
	tick := cmp.Or(c.config.TickInterval, time.Second)
	length, counted := min(tick, calmTime), sent-c.datagrams
	few := c.end > 0 && time.Duration(counted)*tick <= time.Duration(calm*c.alive)*length
	c.end, c.datagrams = now+length, sent
	return few
}

// haveJoined reports whether all nodes have started, and all that run are connected.
func (c *cluster) haveJoined() bool {
	for _, n := range c.nodes {
		if n.state == notStarted || n.running() && n.state != gossip.StateConnected.String() {
			return false
		}
	}
	return true
}
