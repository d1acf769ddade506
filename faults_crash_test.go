package gossip

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// massacre crashes so many nodes, but never the first, in one instant, and returns
// the ids that died.
func (c *simCluster) massacre(count int) map[uint64]bool {
	dead := map[uint64]bool{}
	for _, i := range c.net.Rand().Perm(len(c.nodes) - 1)[:count] {
		n := c.nodes[i+1]
		dead[uint64(n.id)] = true
		n.crash()
	}
	return dead
}

// listed counts how many entries of the dead there are in the views of the living.
func (c *simCluster) listed(dead map[uint64]bool) (entries int) {
	for _, n := range c.up() {
		for i := range n.roster.Len() {
			if dead[n.roster.At(i).ID] {
				entries++
			}
		}
	}
	return entries
}

// nextMessages lets the living say so much, each message when the one before is
// everywhere, within limit.
func (c *simCluster) nextMessages(count int, limit time.Duration, said map[string]*simNode) {
	c.t.Helper()
	for range count {
		now := map[string]*simNode{}
		c.traffic(time.Millisecond, time.Millisecond, now)
		c.everybodyGot(limit, now)
		maps.Copy(said, now)
	}
}

// resurrect starts all that are down as new nodes, which know only the first.
func (c *simCluster) resurrect() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.down {
			clear(n.got) // a new life receives what is retained
			n.restart(c.nodes[0])
		}
	}
}

func TestTwoFifthsOf64DieAtOnceAndComeBack(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c, said := gather(t, spreadCase{nodes: 64}, seed), map[string]*simNode{}
		dead := c.massacre(25)
		c.nextMessages(20, time.Second, said)
		// Nobody says anything now: upkeep alone must find the last.
		for start := c.net.Now(); c.listed(dead) > 0; c.net.Run(10 * time.Second) {
			if c.net.Now()-start > 30*time.Minute {
				t.Fatalf("seed %d: after half an hour %d entries of the dead are left\n%s", seed, c.listed(dead), c.describe())
			}
		}
		if !c.complete() {
			t.Fatalf("seed %d: with the dead some living ones went out of the views\n%s", seed, c.describe())
		}
		c.resurrect()
		c.wellInTheEnd(2*time.Minute, said)
		if entries := c.listed(dead); entries > 0 {
			t.Fatalf("seed %d: %d entries of the dead came back with their addresses", seed, entries)
		}
	}
}

func TestTwoFifthsOf128DieAtOnceAndComeBack(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c, said := gather(t, spreadCase{nodes: 128}, seed), map[string]*simNode{}
		dead := c.massacre(51)
		before := c.listed(dead)
		c.nextMessages(20, time.Second, said)
		c.traffic(10*time.Second, 200*time.Millisecond, said)
		if after := c.listed(dead); after > before*9/10 {
			t.Fatalf("seed %d: after 10 s of traffic %d of %d entries of the dead are left", seed, after, before)
		}
		if seed > 0 {
			c.noDuplicates()
			continue // for so many to join at once takes a second of the machine's time
		}
		c.resurrect()
		c.everybodyGot(5*time.Second, said)
		c.nextMessages(10, time.Second, said)
		c.noDuplicates()
		if after := c.listed(dead); after > before/5 {
			t.Fatalf("seed %d: when all are back %d of %d entries of their former lives are left", seed, after, before)
		}
	}
}

