package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// around returns n places on the ring at equal distances, none the node's.
func around(n int) (steps []int) {
	for i := range n {
		steps = append(steps, 256*(i+1)/(n+1))
	}
	return steps
}

// copies returns the Data that went to any peer.
func copies(all []wiretest.Message) []wiretest.Message {
	return wiretest.Only(all, wire.TypeData, anyAddr)
}

// copiesTo returns the Data that went to the peer at a step.
func copiesTo(all []wiretest.Message, step int) []wiretest.Message {
	return wiretest.Only(all, wire.TypeData, peerAddr(step))
}

// redelegated returns those copies whose arc another delegate had before.
func redelegated(all []wiretest.Message) (some []wiretest.Message) {
	had := map[ring.Arc]netip.AddrPort{}
	for _, m := range copies(all) {
		if m.Data.Flags&wire.FlagArc == 0 {
			continue
		}
		if to, again := had[arcOf(m)]; again && to != m.To {
			some = append(some, m)
		} else {
			had[arcOf(m)] = m.To
		}
	}
	return some
}

func arcOf(m wiretest.Message) ring.Arc { return ring.Arc{Lo: m.Data.Lo, Hi: m.Data.Hi} }

func TestArcOfASilentDelegateGoesToAnotherInsideIt(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(48)...) // 3 in each of 16 arcs
	s.publish([]byte("x"))
	first := s.sent(wire.TypeData, anyAddr)
	s.want(len(first) == originFanout, "the origin sends %d copies", len(first))
	silent := first[5]
	delete(s.responsive, silent.To)
	for _, m := range first {
		s.answer(m)
	}
	all := s.run(900 * time.Millisecond)
	tries := wiretest.Only(all, wire.TypeData, silent.To)
	s.want(len(tries) == 1, "%d more attempts went to the silent delegate", len(tries))
	s.want(tries[0].Data.Flags&wire.FlagArc == 0, "the second attempt should have no arc, its flags are %b", tries[0].Data.Flags)
	s.want(tries[0].Seq == silent.Seq+1, "the attempts have the numbers %d and %d", silent.Seq, tries[0].Seq)
	again := redelegated(append(first, all...))
	s.want(len(again) == 1, "the arc was redelegated %d times", len(again))
	to := s.peers.members.ByAddr(again[0].To)
	s.want(arcOf(again[0]) == arcOf(silent) && arcOf(silent).Has(to.Pos()), "the arc %v was redelegated as %v to %x", arcOf(silent), arcOf(again[0]), to.Pos())
	s.want(again[0].At == tries[0].At, "it should be redelegated at the first timeout, %v, not at %v", tries[0].At, again[0].At)
	s.want(again[0].Data.Flags&wire.FlagNoOut == 0, "the new delegate is inside, but the flags are %b", again[0].Data.Flags)
}

func TestSuspectGetsNoArcUntilItAnswers(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	silent := around(8)[3]
	delete(s.responsive, peerAddr(silent))
	s.publish([]byte("first"))
	s.run(100 * time.Millisecond)
	m := s.peers.members.ByAddr(peerAddr(silent))
	s.want(m.Suspect(s.at) && m.SuspectUntil <= s.at+silentFor, "after one timeout it should be suspect, and after two for 2 s, not until %v", m.SuspectUntil)
	s.publish([]byte("second"))
	for _, c := range copiesTo(s.send(), silent) {
		s.want(string(c.Data.Payload) != "second" || c.Data.Flags&wire.FlagArc == 0, "a suspect got an arc")
	}
	s.receive(peerAddr(silent), s.ack())
	s.want(!m.Suspect(s.at), "any message of it should end the suspicion")
	s.publish([]byte("third"))
	third := copiesTo(s.send(), silent)
	s.want(len(third) > 0 && third[len(third)-1].Data.Flags&wire.FlagArc != 0, "it should get its arc again")
}

