package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// stranger is nobody's address that a test knows.
var stranger = netip.MustParseAddrPort("203.0.113.9:999")

// inOrder fails unless the view is what it should be: everybody on the ring is
// found by address and nobody else is.
func (s *soloist) inOrder(addrs ...netip.AddrPort) {
	s.t.Helper()
	ring := map[*view.Member]bool{}
	for i := range s.roster.Len() {
		m := s.roster.At(i)
		ring[m] = true
		s.want(s.roster.ByAddr(m.Addr) == m && s.roster.Get(m.ID) == m, "the member at %v is on the ring and not found there", m.Addr)
	}
	for _, a := range addrs {
		m := s.roster.ByAddr(a)
		s.want(m == nil || ring[m], "somebody is found at %v who is not on the ring", a)
	}
}

// A MemberList may push its own sender out of a full view, and then a goodbye in
// the same datagram is that of a stranger.
func TestAGoodbyeOfWhoIsOutAlreadyHarmsNobody(t *testing.T) {
	near := []int{1, 2, 3, 4, 252, 253, 254, 255}
	for _, last := range []bool{false, true} { // of all in the order of their ids
		s := newSoloist(t, Config{MaxMembers: 9})
		s.seedWith(near...)
		id, from := s.peerID(100), peerAddr(100)
		if last {
			id = ^uint64(0) // and those next to it on the ring are the first
		}
		s.join(id, from)
		s.run(6 * time.Second)
		news, addrs := []wire.Member{}, []netip.AddrPort{from}
		for i := range 12 {
			m := wire.Member{ID: id + uint64(i+1)<<40, Addr: peerAddr(1000 + i)}
			news, addrs = append(news, m), append(addrs, m.Addr)
		}
		s.hear(from, s.memberList(false, news...), s.goodbye(id))
		s.want(s.roster.Get(id) == nil && s.Stats().DropLeave == 1, "the list should push its sender out, the members are %v", s.Members())
		for _, i := range near {
			addrs = append(addrs, peerAddr(i))
			s.want(s.roster.Get(s.peerID(i)) != nil, "the goodbye of %x took %x away", id, s.peerID(i))
		}
		s.want(s.roster.Len() == 9, "of 9 members %d are left", s.roster.Len())
		s.inOrder(addrs...)
		s.run(20 * time.Second)
		s.inOrder(addrs...)
	}
}

func TestAForgedNumberFarAheadSilencesNobody(t *testing.T) {
	for _, lead := range []uint32{strangerLead + 1, 500, 1024, 1025, 1 << 31} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		id := s.peerID(10)
		say := func(counter uint32) {
			s.hear(peerAddr(10), s.data(wire.Data{Origin: id, Counter: counter, Payload: fmt.Append(nil, counter)}))
		}
		for i := range uint32(5) {
			say(1 + i)
		}
		s.hear(stranger, s.data(wire.Data{Origin: id, Counter: 5 + lead}))
		s.hear(stranger, s.data(wire.Data{Origin: s.peerID(20), Counter: lead}))
		s.run(40 * time.Second) // a gap would be given up
		for i := range uint32(1024) {
			say(6 + i)
		}
		s.hear(peerAddr(20), s.data(wire.Data{Origin: s.peerID(20), Counter: 1, Payload: []byte("first words")}))
		s.want(len(s.got) == 5+1024+1, "after one forged message, %d ahead, %d of the next 1024 were delivered, and the first of another: %q",
			lead, len(s.got)-6, s.got[len(s.got)-1])
		s.want(s.Stats().DropAhead == 2 && s.Stats().GaveUpUnseen == 0, "they were counted as %+v", s.Stats())
	}
}

// The first number of a Direct message says nothing, and may be forged too.
func TestAForgedDirectMessageSilencesNobody(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	id := s.peerID(10)
	s.hear(stranger, s.data(wire.Data{Origin: id, Counter: 1 << 31, Flags: wire.FlagDirect, Payload: []byte("forged")}))
	s.got = nil
	for i := range uint32(50) {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: id, Counter: i + 1, Flags: wire.FlagDirect}))
	}
	s.want(len(s.got) == 50, "after one forged Direct message of a stranger, of 50 of the member %d were delivered, %d taken for known and acknowledged", len(s.got), s.Stats().Duplicate)
}

