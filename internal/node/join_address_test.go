package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// A node may move to another address, have two, or send from one and be reached at another.
// Another node may claim to be it.

// wantAt fails unless there are two members and id is the one at addr.
func (s *solo) wantAt(id uint64, addr netip.AddrPort, when string) {
	s.t.Helper()
	m := s.peers.members.Get(id)
	s.want(m != nil && m.Addr == addr && s.peers.members.ByAddr(addr) == m && s.Members() == 2, "%s, %x should be at %v, the members are %v", when, id, addr, s.list())
	s.wantConsistentView(addr)
}

// addSeedAt joins a seed and answers the Hello to it with an id.
func (s *solo) addSeedAt(addr netip.AddrPort, id uint64) {
	s.t.Helper()
	s.join(addr)
	h := s.sent(wire.TypeHello, addr)
	s.want(len(h) == 1, "%d Hellos went to a seed", len(h))
	s.receive(addr, s.welcome(h[0].Seq, 7, id, addr))
}

func TestHelloMovesAMemberWhoseOldAddressIsSilent(t *testing.T) {
	from, to := peerAddr(10), peerAddr(91)
	for _, named := range []netip.AddrPort{to, {}} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		id, start := s.peerID(10), s.at
		delete(s.responsive, from)
		s.responsive[to] = id
		s.helloTwice(id, to, named)
		s.wantAt(id, from, "at its first Hello from elsewhere")
		probes := wiretest.Only(s.run(time.Second), wire.TypeHello, from)
		s.want(len(probes) > 0, "no probe goes to the old address")
		for s.peers.members.ByAddr(to) == nil {
			s.want(s.at-start < 30*time.Second, "30 s after the member moved the members are %v", s.list())
			s.run(2 * time.Second)
			s.helloTwice(id, to, named)
		}
		s.wantAt(id, to, "when its old address is silent")
		s.publish([]byte("x"))
		all := s.run(time.Minute)
		s.want(len(wiretest.Only(all, wire.TypeData, to)) == 1 && len(wiretest.Only(all, wire.TypeData, from)) == 0, "Data should go to the new address only")
		s.wantAt(id, to, "a minute later")
	}
}

func TestHelloDoesNotMoveAMemberThatAnswers(t *testing.T) {
	from, liar := peerAddr(10), peerAddr(91)
	for _, named := range []netip.AddrPort{liar, {}, peerAddr(92)} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		id := s.peerID(10)
		s.responsive[liar], s.responsive[peerAddr(92)] = id, id
		var all []wiretest.Message
		for range 20 {
			s.helloTwice(id, liar, named)
			all = append(all, s.run(time.Second)...)
			s.publish([]byte("x"))
			all = append(all, s.run(time.Second)...)
			s.wantAt(id, from, "while another node claims its id")
		}
		for _, a := range []netip.AddrPort{liar, peerAddr(92)} {
			s.want(len(wiretest.Only(all, wire.TypeData, a)) == 0 && len(wiretest.Only(all, wire.TypeMemberList, a)) == 0, "a liar at %v is treated as a member", a)
		}
		s.want(s.Stats().MembersLost == 0, "the true member was lost")
	}
}

func TestWelcomeMovesAMemberWhoseOldAddressIsSilent(t *testing.T) {
	from, to := peerAddr(10), peerAddr(91)
	for _, alive := range []bool{true, false} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		id := s.peerID(10)
		if !alive {
			delete(s.responsive, from)
		}
		s.responsive[to] = id
		s.addSeedAt(to, id)
		s.wantAt(id, from, "at the first Welcome from elsewhere")
		probes := s.sent(wire.TypeHello, from)
		s.want(len(probes) == 1, "%d probes go to the old address", len(probes))
		s.answer(probes[0])
		all := s.run(45 * time.Second)
		if alive {
			s.wantAt(id, from, "as it answers there")
			hellos := len(wiretest.Only(all, wire.TypeHello, to))
			s.want(hellos <= 4 && s.Stats().MembersLost == 0, "%d more Hellos went elsewhere, and %d members were lost", hellos, s.Stats().MembersLost)
		} else {
			s.wantAt(id, to, "as it does not answer there")
		}
	}
}

func TestWelcomeMovesAMemberThatNamedTheAddress(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	from, to, id := peerAddr(10), peerAddr(91), s.peerID(10)
	s.receive(peerAddr(20), s.memberList(false, wire.Member{ID: 5, Addr: from})) // causes a probe
	h := s.sent(wire.TypeHello, from)
	s.want(len(h) == 1, "a contradiction causes %d probes", len(h))
	s.receive(from, s.welcome(h[0].Seq, 7, id, to))
	s.wantAt(id, from, "after it named another address")
	s.addSeedAt(to, id)
	s.wantAt(id, to, "after it named that address and answered there")
}

