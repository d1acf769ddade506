package gossip

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// traffic lets random nodes, of those that run and are not stopped, say something
// at a steady pace for d, and notes who said what. The spreads take turns.
func (c *simCluster) traffic(d, every time.Duration, said map[string]*simNode, spreads ...Spread) {
	c.t.Helper()
	for i := range int(d / every) {
		able := slices.DeleteFunc(c.up(), func(n *simNode) bool { return n.end.Frozen() })
		n, spread := able[c.net.Rand().IntN(len(able))], Broadcast
		if len(spreads) > 0 {
			spread = spreads[i%len(spreads)]
		}
		said[n.say(spread)] = n
		c.net.Run(every)
	}
}

// wellInTheEnd runs until all know all and have every message, each within limit,
// and fails if anything came twice then or later.
func (c *simCluster) wellInTheEnd(limit time.Duration, said map[string]*simNode) {
	c.t.Helper()
	c.everybodyGot(limit, said)
	c.await(limit, "all know all", c.complete)
	fresh := map[string]*simNode{}
	c.traffic(time.Second, 100*time.Millisecond, fresh)
	c.everybodyGot(time.Second, fresh)
	c.net.Run(5 * time.Second)
	c.noDuplicates()
}

// oneWay keeps what some nodes send away from others, but not what these send.
func (c *simCluster) oneWay(from, to []*simNode) {
	has := func(nodes []*simNode, a netip.AddrPort) bool {
		return slices.ContainsFunc(nodes, func(n *simNode) bool { return n.addr == a })
	}
	c.net.SetFilter(func(a, b netip.AddrPort) bool { return !has(from, a) || !has(to, b) })
}

// A third of the nodes is not heard by another third, which it hears; the rest
// hear and are heard by all.
func TestThoseWhoAreNotHeardSpeakThroughOthers(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, size := range []int{3, 7, 18} {
		for seed := range uint64(3) {
			c := newSimCluster(t, size, lan(seed), Config{})
			c.form()
			mute, deaf := c.nodes[:size/3], c.nodes[size/3:2*(size/3)]
			c.oneWay(mute, deaf)
			said := map[string]*simNode{}
			for range 60 {
				now := map[string]*simNode{}
				c.traffic(time.Second, 500*time.Millisecond, now)
				c.everybodyGot(3*time.Second, now)
				maps.Copy(said, now)
			}
			for _, n := range deaf {
				for _, m := range mute {
					if n.roster.Get(uint64(m.id)) != nil {
						t.Fatalf("seed %d: after a minute of silence %v still has %v for a member", seed, n.addr, m.addr)
					}
					if m.roster.Get(uint64(n.id)) == nil {
						t.Fatalf("seed %d: %v, which hears %v for a minute, has lost it", seed, m.addr, n.addr)
					}
				}
			}
			c.net.SetFilter(nil)
			c.wellInTheEnd(5*time.Second, said)
		}
	}
}

func TestOfTwoNodesOneIsNotHeardForAMinute(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		c := newSimCluster(t, 2, lan(seed), Config{})
		c.form()
		mute, deaf := c.nodes[seed%2], c.nodes[1-seed%2]
		c.oneWay([]*simNode{mute}, []*simNode{deaf})
		said := map[string]*simNode{}
		c.traffic(time.Minute, 500*time.Millisecond, said)
		if len(deaf.got) > 0 || mute.State() != StateConnected {
			t.Fatalf("seed %d: the deaf node got %d messages, and the one that hears it is %v", seed, len(deaf.got), mute.State())
		}
		c.net.SetFilter(nil)
		c.wellInTheEnd(5*time.Second, said)
	}
}

func TestANodeThatLosesHalfOfWhatItSendsOrHearsStaysAMember(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(4) {
		c := newSimCluster(t, 12, lan(seed), Config{})
		c.form()
		n, outward := c.nodes[c.net.Rand().IntN(12)], seed%2 == 0
		c.net.SetFilter(func(from, to netip.AddrPort) bool {
			if outward && from != n.addr || !outward && to != n.addr {
				return true
			}
			return c.net.Rand().Float64() < math.Sqrt2/2 // it is asked twice
		})
		said := map[string]*simNode{}
		missing := map[*simNode]time.Duration{} // since when they lack a member
		for range 200 {
			now := map[string]*simNode{}
			c.traffic(500*time.Millisecond, 250*time.Millisecond, now)
			c.everybodyGot(5*time.Second, now)
			maps.Copy(said, now)
			for _, x := range c.nodes {
				if x.roster.Len() == 11 {
					delete(missing, x)
				} else if since, ok := missing[x]; !ok {
					missing[x] = c.net.Now()
				} else if c.net.Now()-since > 10*time.Second {
					t.Fatalf("seed %d: %v lacks a living member for 10 s: %+v", seed, x.addr, x.Stats())
				}
			}
		}
		c.net.SetFilter(nil)
		c.wellInTheEnd(5*time.Second, said)
	}
}

