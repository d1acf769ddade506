package gossip

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/transport"
)

// shift makes the node's clock differ by d from the network's from now on.
func (n *simNode) shift(d time.Duration) {
	n.clock = func() time.Duration { return n.c.net.Now() + d }
	n.wakeAt(n.c.net.Now())
}

// sequences fails, whenever it happens, if a node gets what an origin said other
// than in the order in which it was said; letters aside.
func (c *simCluster) sequences(letters map[string]*simNode) {
	for _, n := range c.nodes {
		last := map[NodeID]int{}
		n.hook = func(origin NodeID, payload []byte) {
			number := 0
			fmt.Sscanf(string(payload), "message %d", &number)
			if letters[string(payload)] != nil {
				return
			}
			if number <= last[origin] {
				c.t.Errorf("seed %d: %v got message %d of an origin after its message %d", c.seed, n.addr, number, last[origin])
			}
			last[origin] = number
		}
	}
}

// post lets random nodes write to random others, one letter each at a steady pace
// for d, and notes who wrote it, and to whom.
func (c *simCluster) post(d, every time.Duration, from, to map[string]*simNode) {
	c.t.Helper()
	for range int(d / every) {
		i, k := c.net.Rand().IntN(len(c.nodes)), c.net.Rand().IntN(len(c.nodes)-1)
		n := c.nodes[i]
		other := c.nodes[(i+1+k)%len(c.nodes)]
		text := n.say(Direct(Address{other.addr}))
		from[text], to[text] = n, other
		c.net.Run(every)
	}
}

// accounted fails unless each node got what the others said but for what it says
// that it gave up, and each letter arrived but for those that its writer gave up.
func (c *simCluster) accounted(said, from, to map[string]*simNode) {
	c.t.Helper()
	lacks, undelivered := map[*simNode]uint64{}, map[*simNode]uint64{}
	for text, n := range said {
		for _, x := range c.nodes {
			if x != n && x.got[text] == 0 {
				lacks[x]++
			}
		}
	}
	for text, n := range from {
		if to[text].got[text] == 0 {
			undelivered[n]++
		}
	}
	for _, n := range c.nodes {
		s := n.Stats()
		if s.GaveUpUnseen != lacks[n] {
			c.t.Errorf("seed %d: %v lacks %d messages of others, and counts %d as given up", c.seed, n.addr, lacks[n], s.GaveUpUnseen)
		}
		if undelivered[n] > s.GivenUp {
			c.t.Errorf("seed %d: %d letters of %v did not arrive, and it counts %d messages as given up", c.seed, undelivered[n], n.addr, s.GivenUp)
		}
	}
	c.noDuplicates()
}

// A node whose clock goes back takes it that no time passes until the clock is
// where it was.
func TestAClockThatJumpsLosesNothingUncounted(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -10 * time.Second, -time.Minute} {
		for seed := range uint64(6) {
			net, all, smooth, ordered := rough(seed), seed%2 == 0, seed < 2, seed < 4
			if smooth {
				net = lan(seed)
			}
			c := newSimCluster(t, 8, net, Config{Ordered: ordered})
			c.form()
			said, from, to := map[string]*simNode{}, map[string]*simNode{}, map[string]*simNode{}
			if ordered {
				c.sequences(from)
			}
			talk := func() {
				for range 10 {
					c.traffic(100*time.Millisecond, 10*time.Millisecond, said, Broadcast, Random)
					c.post(100*time.Millisecond, 25*time.Millisecond, from, to)
				}
			}
			talk()
			for i, n := range c.nodes {
				if all || i == 3 {
					n.shift(jump)
				}
			}
			for range 100 {
				before := c.nodes[3].last
				c.net.Run(time.Millisecond)
				if now := c.nodes[3].last; now < before {
					t.Fatalf("seed %d: when the clock jumps by %v a node's time goes from %v back to %v", seed, jump, before, now)
				}
			}
			talk()
			c.net.Run(max(0, -jump))
			talk()
			c.net.Run(40 * time.Second)
			c.accounted(said, from, to)
			if smooth || !ordered { // where nothing is given up for want of patience
				c.everybodyGot(0, said)
			}
			c.await(10*time.Second, "all know all", c.complete)
		}
	}
}