// Each number is but a little ahead of the one before it.
func TestForgedNumbersThatClimbSilenceNobody(t *testing.T) {
	for _, flags := range []uint8{0, wire.FlagDirect} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		id := s.peerID(10)
		for i := range uint32(60) {
			s.hear(stranger, s.data(wire.Data{Origin: id, Counter: (i + 1) * strangerLead, Flags: flags, Payload: []byte("forged")}))
		}
		taken := len(s.got)
		for i := range uint32(1024) {
			s.hear(peerAddr(10), s.data(wire.Data{Origin: id, Counter: i + 1, Flags: flags}))
		}
		s.want(len(s.got) == 1024, "after %d of 60 forged messages with flags %x, which climb, %d of 1024 numbers of the origin were delivered: %+v",
			taken, flags, len(s.got), s.Stats())
		s.want(s.Stats().DropAhead == 60-1024/strangerLead && s.Stats().GaveUpUnseen == 0, "they were counted as %+v", s.Stats())
	}
}

// A node that speaks to many has gaps between the numbers that each of them sees.
func TestDirectMessagesWithGapsReachAFullView(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	s.seedWith(1, 2, 3, 4, 128, 252, 253, 254, 255)
	from, id := peerAddr(77), s.peerID(77)
	s.polite[from] = id
	for i, counter := range []uint32{2000, 2001, 2100, 3000, 9000} {
		for range 3 { // attempts
			s.hear(from, s.data(wire.Data{Origin: id, Counter: counter, Flags: wire.FlagDirect, Payload: fmt.Append(nil, counter)}))
			s.run(250 * time.Millisecond)
		}
		s.want(len(s.got) == i+1, "of %d Direct messages, the last with the number %d, only %v were delivered: %+v", i+1, counter, s.got, s.Stats())
	}
}

// One forged number must not move a node past what it said a moment ago.
func TestAForgedOwnNumberCostsNoMessageOnItsWay(t *testing.T) {
	for seed := range uint64(5) {
		net := lan(seed)
		net.Loss = 0.3
		c := newSimCluster(t, 8, net, Config{})
		c.form()
		n := c.nodes[3]
		said := map[string]*simNode{}
		for i := range 40 {
			if i == 20 {
				n.handleForged(wire.Data{Origin: uint64(n.id), Counter: n.counter + 2000})
			}
			said[n.say()] = n
			c.net.Run(time.Millisecond)
		}
		c.everybodyGot(time.Minute, said)
	}
}

// Somebody may have used the numbers that a node would use next.
func TestANodeGoesOnBehindWhatWasSaidInItsName(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	number := func() uint32 {
		s.want(s.SendData([]byte("true")) == nil, "SendData failed")
		d := only(s.run(100*time.Millisecond), wire.TypeData, anybody)
		s.want(len(d) == 2, "a message went to %d of 2", len(d))
		return d[0].data.Counter
	}
	s.want(number() == 1 && number() == 2, "the first messages are not 1 and 2")
	for _, counter := range []uint32{40, 7, 2} { // all of them below 41
		s.hear(peerAddr(10), s.data(wire.Data{Origin: uint64(s.id), Counter: counter, Payload: []byte("false")}))
	}
	s.want(len(s.got) == 0, "a node hears itself: %q", s.got)
	n := number()
	s.want(n == 41, "after 40 in its name the node goes on with %d", n)
	s.hear(peerAddr(10), s.data(wire.Data{Origin: uint64(s.id), Counter: 1 << 30}))
	n = number()
	s.want(n == 42, "a number that is far too high makes the node go on with %d", n)
}

// Somebody may be quicker than the node itself, which does not ask for that for ever.
func TestANodeBeginsBehindWhatWasSaidInItsName(t *testing.T) {
	c := newSimCluster(t, 8, lan(15), Config{})
	c.form()
	n := c.nodes[3]
	c.nodes[6].handleForged(wire.Data{Origin: uint64(n.id), Counter: 5, Payload: []byte("false")})
	c.net.Run(10 * time.Second)
	before := n.Stats().Duplicate
	c.net.Run(30 * time.Second)
	if again := n.Stats().Duplicate - before; again > 0 {
		t.Errorf("seed 15: what was said in its name is repaired %d times more at the node itself", again)
	}
	said := map[string]*simNode{}
	for range 10 {
		said[n.say()] = n
	}
	c.everybodyGot(5*time.Second, said)
}

// Its numbers are many, but whoever burns them is quick.
func TestForgersBurnFewNumbersOfANode(t *testing.T) {
	for _, c := range []struct {
		who  netip.AddrPort
		step uint32
		most uint32 // in a TickInterval
	}{{stranger, strangerLead, strangerLead}, {peerAddr(10), 1000, 2 * versions.Width}} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		for i := range uint32(10) {
			s.want(s.SendData([]byte("true")) == nil, "SendData failed")
			s.run(time.Second)
			before := s.counter
			for range 100 {
				s.hear(c.who, s.data(wire.Data{Origin: uint64(s.id), Counter: s.counter + c.step, Payload: []byte("false")}))
			}
			s.want(s.counter > before && s.counter-before <= 2*c.most, "in second %d %v moved the node from number %d to %d", i, c.who, before, s.counter)
		}
	}
}

