package cluster

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/transport"
)

// pause stops the node's loop for d, in which the others publish. Datagrams wait in its socket,
// as far as there is room.
func (n *simNode) pause(d time.Duration, sent map[string]*simNode) {
	n.c.t.Helper()
	n.end.Freeze()
	n.c.traffic(d, 50*time.Millisecond, sent)
	n.end.Thaw()
	n.wakeAt(n.c.net.Now())
}

func TestPauseOf5SecondsAgainAndAgainCostsNoMember(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, inbox := range []int{1024, 16, 0} { // with room for none all is dropped
		for seed := range uint64(3) {
			c := newCluster(t, 8, lan(seed), node.Config{Ordered: seed%2 == 0})
			if seed%2 == 0 {
				c.inOrder(nil)
			}
			c.form()
			n, all := c.nodes[c.net.Rand().IntN(8)], map[string]*simNode{}
			for range 4 {
				sent := map[string]*simNode{}
				n.end.SetInbox(inbox)
				n.pause(5*time.Second, sent)
				n.end.SetInbox(1024)
				c.traffic(2*time.Second, 50*time.Millisecond, sent)
				c.awaitDeliveries(3*time.Second, sent)
				maps.Copy(all, sent)
				c.await(3*time.Second, "all know all", c.complete)
			}
			c.converge(3*time.Second, all)
			for _, x := range c.nodes {
				if s := x.Stats(); s.GaveUpUnseen > 0 {
					t.Fatalf("seed %d: without loss %v gave up %d messages", seed, x.addr, s.GaveUpUnseen)
				}
			}
		}
	}
}

func TestPauseOf30SecondsCostsNoMember(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, inbox := range []int{1024, 64} {
		for seed := range uint64(3) {
			c := newCluster(t, 8, lan(seed), node.Config{})
			c.form()
			n, sent := c.nodes[c.net.Rand().IntN(8)], map[string]*simNode{}
			n.end.SetInbox(inbox)
			c.traffic(time.Second, 50*time.Millisecond, sent)
			for range 10 { // the pause comes before they are sent
				sent[n.publish()] = n
			}
			n.pause(30*time.Second, sent)
			if n.Members() != 7 {
				t.Fatalf("seed %d: the stopped process knows %d of 7 members", seed, n.Members())
			}
			if overflowed := c.net.Count(simnet.Overflowed).Datagrams > 0; overflowed != (inbox == 64) {
				t.Fatalf("seed %d: with room for %d datagrams it is %v that some were dropped", seed, inbox, overflowed)
			}
			c.net.Run(2 * time.Second)
			if lost := n.Stats().MembersLost; lost > 0 {
				t.Fatalf("seed %d: the process that was stopped considered %d of the others lost", seed, lost)
			}
			c.converge(3*time.Second, sent)
		}
	}
}

// An answer that waits in the socket while the process is stopped says nothing of the round
// trip, whether the process reads it first or ticks first.
func TestPauseIsNoRoundTrip(t *testing.T) {
	for _, readsFirst := range []bool{true, false} {
		c := newCluster(t, 3, lan(6), node.Config{})
		c.form()
		n, dead := c.nodes[0], c.nodes[1]
		for range 20 {
			n.publish()
			c.net.Run(time.Second)
		}
		for range 20 { // many answers wait in the socket
			n.publish()
		}
		n.turn()
		n.end.Freeze()
		c.net.Run(10 * time.Minute)
		dead.crash()
		n.end.Thaw()
		if readsFirst {
			n.receive()
		}
		c.net.Run(time.Second)
		if !n.knows(dead.ID()) {
			t.Fatalf("seed %d: after the pause the member was lost at once, so that the test shows nothing", c.seed)
		}
		publishedAt := c.net.Now()
		c.await(30*time.Second, "a member that died is lost, after a pause of ten minutes", func() bool {
			if c.net.Now()-publishedAt >= time.Second {
				publishedAt = c.net.Now()
				n.publish()
			}
			return !n.knows(dead.ID())
		})
	}
}

// slow is the socket of a node whose owner takes a second for each message. Meanwhile the loop
// stands still: nothing is read, and datagrams go out only after it.
type slow struct {
	socket
	n     *simNode
	until time.Duration // when the owner is done with the last message
}

func slowDown(n *simNode) *slow {
	now := n.c.net.Now
	s := &slow{socket: n.socket, n: n}
	n.socket = s
	n.clock = func() time.Duration { return max(now(), s.until) }
	n.onDeliver = func(uint64, []byte) { s.until = max(now(), s.until) + time.Second }
	return s
}

func (s *slow) Receive(b []byte, maxWait time.Duration) (int, netip.AddrPort, error) {
	if s.n.c.net.Now() < s.until {
		s.n.wakeAt(s.until)
		return 0, netip.AddrPort{}, transport.ErrNothing
	}
	return s.socket.Receive(b, maxWait)
}

func (s *slow) Send(b []byte, to netip.AddrPort) error {
	b = slices.Clone(b)
	s.n.c.net.At(s.until, func() { s.socket.Send(b, to) })
	return nil
}

func TestPauseOfASecondInEachDeliverySlowsNoOtherNode(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, size := range []int{8, 24} {
		for seed := range uint64(2) {
			c := newCluster(t, size, lan(seed), node.Config{})
			c.form()
			n, sent := c.nodes[c.net.Rand().IntN(size)], map[string]*simNode{}
			busy := slowDown(n)
			for range 60 {
				from := c.nodes[c.net.Rand().IntN(size)]
				text := from.publish()
				sent[text] = from
				c.await(2500*time.Millisecond, "all but the slow node have the message", func() bool {
					return from == n || !slices.ContainsFunc(c.nodes, func(x *simNode) bool {
						return x != from && x != n && x.got[text] == 0
					})
				})
				c.net.Run(200 * time.Millisecond)
			}
			if got := len(n.got); got > 40 {
				t.Fatalf("seed %d: in 15 s a node that takes a second for each was delivered %d messages", seed, got)
			}
			c.awaitDeliveries(2*time.Minute, sent)
			n.onDeliver = nil
			c.net.RunUntil(busy.until)
			c.converge(5*time.Second, sent)
		}
	}
}

// A member that is cut off for a while is told of as lost by those that noticed first. Those that ask
// it then leave it time until the cut is over.
func TestMemberThatIsCutOffForTwoSecondsStays(t *testing.T) {
	for seed := range uint64(12) {
		cut := []time.Duration{1500, 2000, 2300}[seed%3] * time.Millisecond
		c := settled(t, 5+int(seed)*2, lan(seed), node.Config{})
		c.cutOff(c.nodes[2], time.Duration(seed)*37*time.Millisecond, cut)
		for range 100 { // the others have no reason to ask
			c.nodes[0].publish()
			c.net.Run(40 * time.Millisecond)
		}
		c.net.Run(5 * time.Second)
		for _, n := range c.nodes {
			if s := n.Stats(); s.MembersLost > 0 {
				t.Errorf("seed %d: %d nodes, a cut of %v: %v lost %d members", seed, len(c.nodes), cut, n.addr, s.MembersLost)
			}
		}
	}
}
