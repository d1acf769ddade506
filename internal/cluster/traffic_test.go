package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// traffic lets random nodes, of those that run and are not stopped, publish at a steady pace
// for d, and adds each text with its publisher to sent. The spreads take turns.
func (c *cluster) traffic(d, every time.Duration, sent map[string]*simNode, spreads ...node.Spread) {
	c.t.Helper()
	for i := range int(d / every) {
		able := slices.DeleteFunc(c.up(), func(n *simNode) bool { return n.end.Frozen() })
		n, spread := able[c.net.Rand().IntN(len(able))], broadcast
		if len(spreads) > 0 {
			spread = spreads[i%len(spreads)]
		}
		sent[n.publish(spread)] = n
		c.net.Run(every)
	}
}

// directTraffic lets random nodes send Direct messages to random others at a steady pace for
// d, and adds each text with its publisher to from, and with its recipient to to.
func (c *cluster) directTraffic(d, every time.Duration, from, to map[string]*simNode) {
	c.t.Helper()
	for range int(d / every) {
		i, k := c.net.Rand().IntN(len(c.nodes)), c.net.Rand().IntN(len(c.nodes)-1)
		n := c.nodes[i]
		other := c.nodes[(i+1+k)%len(c.nodes)]
		text := n.publish(direct(other))
		from[text], to[text] = n, other
		c.net.Run(every)
	}
}

// sequence lets nodes publish count messages, each when the one before is everywhere, within
// limit.
func (c *cluster) sequence(count int, limit time.Duration, sent map[string]*simNode) {
	c.t.Helper()
	for range count {
		now := map[string]*simNode{}
		c.traffic(time.Millisecond, time.Millisecond, now)
		c.awaitDeliveries(limit, now)
		maps.Copy(sent, now)
	}
}

// delivered reports whether a text was delivered to every node that runs but its publisher.
func (c *cluster) delivered(text string, publisher *simNode) bool {
	for _, n := range c.up() {
		if n != publisher && n.got[text] == 0 {
			return false
		}
	}
	return true
}

// awaitDeliveries runs until all texts, each of which has its publisher in sent, are
// delivered to all nodes that run, and returns how long it took.
func (c *cluster) awaitDeliveries(limit time.Duration, sent map[string]*simNode) time.Duration {
	c.t.Helper()
	return c.await(limit, "every message is delivered everywhere", func() bool {
		for text, publisher := range sent {
			if !c.delivered(text, publisher) {
				return false
			}
		}
		return true
	})
}

// converge runs until all nodes know one another and have every message, each within limit.
// It fails if a message takes long after that, or if one is delivered twice.
func (c *cluster) converge(limit time.Duration, sent map[string]*simNode) {
	c.t.Helper()
	c.awaitDeliveries(limit, sent)
	c.await(limit, "all know all", c.complete)
	fresh := map[string]*simNode{}
	c.traffic(time.Second, 100*time.Millisecond, fresh)
	c.awaitDeliveries(time.Second, fresh)
	c.net.Run(5 * time.Second)
	c.noDuplicates()
}

// settle runs until every node has had nothing queued at some moment, and no Data at the
// same one.
func (c *cluster) settle() {
	c.t.Helper()
	busy := map[*simNode]bool{}
	for _, n := range c.up() {
		busy[n] = true
	}
	c.await(20*time.Second, "queues are empty", func() bool {
		data := 0
		for _, n := range c.up() {
			s := n.Stats()
			data += s.QueuedData
			if s.QueuedData+s.QueuedControl+s.AcksPending == 0 {
				delete(busy, n)
			}
		}
		return data == 0 && len(busy) == 0
	})
}

// noDuplicates fails if a message was delivered twice to one node.
func (c *cluster) noDuplicates() {
	c.t.Helper()
	for _, n := range c.nodes {
		for text, times := range n.got {
			if times != 1 {
				c.t.Fatalf("seed %d: %q was delivered to node %v %d times", c.seed, text, n.addr, times)
			}
		}
	}
}

// inOrder makes the test fail when a node gets the messages of an origin in another order than
// that in which they were published. Direct messages have no order.
func (c *cluster) inOrder(directs map[string]*simNode) {
	for _, n := range c.nodes {
		last := map[uint64]int{}
		n.onDeliver = func(origin uint64, payload []byte) {
			number := 0
			fmt.Sscanf(string(payload), "message %d", &number)
			if directs[string(payload)] != nil {
				return
			}
			if number <= last[origin] {
				c.t.Errorf("seed %d: message %d of an origin is delivered to %v after its message %d", c.seed, number, n.addr, last[origin])
			}
			last[origin] = number
		}
	}
}

// accounted fails unless each node got all messages but those that it counts as given up, and
// each Direct message arrived but those that its publisher gave up.
func (c *cluster) accounted(sent, from, to map[string]*simNode) {
	c.t.Helper()
	lacks, undelivered := map[*simNode]uint64{}, map[*simNode]uint64{}
	for text, publisher := range sent {
		for _, n := range c.nodes {
			if n != publisher && n.got[text] == 0 {
				lacks[n]++
			}
		}
	}
	for text, publisher := range from {
		if to[text].got[text] == 0 {
			undelivered[publisher]++
		}
	}
	for _, n := range c.nodes {
		s := n.Stats()
		if s.GaveUpUnseen != lacks[n] {
			c.t.Errorf("seed %d: %v lacks %d messages of others, and counts %d as given up", c.seed, n.addr, lacks[n], s.GaveUpUnseen)
		}
		if undelivered[n] > s.GivenUp {
			c.t.Errorf("seed %d: %d Direct messages of %v did not arrive, and it counts %d messages as given up", c.seed, undelivered[n], n.addr, s.GivenUp)
		}
	}
	c.noDuplicates()
}

// duplicates counts the copies of messages that arrived where the message was already.
func (c *cluster) duplicates() (sum uint64) {
	for _, n := range c.nodes {
		sum += n.Stats().Duplicate
	}
	return sum
}

// datagrams runs for d and returns how many datagrams were sent in that time.
func (c *cluster) datagrams(d time.Duration) uint64 {
	before := c.net.Count(simnet.Sent).Datagrams
	c.net.Run(d)
	return c.net.Count(simnet.Sent).Datagrams - before
}