// For three generations: the seeds die, and others come up elsewhere, a cluster of
// their own at first. Either all are told of them, as by a name that resolves
// anew, or one is.
func TestSeedsAreReplacedByOthersElsewhere(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(6) {
		c := newSimCluster(t, 12, lan(seed), Config{})
		seeds := slices.Clone(c.nodes[:3])
		for _, n := range c.nodes {
			n.join(seeds...)
		}
		c.await(time.Minute, "all know all", c.complete)
		said := map[string]*simNode{}
		for generation := range byte(3) {
			for i, s := range seeds {
				s.crash()
				addr := netip.AddrFrom4([4]byte{10, 9, generation, byte(i)})
				seeds[i] = c.add(netip.AddrPortFrom(addr, 7070), Config{})
			}
			for _, s := range seeds {
				s.join(seeds...)
			}
			c.traffic(5*time.Second, 100*time.Millisecond, said)
			told := slices.DeleteFunc(c.up(), func(n *simNode) bool { return slices.Contains(seeds, n) })
			old := told
			if seed%2 == 0 {
				told = told[:1]
			}
			for _, n := range told {
				entered := len(n.states)
				n.join(seeds...)
				if n.State() != StateConnected || len(n.states) != entered {
					t.Fatalf("seed %d: Join with new seeds makes a connected node %v", seed, n.State())
				}
			}
			c.await(10*time.Second, "each old member knows the new seeds", func() bool {
				return !slices.ContainsFunc(old, func(n *simNode) bool {
					return slices.ContainsFunc(seeds, func(s *simNode) bool { return n.roster.Get(uint64(s.id)) == nil })
				})
			})
			c.everybodyGot(5*time.Second, said)
			newcomer := c.add(netip.AddrPortFrom(seeds[0].addr.Addr(), 7071), Config{})
			newcomer.join(seeds...)
			c.await(2*time.Second, "a newcomer knows all that live", func() bool { return newcomer.roster.Len() >= len(c.up())-1 })
			c.nextMessages(10, 3*time.Second, said)
		}
		c.await(5*time.Minute, "all know all that live", c.complete)
		lonely := c.nodes[3]
		c.partition(4) // the first seeds, which are no more, and this one
		c.await(5*time.Minute, "a node that is cut off is alone", func() bool { return lonely.State() == StateDisconnected })
		c.net.Heal()
		c.wellInTheEnd(10*time.Second, said)
	}
}

// reborn is crash and restart. The harness repeats its randomness, and with it the
// ids, every 256 lives.
func (n *simNode) reborn(seed *simNode) {
	n.c.t.Helper()
	n.crash()
	clear(n.got)
	own := n.c.seed
	n.c.seed += n.life >> 8 << 32
	n.restart(seed)
	n.c.seed = own
}

// livesAtOneAddress lets the last node of a cluster live so often, for so long
// each time. It fails if a life does not hear or is not heard, or if the others
// hold more than is due to that many origins.
func livesAtOneAddress(c *simCluster, lives, origins int, each time.Duration) {
	c.t.Helper()
	last := len(c.nodes) - 1
	n, others := c.nodes[last], c.nodes[:last]
	for life := range lives {
		n.reborn(others[life%last])
		other := others[c.net.Rand().IntN(last)]
		c.everybodyGot(time.Minute, map[string]*simNode{n.say(): n, other.say(): other})
		c.net.Run(each)
		for _, x := range others {
			s := x.Stats()
			if s.Members > last || s.Lost > last || s.Origins > min(origins, life+len(c.nodes)+1) ||
				s.RetainedBytes > x.GossipService.config.DataLogSize || s.Retained > s.RetainedBytes/datalog.Overhead ||
				s.QueuedControl+s.AcksPending > 100 || x.outbox.Stats().Recipients > 20 {
				c.t.Fatalf("seed %d: after %d lives at one address %v has grown: %+v", c.seed, life+1, x.addr, s)
			}
			if s.DropOrigin > 0 {
				c.t.Fatalf("seed %d: %v had no room for life %d at one address: %+v", c.seed, x.addr, life+1, s)
			}
		}
	}
	c.await(time.Minute, "all know all", c.complete)
	c.settle()
	c.noDuplicates()
}

func TestAThousandLivesAtOneAddress(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c := newSimCluster(t, 5, lan(seed), Config{DataLogSize: 64 << 10})
		c.form()
		livesAtOneAddress(c, 1000, 1010, 0)
	}
}

// With a table of 64 origins each makes room an hour after it fell silent.
func TestLivesAtOneAddressMakeRoomForLaterOnes(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(3) {
		c := newSimCluster(t, 4, lan(seed), Config{DataLogSize: 8 << 10, TickInterval: 10 * time.Second})
		for _, n := range c.nodes {
			n.origins = versions.NewTable(64)
			n.origins.Keep(uint64(n.id))
			n.repair = repair.NewDesk(n.log, n.origins)
		}
		c.form()
		livesAtOneAddress(c, 150, 64, 90*time.Second)
	}
}