func TestArcWithoutAnotherDelegateGoesOutsideIfItIsLong(t *testing.T) {
	for _, c := range []struct {
		name   string
		steps  []int
		silent int
		out    bool
	}{
		{"even gaps", around(8), around(8)[3], false},
		{"one gap of 200", []int{3, 6, 9, 12, 244, 247, 250, 253}, 12, true},
	} {
		s := newSolo(t, Config{})
		s.withMembers(c.steps...)
		delete(s.responsive, peerAddr(c.silent))
		s.publish([]byte("x"))
		all := s.run(900 * time.Millisecond)
		arc, again := arcOf(copiesTo(all, c.silent)[0]), redelegated(all)
		s.want((len(again) > 0) == c.out, "%s: the arc of %x positions, local gap %x, was redelegated: %v", c.name, arc.Len(), s.peers.members.LocalGap(), again)
		if !c.out {
			continue
		}
		to := s.peers.members.ByAddr(again[0].To)
		s.want(len(again) == 1 && arcOf(again[0]) == arc && !arc.Has(to.Pos()), "%s: the arc %v went to %x", c.name, arc, to.Pos())
		s.want(again[0].Data.Flags&wire.FlagNoOut != 0, "%s: the flags are %b", c.name, again[0].Data.Flags)
	}
}

// As long as all others inside an arc are suspect, its silent delegate keeps it: no arc is dropped.
func TestArcStaysWhileAllOthersInsideItAreSuspect(t *testing.T) {
	s := newSolo(t, Config{MaxOutputMessages: 5}) // five arcs
	first, other := 60, 61
	s.withMembers(10, first, other, 110, 160, 210)
	delete(s.responsive, peerAddr(first))
	suspect := s.peers.members.ByAddr(peerAddr(other))
	s.publish([]byte("x"))
	arc := arcOf(copiesTo(s.send(), first)[0])
	s.want(arc.Has(suspect.Pos()), "the arc %v of the silent delegate should hold another member", arc)
	var all []wiretest.Message
	for range 25 {
		suspect.SuspectUntil = s.at + time.Second
		all = append(all, s.run(10*time.Millisecond)...)
	}
	tries := copiesTo(all, first)
	s.want(len(tries) > 0 && arcOf(tries[len(tries)-1]) == arc && len(redelegated(all)) == 0, "while the other one is suspect the silent delegate keeps the arc, of %v", tries)
	for s.peers.members.ByAddr(peerAddr(first)) != nil {
		all = append(all, s.run(100*time.Millisecond)...)
	}
	again := copiesTo(all, other)
	s.want(len(again) > 0 && arcOf(again[0]) == arc, "then the other one gets it, but gets %v", again)
}

func TestArcThatMustNotGoOutsideAgainStays(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(3, 6, 9, 12, 244, 247, 250, 253)
	delete(s.responsive, peerAddr(12))
	s.receive(peerAddr(3), s.data(wire.Data{
		Origin: 77, Counter: 1, Flags: wire.FlagArc | wire.FlagNoOut, Hops: 3,
		Lo: ring.Pos(s.peerID(12)), Hi: ring.Pos(s.peerID(244)),
	}))
	all := s.run(900 * time.Millisecond)
	tries := copiesTo(all, 12)
	s.want(len(tries) == 2 && tries[0].Data.Flags&wire.FlagNoOut != 0, "the flag should be passed on: %v", tries)
	s.want(len(copies(all)) == 2, "the arc went to another member: %v", copies(all))
}

func TestDuplicateArcIsForwardedOnce(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	from := peerAddr(around(8)[0])
	forwarded := func(d wire.Data) int {
		s.receive(from, s.data(d))
		return len(copies(s.run(100 * time.Millisecond)))
	}
	d := wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagPull, Payload: []byte("x")}
	n := forwarded(d)
	s.want(n == 0, "a repair is forwarded in %d copies", n)
	d.Flags, d.Lo, d.Hi = wire.FlagArc, ring.Pos(s.peerID(100)), ring.Pos(s.peerID(200))
	n = forwarded(d)
	s.want(n == 4, "the first arc should be forwarded though the message is here: %d copies", n)
	d.Hi = ring.Pos(s.peerID(250))
	n = forwarded(d)
	s.want(n == 0, "a second arc that the node lies outside of is forwarded in %d copies", n)
	all := ring.AllBut(77)
	d.Lo, d.Hi = all.Lo, all.Hi
	n = forwarded(d)
	s.want(n == 8, "the first arc that the node lies in should be forwarded: %d copies", n)
	n = forwarded(d)
	s.want(n == 0, "a second arc that the node lies in is forwarded in %d copies", n)
	s.want(fmt.Sprint(s.got) == "[x]" && s.Stats().Duplicate == 4, "it was delivered as %v, with %d duplicates", s.got, s.Stats().Duplicate)
}