var errUnreachable = errors.New("network is unreachable")

// sayings is how often the nodes of unsendable speak.
const sayings = 60

// unsendable lets nodes talk for a minute in which some of them, if any, cannot
// send to the last one, and returns how long each message took to each of the
// others, ascending.
func unsendable(t *testing.T, size int, seed uint64, cannot []int) (took []time.Duration) {
	t.Helper()
	c := newSimCluster(t, size, lan(seed), Config{})
	c.form()
	c.net.Run(10 * time.Second)
	last, refused := c.nodes[size-1], make([]uint64, size)
	for _, i := range cannot {
		c.nodes[i].end.FailSends(func(to netip.AddrPort) error {
			if to != last.addr {
				return nil
			}
			refused[i]++
			return errUnreachable
		})
	}
	var at time.Duration
	for _, n := range c.nodes[:size-1] {
		n.hook = func(NodeID, []byte) { took = append(took, c.net.Now()-at) }
	}
	said := map[string]*simNode{}
	for range sayings {
		n := c.nodes[c.net.Rand().IntN(size-1)]
		at = c.net.Now()
		said[n.say()] = n
		c.net.Run(time.Minute / sayings)
	}
	for i, n := range c.nodes {
		if got := n.Stats().SendErrors; got != refused[i] {
			t.Fatalf("seed %d: %d datagrams of %v could not be sent, and %d are counted", seed, refused[i], n.addr, got)
		}
		n.end.FailSends(nil)
		n.hook = nil
	}
	c.wellInTheEnd(5*time.Second, said)
	slices.Sort(took)
	return took
}

func TestAnUnsendableRecipientHoldsUpNobodyElse(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20, 30)
	s.fake.fail = map[netip.AddrPort]error{peerAddr(10): syscall.EPERM}
	for range 50 {
		s.want(s.SendData([]byte("for all")) == nil, "SendData failed")
	}
	at20, at30 := 0, 0
	for _, m := range only(s.speak(), wire.TypeData, anybody) {
		switch m.to {
		case peerAddr(20):
			at20++
		case peerAddr(30):
			at30++
		}
	}
	s.want(at20 == 50 && at30 == 50, "the others got %d and %d of 50", at20, at30)
	s.want(s.Stats().SendErrors > 0, "the errors of the system should be counted")
}

// In one hop nobody depends on another one. In two, those few behind the silent
// one on the ring wait until their part of it is given to somebody else.
func TestARecipientThatCannotBeSentToHoldsUpNobodyElse(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, x := range []struct {
		size, senders int           // of these some cannot send
		usual         float64       // of the deliveries that are as quick as without errors
		worst         time.Duration // of the others
	}{
		{8, 1, 1, 15 * time.Millisecond},
		{16, 15, 1, 15 * time.Millisecond},
		{36, 35, 0.9, 500 * time.Millisecond},
	} {
		for seed := range uint64(2) {
			cannot := make([]int, x.senders)
			for i := range cannot {
				cannot[i] = i
			}
			without, with := unsendable(t, x.size, seed, nil), unsendable(t, x.size, seed, cannot)
			if len(with) != sayings*(x.size-2) || len(with) != len(without) {
				t.Fatalf("seed %d: of %d deliveries to the others there were %d", seed, len(without), len(with))
			}
			for _, share := range []float64{0.5, x.usual} {
				i := int(share*float64(len(with))) - 1
				if with[i] > without[i]+5*time.Millisecond {
					t.Errorf("seed %d: when %d of %d nodes cannot send to one, %.0f %% of the deliveries to the others take %v instead of %v",
						seed, x.senders, x.size, 100*share, with[i], without[i])
				}
			}
			if most := with[len(with)-1]; most > x.worst {
				t.Errorf("seed %d: when %d of %d nodes cannot send to one, a delivery to another takes %v", seed, x.senders, x.size, most)
			}
		}
	}
}

// moody is a socket that fails to read when its mood says so. Like a real one it
// then takes 10 ms of a Receive that may wait.
type moody struct {
	socket
	n      *simNode
	fails  func() bool
	failed uint64
}

