package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// victimHost is the host that false hearsay names.
var victimHost = netip.MustParseAddr("192.0.2.200")

func TestHearsayIsChecked(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(4)...)
	from, leaver := peerAddr(around(4)[0]), around(4)[1]
	learn := func(id uint64, at netip.AddrPort) {
		s.receive(from, s.memberList(false, wire.Member{ID: id, Addr: at}))
	}
	refused := func(why string, id uint64, at netip.AddrPort) {
		t.Helper()
		before, n := s.Stats().DropMember, s.Members()
		learn(id, at)
		s.want(s.Stats().DropMember == before+1 && s.Members() == n, "%s was taken as a member", why)
		s.want(len(s.sent(wire.TypeHello, anyAddr)) == 0, "%s was probed", why)
	}
	refused("the node's own address", 901, s.config.Local)
	refused("the node's own id", s.ID(), peerAddr(91))
	refused("a wildcard", 902, netip.MustParseAddrPort("0.0.0.0:7070"))
	refused("the IPv6 wildcard", 902, netip.MustParseAddrPort("[::]:7070"))
	refused("port 0", 902, netip.MustParseAddrPort("198.51.100.1:0"))
	refused("a group", 902, netip.MustParseAddrPort("224.0.0.1:7070"))
	s.receive(peerAddr(leaver), s.goodbye(s.peerID(leaver)))
	refused("a member that just left", s.peerID(leaver), peerAddr(leaver))
	s.run(50 * time.Second)
	refused("a member that left 50 s ago", s.peerID(leaver), peerAddr(leaver))
	s.run(50 * time.Minute)
	refused("a member that left 50 min ago", s.peerID(leaver), peerAddr(leaver))
	refused("a member that left 50 min ago, at another address", s.peerID(leaver), peerAddr(93))

	probed := func(why string, id uint64, at netip.AddrPort) {
		t.Helper()
		was := fmt.Sprint(s.list())
		learn(id, at)
		hello := s.sent(wire.TypeHello, at)
		s.want(len(hello) == 1 && hello[0].Hello.Token == 0, "%s should cause a probe: %v", why, hello)
		s.want(fmt.Sprint(s.list()) == was, "%s changed the members before the probe was answered", why)
	}
	third, fourth := around(4)[2], around(4)[3]
	probed("a new id at a known address", 903, peerAddr(third))
	probed("a known id at a new address", s.peerID(fourth), peerAddr(92))
	s.run(time.Second)

	s.receive(peerAddr(99), s.memberList(true, wire.Member{ID: 904, Addr: peerAddr(94)}))
	all := s.run(20 * time.Millisecond)
	s.want(s.peers.members.Get(904) == nil && s.Stats().DropStranger == 1, "the hearsay of an unvalidated source was taken")
	s.want(len(wiretest.Only(all, wire.TypeAck, peerAddr(99))) == 0 && len(wiretest.Only(all, wire.TypeHello, peerAddr(99))) == 1, "an unvalidated source should be probed and try again: %v", all)
}

func TestMemberListBringsFewNewMembersToAFullView(t *testing.T) {
	s := newSolo(t, Config{MaxMessageSize: wire.MaxDatagram, MaxMembers: 64})
	s.withMembers(10, 20)
	list := func(from, n int) []byte {
		var all []wire.Member
		for i := range n {
			all = append(all, wire.Member{ID: uint64(from+i) * 0x9e3779b97f4a7c15, Addr: peerAddr(from + i)})
		}
		return s.memberList(false, all...)
	}
	s.receive(peerAddr(10), list(1000, 200))
	s.want(s.Members() == 64, "the view has %d members", s.Members())
	before := s.Stats().DropMember
	s.receive(peerAddr(10), list(2000, 3000))
	refused := s.Stats().DropMember - before
	s.want(refused >= 3000-mostNew, "of 3000 only %d were refused", refused)
}

func TestMemberListOfAnUnvalidatedSourceIsProbedForAFullView(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9})
	s.withMembers(10, 20, 30, 40, 128, 220, 230, 240, 250)
	near, far, from := s.peerID(5), s.peerID(100), peerAddr(105)
	for _, id := range []uint64{far, near} {
		// The list names its sender, without an address, and another node.
		s.responsive[from], s.responsive[peerAddr(106)] = id, id+1<<40
		s.receive(from, s.memberList(false, wire.Member{ID: id}, wire.Member{ID: id + 1<<40, Addr: peerAddr(106)}))
		s.run(time.Second)
		for _, x := range []uint64{id, id + 1<<40} {
			s.want((s.peers.members.Get(x) != nil) == (id == near), "the members are %v after a list of %x, near: %v", s.list(), id, id == near)
		}
	}
}

// hearsayOf is a list of n nodes at the victim host, on the ring from a step on.
func (s *solo) hearsayOf(n, step int) (b []byte) {
	var l []wire.Member
	for i := range n {
		l = append(l, wire.Member{ID: s.peerID(step) + uint64(i+1), Addr: netip.AddrPortFrom(victimHost, uint16(1000+i))})
	}
	return s.memberList(true, l...)
}