func TestReplayedArcFromOutsideIsForwardedOnce(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120)
	arc := func(lo, hi int) wire.Data {
		return wire.Data{Origin: s.peerID(10), Counter: 1, Flags: wire.FlagArc, Lo: ring.Pos(s.peerID(lo)), Hi: ring.Pos(s.peerID(hi)), Payload: make([]byte, 480)}
	}
	forwarded := func(from netip.AddrPort, d wire.Data) int {
		s.receive(from, s.data(d))
		return len(copies(s.run(200 * time.Millisecond)))
	}
	n := forwarded(peerAddr(10), arc(250, 65))
	s.want(n == 6, "an arc of 6 members, given to a node inside it, is forwarded in %d copies", n)
	out := arc(65, 95)
	out.Flags |= wire.FlagNoOut
	n = forwarded(peerAddr(10), out)
	s.want(n == 3, "an arc of 3 members, given to a node outside it, is forwarded in %d copies", n)
	other := arc(95, 125)
	out.Payload, other.Payload = nil, nil // an attacker need not know the payload
	n = 0
	for i := range 50 {
		n += forwarded(unknownAddr, []wire.Data{out, other}[i%2])
	}
	s.want(n == 0, "50 replays were forwarded in %d copies", n)
}

// A sender sends an arc until it is acknowledged, and takes a member for lost that does not
// acknowledge it.
func TestOriginCoversAnArcOfItsOwnMessage(t *testing.T) {
	t.Parallel()
	s := newSolo(t, Config{})
	s.withMembers(around(16)...)
	s.publish([]byte("x"))
	s.run(2 * time.Second)
	from, inside := peerAddr(around(16)[3]), around(16)[8]
	back := wire.Data{Origin: s.ID(), Counter: 1, Flags: wire.FlagArc, Hops: 2, Lo: ring.Pos(s.peerID(inside) - 1<<40), Hi: ring.Pos(s.peerID(inside) + 1<<40), Payload: []byte("x")}
	s.receive(from, s.data(back))
	all := s.run(100 * time.Millisecond)
	covered := len(copiesTo(all, inside)) > 0
	acknowledged := len(wiretest.Only(all, wire.TypeAck, from)) > 0
	s.want(covered && acknowledged, "a member in the arc gets the message: %v; the arc is acknowledged: %v", covered, acknowledged)
}

// The arc of a silent member goes to another, and from there to the next, and so on. That
// must end.
func TestUnansweredBroadcastIsSentToEachMemberAFewTimes(t *testing.T) {
	t.Parallel()
	s := newLoaded(t, 512, false)
	clear(s.responsive)
	s.receive(unknownAddr, broadcast(wire.FlagArc, 100)(s, unknownAddr, 0))
	n := len(copies(s.run(time.Minute)))
	s.want(n > delegates && n <= 2*attempts*loadedMembers, "a message that none of %d members answers was sent %d times", loadedMembers, n)
	s.want(s.Stats().QueuedData == 0, "after a minute %d copies are queued", s.Stats().QueuedData)
}

func TestRumorIsForwardedOnceAndNotToItsSource(t *testing.T) {
	s := newSolo(t, Config{RumorFactor: 3})
	s.withMembers(around(4)...)
	from := peerAddr(around(4)[0])
	d := wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagRumor, Hops: 5}
	for i := range 3 {
		s.receive(from, s.data(d))
		forwarded := copies(s.run(50 * time.Millisecond))
		s.want(i > 0 && len(forwarded) == 0 || i == 0 && len(forwarded) == 3, "copy %d of a rumor was forwarded as %v", i+1, forwarded)
		for _, m := range forwarded {
			s.want(m.To != from && m.Data.Hops == 6 && m.Data.Flags == wire.FlagRumor, "it was forwarded as %+v", m.Data)
		}
	}
}

func TestCopyStopsAfterMostHops(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	for i, flags := range []uint8{wire.FlagArc, wire.FlagRumor} {
		s.receive(peerAddr(around(8)[0]), s.data(wire.Data{Origin: 77, Counter: uint32(i + 1), Flags: flags, Hops: mostHops, Lo: 1, Hi: 0}))
	}
	s.want(len(s.got) == 2, "both should be delivered")
	s.want(len(copies(s.run(100*time.Millisecond))) == 0, "after 64 hops a copy should stop")
}
