package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// wantConsistentView fails unless every member is found by its id and its address, and no
// address of these leads to a node that is not a member.
func (s *solo) wantConsistentView(addrs ...netip.AddrPort) {
	s.t.Helper()
	members := map[*view.Member]bool{}
	for i := range s.Members() {
		m := s.peers.members.At(i)
		members[m] = true
		s.want(s.peers.members.ByAddr(m.Addr) == m && s.peers.members.Get(m.ID) == m, "the member at %v is not found there", m.Addr)
	}
	for _, a := range addrs {
		m := s.peers.members.ByAddr(a)
		s.want(m == nil || members[m], "the node found at %v is not a member", a)
	}
}

func TestNewcomerIsSentTheMembersPageByPage(t *testing.T) {
	s := newSolo(t, Config{})
	steps := make([]int, 100)
	for i := range steps {
		steps[i] = 2 * (i + 1)
	}
	s.withMembers(steps...)
	at, id := peerAddr(255), s.peerID(255)
	s.helloTwice(id, at, at)
	named, pages := map[uint64]int{}, 0
	for page := s.sent(wire.TypeMemberList, at); len(page) > 0; page = s.sent(wire.TypeMemberList, at) {
		s.want(len(page) == 1 && !page[0].News, "page %d came as %v", pages+1, page)
		for _, m := range page[0].Members {
			named[m.ID]++
		}
		s.want(len(s.send()) == 0, "page %d should wait until the one before is acknowledged", pages+2)
		s.receive(at, s.ack(page[0].Seq))
		pages++
	}
	s.want(len(named) == 100 && named[id] == 0 && pages >= 3, "in %d pages %d of 100 members were named", pages, len(named))
	for id, n := range named {
		s.want(n == 1, "member %x was named %d times", id, n)
	}
}

// In a full view members always come and go. That is no news to other nodes.
func TestNewcomerToAFullViewIsSentItsNeighbours(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 30})
	s.withMembers(around(30)...)
	s.want(s.Members() == 30, "the view should be full with 30 members, and has %d", s.Members())
	near, id := around(30)[9:11], s.peerID(around(30)[9]+1)
	s.addMember(id, peerAddr(300))
	named := map[uint64]bool{}
	for _, m := range s.run(time.Minute) {
		if m.Kind == wire.TypeMemberList && m.To == peerAddr(300) && m.At < 7*time.Second {
			for _, x := range m.Members {
				named[x.ID] = true
			}
		}
		s.want(!m.News, "%v is sent %v as news", m.To, m.Members)
	}
	s.want(named[s.peerID(near[1])] && len(named) <= 2*exchanged, "a newcomer was sent %d members, its neighbour among them: %v", len(named), named[s.peerID(near[1])])
}

// Else a node that no member knows could not be found.
func TestExchangeNamesTheNodeItself(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9})
	s.withMembers(1, 2, 3, 4, 128, 252, 253, 254, 255)
	lists := wiretest.Only(s.run(20*time.Second), wire.TypeMemberList, anyAddr)
	s.want(len(lists) >= 5, "in 20 s there were %d exchanges", len(lists))
	for _, l := range lists {
		s.want(slices.ContainsFunc(l.Members, func(m wire.Member) bool { return m.ID == s.ID() }), "%v does not name its sender: %v", l, l.Members)
	}
}