// Who has just joined may be given as much history as its log holds, before
// anybody has asked for what it said itself.
func TestTheFirstWordsOfANewLifeOutliveTheHistoryItIsGiven(t *testing.T) {
	t.Parallel()
	s := newSoloist(t, Config{DataLogSize: 16 << 10})
	seed, id := peerAddr(10), s.peerID(10)
	s.mustJoin(seed.String())
	hello := only(s.speak(), wire.TypeHello, seed)
	s.want(len(hello) == 1, "a seed is greeted %d times", len(hello))
	s.want(s.SendData([]byte("first words")) == nil, "SendData failed")
	s.polite[seed] = id
	s.hear(seed, s.welcome(hello[0].seq, 7, id, seed))
	all := s.run(20 * time.Millisecond)
	for i := range uint32(100) { // 69 fill the log
		s.hear(seed, s.data(wire.Data{Origin: 77, Counter: 1 + i, Flags: wire.FlagPull, Payload: []byte("history")}))
	}
	all = append(all, s.run(5*time.Second)...)
	request := wire.Status{Mode: wire.Request, Last: 1<<64 - 1}
	request.Digest.Add(uint64(s.id), 0, []versions.Run{{First: 1, Last: 1}}, 100)
	s.hear(seed, s.status(request))
	for _, m := range only(append(all, s.run(time.Second)...), wire.TypeData, seed) {
		if m.data.Origin == uint64(s.id) {
			return
		}
	}
	s.want(false, "the first message of a node, accepted by SendData, was never sent, and nothing counts it: %+v", s.Stats())
}

func TestTheFirstWordsOfNewLivesReachEverybody(t *testing.T) {
	heavy(t)
	t.Parallel()
	lost := 0
	for seed := range uint64(150) {
		c := newSimCluster(t, 5, lan(seed), Config{DataLogSize: 16 << 10})
		c.form()
		for range 100 { // 69 fill the log
			c.nodes[c.net.Rand().IntN(4)].say()
			c.net.Run(5 * time.Millisecond)
		}
		c.net.Run(3 * time.Second)
		n := c.nodes[4]
		n.crash()
		clear(n.got)
		n.restart(c.nodes[0])
		text := n.say()
		c.net.Run(20 * time.Second)
		if !c.allGot(text, n) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of the first words of 150 new lives, on a net without loss, %d did not reach everybody", lost)
	}
}

// Others take a new life for the one before it, at the same address, until it has
// said Hello with a token. The part of the ring that they hand to the old one comes
// to the new one, which has said the message itself: it must not acknowledge that
// and do nothing.
func TestAnOriginThatIsHandedItsOwnMessageDoesNotSwallowItsArc(t *testing.T) {
	t.Parallel()
	s := newSoloist(t, Config{})
	s.seedWith(around(16)...)
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	s.run(2 * time.Second)
	from, inside := peerAddr(around(16)[3]), around(16)[8]
	back := wire.Data{Origin: uint64(s.id), Counter: 1, Flags: wire.FlagArc, Hops: 2, Lo: view.Pos(s.peerID(inside) - 1<<40), Hi: view.Pos(s.peerID(inside) + 1<<40), Payload: []byte("x")}
	s.hear(from, s.data(back))
	all := s.run(100 * time.Millisecond)
	covered := len(only(all, wire.TypeData, peerAddr(inside))) > 0
	acknowledged := len(only(all, wire.TypeAck, from)) > 0
	s.want(covered || !acknowledged, "the arc is acknowledged, and nobody in it gets the message")
}

func TestMessagesOfNewLivesDoNotWaitForRepair(t *testing.T) {
	heavy(t)
	t.Parallel()
	late := ""
	for seed := range uint64(200) {
		c := newSimCluster(t, 5, lan(seed), Config{TickInterval: time.Minute})
		c.form()
		n, others := c.nodes[4], c.nodes[:4]
		for life := range 50 {
			n.reborn(others[life%4])
			c.await(time.Second, "a new life is CONNECTED", func() bool { return n.State() == StateConnected })
			text := n.say()
			start := c.net.Now()
			c.await(10*time.Minute, "a message of a new life is everywhere", func() bool { return c.allGot(text, n) })
			if took := c.net.Now() - start; took > 2*time.Second {
				late += fmt.Sprintf(" %v (seed %d, life %d)", took, seed, life+2)
			}
		}
	}
	if late != "" {
		t.Errorf("without loss messages of new lives take%s", late)
	}
}
