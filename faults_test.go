package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
)

// stream says as much as the queue takes for d and returns how much that was.
// Meanwhile it looks at the timeouts.
func (n *simNode) stream(d time.Duration) (accepted int) {
	n.c.t.Helper()
	const step = 5 * time.Millisecond
	for range d / step {
		for range n.GossipService.config.MaxOutputMessages {
			err := n.SendData(fmt.Appendf(nil, "%064d", n.c.said))
			if errors.Is(err, ErrQueueFull) {
				break
			}
			if err != nil {
				n.c.t.Fatalf("seed %d: at %v node %v cannot go on speaking: %v", n.c.seed, n.c.net.Now(), n.addr, err)
			}
			n.c.said++
			accepted++
		}
		n.wakeAt(n.c.net.Now())
		n.c.net.Run(step)
		n.notTooPatient()
	}
	return accepted
}

// notTooPatient fails if the node waits too long for an answer before it tries again.
func (n *simNode) notTooPatient() {
	n.c.t.Helper()
	now, again := n.c.net.Now(), map[netip.AddrPort]time.Duration{} // when it will
	for e := range n.outbox.All() {
		if at, any := again[e.To()]; e.Attempt < e.Attempts && e.Deadline > now && (!any || e.Deadline < at) {
			again[e.To()] = e.Deadline
		}
	}
	for i := range n.roster.Len() {
		to := n.roster.At(i).Addr
		timeout := n.timeout(to)
		if timeout >= time.Second {
			n.c.t.Fatalf("seed %d: at %v node %v waits %v for an answer of %v, 30 ms away", n.c.seed, now, n.addr, timeout, to)
		}
		if at := again[to]; at-now > max(2*timeout, n.GossipService.config.RetryInterval) {
			n.c.t.Fatalf("seed %d: at %v node %v waits %v for an answer of %v, but will not try again before %v from now",
				n.c.seed, now, n.addr, timeout, to, at-now)
		}
	}
}

func TestAStreamThroughALossyNetworkDoesNotRunDry(t *testing.T) {
	for _, nodes := range []int{2, 10} {
		for _, loss := range []float64{0.05, 0.2} {
			t.Run(fmt.Sprint(nodes, " nodes, loss ", loss), func(t *testing.T) {
				t.Parallel()
				net := lan(3)
				net.Loss = loss
				c := newSimCluster(t, nodes, net, Config{MaxOutputMessages: 256})
				c.form()
				for _, n := range c.nodes {
					n.GossipService.receiver = func(NodeID, []byte) {}
				}
				var accepted [4]int // in each quarter of 20 s
				first := c.nodes[0].stream(time.Second)
				accepted[0] = first + c.nodes[0].stream(4*time.Second)
				sum := accepted[0]
				for i := range accepted[1:] {
					accepted[1+i] = c.nodes[0].stream(5 * time.Second)
					sum += accepted[1+i]
				}
				if least := slices.Min(accepted[:]); least < max(sum/4/3, first/2) {
					t.Errorf("seed %d: a stream dries up: %d messages were accepted in the first second, and in each quarter %v", c.seed, first, accepted)
				}
				if lost := c.nodes[0].Stats().MembersLost; lost > 0 {
					t.Errorf("seed %d: %d living members were taken for lost", c.seed, lost)
				}
			})
		}
	}
}

func TestAShortTimeoutDoesNotWaitForALongerOneBeforeIt(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	say := func() said {
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		m := only(s.speak(), wire.TypeData, peerAddr(10))
		s.want(len(m) == 1, "a message goes to the one member %d times", len(m))
		return m[0]
	}
	for range 30 { // the member is far away
		m := say()
		s.at += time.Second
		s.hear(m.to, s.ack(m.seq))
	}
	say() // and does not answer this
	long := s.timeout(peerAddr(10))
	for range 100 { // but then is near
		m := say()
		s.hear(m.to, s.ack(m.seq))
	}
	short, m, start := s.timeout(peerAddr(10)), say(), s.at
	s.want(long > 500*time.Millisecond && short < 100*time.Millisecond, "it is waited for %v and then for %v", long, short)
	delete(s.polite, peerAddr(10))
	for _, again := range only(s.run(200*time.Millisecond), wire.TypeData, peerAddr(10)) {
		if again.seq == m.seq {
			s.want(again.at-start <= short, "what is waited for for %v is sent again after %v", short, again.at-start)
			return
		}
	}
	s.want(false, "what is waited for for %v waits for what was sent before, for %v", short, long)
}

func TestWhatIsSentOnlyOnceIsSentWithinTheWindowToo(t *testing.T) {
	s := newSoloist(t, Config{RetryAttempts: 1})
	s.seedWith(10)
	for range 500 {
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	}
	burst := only(s.speak(), wire.TypeData, peerAddr(10))
	s.want(len(burst) == outbox.FirstWindow, "before any answer %d of 500 messages are on their way", len(burst))
	for _, m := range burst[:10] {
		s.answer(m)
	}
	burst = only(s.speak(), wire.TypeData, peerAddr(10))
	s.want(len(burst) == 20, "10 answers let %d more messages go", len(burst))
}

