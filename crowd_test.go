package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// crowded is a cluster of more nodes than a view holds, all by one seed.
func crowded(t *testing.T, seed uint64, nodes, view int) *simCluster {
	t.Helper()
	c := newSimCluster(t, nodes, lan(seed), Config{MaxMembers: view})
	c.nodes[0].join()
	for i, n := range c.nodes[1:] {
		n.join(c.nodes[0])
		if i%5 == 0 {
			c.net.Run(50 * time.Millisecond)
		}
	}
	return c
}

// nobodyAlone fails unless all nodes know at least so many members and are known
// to somebody.
func (c *simCluster) nobodyAlone(least int) {
	c.t.Helper()
	known := map[uint64]bool{}
	for _, n := range c.nodes {
		for i := range n.roster.Len() {
			known[n.roster.At(i).ID] = true
		}
	}
	for _, n := range c.nodes {
		if n.roster.Len() < least {
			c.t.Fatalf("seed %d: of %d nodes %v knows only %d: %+v", c.seed, len(c.nodes), n.addr, n.roster.Len(), n.Stats())
		}
		if !known[uint64(n.id)] {
			c.t.Fatalf("seed %d: of %d nodes none knows %v: %+v", c.seed, len(c.nodes), n.addr, n.Stats())
		}
	}
}

// quickToAll fails unless what some nodes say is everywhere within a second.
func (c *simCluster) quickToAll(nodes ...*simNode) {
	c.t.Helper()
	for _, n := range nodes {
		c.everybodyGot(time.Second, map[string]*simNode{n.say(): n})
	}
}

func TestAClusterLargerThanItsViewsTakesInEverybody(t *testing.T) {
	heavy(t)
	t.Parallel()
	c := crowded(t, 1, 120, 24)
	c.net.Run(15 * time.Second)
	c.nobodyAlone(12)
	c.quickToAll(c.nodes[0], c.nodes[1], c.nodes[60], c.nodes[119])
	for i := range 20 { // who comes when all views are full
		n := c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), 7070), Config{MaxMembers: 24})
		n.join(c.nodes[0])
		c.net.Run(100 * time.Millisecond)
	}
	c.net.Run(15 * time.Second)
	c.nobodyAlone(12)
	c.quickToAll(c.nodes[0], c.nodes[60], c.nodes[120], c.nodes[139])
	c.noDuplicates()
	c.net.Run(5 * time.Second)
	if idle := float64(c.sent(10*time.Second)) / 10 / float64(len(c.nodes)); idle > 7 {
		t.Errorf("seed %d: a node that has nothing to do sends %.1f datagrams in a second, not 7 at most", c.seed, idle)
	}
}

// In a full view members always come and go, which is no news to anybody.
func TestANewcomerToAFullViewIsToldOfThoseNearIt(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 30})
	s.seedWith(around(30)...)
	s.want(s.roster.Len() == 30, "the view should be full with 30 members, not %d", s.roster.Len())
	near, id := around(30)[9:11], s.peerID(around(30)[9]+1)
	s.join(id, peerAddr(300))
	told := map[uint64]bool{}
	for _, m := range s.run(time.Minute) {
		if m.kind == wire.TypeMemberList && m.to == peerAddr(300) && m.at < 7*time.Second {
			for _, x := range m.members {
				told[x.ID] = true
			}
		}
		s.want(!m.news, "%v is told of %v as news", m.to, m.members)
	}
	s.want(told[s.peerID(near[1])] && len(told) <= 2*exchanged, "a newcomer was told of %d members, its neighbour among them: %v", len(told), told[s.peerID(near[1])])
}

// Who knows somebody that does not know it could not be found otherwise.
func TestANodeTellsOfItself(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	s.seedWith(1, 2, 3, 4, 128, 252, 253, 254, 255)
	lists := only(s.run(20*time.Second), wire.TypeMemberList, anybody)
	s.want(len(lists) > 10, "in 20 s there were %d exchanges", len(lists))
	for _, l := range lists {
		s.want(slices.ContainsFunc(l.members, func(m wire.Member) bool { return m.ID == uint64(s.id) }), "%v tells of everybody but its sender: %v", l, l.members)
	}
}

