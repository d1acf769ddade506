package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// stream is a caller that publishes at a rate and heeds node.ErrFull: what is refused it tries
// again a millisecond later.
type stream struct {
	n        *simNode
	rate     int // messages per second; 0: as many as are taken
	size     int // of a payload
	accepted int
	longest  time.Duration // that a message was refused
	since    time.Duration // when the first refusal in a row was, -1 if the last was taken
	got      map[*simNode]int
}

func newStream(n *simNode, rate int) *stream {
	s := &stream{n: n, rate: rate, size: 64, since: -1, got: map[*simNode]int{}}
	for _, x := range n.c.nodes {
		before := x.onDeliver
		x.onDeliver = func(origin uint64, payload []byte) {
			if origin == n.ID() {
				s.got[x]++
			}
			if before != nil {
				before(origin, payload)
			}
		}
	}
	return s
}

// payload is the payload of the i-th message.
func (s *stream) payload(i int) []byte {
	b := make([]byte, s.size)
	binary.BigEndian.PutUint64(b, s.n.ID())
	binary.BigEndian.PutUint32(b[8:], uint32(i))
	return b
}

// run publishes until total messages are accepted, or for a while.
func (s *stream) run(total int, limit time.Duration) {
	net := s.n.c.net
	start := net.Now()
	for s.accepted < total && net.Now()-start < limit {
		due := total
		if s.rate > 0 {
			due = min(total, int(float64(s.rate)*(net.Now()-start).Seconds())+1)
		}
		for s.accepted < due && s.try() {
		}
		net.Run(time.Millisecond)
	}
}

// try publishes the next message, unless the node refuses.
func (s *stream) try() bool {
	n, now := s.n, s.n.c.net.Now()
	err := n.tryPublish(s.payload(s.accepted))
	switch {
	case errors.Is(err, node.ErrFull):
		if s.since < 0 {
			s.since = now
		}
		s.longest = max(s.longest, now-s.since)
		return false
	case err != nil:
		n.c.t.Fatalf("seed %d: node %v cannot publish: %v", n.c.seed, n.addr, err)
	}
	s.accepted++
	s.since = -1
	return true
}

// everywhere waits until all that was accepted is at all nodes that are up, and fails if that
// takes longer than limit.
func (s *stream) everywhere(limit time.Duration) time.Duration {
	c := s.n.c
	c.t.Helper()
	took, ok := c.within(limit, func() bool { return s.missing() == 0 })
	if !ok {
		c.t.Errorf("seed %d: of %d messages %d deliveries are missing after %v%s", c.seed, s.accepted, s.missing(), limit, s.describe())
	}
	return took
}

// missing counts the deliveries that have not happened.
func (s *stream) missing() (all int) {
	for _, n := range s.n.c.up() {
		if n != s.n {
			all += s.accepted - s.got[n]
		}
	}
	return all
}

// describe says what each node that lacks messages counts.
func (s *stream) describe() (text string) {
	for _, n := range s.n.c.up() {
		if lacks := s.accepted - s.got[n]; n != s.n && lacks > 0 {
			st := n.Stats()
			text += fmt.Sprintf("\n\t%v lacks %d, gave up %d", n.addr, lacks, st.GaveUpUnseen)
		}
	}
	st := s.n.Stats()
	return text + fmt.Sprintf("\n\t%v: %d members, %d lost, queued %d, longest refusal %v", s.n.addr, st.Members, st.MembersLost, st.QueuedData, s.longest)
}

// within runs until cond holds, or for limit, and returns how long it took.
func (c *cluster) within(limit time.Duration, cond func() bool) (time.Duration, bool) {
	start := c.net.Now()
	for !cond() {
		if c.net.Now()-start >= limit {
			return limit, false
		}
		c.net.Run(50 * time.Millisecond)
	}
	return c.net.Now() - start, true
}

// settled makes a cluster that has come to rest.
func settled(t *testing.T, nodes int, net simnet.Config, config node.Config) *cluster {
	c := newCluster(t, nodes, net, config)
	c.form()
	c.net.Run(5 * time.Second)
	return c
}

// isolate cuts a node from all others, until net.Heal.
func (c *cluster) isolate(n *simNode) {
	var others []netip.AddrPort
	for _, x := range c.nodes {
		if x != n {
			others = append(others, x.addr)
		}
	}
	c.net.Partition([]netip.AddrPort{n.addr}, others)
}

// cutOff cuts a node from all others for a while, beginning in a while.
func (c *cluster) cutOff(n *simNode, in, d time.Duration) {
	now := c.net.Now()
	c.net.At(now+in, func() { c.isolate(n) })
	c.net.At(now+in+d, func() { c.net.Heal() })
}

