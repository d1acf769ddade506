package cluster

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// lackedTooLong returns a function that fails if a node has had fewer members than that for
// longer than patience. It is to be called regularly.
func (c *cluster) lackedTooLong(members int, patience time.Duration) (look func()) {
	since := map[*simNode]time.Duration{}
	return func() {
		c.t.Helper()
		for _, n := range c.nodes {
			if n.Members() == members {
				delete(since, n)
			} else if at, ok := since[n]; !ok {
				since[n] = c.net.Now()
			} else if c.net.Now()-at > patience {
				c.t.Fatalf("seed %d: node %v lacks a living member for %v: %+v", c.seed, n.addr, patience, n.Stats())
			}
		}
	}
}

func TestLinkThatLosesAFifthCostsNoMember(t *testing.T) {
	net := lan(5)
	net.Loss = 0.2
	c := newCluster(t, 24, net, node.Config{})
	c.form()
	look := c.lackedTooLong(23, 5*time.Second)
	for range 1000 {
		c.net.Run(100 * time.Millisecond)
		if c.net.Rand().IntN(5) == 0 {
			c.nodes[c.net.Rand().IntN(24)].publish()
		}
		look()
	}
	lost := uint64(0)
	for _, n := range c.nodes {
		lost += n.Stats().MembersLost
	}
	t.Logf("in 100 s of 20 %% loss members were considered lost %d times", lost)
}

func TestLinkThatLosesHalfInOneDirectionCostsNoMember(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(4) {
		c := newCluster(t, 12, lan(seed), node.Config{})
		c.form()
		n, outward := c.nodes[c.net.Rand().IntN(12)], seed%2 == 0
		c.net.SetFilter(func(from, to netip.AddrPort) bool {
			if outward && from != n.addr || !outward && to != n.addr {
				return true
			}
			return c.net.Rand().Float64() < math.Sqrt2/2 // the filter is asked twice
		})
		sent, look := map[string]*simNode{}, c.lackedTooLong(11, 10*time.Second)
		for range 200 {
			now := map[string]*simNode{}
			c.traffic(500*time.Millisecond, 250*time.Millisecond, now)
			c.awaitDeliveries(5*time.Second, now)
			maps.Copy(sent, now)
			look()
		}
		c.net.SetFilter(nil)
		c.converge(5*time.Second, sent)
	}
}

// oneWay loses what some nodes send to others, but not what these send.
func (c *cluster) oneWay(from, to []*simNode) {
	has := func(nodes []*simNode, a netip.AddrPort) bool {
		return slices.ContainsFunc(nodes, func(n *simNode) bool { return n.addr == a })
	}
	c.net.SetFilter(func(a, b netip.AddrPort) bool { return !has(from, a) || !has(to, b) })
}

// A third of the nodes cannot send to another third, which can send to it. The rest can send
// to all and receive from all.
func TestLinkThatCarriesOneDirectionIsGoneRound(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, size := range []int{3, 7, 18} {
		for seed := range uint64(3) {
			c := newCluster(t, size, lan(seed), node.Config{})
			c.form()
			mute, deaf := c.nodes[:size/3], c.nodes[size/3:2*(size/3)]
			c.oneWay(mute, deaf)
			sent := map[string]*simNode{}
			for range 60 {
				now := map[string]*simNode{}
				c.traffic(time.Second, 500*time.Millisecond, now)
				c.awaitDeliveries(6*time.Second, now) // a member that answers nothing is lost after 3 s, then others repair
				maps.Copy(sent, now)
			}
			for _, n := range deaf {
				for _, m := range mute {
					if n.knows(m.ID()) || m.knows(n.ID()) {
						t.Fatalf("seed %d: no answer comes back between %v and %v, and one still has the other as a member", seed, n.addr, m.addr)
					}
				}
			}
			c.net.SetFilter(nil)
			c.converge(5*time.Second, sent)
		}
	}
}