func TestAStrangerThatBelongsIntoAFullViewIsAsked(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	s.seedWith(10, 20, 30, 40, 128, 220, 230, 240, 250)
	near, far, from := s.peerID(5), s.peerID(100), peerAddr(105)
	for _, id := range []uint64{far, near} {
		// It tells of itself without an address, and of another.
		s.polite[from], s.polite[peerAddr(106)] = id, id+1<<40
		s.hear(from, s.memberList(false, wire.Member{ID: id}, wire.Member{ID: id + 1<<40, Addr: peerAddr(106)}))
		s.run(time.Second)
		for _, x := range []uint64{id, id + 1<<40} {
			s.want((s.roster.Get(x) != nil) == (id == near), "the members are %v after a list of %x, near: %v", s.Members(), id, id == near)
		}
	}
}

// Direct messages are numbered together, whoever they are for.
func TestADirectMessageOfANonMemberReachesAFullView(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	s.seedWith(1, 2, 3, 4, 128, 252, 253, 254, 255)
	from, id := peerAddr(77), s.peerID(77)
	s.polite[from] = id
	for i := range uint32(20) {
		m := s.data(wire.Data{Origin: id, Counter: 2000 + i, Flags: wire.FlagDirect, Payload: fmt.Append(nil, i)})
		acks := 0
		for range 3 { // attempts, of which the first may be answered by a question
			if acks == 0 {
				s.hear(from, m)
				acks = len(only(s.run(250*time.Millisecond), wire.TypeAck, from))
			}
		}
		s.want(acks == 1 && len(s.got) == int(i+1), "of %d Direct messages, numbered from 2000 on, %d were delivered and the last acknowledged %d times: %+v", i+1, len(s.got), acks, s.Stats())
	}
	s.want(s.roster.Len() == 9, "the members are %v", s.Members())
}

// full feeds the node more origins than its table holds, in the name of from,
// and returns the ids from which on they count up.
func (s *soloist) full(from netip.AddrPort) (first uint64, many int) {
	s.t.Helper()
	first, many = 1000, originsOf(&s.config)
	for i := range many + 10 {
		s.hear(from, s.data(wire.Data{Origin: first + uint64(i), Counter: 1, Flags: wire.FlagPull}))
		if i%512 == 0 {
			s.speak()
		}
	}
	s.speak()
	return first, many
}

func TestAnOriginThatMadeRoomIsNotNewAgain(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		s := newSoloist(t, Config{Ordered: ordered})
		s.seedWith(10, 20)
		said := func(counter uint32, flags uint8) {
			s.hear(peerAddr(20), s.data(wire.Data{Origin: 5, Counter: counter, Flags: flags, Payload: []byte("once")}))
		}
		for i := range uint32(3) {
			said(1+i, 0)
			said(1+i, wire.FlagDirect)
		}
		first, _ := s.full(peerAddr(10))
		s.want(s.origins.Get(5) != nil, "an origin that spoke lately had to make room")
		s.at += repair.OriginIdle + time.Minute
		s.hear(peerAddr(10), s.data(wire.Data{Origin: first - 1, Counter: 1}))
		s.want(s.origins.Get(5) == nil && s.origins.Get(first-1) != nil, "an origin that is idle for an hour does not make room for one that speaks")
		s.got = nil
		for i := range uint32(3) { // somebody retains them still
			said(1+i, wire.FlagPull)
			said(1+i, wire.FlagDirect)
		}
		s.want(len(s.got) == 0, "what was delivered before its origin made room is delivered again: %v", s.got)
		said(4, 0)
		said(4, wire.FlagDirect)
		s.want(len(s.got) == 2, "of the next two messages of that origin %d were delivered", len(s.got))
		s.want(s.Stats().GaveUpUnseen == 0, "with Ordered %v what was delivered before is counted as %d messages given up", ordered, s.Stats().GaveUpUnseen)
	}
}