// A link that is down for less than the time after which a member is lost.
func TestStreamLosesNothingWhileALinkIsDown(t *testing.T) {
	for _, x := range []struct {
		nodes, rate, total, log int
		down                    time.Duration
	}{
		{2, 1000, 3000, 0, 300 * time.Millisecond},
		{2, 3000, 9000, 0, time.Second},
		{3, 3000, 9000, 8 << 20, time.Second},
		{2, 700, 4000, 0, 2500 * time.Millisecond},
		{5, 5000, 20000, 64 << 10, 1500 * time.Millisecond},
		{32, 2000, 6000, 0, 1500 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%d nodes, %d/s, down %v", x.nodes, x.rate, x.down), func(t *testing.T) {
			heavy(t)
			t.Parallel()
			c := settled(t, x.nodes, lan(1), node.Config{DataLogSize: x.log})
			s := newStream(c.nodes[0], x.rate)
			c.cutOff(c.nodes[x.nodes-1], 500*time.Millisecond, x.down)
			s.run(x.total, time.Minute)
			took := s.everywhere(10 * time.Second)
			t.Logf("accepted %d, longest refusal %v, complete after %v, lost members %d", s.accepted, s.longest, took, c.nodes[0].Stats().MembersLost)
			c.noDuplicates()
		})
	}
}

func TestStreamLosesNothingWhileItsOriginIsCutOff(t *testing.T) {
	heavy(t)
	t.Parallel()
	c := settled(t, 5, lan(2), node.Config{})
	s := newStream(c.nodes[0], 1000)
	c.cutOff(c.nodes[0], time.Second, 2500*time.Millisecond)
	s.run(8000, time.Minute)
	t.Logf("accepted %d, longest refusal %v, complete after %v", s.accepted, s.longest, s.everywhere(20*time.Second))
	c.noDuplicates()
}

func TestStreamLosesNothingWhenItsOnlyReceiverStops(t *testing.T) {
	c := settled(t, 2, lan(3), node.Config{})
	s := newStream(c.nodes[0], 300)
	now := c.net.Now()
	c.net.At(now+time.Second, func() { c.nodes[1].end.Freeze() })
	c.net.At(now+6*time.Second, func() { c.nodes[1].end.Thaw() })
	s.run(3000, time.Minute)
	t.Logf("accepted %d, longest refusal %v, complete after %v", s.accepted, s.longest, s.everywhere(20*time.Second))
	c.noDuplicates()
}

func TestStreamLosesNothingThroughLoss(t *testing.T) {
	for _, x := range []struct {
		nodes, total int
		loss         float64
	}{{2, 5000, 0.2}, {2, 2000, 0.4}, {4, 5000, 0.3}, {16, 1000, 0.4}, {40, 1000, 0.2}} {
		t.Run(fmt.Sprintf("%d nodes, %v", x.nodes, x.loss), func(t *testing.T) {
			heavy(t)
			t.Parallel()
			c := settled(t, x.nodes, lan(4), node.Config{})
			c.net.SetLoss(x.loss)
			s := newStream(c.nodes[0], 0)
			start := c.net.Now()
			s.run(x.total, 5*time.Minute)
			t.Logf("accepted %d in %v, complete after %v, lost members %d", s.accepted, c.net.Now()-start, s.everywhere(30*time.Second), c.nodes[0].Stats().MembersLost)
			c.noDuplicates()
		})
	}
}

func TestStreamOfANewcomerLosesNothing(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(5) {
		c := settled(t, 16, lan(seed), node.Config{})
		n := c.add(otherAddr, node.Config{})
		n.join(c.nodes[3])
		c.within(5*time.Second, func() bool { return n.State() == node.Connected })
		s := newStream(n, 0)
		s.run(3000, time.Minute)
		t.Logf("accepted %d, longest refusal %v, complete after %v", s.accepted, s.longest, s.everywhere(20*time.Second))
		c.noDuplicates()
	}
}