// toVictimHost lets the node publish 60 messages, and then run for a minute, and returns how
// many bytes of that go to the victim host, and how many of the messages are Data.
func (s *solo) toVictimHost(every time.Duration, spread Spread) (bytes, data int) {
	count := func(all []wiretest.Message) {
		for _, m := range all {
			if m.To.Addr() == victimHost {
				bytes += m.Size
				if m.Kind == wire.TypeData {
					data++
				}
			}
		}
	}
	for range 60 {
		s.publish(make([]byte, 480), spread)
		count(s.run(every))
	}
	count(s.run(time.Minute))
	return bytes, data
}

func TestHearsayOfAnUnvalidatedSourceSendsItsVictimNothing(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	unvalidated := peerAddr(90)
	s.receive(peerAddr(10), s.memberList(false, wire.Member{ID: s.peerID(90), Addr: unvalidated}))
	for _, from := range []netip.AddrPort{unknownAddr, unvalidated} {
		s.receive(from, s.hearsayOf(20, 100))
		bytes, _ := s.toVictimHost(100*time.Millisecond, Spread{})
		s.want(bytes == 0, "a list of %v, which is not validated, made the node send %d bytes to the host that it names", from, bytes)
	}
}

func TestHearsayInAFullViewSendsItsVictimProbesOnly(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9})
	s.withMembers(11, 12, 13, 14, 128, 242, 243, 244, 245)
	b := s.hearsayOf(20, 1)
	s.receive(unknownAddr, b)
	bytes, data := s.toVictimHost(100*time.Millisecond, Spread{})
	s.want(data == 0 && bytes > 0 && bytes <= timesMost*len(b), "a list of %d bytes sent the host that it names %d bytes and %d Data", len(b), bytes, data)
	s.want(s.Members() == 9, "the members are %v", s.list())
}

// The nodes on the list, which would have a place in the view, are all at one host.
func TestHearsayInAFullViewSendsItsVictimThreeTimesItsBytes(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9, Cluster: strings.Repeat("x", 255)})
	s.withMembers(10, 20, 30, 40, 128, 220, 230, 240, 250)
	var named []wire.Member
	for i := range 32 {
		named = append(named, wire.Member{ID: s.ID() + uint64(i+1)<<40, Addr: netip.AddrPortFrom(victimHost, uint16(1000+i))})
	}
	list := s.memberList(false, named...)
	s.receive(peerAddr(300), list)
	bytes := 0
	for _, m := range s.send() {
		if m.To.Addr() == victimHost {
			bytes += m.Size
		}
	}
	s.want(bytes > 0 && bytes <= timesMost*len(list), "%d bytes went to the victim for %d", bytes, len(list))
}

// A member may lie too.
func TestHearsayOfAMemberSendsItsVictimLittle(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, 0} {
		spread := Spread{}
		if every == 0 {
			spread.Kind = Random
		}
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		s.receive(peerAddr(10), s.hearsayOf(1, 100))
		bytes, data := s.toVictimHost(every, spread)
		s.want(data == 0 && bytes > 0 && bytes <= 1500, "the victim of a member's lie was sent %d bytes and %d of 60 messages, one every %v", bytes, data, every)
		s.want(s.Members() == 2 && s.Stats().MembersLost == 0 && s.Stats().Lost == 0, "the invented member is not forgotten: %v", s.list())
	}
}

// A node asks about few members at once. What it did not ask about, it asks when it is told again.
func TestHearsayForWhichNoQuestionIsLeftIsNotTakenForAsked(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20, 30)
	gone := wire.WriteList(nil, wire.Lost)
	gone.Add(wire.Member{ID: s.peerID(20), Addr: peerAddr(20)}, 1<<20)
	for what, tell := range map[string]func() []byte{
		"a member that is said to be gone":  func() []byte { return s.message(wire.TypeMemberList, gone.Body()) },
		"a member that is said to be there": func() []byte { return s.memberList(false, wire.Member{ID: 77, Addr: peerAddr(30)}) },
		"a member that is said to be elsewhere": func() []byte {
			return s.memberList(false, wire.Member{ID: s.peerID(30), Addr: peerAddr(94)})
		},
	} {
		s.peers.questions.left = 0
		s.receive(peerAddr(10), tell())
		s.want(len(s.sent(wire.TypeHello, anyAddr)) == 0, "without a question left %s is sent a Hello", what)
		s.peers.questions.refill(mostProbes)
		s.receive(peerAddr(10), tell())
		hellos := len(s.sent(wire.TypeHello, anyAddr))
		s.want(hellos == 1, "%s, for which no question was left the first time, is sent %d Hellos when that is told again", what, hellos)
	}
}

func TestHearsayGetsNoOfferOfWhatCameByRepair(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(100, 150)
	s.receive(peerAddr(100), s.hearsayOf(6, 1))
	s.receive(peerAddr(100), s.data(wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagPull, Payload: []byte("x")}))
	all := s.run(time.Second)
	for _, m := range all {
		s.want(m.To.Addr() != victimHost || m.Kind == wire.TypeHello, "a node known only by hearsay is sent %v", m)
	}
	s.want(len(wiretest.Only(all, wire.TypeHello, anyAddr)) > 0, "nodes known by hearsay are sent no Hello")
}