func TestStrangersDoNotFillTheTableOfOrigins(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	_, many := s.full(netip.MustParseAddrPort("203.0.113.9:999"))
	s.want(s.origins.Len() <= many/2+1, "strangers filled %d of %d places", s.origins.Len(), many)
	s.want(s.Stats().DropOrigin > 0, "what they could not fill is not counted")
	s.got = nil
	s.hear(peerAddr(10), s.data(wire.Data{Origin: s.peerID(10), Counter: 1, Payload: []byte("first words")}))
	s.hear(peerAddr(10), s.data(wire.Data{Origin: s.peerID(30), Counter: 1, Payload: []byte("of another")}))
	s.want(fmt.Sprint(s.got) == "[first words of another]", "of a member the node hears %q, for strangers have filled its table", s.got)
	s.want(s.SendData([]byte("x")) == nil, "the node cannot speak itself")
}

// hears lets a node take a message as if a member had sent it by repair.
func (n *simNode) hears(from *simNode, d wire.Data) {
	n.mu.Lock()
	n.handle(n.now(), from.addr, append(wire.Header{Type: wire.TypeData, Seq: 1}.AppendTo(nil), d.AppendTo(nil)...))
	n.mu.Unlock()
	n.wakeAt(n.c.net.Now())
}

// With many origins it takes long until a comparison comes round to one.
func TestAMissedMessageIsFoundAmongThousandsOfOrigins(t *testing.T) {
	const origins = 2000
	for seed := range uint64(2) {
		c := newSimCluster(t, 3, lan(seed), Config{DataLogSize: 8 << 20})
		c.form()
		for i, n := range c.nodes {
			for o := range uint64(origins) {
				n.hears(c.nodes[(i+1)%3], wire.Data{Origin: (o + 1) * 0x9e3779b97f4a7c15, Counter: 1, Flags: wire.FlagPull})
			}
		}
		c.net.Run(10 * time.Second)
		said := map[string]*simNode{}
		for range 4 {
			c.partition(2)
			missed := c.nodes[0].say()
			said[missed] = c.nodes[0]
			c.net.Run(1500 * time.Millisecond)
			c.net.Heal()
			c.net.Run(500 * time.Millisecond)
			said[c.nodes[0].say()] = c.nodes[0]
			c.await(30*time.Second, "what everybody else retains is delivered", func() bool { return c.nodes[2].got[missed] > 0 })
		}
		c.everybodyGot(10*time.Second, said)
		if n := c.nodes[2].Stats().GaveUpUnseen; n > 0 {
			t.Errorf("seed %d: %d messages were given up though others retain them", seed, n)
		}
	}
}

func TestWhoChangesItsIDDoesNotPushOutOriginsOfOthers(t *testing.T) {
	heavy(t)
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	for o := range uint64(5) {
		s.hear(peerAddr(20), s.data(wire.Data{Origin: 100 + o, Counter: 1}))
	}
	origin := uint64(1000)
	for id := range uint64(3000) {
		s.hear(peerAddr(10), s.hello(1<<40+id, peerAddr(10), s.tokens.Make(peerAddr(10), s.at)))
		for range 3 {
			origin++
			s.hear(peerAddr(10), s.data(wire.Data{Origin: origin, Counter: 1, Flags: wire.FlagPull}))
		}
		s.speak()
	}
	for o := range uint64(5) {
		s.want(s.origins.Get(100+o) != nil, "origin %d was pushed out", 100+o)
	}
	s.want(s.origins.Len() == originsOf(&s.config), "the flood did not fill the table: %d", s.origins.Len())
	s.got = nil
	s.hear(peerAddr(20), s.data(wire.Data{Origin: 99, Counter: 1, Payload: []byte("of a new origin")}))
	s.want(fmt.Sprint(s.got) == "[of a new origin]", "a new origin of another member found no room: %+v", s.Stats())
}