// A cluster hears its own member though somebody used its next numbers.
func TestAForgerDoesNotTakeTheWordOutOfAMembersMouth(t *testing.T) {
	c := newSimCluster(t, 8, lan(14), Config{})
	c.form()
	n := c.nodes[3]
	said := map[string]*simNode{n.say(): n}
	c.everybodyGot(5*time.Second, said)
	c.nodes[6].handleForged(wire.Data{Origin: uint64(n.id), Counter: 30, Payload: []byte("false")})
	c.await(10*time.Second, "the node has heard what was said in its name", func() bool { return n.counter >= 30 })
	for range 40 {
		said[n.say()] = n
		c.net.Run(20 * time.Millisecond)
	}
	c.everybodyGot(10*time.Second, said)
}

func (n *simNode) handleForged(d wire.Data) {
	n.mu.Lock()
	n.handle(n.now(), stranger, append(wire.Header{Type: wire.TypeData, Seq: 1}.AppendTo(nil), d.AppendTo(nil)...))
	n.mu.Unlock()
	n.wakeAt(n.c.net.Now())
}

// Half of the table is for what members tell, and each of these has its share of it.
func TestInventedOriginsLeaveRoomForOthers(t *testing.T) {
	for _, liar := range []netip.AddrPort{stranger, peerAddr(10)} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		for i := range uint64(9000) {
			s.hear(liar, s.data(wire.Data{Origin: 1000 + i, Counter: 1, Flags: wire.FlagPull}))
		}
		most := originsOf(&s.config)
		if liar == stranger {
			most /= 2
		}
		s.want(s.origins.Len() == most, "%v filled the table with %d origins, not %d", liar, s.origins.Len(), most)
		s.got = nil
		for i := range uint64(1000) {
			s.hear(peerAddr(20), s.data(wire.Data{Origin: 1<<40 + i, Counter: 1, Payload: []byte("true")}))
		}
		s.want(len(s.got) == 1000, "after the inventions of %v, of 1000 origins a member told of %d were heard", liar, len(s.got))
	}
}

// host is where liars say that there are nodes.
var host = netip.MustParseAddr("192.0.2.200")

// hearsayOf is a list of n nodes at that host, on the ring from a step on.
func (s *soloist) hearsayOf(n, step int) (b []byte) {
	var l []wire.Member
	for i := range n {
		l = append(l, wire.Member{ID: s.peerID(step) + uint64(i+1), Addr: netip.AddrPortFrom(host, uint16(1000+i))})
	}
	return s.memberList(true, l...)
}

// chat lets the node speak 60 times, and then live for a minute, and returns how
// many bytes of that go to the host, and how many of the messages are Data.
func (s *soloist) chat(every time.Duration, spread Spread) (bytes, data int) {
	count := func(all []said) {
		for _, m := range all {
			if m.to.Addr() == host {
				bytes += m.size
				if m.kind == wire.TypeData {
					data++
				}
			}
		}
	}
	for range 60 {
		s.want(s.SendData(make([]byte, 480), spread) == nil, "SendData failed")
		count(s.run(every))
	}
	count(s.run(time.Minute))
	return bytes, data
}

func TestHearsayOfTheUnprovenSendsItsVictimNothing(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	unproven := peerAddr(90)
	s.hear(peerAddr(10), s.memberList(false, wire.Member{ID: s.peerID(90), Addr: unproven}))
	for _, from := range []netip.AddrPort{stranger, unproven} {
		s.hear(from, s.hearsayOf(20, 100))
		bytes, _ := s.chat(100*time.Millisecond, Broadcast)
		s.want(bytes == 0, "a list of %v, that has proved nothing, made the node send %d bytes to the host it names", from, bytes)
	}
}

func TestHearsayInAFullViewCostsItsVictimAHello(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	s.seedWith(11, 12, 13, 14, 128, 242, 243, 244, 245)
	b := s.hearsayOf(20, 1)
	s.hear(stranger, b)
	bytes, data := s.chat(100*time.Millisecond, Broadcast)
	s.want(data == 0 && bytes > 0 && bytes <= amplification*len(b), "a list of %d bytes of a stranger sent the host that it names %d bytes, %d of the messages Data", len(b), bytes, data)
	s.want(s.roster.Len() == 9, "the members are %v", s.Members())
}