// believed fails, whenever it happens, if somebody who has just heard the node
// does not take it for a member.
func (c *simCluster) believed(n *simNode) {
	c.net.SetTap(func(e simnet.Event) {
		if e.Kind != simnet.Delivered || e.From != n.addr {
			return
		}
		for _, x := range c.up() {
			if x.addr == e.To && !x.end.Frozen() {
				c.net.After(1, func() { // when it had its turn
					if x.roster.Get(uint64(n.id)) == nil {
						c.t.Errorf("seed %d: at %v node %v hears %v, which it does not list", c.seed, c.net.Now(), x.addr, n.addr)
					}
				})
			}
		}
	})
}

// stall stops the node's loop for d, in which the others talk. What comes in
// waits, as far as there is room for it.
func (n *simNode) stall(d time.Duration, said map[string]*simNode) {
	n.c.t.Helper()
	n.end.Freeze()
	n.c.traffic(d, 50*time.Millisecond, said)
	n.end.Thaw()
	n.wakeAt(n.c.net.Now())
}

func TestALoopThatStallsAgainAndAgainIsAMemberWheneverItIsHeard(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, inbox := range []int{1024, 16, 0} { // of which the last drops all
		for seed := range uint64(3) {
			c := newSimCluster(t, 8, lan(seed), Config{Ordered: seed%2 == 0})
			if seed%2 == 0 {
				c.sequences(nil)
			}
			c.form()
			n, all := c.nodes[c.net.Rand().IntN(8)], map[string]*simNode{}
			c.believed(n)
			for range 4 {
				said := map[string]*simNode{}
				n.end.SetInbox(inbox)
				n.stall(5*time.Second, said)
				n.end.SetInbox(1024)
				c.traffic(2*time.Second, 50*time.Millisecond, said)
				c.everybodyGot(3*time.Second, said)
				maps.Copy(all, said)
				c.await(3*time.Second, "all know all", c.complete)
			}
			c.wellInTheEnd(3*time.Second, all)
			for _, x := range c.nodes {
				if s := x.Stats(); s.GaveUpUnseen > 0 {
					t.Fatalf("seed %d: without loss %v gave up %d messages", seed, x.addr, s.GaveUpUnseen)
				}
			}
		}
	}
}

func TestAProcessThatIsStoppedFor30SecondsGoesOn(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, inbox := range []int{1024, 64} {
		for seed := range uint64(3) {
			c := newSimCluster(t, 8, lan(seed), Config{})
			c.form()
			n, said := c.nodes[c.net.Rand().IntN(8)], map[string]*simNode{}
			c.believed(n)
			n.end.SetInbox(inbox)
			c.traffic(time.Second, 50*time.Millisecond, said)
			for range 10 { // these it had no time to send
				said[n.say()] = n
			}
			n.stall(30*time.Second, said)
			if n.roster.Len() != 7 {
				t.Fatalf("seed %d: the stopped process knows %d of 7 members", seed, n.roster.Len())
			}
			if overflowed := c.net.Totals().Overflowed.Datagrams > 0; overflowed != (inbox == 64) {
				t.Fatalf("seed %d: with room for %d datagrams it is %v that some were dropped", seed, inbox, overflowed)
			}
			c.net.Run(2 * time.Second)
			if lost := n.Stats().MembersLost; lost > 0 {
				t.Fatalf("seed %d: the process that was stopped took %d of the others for lost", seed, lost)
			}
			c.wellInTheEnd(3*time.Second, said)
		}
	}
}

// slow is the socket of a node whose receiver takes a second. Meanwhile the
// node's loop stands still: nothing is read, and what it sends goes out after.
type slow struct {
	socket
	n     *simNode
	until time.Duration // when the last callback returns
}

