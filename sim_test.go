package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// settle runs until every node has had nothing queued at some moment, and no
// Data at the same one.
func (c *simCluster) settle() {
	c.t.Helper()
	busy := map[*simNode]bool{}
	for _, n := range c.up() {
		busy[n] = true
	}
	c.await(20*time.Second, "queues are empty", func() bool {
		data := 0
		for _, n := range c.up() {
			q := n.outbox.Stats()
			data += q.Data
			if q.Recipients == 0 {
				delete(busy, n)
			}
		}
		return data == 0 && len(busy) == 0
	})
}

// everybodyGot runs until all messages have reached all nodes that run.
func (c *simCluster) everybodyGot(limit time.Duration, said map[string]*simNode) time.Duration {
	c.t.Helper()
	return c.await(limit, "every message is everywhere", func() bool {
		for text, from := range said {
			if !c.allGot(text, from) {
				return false
			}
		}
		return true
	})
}

func TestEveryMessageReachesEveryNodeOnceThroughARoughNetwork(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			if seed > 1 {
				heavy(t)
			}
			t.Parallel()
			c := newSimCluster(t, 64, rough(seed), Config{})
			c.form()
			said := map[string]*simNode{}
			for i := range 100 {
				n := c.nodes[c.net.Rand().IntN(len(c.nodes))]
				spread := Broadcast
				if i%4 == 0 {
					spread = Random
				}
				said[n.say(spread)] = n
				c.net.Run(time.Duration(c.net.Rand().IntN(40)) * time.Millisecond)
			}
			c.everybodyGot(time.Minute, said)
			c.net.Run(10 * time.Second)
			c.noDuplicates()
			c.await(5*time.Second, "all know all", c.complete)
		})
	}
}

func TestQueuesAreEmptyInTheEnd(t *testing.T) {
	c := newSimCluster(t, 64, lan(7), Config{})
	c.form()
	said := map[string]*simNode{}
	for range 100 {
		n := c.nodes[c.net.Rand().IntN(len(c.nodes))]
		said[n.say()] = n
		c.net.Run(5 * time.Millisecond)
	}
	c.everybodyGot(5*time.Second, said)
	c.settle()
	for _, n := range c.nodes {
		if s := n.Stats(); s.GivenUp > 0 {
			t.Errorf("seed 7: on a net without loss node %v gave up %d messages", n.addr, s.GivenUp)
		}
	}
}

func TestHalvesPartitionedForAMinuteConverge(t *testing.T) {
	c := newSimCluster(t, 64, lan(3), Config{})
	c.form()
	c.partition(32)
	said := map[string]*simNode{}
	for i := range 20 {
		n := c.nodes[i*3]
		said[n.say()] = n
		c.net.Run(3 * time.Second)
	}
	c.net.Heal()
	t.Logf("messages %v after", c.everybodyGot(10*time.Second, said))
	t.Logf("views %v after", c.await(10*time.Second, "all know all again", c.complete))
	c.noDuplicates()
}

// partition cuts the first n nodes from the others.
func (c *simCluster) partition(n int) {
	var a, b []netip.AddrPort
	for i, x := range c.nodes {
		if i < n {
			a = append(a, x.addr)
		} else {
			b = append(b, x.addr)
		}
	}
	c.net.Partition(a, b)
}

func TestACutOf50SecondsHealsWithin5(t *testing.T) {
	for _, size := range []int{2, 5, 24} {
		c := newSimCluster(t, size, lan(uint64(size)), Config{})
		c.form()
		c.partition(1)
		c.net.Run(50 * time.Second)
		if n := c.nodes[1].roster.Len(); n != size-2 {
			t.Fatalf("%d nodes: after the cut a node has %d members instead of %d", size, n, size-2)
		}
		c.net.Heal()
		t.Logf("%d nodes: %v", size, c.await(5*time.Second, "all know all again", c.complete))
	}
}