func TestLinkOfTwoNodesThatCarriesOneDirectionRecovers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		c := newCluster(t, 2, lan(seed), node.Config{})
		c.form()
		mute, deaf := c.nodes[seed%2], c.nodes[1-seed%2]
		c.oneWay([]*simNode{mute}, []*simNode{deaf})
		sent := map[string]*simNode{}
		c.traffic(time.Minute, 500*time.Millisecond, sent)
		if len(deaf.got) > 0 || mute.Members() > 0 {
			t.Fatalf("seed %d: %d messages were delivered where nothing arrives, and the node that gets no answer has %d members", seed, len(deaf.got), mute.Members())
		}
		c.net.SetFilter(nil)
		c.converge(5*time.Second, sent)
	}
}

// As behind NATs that forward nothing: what two nodes send to each other never arrives, but
// a seed reaches both.
func TestLinkThatCarriesNothingIsGoneRound(t *testing.T) {
	for seed := range uint64(10) {
		c := newCluster(t, 3, lan(seed), node.Config{})
		a, b := c.nodes[1].addr, c.nodes[2].addr
		c.net.SetFilter(func(from, to netip.AddrPort) bool { return !(from == a && to == b || from == b && to == a) })
		c.nodes[0].join()
		c.nodes[1].join(c.nodes[0])
		c.nodes[2].join(c.nodes[0])
		for _, n := range c.nodes[1:] {
			c.await(10*time.Second, "both are CONNECTED", func() bool { return n.State() == node.Connected })
		}
		for minute := range 3 {
			for _, n := range c.nodes {
				text := n.publish()
				took := c.await(2*time.Second, "a message is delivered everywhere", func() bool { return c.delivered(text, n) })
				t.Logf("seed %d, minute %d: a message of %v was everywhere after %v", seed, minute, n.addr, took)
			}
			c.net.Run(time.Minute)
		}
		c.noDuplicates()
	}
}

// The estimates of a node are all too short when the way of all its messages becomes longer:
// until the node notices, each message is sent again, and its arc given to another node.
func TestLinkThatBecomesSlowerCostsCopiesOnlyForAMoment(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		c := newCluster(t, 64, simnet.Config{Seed: seed, LatencyMin: time.Millisecond, LatencyMax: 5 * time.Millisecond}, node.Config{})
		c.form()
		c.net.Run(5 * time.Second)
		c.net.SetLatency(90*time.Millisecond, 110*time.Millisecond)
		perDelivery := func(messages int) float64 {
			before := c.duplicates()
			for range messages {
				c.nodes[c.net.Rand().IntN(64)].publish()
				c.net.Run(2 * time.Second)
			}
			return float64(c.duplicates()-before) / float64(63*messages)
		}
		perDelivery(10)
		if copies := perDelivery(10); copies > 1 {
			t.Errorf("seed %d: 20 s after the latency has grown there are %.1f further copies per delivery", seed, copies)
		}
		c.noDuplicates()
	}
}

// When the way of all messages becomes so long that everything times out, no member is lost for it,
// and neither attempts nor repair repeat what is on its way for longer than it takes to measure.
func TestLinkThatBecomesSecondsLongCostsFewCopies(t *testing.T) {
	heavy(t)
	for _, latency := range []time.Duration{time.Second, 2 * time.Second} {
		c := newCluster(t, 16, lan(3), node.Config{})
		c.form()
		c.net.Run(5 * time.Second)
		c.net.SetLatency(latency*9/10, latency*11/10)
		sent := map[string]*simNode{}
		before := c.duplicates()
		for i := range 600 {
			sent[c.nodes[i%16].publish()] = c.nodes[i%16]
			c.net.Run(100 * time.Millisecond)
		}
		c.awaitDeliveries(30*time.Second, sent)
		if copies := float64(c.duplicates()-before) / float64(15*len(sent)); copies > 2 {
			t.Errorf("seed 3: when the latency has grown to %v there are %.1f superfluous copies per delivery", latency, copies)
		}
		c.noDuplicates()
	}
}