func TestAnnounceSpreadsNewsRumorFactorTimes(t *testing.T) {
	s := newSolo(t, Config{RumorFactor: 4})
	s.withMembers(around(8)...)
	learn := func(news bool, first, n int) {
		var list []wire.Member
		for i := range n {
			s.responsive[peerAddr(300+first+i)] = uint64(first + i)
			list = append(list, wire.Member{ID: uint64(first + i), Addr: peerAddr(300 + first + i)})
		}
		s.receive(peerAddr(around(8)[0]), s.memberList(news, list...))
	}
	learn(true, 1, 10)
	learn(false, 11, 10)
	announced := map[uint64]int{}
	for _, m := range wiretest.Only(s.run(time.Minute), wire.TypeMemberList, anyAddr) { // each is validated first
		for _, x := range m.Members {
			if m.News {
				announced[x.ID]++
			}
		}
	}
	// A pass to the new member itself leaves that member out.
	all := 0
	for id := uint64(1); id <= 10; id++ {
		s.want(announced[id] >= 2 && announced[id] <= 4, "member %d was announced %d times", id, announced[id])
		all += announced[id]
	}
	s.want(all >= 36, "10 new members were announced %d times in 4 passes", all)
	for id := uint64(11); id <= 20; id++ {
		s.want(announced[id] == 0 && s.peers.members.Get(id) != nil, "a member that was no news was announced %d times", announced[id])
	}
}

func TestLeaveIsTakenFromTheMemberItself(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	leaver, other := around(8)[2], around(8)[5]
	for _, from := range []netip.AddrPort{peerAddr(99), peerAddr(other)} {
		s.receive(from, s.goodbye(s.peerID(leaver)))
		s.run(10 * time.Second)
		s.want(s.peers.members.Get(s.peerID(leaver)) != nil && s.Stats().DropLeave == 1, "%v removed another member", from)
	}
	s.publish([]byte("x"))
	s.publish([]byte("for one"), direct(peerAddr(leaver)))
	for _, m := range s.send() {
		if m.To != peerAddr(leaver) {
			s.answer(m)
		}
	}
	s.receive(peerAddr(leaver), s.goodbye(s.peerID(leaver)))
	s.want(s.Stats().GivenUp == 1, "the Direct message to the member that left should be given up and counted: %d", s.Stats().GivenUp)
	s.want(s.peers.members.Get(s.peerID(leaver)) == nil && s.Stats().MembersLost == 0 && s.Stats().Lost == 0, "it should be gone, and not lost: %+v", s.Stats())
	delete(s.responsive, peerAddr(leaver))
	all := s.run(2 * time.Minute)
	s.want(len(wiretest.Only(all, wire.TypeData, peerAddr(leaver))) == 0, "a member that left is sent %v", wiretest.Only(all, wire.TypeData, peerAddr(leaver)))
	s.want(len(wiretest.Only(all, wire.TypeHello, anyAddr)) == 0, "a member that left is probed: %v", wiretest.Only(all, wire.TypeHello, anyAddr))
	s.receive(peerAddr(leaver), s.goodbye(s.peerID(leaver)))
	s.want(s.Stats().DropLeave == 2, "its second goodbye should be that of an unvalidated source")
}

func TestLeaveOfTheLastMemberDisconnectsAllButASeed(t *testing.T) {
	seed := newSolo(t, Config{})
	seed.withMembers(10)
	seed.receive(peerAddr(10), seed.goodbye(seed.peerID(10)))
	seed.want(seed.State() == Connected, "a seed on its own is %v", seed.State())

	s := newSolo(t, Config{})
	s.responsive[peerAddr(10)] = s.peerID(10)
	s.join(peerAddr(10))
	s.run(time.Second)
	s.want(s.State() == Connected, "the node did not join")
	delete(s.responsive, peerAddr(10))
	s.receive(peerAddr(10), s.goodbye(s.peerID(10)))
	s.want(s.State() == Disconnected, "without a member the node is %v", s.State())
	hellos := len(wiretest.Only(s.run(10*time.Minute), wire.TypeHello, peerAddr(10)))
	s.want(hellos >= 100 && hellos <= 300, "in 10 minutes %d Hellos went to the seed", hellos)
	s.responsive[peerAddr(10)] = s.peerID(11)
	s.run(5 * time.Second)
	s.want(s.State() == Connected, "5 s after the seed is back the node is %v", s.State())
}