// A node that names an address other than the source is probed there, unless a member that
// answers has its id.
func TestHelloClaimsTheIDOfALostMember(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	old, to, source, id := peerAddr(10), peerAddr(91), peerAddr(92), s.peerID(10)
	s.responsive[to] = id
	s.helloTwice(id, source, to)
	s.want(len(wiretest.Only(s.run(time.Second), wire.TypeHello, to)) == 0, "a claim on the id of a living member is probed")
	s.wantAt(id, old, "while it answers")
	delete(s.responsive, old)
	s.publish([]byte("x"))
	s.run(30 * time.Second)
	s.want(s.peers.members.Get(id) == nil, "a member that is silent for 30 s is not lost")
	s.helloTwice(id, source, to)
	s.run(time.Second)
	s.wantAt(id, to, "as it was lost and answers there")
}

// A node behind a port forwarding is reached at one address and sends from another.
func TestNodeThatSendsFromElsewhereIsOneMember(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	public, source, id := peerAddr(91), peerAddr(92), s.peerID(90)
	s.helloTwice(id, source, public)
	s.want(s.Members() == 1, "its Hello alone makes it a member: %v", s.list())
	h := s.sent(wire.TypeHello, public)
	s.want(len(h) == 1, "the address that it names should be probed: %v", h)
	s.receive(source, s.welcome(h[0].Seq, 7, id, public))
	s.want(s.Members() == 2 && s.peers.members.Get(id).Addr == public, "the members are %v", s.list())
	page := s.sent(wire.TypeMemberList, public)
	s.want(len(page) == 1, "it should be sent the members: %v", page)
	s.receive(source, s.ack(page[0].Seq))
	s.publish([]byte("x"))
	d := s.sent(wire.TypeData, public)
	s.want(len(d) == 1, "Data should go to the address that it names: %v", d)
	s.receive(source, s.ack(d[0].Seq))
	s.want(s.Stats().DropAck == 0, "its Acks should count from either address")
	for range 2 { // the first causes a probe
		s.receive(source, s.memberList(false, wire.Member{ID: 904, Addr: peerAddr(94)}))
		for _, h := range s.sent(wire.TypeHello, source) {
			s.receive(source, s.welcome(h.Seq, 7, id, public))
		}
	}
	s.want(s.peers.members.Get(904) != nil, "its hearsay should be that of a member")
	s.receive(source, s.goodbye(id))
	s.want(s.peers.members.Get(id) == nil, "its goodbye should count from there")
}

func TestNewLifeOfANodeThatSendsFromElsewhereReplacesTheOldOne(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	public, source := peerAddr(91), peerAddr(92)
	old, young := s.peerID(90), s.peerID(150)
	for _, id := range []uint64{old, young} {
		s.helloTwice(id, source, public)
		h := s.sent(wire.TypeHello, public)[0]
		s.receive(source, s.welcome(h.Seq, 7, id, public))
		s.receive(source, s.ack(s.sent(wire.TypeHello, public)[0].Seq))
	}
	s.want(s.peers.members.Get(old) == nil && s.Members() == 2, "the old life is listed: %v", s.list())
	m := s.peers.members.Get(young)
	s.want(m != nil && m.Addr == public && m.Validated && s.peers.members.ByAddr(source) == m, "the new life is %+v", m)
	s.want(s.Member(0).ID != s.Member(1).ID, "it is listed twice: %v", s.list())
}

// The old life was probed at the address that it sends from, and is listed there.
func TestNewLifeReplacesTheOldOneWhereItSendsFrom(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	public, source := peerAddr(91), peerAddr(92)
	old, young := s.peerID(90), s.peerID(150)
	s.helloTwice(old, source, netip.AddrPort{})
	s.want(s.peers.members.Get(old) != nil, "the old life is not listed where it sends from: %v", s.list())
	s.helloTwice(young, source, public)
	for range 3 {
		for _, h := range s.sent(wire.TypeHello, anyAddr) {
			if h.To == public || h.To == source {
				s.receive(source, s.welcome(h.Seq, 7, young, public))
			}
		}
	}
	m := s.peers.members.Get(young)
	s.want(m != nil && m.Addr == public && s.peers.members.Get(old) == nil, "the members are %v", s.list())
}

func TestNewLifeReplacesTheOldOneAtItsAddress(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	at, old, young := peerAddr(10), s.peerID(10), s.peerID(77)
	for i := range uint32(50) {
		s.receive(at, s.data(wire.Data{Origin: old, Counter: i + 1}))
	}
	s.addMember(young, at)
	s.want(s.peers.members.Get(old) == nil && s.peers.members.Get(young) != nil && s.Members() == 2, "the members are %v", s.list())
	s.got = nil
	s.receive(at, s.data(wire.Data{Origin: young, Counter: 1, Payload: []byte("first words")}))
	s.want(fmt.Sprint(s.got) == "[first words]", "the messages of the new life are %v", s.got)
	s.receive(peerAddr(20), s.memberList(false, wire.Member{ID: old, Addr: at}))
	s.want(s.peers.members.Get(old) == nil, "hearsay brought the old life back")
}

func TestNodeAtTheAddressOfALostMemberStopsProbingIt(t *testing.T) {
	s := newSoloAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	s.withMembers(10, 20)
	at := peerAddr(10)
	s.peers.members.Lose(s.peers.members.ByAddr(at), s.at)
	delete(s.responsive, at)
	s.echoing[at] = always
	s.run(time.Minute)
	s.want(s.peers.members.Lost() == 0, "the node probes %d lost members at its own address", s.peers.members.Lost())
}
