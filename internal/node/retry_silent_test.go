package node

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// What a silent member is sent waits until it shows a sign of life.
func TestHeldDataGoesOnWithASignOfLife(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	silent := peerAddr(10)
	delete(s.responsive, silent)
	s.at += time.Millisecond
	s.publish([]byte("x"))
	s.run(time.Second)
	s.publish([]byte("y"))
	waits := wiretest.Only(s.run(time.Second), wire.TypeData, silent)
	s.want(len(waits) == 0 && s.Stats().MembersLost == 0, "a member that is being verified is sent %v", waits)
	s.receive(silent, s.ack())
	texts := map[string]bool{}
	for _, m := range s.sent(wire.TypeData, silent) {
		texts[string(m.Data.Payload)] = true
	}
	s.want(texts["x"] && texts["y"], "with a sign of life it is sent %v", texts)
}

// Where loss is common three attempts may well be lost.
func TestDataIsHeldLaterWhereLossIsCommon(t *testing.T) {
	for _, c := range []struct {
		loss     float64
		attempts int
	}{{0, 2}, {2 * commonLoss, 8}} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		s.peers.loss = c.loss
		delete(s.responsive, peerAddr(10))
		delete(s.responsive, peerAddr(20))
		s.at += time.Millisecond
		s.publish([]byte("x"))
		sent := wiretest.Only(s.run(2*time.Second), wire.TypeData, peerAddr(10))
		s.want(len(sent) == c.attempts, "with a loss of %v a silent member is sent %d copies, not %d", c.loss, len(sent), c.attempts)
	}
}

// A member that answers Hellos and takes no Data is lost, whether it refuses Data or ignores
// it. When it is back it holds up nobody, until it takes some.
func TestDeafMemberHoldsUpNobody(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		s := newSolo(t, Config{MaxOutputMessages: 16})
		s.withMembers(10, 20)
		addr, least := peerAddr(10), deafAfter
		if refuses {
			least = deafRefusing
		}
		s.deaf = map[netip.AddrPort]bool{addr: refuses}
		start := s.at
		s.publish([]byte("x"))
		for s.Stats().MembersLost == 0 {
			s.run(100 * time.Millisecond)
			s.want(s.at-start < 2*least, "after %v a member that takes no Data, refuses %v, is not lost: %+v", s.at-start, refuses, s.Stats())
		}
		s.want(s.at-start >= least, "it was lost after %v", s.at-start)
		s.run(5 * time.Second)
		m := s.peers.members.ByAddr(addr)
		s.want(m != nil && m.Deaf, "it answers, and is not back as a deaf member: %+v", m)
		for range 500 { // many more than fill its share of the queue
			s.publish(make([]byte, 400))
			s.run(5 * time.Millisecond)
		}
		s.want(s.out.queue.Load(addr) <= mostForDeaf+1, "%d messages wait for it", s.out.queue.Load(addr))
		clear(s.deaf)
		s.run(15 * time.Second)
		m = s.peers.members.ByAddr(addr)
		s.want(m != nil && !m.Deaf && s.Stats().QueuedData == 0, "it takes Data again: %+v", m)
	}
}

// A member that refuses some and takes some is slow, not deaf.
func TestSlowMemberIsNotDeaf(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	slow := peerAddr(10)
	for range 40 {
		s.deaf = map[netip.AddrPort]bool{slow: true}
		s.publish([]byte("x"))
		s.run(900 * time.Millisecond)
		clear(s.deaf)
		s.run(150 * time.Millisecond)
	}
	s.want(s.Stats().MembersLost == 0 && s.Stats().QueuedData == 0, "a member that takes a message each second: %+v", s.Stats())
}

// A refusal pauses what goes to the member, for longer each time, and an Ack ends that.
func TestRefusedDataIsSentAgainAfterAPause(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	to := peerAddr(10)
	s.deaf = map[netip.AddrPort]bool{to: true}
	s.publish([]byte("x"))
	sent := wiretest.Only(s.run(2*time.Second), wire.TypeData, to)
	s.want(len(sent) >= 15 && len(sent) <= 40, "in two seconds a member that refuses is sent %d attempts", len(sent))
	pause := sent[len(sent)-1].At - sent[len(sent)-2].At
	s.want(pause > sent[1].At-sent[0].At && pause >= 90*time.Millisecond, "the last pause is %v", pause)
	clear(s.deaf)
	s.run(200 * time.Millisecond)
	s.want(s.Stats().QueuedData == 0 && s.Stats().MembersLost == 0, "the message is not taken: %+v", s.Stats())
}

// A Direct message to an address that is a member's no more is sent as to any other address,
// and counted if it is given up.
func TestDirectToAMemberThatMovedIsGivenUpAndCounted(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	old, id := peerAddr(10), s.peerID(10)
	delete(s.responsive, old)
	s.publish([]byte("for one"), direct(old))
	s.publish([]byte("for all"))
	for _, m := range s.send() {
		s.answer(m)
	}
	s.at += 5 * time.Millisecond // before the first timeout
	m, _, _ := s.peers.members.Admit(id, peerAddr(30), s.at)
	s.want(m.Addr == peerAddr(30), "the member is at %v", m.Addr)
	s.responsive[peerAddr(30)] = id
	all := s.run(5 * time.Second)
	again := 0
	for _, m := range wiretest.Only(all, wire.TypeData, old) {
		if m.Data.Flags&wire.FlagDirect != 0 {
			again++
		}
	}
	s.want(again == s.config.Attempts[Stray]-1, "the Direct message is sent %d times more", again)
	s.want(s.Stats().GivenUp == 1 && s.Stats().QueuedData == 0, "it should be given up: %+v", s.Stats())
	moved := 0
	for _, m := range wiretest.Only(all, wire.TypeData, anyAddr) {
		if string(m.Data.Payload) == "for all" && m.Data.Flags&wire.FlagArc != 0 && m.To != old {
			moved++
		}
	}
	s.want(moved == 1, "the arc of the copy that it did not get went to %d others", moved)
}

// Nobody has shown that there is a node at the address.
func TestArcDoesNotGoToAMemberKnownByHearsay(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 100)
	delete(s.responsive, peerAddr(100))
	s.publish([]byte("x"))
	s.send()
	for i := range 10 { // all inside the arc of the silent member
		s.receive(peerAddr(10), s.memberList(false, wire.Member{ID: s.peerID(110 + 10*i), Addr: peerAddr(300 + i)}))
	}
	for _, m := range wiretest.Only(s.run(5*time.Second), wire.TypeData, anyAddr) {
		s.want(m.To == peerAddr(10) || m.To == peerAddr(100), "Data went to %v, which is not validated", m.To)
	}
}