// A MemberList may evict its own sender from a full view. A goodbye that follows in the same
// datagram is that of an unvalidated source then.
func TestLeaveAfterAnEvictionRemovesNoOtherMember(t *testing.T) {
	near := []int{1, 2, 3, 4, 252, 253, 254, 255}
	for _, last := range []bool{false, true} { // of all in the order of ids
		s := newSolo(t, Config{MaxMembers: 9})
		s.withMembers(near...)
		id, from := s.peerID(100), peerAddr(100)
		if last {
			id = ^uint64(0) // the ids after it on the ring are the lowest
		}
		s.addMember(id, from)
		s.run(6 * time.Second)
		news, addrs := []wire.Member{}, []netip.AddrPort{from}
		for i := range 12 {
			m := wire.Member{ID: id + uint64(i+1)<<40, Addr: peerAddr(1000 + i)}
			news, addrs = append(news, m), append(addrs, m.Addr)
		}
		s.receive(from, s.memberList(false, news...), s.goodbye(id))
		s.want(s.peers.members.Get(id) == nil && s.Stats().DropLeave == 1, "the list should evict its sender, the members are %v", s.list())
		for _, i := range near {
			addrs = append(addrs, peerAddr(i))
			s.want(s.peers.members.Get(s.peerID(i)) != nil, "the goodbye of %x removed %x", id, s.peerID(i))
		}
		s.want(s.Members() == 9, "of 9 members %d are left", s.Members())
		s.wantConsistentView(addrs...)
		s.run(20 * time.Second)
		s.wantConsistentView(addrs...)
	}
}

// What the member that left had to cover goes to others: it is moved, not added.
func TestLeaveAddsNothingToTheQueue(t *testing.T) {
	t.Parallel()
	s := newLoaded(t, 512, false)
	for range 60 {
		s.publish(make([]byte, 100))
	}
	for range 50 {
		from := s.peers.members.At(0)
		was := s.effect(from.Addr)
		s.receive(from.Addr, s.goodbye(from.ID))
		is := s.effect(from.Addr)
		s.want(is.data <= was.data && is.bytes <= was.bytes && is.answers+is.others <= was.answers+was.others,
			"a goodbye made the queue longer, from %+v to %+v", was, is)
		s.want(s.out.queue.Load(from.Addr) == 0, "%d messages are queued for a member that left", s.out.queue.Load(from.Addr))
	}
}

// A newcomer that asks many members gets all pages of one of them: the others' hold nothing new.
func TestPageThatHoldsNothingNewEndsThePages(t *testing.T) {
	s := newSolo(t, Config{MaxMessageSize: 300})
	steps := make([]int, 100)
	for i := range steps {
		steps[i] = 2*i + 1
	}
	s.withMembers(steps...)
	from := peerAddr(301)
	s.helloTwice(s.peerID(0)+1, from, from)
	page := s.sent(wire.TypeMemberList, from)
	s.want(len(page) == 1, "%d pages go to a newcomer at first", len(page))
	s.receive(from, s.ack(page[0].Seq))
	page = s.sent(wire.TypeMemberList, from)
	s.want(len(page) == 1, "%d pages follow the first", len(page))
	s.receive(from, s.refusal(page[0].Seq))
	page = wiretest.Only(s.run(400*time.Millisecond), wire.TypeMemberList, from)
	for _, m := range page {
		s.want(m.News, "a page follows one that was refused: %v", m)
	}

	var known []wire.Member
	for _, m := range s.list()[:exchanged+2] {
		known = append(known, wire.Member{ID: m.ID, Addr: m.Addr})
	}
	for _, c := range []struct {
		list    []wire.Member
		refused bool
	}{{known, true}, {known[:exchanged-1], false}, {append(known, wire.Member{ID: 12345, Addr: unknownAddr}), false}} {
		s.receive(peerAddr(1), s.memberList(false, c.list...))
		acks := wiretest.Only(s.run(20*time.Millisecond), wire.TypeAck, peerAddr(1))
		s.want(len(acks) == 1 && acks[0].Refused == c.refused, "a list of %d is answered with %v", len(c.list), acks)
	}
}