// Many nodes publish in one instant, as at a deployment.
func TestBurstOfAllNodesReachesAll(t *testing.T) {
	for _, x := range []struct{ nodes, each int }{{128, 20}, {48, 50}} {
		t.Run(fmt.Sprintf("%d nodes, %d messages each", x.nodes, x.each), func(t *testing.T) {
			heavy(t)
			t.Parallel()
			c := gather(t, spreadCase{nodes: x.nodes}, 5)
			var all []*stream
			start := c.net.Now()
			for _, n := range c.nodes {
				s := newStream(n, 0)
				s.size = 100
				for s.accepted < x.each && s.try() {
				}
				all = append(all, s)
			}
			total := 0
			for _, s := range all {
				total += s.accepted
			}
			missing := func() (m int) {
				for _, n := range c.nodes {
					m += total - len(n.got)
				}
				return m - total
			}
			took, _ := c.within(10*time.Second, func() bool { return missing() == 0 })
			busy := uint64(0)
			for _, n := range c.nodes {
				busy += n.Stats().DropBusy
			}
			t.Logf("%d accepted, %d missing after %v, refused %d", total, missing(), took, busy)
			if missing() > 0 || took > time.Second {
				t.Errorf("seed 5: %d deliveries are missing %v after the burst", missing(), c.net.Now()-start)
			}
			c.noDuplicates()
		})
	}
}

func TestStreamToAFarMemberIsFast(t *testing.T) {
	heavy(t)
	t.Parallel()
	net := simnet.Config{Seed: 6, LatencyMin: 100 * time.Millisecond, LatencyMax: 101 * time.Millisecond}
	c := settled(t, 2, net, node.Config{})
	for _, n := range c.nodes {
		n.end.SetInbox(200)
	}
	s := newStream(c.nodes[0], 0)
	rate := s.rateAfter(4*time.Second, 2*time.Second)
	took := s.everywhere(10 * time.Second)
	t.Logf("%.0f/s, complete after %v", rate, took)
	if rate < 10000 {
		t.Errorf("seed 6: a member 200 ms away takes %.0f messages/s, and should 10,000", rate)
	}
	c.noDuplicates()
}

// One member's loop sends rarely.
func TestSlowMemberSlowsAStreamToItsPace(t *testing.T) {
	heavy(t)
	t.Parallel()
	c := settled(t, 4, simnet.Config{Seed: 7, LatencyMin: 100 * time.Microsecond, LatencyMax: 300 * time.Microsecond}, node.Config{})
	c.nodes[3].sendEvery = 200 * time.Millisecond
	s := newStream(c.nodes[0], 0)
	rate := s.rateAfter(6*time.Second, 2*time.Second)
	took := s.everywhere(10 * time.Second)
	t.Logf("%.0f/s, longest refusal %v, complete after %v", rate, s.longest, took)
	if lost := c.nodes[0].Stats().MembersLost; rate < 20000 || lost > 0 {
		t.Errorf("seed 7: with a member that sends every 200 ms a stream takes %.0f messages/s, and should 20,000; %d members were lost", rate, lost)
	}
	c.noDuplicates()
}

// A member that stops for good holds up a stream until it is lost.
func TestDeadMemberHoldsUpAStreamBriefly(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, nodes := range []int{3, 20} {
		c := settled(t, nodes, lan(25), node.Config{})
		s := newStream(c.nodes[0], 20000)
		c.net.At(c.net.Now()+300*time.Millisecond, func() { c.nodes[nodes/2].crash() })
		s.run(20000, time.Minute)
		took := s.everywhere(10 * time.Second)
		t.Logf("%d nodes: longest refusal %v, complete after %v", nodes, s.longest, took)
		if s.longest > 4*time.Second {
			t.Errorf("seed 25: a dead member held up the stream of %d nodes for %v", nodes, s.longest)
		}
		c.noDuplicates()
	}
}

// rateAfter publishes as fast as the node takes it, and returns how many messages per second it
// takes after a while.
func (s *stream) rateAfter(warmUp, d time.Duration) float64 {
	const many = 1 << 30
	s.run(many, warmUp)
	before := s.accepted
	s.run(many, d)
	return float64(s.accepted-before) / d.Seconds()
}

// An origin that is cut off for so long that it loses all its members keeps what no other node
// has. What one of them took alone is left to repair, and counted where that comes too late.
func TestStreamIsDeliveredOrCountedWhenItsOriginWasAlone(t *testing.T) {
	heavy(t)
	t.Parallel()
	c := settled(t, 5, lan(2), node.Config{})
	s := newStream(c.nodes[0], 1000)
	c.cutOff(c.nodes[0], time.Second, 5*time.Second)
	s.run(10000, time.Minute)
	c.net.Run(time.Minute)
	for _, n := range c.nodes[1:] {
		if got, counted := s.got[n], int(n.Stats().GaveUpUnseen); got+counted != s.accepted || counted > s.accepted/100 {
			t.Errorf("seed 2: of %d messages %v was delivered %d and counted %d as given up", s.accepted, n.addr, got, counted)
		}
	}
	c.noDuplicates()
}