func TestOneMemberCannotFillTheOriginsOfWhoSkipsHistory(t *testing.T) {
	s := newSoloist(t, Config{SkipHistory: true})
	s.seedWith(10, 20)
	s.repair.SkipHistory()
	for id := uint64(1000); s.origins.Len() < originsOf(&s.config); {
		m := wire.Status{Mode: wire.Full, First: 1, Last: 1<<64 - 2}
		for range 30 {
			id++
			m.Digest.Add(id, 5, nil, 485)
		}
		s.hear(peerAddr(10), s.status(m))
		s.speak()
	}
	s.hear(peerAddr(20), s.data(wire.Data{Origin: 5, Counter: 1, Payload: []byte("honest")}))
	s.want(fmt.Sprint(s.got) == "[honest]", "an origin of another member found no room: %+v", s.Stats())
}

func TestAMessageLongerThanTheBudgetIsRepaired(t *testing.T) {
	s := newSoloist(t, Config{MaxMessageSize: wire.MaxDatagram})
	s.seedWith(10, 20)
	for c := range uint32(3) {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 5, Counter: c + 1, Flags: wire.FlagPull, Payload: make([]byte, 60000)}))
	}
	s.run(5 * time.Second)
	m := wire.Status{Mode: wire.Request, Last: 1<<64 - 1}
	m.Digest.Add(5, 0, []versions.Run{{First: 1, Last: 3}}, 1000)
	s.hear(peerAddr(20), s.status(m))
	sent := only(s.speak(), wire.TypeData, peerAddr(20))
	s.want(len(sent) == 1, "of 3 messages of 60,000 bytes each request should bring one, not %d", len(sent))
}

func TestAListBringsFewNewMembersToAFullView(t *testing.T) {
	s := newSoloist(t, Config{MaxMessageSize: wire.MaxDatagram, MaxMembers: 64})
	s.seedWith(10, 20)
	list := func(from, n int) []byte {
		var all []wire.Member
		for i := range n {
			all = append(all, wire.Member{ID: uint64(from+i) * 0x9e3779b97f4a7c15, Addr: peerAddr(from + i)})
		}
		return s.memberList(false, all...)
	}
	s.hear(peerAddr(10), list(1000, 200))
	s.want(s.roster.Len() == 64, "the view holds %d", s.roster.Len())
	before := s.Stats().DropMember
	s.hear(peerAddr(10), list(2000, 3000))
	s.want(s.Stats().DropMember-before >= 3000-mostNewMembers, "of 3000 only %d were refused", s.Stats().DropMember-before)
}

func TestRepairsLeaveHalfOfTheQueueToOthers(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20, 30, 40)
	for c := range uint32(900) {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 5, Counter: c + 1, Flags: wire.FlagPull}))
	}
	s.run(5 * time.Second)
	m := wire.Status{Mode: wire.Request, Last: 1<<64 - 1}
	m.Digest.Add(5, 0, []versions.Run{{First: 1, Last: 900}}, 1000)
	for _, i := range []int{10, 20, 30, 40} {
		for range 3 {
			s.hear(peerAddr(i), s.status(m))
		}
		s.want(s.outbox.Stats().Data <= s.config.MaxOutputMessages/2, "there are %d repairs in a queue for %d", s.outbox.Stats().Data, s.config.MaxOutputMessages)
	}
	s.want(s.outbox.Stats().Data == s.config.MaxOutputMessages/2, "only %d repairs were asked for", s.outbox.Stats().Data)
}

func TestSimSmallDevicesThatAllJoinAtOnceFindOneAnother(t *testing.T) {
	for seed := range uint64(3) {
		c := newSimCluster(t, 64, lan(seed), smallFootprint)
		c.nodes[0].join()
		for _, n := range c.nodes[1:] {
			n.join(c.nodes[0])
		}
		c.net.Run(2 * time.Second)
		text := c.nodes[7].say()
		c.await(time.Second, "all got it", func() bool { return c.allGot(text, c.nodes[7]) })
		c.noDuplicates()
	}
}