// A member may lie too.
func TestHearsayOfAMemberSendsItsVictimLittle(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, 0} {
		spread := Broadcast
		if every == 0 {
			spread = Random
		}
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		s.hear(peerAddr(10), s.hearsayOf(1, 100))
		_, data := s.chat(every, spread)
		s.want(data > 0 && data <= 3*outbox.LeastWindow, "the victim of a member's lie was sent %d of 60 messages, one %v after another", data, every)
		s.want(s.roster.Len() == 2 && s.Stats().MembersLost == 1, "the invented member is not lost: %v", s.Members())
	}
}

func TestAReplayedArcFromOutsideIsCoveredOnce(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120)
	arc := func(lo, hi int) wire.Data {
		return wire.Data{Origin: s.peerID(10), Counter: 1, Flags: wire.FlagArc, Lo: view.Pos(s.peerID(lo)), Hi: view.Pos(s.peerID(hi)), Payload: make([]byte, 480)}
	}
	covered := func(from netip.AddrPort, d wire.Data) int {
		s.hear(from, s.data(d))
		return len(only(s.run(200*time.Millisecond), wire.TypeData, anybody))
	}
	n := covered(peerAddr(10), arc(15, 65))
	s.want(n == 5, "an arc of 5 members is covered by %d copies", n)
	out := arc(65, 95)
	out.Flags |= wire.FlagOut | wire.FlagNoOut
	n = covered(peerAddr(10), out)
	s.want(n == 3, "an arc of 3 members, handed to a node outside it, is covered by %d copies", n)
	other := arc(95, 125)
	other.Flags |= wire.FlagOut
	out.Payload, other.Payload = nil, nil // a liar need not even know what it says
	copies := 0
	for i := range 50 {
		copies += covered(stranger, []wire.Data{out, other}[i%2])
	}
	s.want(copies == 0, "50 replays made the node send %d copies", copies)
}

// A node on a wildcard address does not know where it is.
func TestANodeThatIsToldOfItselfDoesNotListItself(t *testing.T) {
	c := newSimCluster(t, 3, lan(18), Config{})
	public, invented := netip.MustParseAddrPort("10.9.0.1:7070"), uint64(12345)<<40
	end, err := c.net.ListenAt(netip.MustParseAddrPort("0.0.0.0:7070"), public)
	if err != nil {
		t.Fatal(err)
	}
	n := &simNode{c: c, addr: public, got: map[string]int{}}
	n.begin(end)
	c.nodes = append(c.nodes, n)
	n.join() // a seed
	for _, m := range c.nodes[:3] {
		m.join(n)
	}
	c.await(10*time.Second, "all know all", c.complete)
	l := wire.WriteList(nil, true)
	l.Add(wire.Member{ID: invented, Addr: public}, 1<<10)
	tell := func() {
		n.mu.Lock()
		n.handle(n.now(), c.nodes[0].addr, append(wire.Header{Type: wire.TypeMemberList, Seq: 5}.AppendTo(nil), l.Body()...))
		n.mu.Unlock()
	}
	tell()
	c.await(10*time.Second, "the node does not list itself", func() bool { return n.roster.ByAddr(public) == nil && n.roster.Get(invented) == nil })
	if n.Address() != (Address{public}) {
		t.Errorf("seed %d: a node that has met itself at %v takes %v for its address", c.seed, public, n.Address())
	}
	tell()
	if n.roster.ByAddr(public) != nil {
		t.Errorf("seed %d: a node that knows where it is takes itself for another", c.seed)
	}
	c.net.Run(time.Minute)
	if !c.complete() {
		t.Errorf("seed %d: they do not know one another any more:\n%s", c.seed, c.describe())
	}
}

// A node that skips history takes old repairs for it.
func TestAStrangerDoesNotTellWhatIsHistory(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	s.repair.SkipHistory()
	s.repair.Joined(s.at, skipsFor)
	var page versions.Digest
	page.Add(7, 3, nil, 100)
	s.repair.Skip(s.at, page, 0, wire.LastOrigin, 1, func(*versions.Origin) {})
	for c := uint32(strangerLead); c <= 10*strangerLead; c += strangerLead {
		s.hear(stranger, s.data(wire.Data{Origin: 5, Counter: c, Flags: wire.FlagPull, Hops: wire.AgeCode(time.Hour)}))
	}
	before := s.Stats().Delivered
	for c := range uint32(strangerLead - 1) {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 5, Counter: c + 1, Payload: []byte("true")}))
	}
	s.want(s.Stats().Delivered-before == strangerLead-1, "of %d messages %d were delivered", strangerLead-1, s.Stats().Delivered-before)
}