// An answer that waits in the socket while the process is stopped says nothing
// of the way, whether the first thing the process does is to read it or not.
func TestAPauseIsNotARoundTrip(t *testing.T) {
	for _, readsFirst := range []bool{true, false} {
		c := newSimCluster(t, 3, lan(6), Config{})
		c.form()
		n, dead := c.nodes[0], c.nodes[1]
		for range 20 {
			n.say()
			c.net.Run(time.Second)
		}
		for range 20 { // of answers that wait there may be many
			n.say()
		}
		n.turn()
		n.end.Freeze()
		c.net.Run(10 * time.Minute)
		dead.crash()
		n.end.Thaw()
		if readsFirst {
			if _, err := n.Receive(0); err != nil {
				t.Fatal(err)
			}
		}
		c.net.Run(time.Second)
		if n.roster.Get(uint64(dead.id)) == nil {
			t.Fatalf("seed %d: after the pause the member was lost at once, so that there is nothing to see", c.seed)
		}
		saidAt := c.net.Now()
		c.await(30*time.Second, "a member that died is lost, after a pause of ten minutes", func() bool {
			if c.net.Now()-saidAt >= time.Second {
				saidAt = c.net.Now()
				n.say()
			}
			return n.roster.Get(uint64(dead.id)) == nil
		})
	}
}

func TestAPauseIsForgottenSoon(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	for i := range 41 {
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		m := only(s.speak(), wire.TypeData, peerAddr(10))
		s.want(len(m) == 1, "a message goes to the one member %d times", len(m))
		if s.at += 30 * time.Millisecond; i == 20 {
			s.at += 10 * time.Minute
		}
		s.hear(peerAddr(10), s.ack(m[0].seq))
	}
	wait := s.timeout(peerAddr(10))
	s.want(wait < 500*time.Millisecond, "20 messages after a pause of ten minutes %v is waited for an answer that takes 30 ms", wait)
}

func TestALonelyNodeAsksSoonWhateverItsTickInterval(t *testing.T) {
	c := newSimCluster(t, 2, lan(36), Config{TickInterval: 5 * time.Minute})
	c.form()
	left, n := c.nodes[0], c.nodes[1]
	left.crash()
	n.say()
	c.await(10*time.Minute, "the node is DISCONNECTED", func() bool { return n.State() == StateDisconnected })
	before := c.net.Totals().Sent.Datagrams
	c.await(2*time.Second, "a node that is alone asks for others", func() bool { return c.net.Totals().Sent.Datagrams > before })
	left.restart()
	c.await(5*time.Second, "the node is CONNECTED again", func() bool { return n.State() == StateConnected })
}

// A round of Hellos that is larger than the queue must not always displace the same.
func TestEachOfManySeedsIsAskedThroughATinyQueue(t *testing.T) {
	for _, limit := range []int{1, 2, 4} {
		c := newSimCluster(t, 16, lan(uint64(limit)), Config{})
		n := c.add(otherAddr, Config{MaxOutputMessages: limit})
		c.nodes[0].join()
		for _, down := range c.nodes[1:16] {
			down.crash()
		}
		n.join(c.nodes[:16]...)
		c.await(2*time.Minute, "the node has found the one seed that is up", func() bool { return n.State() == StateConnected })
	}
}

// Whoever is only known from hearsay is sent little before it answers. What is said
// meanwhile, faster than repair could follow, reaches it through others.
func TestAStreamRightAfterJoiningLosesNothing(t *testing.T) {
	hearsay := 0
	for seed := range uint64(5) {
		c := newSimCluster(t, 4, lan(seed), Config{})
		c.form()
		n := c.nodes[3]
		for _, x := range c.nodes[:3] {
			if !n.roster.Get(uint64(x.ID())).Proven {
				hearsay++
			}
		}
		said := n.stream(time.Second)
		c.net.Run(20 * time.Second)
		for _, x := range c.nodes[:3] {
			if len(x.got) != said || said < 2000 {
				t.Errorf("seed %d: of %d messages %v got %d", seed, said, x.addr, len(x.got))
			}
		}
	}
	if hearsay == 0 {
		t.Error("nobody is known from hearsay only when the streams begin")
	}
}

// At the speed of a network without latency thousands of messages overtake one that is
// lost. Whoever it is for tells only versions.Width of an origin apart, so it must not
// fall further behind than that.
func TestAFastStreamOverALossyNetLosesNothing(t *testing.T) {
	for _, size := range []int{2, 8} {
		for seed := range uint64(3) {
			net := simnet.Config{Seed: seed, LatencyMin: 50 * time.Microsecond, LatencyMax: 100 * time.Microsecond}
			c := newSimCluster(t, size, net, Config{RetryAttempts: 8})
			c.form()
			c.net.Run(5 * time.Second) // all have proven their addresses
			c.net.SetLoss(0.01)
			said := c.nodes[0].stream(500 * time.Millisecond)
			c.net.Run(5 * time.Second)
			for _, x := range c.nodes[1:] {
				if lost := x.Stats().GaveUpUnseen; len(x.got) != said || lost > 0 || said < 3000 {
					t.Errorf("seed %d: of %d messages %v of %d nodes got %d and gave up %d", seed, said, x.addr, size, len(x.got), lost)
				}
			}
			c.noDuplicates()
		}
	}
}

// Where one message fills the queue, none of a node's duties may always come second.
func TestAQueueOfOneMessageLeavesRoomForEveryDuty(t *testing.T) {
	s := newSoloist(t, Config{MaxOutputMessages: 1})
	s.seedWith(10, 20)
	full, lists := 0, 0
	for _, m := range s.run(time.Minute) {
		switch {
		case m.kind == wire.TypeStatus && m.status.Mode == wire.Full:
			full++
		case m.kind == wire.TypeMemberList:
			lists++
		}
	}
	s.want(full >= 20 && lists >= 20, "in a minute it compared %d times what was seen, and %d times members", full, lists)
}