func TestNoLivingMemberIsLostByLoss(t *testing.T) {
	net := lan(5)
	net.Loss = 0.2
	c := newSimCluster(t, 24, net, Config{})
	c.form()
	missing := map[*simNode]time.Duration{}
	for range 1000 {
		c.net.Run(100 * time.Millisecond)
		if c.net.Rand().IntN(5) == 0 {
			c.nodes[c.net.Rand().IntN(24)].say()
		}
		for _, n := range c.nodes {
			if n.roster.Len() == 23 {
				delete(missing, n)
			} else if since, ok := missing[n]; !ok {
				missing[n] = c.net.Now()
			} else if c.net.Now()-since > 5*time.Second {
				t.Fatalf("seed 5: node %v lacks a living member for 5 s: %+v", n.addr, n.Stats())
			}
		}
	}
	lost := uint64(0)
	for _, n := range c.nodes {
		lost += n.Stats().MembersLost
	}
	t.Logf("in 100 s of 20 %% loss members were taken for lost %d times", lost)
}

func Test64NodesJoinInOneInstant(t *testing.T) {
	c := newSimCluster(t, 65, lan(9), Config{})
	c.nodes[0].join()
	for _, n := range c.nodes[1:] {
		n.join(c.nodes[0])
	}
	t.Log(c.await(time.Second, "all are CONNECTED", func() bool {
		for _, n := range c.nodes {
			if n.State() != StateConnected {
				return false
			}
		}
		return true
	}))
	t.Log(c.await(20*time.Second, "all know all", c.complete))
}

func Test64OriginsThenSilence(t *testing.T) {
	c := newSimCluster(t, 64, lan(11), Config{})
	c.form()
	c.net.Run(15 * time.Second)
	idle := c.sent(10 * time.Second)
	said := map[string]*simNode{}
	for _, n := range c.nodes {
		said[n.say()] = n
	}
	c.everybodyGot(2*time.Second, said)
	c.net.Run(2 * time.Second)
	after := c.sent(10 * time.Second)
	t.Logf("datagrams per node and second: %.2f before, %.2f after", float64(idle)/640, float64(after)/640)
	if after > 4*640 {
		t.Errorf("seed 11: 2 s after the last message each node sends %.2f datagrams a second, and should 4 at most", float64(after)/640)
	}
	c.noDuplicates()
	for _, n := range c.nodes {
		if s := n.Stats(); s.Duplicate > 64 {
			t.Errorf("seed 11: 64 messages came to node %v in %d copies too many", n.addr, s.Duplicate)
		}
	}
}

// sent runs for a while and returns how many datagrams were sent meanwhile.
func (c *simCluster) sent(d time.Duration) uint64 {
	before := c.net.Totals().Sent.Datagrams
	c.net.Run(d)
	return c.net.Totals().Sent.Datagrams - before
}

func TestSeedDownAtStart(t *testing.T) {
	c := newSimCluster(t, 2, lan(13), Config{})
	seed, node := c.nodes[0], c.nodes[1]
	seed.crash()
	node.join(seed)
	c.await(5*time.Second, "the node is DISCONNECTED", func() bool { return node.State() == StateDisconnected })
	c.net.Run(5 * time.Minute)
	seed.restart()
	t.Log(c.await(5*time.Second, "the node joins by itself", c.complete))
}

func TestAllMembersKilledAndRestarted(t *testing.T) {
	c := newSimCluster(t, 8, lan(15), Config{})
	c.form()
	node := c.nodes[7]
	for _, n := range c.nodes[:7] {
		n.crash()
	}
	c.await(2*time.Minute, "the node is DISCONNECTED", func() bool { return node.State() == StateDisconnected })
	c.net.Run(time.Minute)
	for i, n := range c.nodes[:7] {
		if i == 0 {
			n.restart()
		} else {
			n.restart(c.nodes[0])
		}
	}
	t.Log(c.await(10*time.Second, "all know all", c.complete))
	text := c.nodes[2].say()
	c.everybodyGot(5*time.Second, map[string]*simNode{text: c.nodes[2]})
}

func TestARestartOnTheSameAddressReplacesTheOldNode(t *testing.T) {
	c := newSimCluster(t, 8, lan(17), Config{})
	c.form()
	n := c.nodes[5]
	old := n.ID()
	n.crash()
	n.restart(c.nodes[0])
	text := n.say() // the first words of a new life count too
	c.await(5*time.Second, "nobody lists the old life", func() bool {
		for _, x := range c.nodes {
			if x.roster.Get(uint64(old)) != nil {
				return false
			}
		}
		return c.complete()
	})
	c.everybodyGot(5*time.Second, map[string]*simNode{text: n})
}