func (m *moody) Receive(b []byte, maxWait time.Duration) (int, netip.AddrPort, error) {
	if !m.n.down && m.fails() {
		m.failed++
		m.n.wakeAt(m.n.c.net.Now() + 10*time.Millisecond)
		return 0, netip.AddrPort{}, fmt.Errorf("receive: %w", errUnreachable)
	}
	return m.socket.Receive(b, maxWait)
}

func TestReadErrorsCostNothingButTime(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(4) {
		c := newSimCluster(t, 16, lan(seed), Config{})
		c.form()
		now, rng := c.net.Now, c.net.Rand()
		moods := []func() bool{
			func() bool { return rng.IntN(10) == 0 },                                      // now and then
			func() bool { return now()%time.Second < 200*time.Millisecond },               // many in a row
			func() bool { return rng.IntN(2) == 0 && now()%time.Minute < 2*time.Second },  // a bad time
			func() bool { return now()%(10*time.Second) < 1500*time.Millisecond },         // long silence
			func() bool { return rng.IntN(20) == 0 || now()%time.Second < time.Second/4 }, // all of it
		}
		var sockets []*moody
		for i, n := range c.nodes[:10] {
			s := &moody{socket: n.socket, n: n, fails: moods[i%len(moods)]}
			n.socket, sockets = s, append(sockets, s)
		}
		said := map[string]*simNode{}
		c.traffic(20*time.Second, 50*time.Millisecond, said)
		c.everybodyGot(5*time.Second, said)
		for _, s := range sockets {
			s.fails = func() bool { return false }
		}
		c.wellInTheEnd(5*time.Second, said)
		for _, s := range sockets {
			if got := s.n.Stats().ReceiveErrors; got != s.failed || got == 0 {
				t.Fatalf("seed %d: %d reads of %v failed, and %d are counted", seed, s.failed, s.n.addr, got)
			}
		}
		for _, n := range c.nodes {
			if lost := n.Stats().MembersLost; lost > 0 {
				t.Fatalf("seed %d: %v took %d living members for lost", seed, n.addr, lost)
			}
		}
	}
}

// As behind NATs that forward nothing: what two nodes send to each other never
// arrives, but a seed hears both.
func TestSimTwoNodesThatNeverHearEachOtherSpeakThroughASeed(t *testing.T) {
	for seed := range uint64(10) {
		c := newSimCluster(t, 3, lan(seed), Config{})
		a, b := c.nodes[1].addr, c.nodes[2].addr
		c.net.SetFilter(func(from, to netip.AddrPort) bool { return !(from == a && to == b || from == b && to == a) })
		c.nodes[0].join()
		c.nodes[1].join(c.nodes[0])
		c.nodes[2].join(c.nodes[0])
		for _, n := range c.nodes[1:] {
			c.await(10*time.Second, "both are connected", func() bool { return n.State() == StateConnected })
		}
		for minute := range 3 {
			for _, n := range c.nodes {
				text := n.say()
				took := c.await(2*time.Second, "everybody hears it", func() bool { return c.allGot(text, n) })
				t.Logf("seed %d, minute %d: a message of %v was everywhere after %v", seed, minute, n.addr, took)
			}
			c.net.Run(time.Minute)
		}
		c.noDuplicates()
	}
}

// Who is cut off asks nobody for what it lacks, so that does not wait in vain: when the
// net is whole again it is repaired, not given up.
func TestWhatANodeLackedBeforeItWasCutOffReachesItAfter(t *testing.T) {
	for seed := range uint64(10) {
		for _, ordered := range []bool{false, true} {
			c := newSimCluster(t, 2, lan(seed), Config{})
			n := c.add(otherAddr, Config{Ordered: ordered})
			c.form()
			c.partition(2)
			said := map[string]*simNode{}
			for range 2 {
				said[c.nodes[0].say()] = c.nodes[0]
			}
			late := wire.Data{Origin: uint64(c.nodes[0].ID()), Counter: 2, Payload: []byte("message 2")}
			n.hears(c.nodes[0], late)
			c.net.Run(2 * time.Minute)
			c.net.Heal()
			c.everybodyGot(10*time.Second, said)
			if lost := n.Stats().GaveUpUnseen; lost > 0 {
				t.Errorf("seed %d: with Ordered %v it gave up %d messages that its peers retain", seed, ordered, lost)
			}
			c.noDuplicates()
		}
	}
}