func slowDown(n *simNode) *slow {
	now := n.c.net.Now
	s := &slow{socket: n.socket, n: n}
	n.socket = s
	n.clock = func() time.Duration { return max(now(), s.until) }
	n.hook = func(NodeID, []byte) { s.until = max(now(), s.until) + time.Second }
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

func TestAReceiverThatTakesASecondMakesItsNodeSlowAndNothingElse(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, size := range []int{8, 24} {
		for seed := range uint64(2) {
			c := newSimCluster(t, size, lan(seed), Config{})
			c.form()
			n, said := c.nodes[c.net.Rand().IntN(size)], map[string]*simNode{}
			busy := slowDown(n)
			c.believed(n)
			for range 60 {
				from := c.nodes[c.net.Rand().IntN(size)]
				text := from.say()
				said[text] = from
				c.await(500*time.Millisecond, "all but the slow one have the message", func() bool {
					return from == n || !slices.ContainsFunc(c.nodes, func(x *simNode) bool {
						return x != from && x != n && x.got[text] == 0
					})
				})
				c.net.Run(200 * time.Millisecond)
			}
			if got := len(n.got); got > 40 {
				t.Fatalf("seed %d: in 15 s a receiver that takes a second got %d messages", seed, got)
			}
			c.everybodyGot(2*time.Minute, said)
			n.hook = nil
			c.net.RunUntil(busy.until)
			c.wellInTheEnd(5*time.Second, said)
		}
	}
}

// A stream that is much longer than the log, to members that stand still now and
// then: who heeds ErrQueueFull loses nothing.
func TestSimAStreamWaitsForWhoStandsStill(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(3) {
		fast := lan(seed)
		fast.LatencyMin, fast.LatencyMax = 50*time.Microsecond, 100*time.Microsecond
		c := newSimCluster(t, 16, fast, Config{})
		c.form()
		c.net.Run(5 * time.Second)
		const messages = 8000
		said := 0
		for _, n := range c.nodes[1:] {
			n.end.SetInbox(4096)
		}
		for start := c.net.Now(); said < messages; c.net.Run(time.Millisecond) {
			for said < messages && c.nodes[0].SendData(fmt.Appendf(nil, "%060d", said)) == nil {
				said++
			}
			c.nodes[0].wakeAt(c.net.Now())
			if c.net.Rand().IntN(20) == 0 {
				n := c.nodes[1+c.net.Rand().IntN(15)]
				n.end.Freeze()
				c.net.After(time.Duration(50+c.net.Rand().IntN(250))*time.Millisecond, func() {
					n.end.Thaw()
					n.wakeAt(c.net.Now())
				})
			}
			if c.net.Now()-start > time.Minute {
				t.Fatalf("seed %d: in a minute only %d messages were taken: %+v", seed, said, c.nodes[0].Stats())
			}
		}
		c.net.Run(20 * time.Second)
		for _, n := range c.nodes[1:] {
			if st := n.Stats(); len(n.got) != messages || st.GaveUpUnseen > 0 {
				t.Errorf("seed %d: of %d messages %v got %d and gave up %d", seed, messages, n.addr, len(n.got), st.GaveUpUnseen)
			}
		}
	}
}

// A loop that stood still has not waited: what was missing when it stopped may lie
// in its socket, and has not been asked for since.
func TestAStoppedProcessDoesNotGiveUpWhatWaitsInItsSocket(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{{}, {Ordered: true}} {
		s := newSoloist(t, config)
		s.seedWith(10, 20)
		s.hear(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
		s.run(2 * time.Second) // the gap is noted
		s.fake.feed(peerAddr(20), s.data(dataOf(77, 2)))
		s.at += 40 * time.Second // nothing runs
		s.run(0)                 // Tick and Send come before Receive
		if _, err := s.Receive(0); err != nil {
			t.Fatal(err)
		}
		s.run(time.Second)
		s.want(len(s.got) == 3, "with Ordered %v a message that waited in the socket while the process was stopped is refused: got %v, %d given up",
			config.Ordered, s.got, s.Stats().GaveUpUnseen)
	}
}

// The same among nodes that retain everything: when all their clocks jump by an
// hour nothing need be given up.
func TestAClockThatJumpsGivesUpNothingThatOthersRetain(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(10) {
		c := newSimCluster(t, 16, rough(seed), Config{})
		c.form()
		said := map[string]*simNode{}
		c.traffic(2*time.Second, 20*time.Millisecond, said, Broadcast, Random)
		for _, n := range c.nodes {
			n.shift(time.Hour)
		}
		c.everybodyGot(time.Minute, said)
	}
}
