package gossip

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// around returns n places on the ring at equal distances, none the node's.
func around(n int) (steps []int) {
	for i := range n {
		steps = append(steps, 256*(i+1)/(n+1))
	}
	return steps
}

// copies returns the Data that went to a peer.
func copies(all []said, step int) []said { return only(all, wire.TypeData, peerAddr(step)) }

func arcOf(m said) view.Arc { return view.Arc{Lo: m.data.Lo, Hi: m.data.Hi} }

func TestTheArcOfASilentDelegateGoesToAnotherInsideIt(t *testing.T) {
	s := newSoloist(t, Config{})
	steps := around(48)
	s.seedWith(steps...) // 3 in each of 16 arcs
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	first := only(s.speak(), wire.TypeData, anybody)
	s.want(len(first) == publishFactor, "the origin sends %d copies", len(first))
	silent := first[5]
	delete(s.polite, silent.to)
	for _, m := range first {
		s.answer(m)
	}
	all := s.run(900 * time.Millisecond)
	tries := only(all, wire.TypeData, silent.to)
	s.want(len(tries) == 2, "the silent one was tried %d times more", len(tries))
	s.want(arcOf(tries[0]) == arcOf(silent), "it is asked a second time to cover the same arc")
	s.want(tries[1].data.Flags&wire.FlagArc == 0, "the third time it should have nothing to cover, flags %b", tries[1].data.Flags)
	s.want(tries[0].seq == silent.seq && tries[1].seq == silent.seq, "a retry has the number of the first attempt")
	var handed []said
	for _, m := range only(all, wire.TypeData, anybody) {
		if m.data.Flags&wire.FlagRe != 0 {
			handed = append(handed, m)
		}
	}
	s.want(len(handed) == 1, "the arc was handed over %d times", len(handed))
	to := s.roster.ByAddr(handed[0].to)
	s.want(arcOf(handed[0]) == arcOf(silent) && arcOf(silent).Has(to.Pos()), "the heir of %v is %v at %x", arcOf(silent), arcOf(handed[0]), to.Pos())
	s.want(handed[0].at == tries[1].at, "it should be handed over at the second timeout, %v, not at %v", tries[1].at, handed[0].at)
	s.want(handed[0].data.Flags&(wire.FlagOut|wire.FlagNoOut) == 0, "the heir is inside")
}

func TestASuspectGetsNoArcUntilItIsHeard(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	silent := around(8)[3]
	delete(s.polite, peerAddr(silent))
	s.want(s.SendData([]byte("first")) == nil, "SendData failed")
	s.run(100 * time.Millisecond)
	m := s.roster.ByAddr(peerAddr(silent))
	s.want(m.Suspect(s.at) && m.SuspectUntil <= s.at+suspicion, "after two timeouts it should be suspect for 500 ms, not until %v", m.SuspectUntil)
	s.want(s.SendData([]byte("second")) == nil, "SendData failed")
	for _, c := range copies(s.speak(), silent) {
		s.want(string(c.data.Payload) != "second" || c.data.Flags&wire.FlagArc == 0, "a suspect was given an arc")
	}
	s.hear(peerAddr(silent), s.ack())
	s.want(!m.Suspect(s.at), "whatever is heard of it clears the suspicion")
	s.want(s.SendData([]byte("third")) == nil, "SendData failed")
	third := copies(s.speak(), silent)
	s.want(len(third) > 0 && third[len(third)-1].data.Flags&wire.FlagArc != 0, "it should get its arc again")
}

func TestAnArcWithNobodyElseInItGoesOutsideOnlyIfItIsLong(t *testing.T) {
	for _, c := range []struct {
		name   string
		steps  []int
		silent int
		out    bool
	}{
		{"even gaps", around(8), around(8)[3], false},
		{"one gap of 200", []int{3, 6, 9, 12, 244, 247, 250, 253}, 12, true},
	} {
		s := newSoloist(t, Config{})
		s.seedWith(c.steps...)
		delete(s.polite, peerAddr(c.silent))
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		all := s.run(900 * time.Millisecond)
		arc := arcOf(copies(all, c.silent)[0])
		var handed []said
		for _, m := range only(all, wire.TypeData, anybody) {
			if m.data.Flags&wire.FlagRe != 0 {
				handed = append(handed, m)
			}
		}
		s.want((len(handed) > 0) == c.out, "%s: the arc of %x positions, local gap %x, was handed over: %v", c.name, arc.Len(), s.roster.LocalGap(), handed)
		if !c.out {
			continue
		}
		to := s.roster.ByAddr(handed[0].to)
		s.want(len(handed) == 1 && arcOf(handed[0]) == arc && !arc.Has(to.Pos()), "%s: the heir is %x of %v", c.name, to.Pos(), arc)
		s.want(handed[0].data.Flags&wire.FlagOut != 0 && handed[0].data.Flags&wire.FlagNoOut != 0, "%s: the flags are %b", c.name, handed[0].data.Flags)
	}
}

func TestAnArcThatMustNotGoOutsideAgainStays(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(3, 6, 9, 12, 244, 247, 250, 253)
	delete(s.polite, peerAddr(12))
	lo := view.Pos(s.peerID(12))
	s.hear(peerAddr(3), s.data(wire.Data{
		Origin: 77, Counter: 1, Flags: wire.FlagArc | wire.FlagRe | wire.FlagOut | wire.FlagNoOut, Hops: 3, Lo: lo, Hi: view.Pos(s.peerID(244)),
	}))
	all := s.run(900 * time.Millisecond)
	s.want(len(copies(all, 12)) == 3 && copies(all, 12)[0].data.Flags&wire.FlagNoOut != 0, "the flag should be passed on: %v", copies(all, 12))
	s.want(len(only(all, wire.TypeData, anybody)) == 3, "the arc went to somebody else: %v", only(all, wire.TypeData, anybody))
}

func TestALateArcIsCoveredOnceMore(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	from := peerAddr(around(8)[0])
	all := view.All(77)
	d := wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagPull, Payload: []byte("x")}
	s.hear(from, s.data(d))
	s.want(len(only(s.run(100*time.Millisecond), wire.TypeData, anybody)) == 0, "what came by repair is not passed on")
	d.Flags, d.Lo, d.Hi = wire.FlagArc, view.Pos(s.peerID(100)), view.Pos(s.peerID(200))
	s.hear(from, s.data(d))
	n := len(only(s.run(100*time.Millisecond), wire.TypeData, anybody))
	s.want(n == 4, "the first arc that is asked for should be covered though the message is here: %d copies", n)
	s.hear(from, s.data(d))
	d.Lo, d.Hi = all.Lo, all.Hi
	s.hear(from, s.data(d))
	s.want(len(only(s.run(100*time.Millisecond), wire.TypeData, anybody)) == 0, "a second arc should not be covered")
	d.Flags, d.Lo, d.Hi = wire.FlagArc|wire.FlagOut|wire.FlagNoOut, view.Pos(s.peerID(210)), view.Pos(s.peerID(250))
	s.hear(from, s.data(d))
	s.want(len(only(s.run(100*time.Millisecond), wire.TypeData, anybody)) > 0, "one that was handed outside should be")
	s.want(fmt.Sprint(s.got) == "[x]" && s.Stats().Duplicate == 4, "it was delivered as %v, %d duplicates", s.got, s.Stats().Duplicate)
}

func TestARumorIsPassedOnOnceAndNotToWhoSaidIt(t *testing.T) {
	s := newSoloist(t, Config{RumorFactor: 3})
	s.seedWith(around(4)...)
	from := peerAddr(around(4)[0])
	d := wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagRumor, Hops: 5}
	for i := range 3 {
		s.hear(from, s.data(d))
		passed := only(s.run(50*time.Millisecond), wire.TypeData, anybody)
		s.want(i > 0 && len(passed) == 0 || i == 0 && len(passed) == 3, "copy %d of a rumor went to %v", i+1, passed)
		for _, m := range passed {
			s.want(m.to != from && m.data.Hops == 6 && m.data.Flags == wire.FlagRumor, "it was passed on as %+v", m.data)
		}
	}
}

func TestACopyThatWentTooFarGoesNoFurther(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	for i, flags := range []uint8{wire.FlagArc, wire.FlagRumor} {
		s.hear(peerAddr(around(8)[0]), s.data(wire.Data{Origin: 77, Counter: uint32(i + 1), Flags: flags, Hops: mostHops, Lo: 1, Hi: 0}))
	}
	s.want(len(s.got) == 2, "both should be delivered")
	s.want(len(only(s.run(100*time.Millisecond), wire.TypeData, anybody)) == 0, "after 64 hops a copy should stop")
}

func TestAPayloadThatFitsNoArcIsRefused(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	long := make([]byte, s.MaxPayload()+1)
	s.hear(peerAddr(99), s.data(wire.Data{Origin: 77, Counter: 1, Payload: long}))
	// Were it taken, its copies with an arc would fit no datagram, and Send would
	// go on trying for ever.
	s.want(s.Stats().DropOversize == 1 && s.Stats().Retained == 0, "the long one should be refused: %+v", s.Stats())
	s.hear(peerAddr(99), s.data(wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagArc, Lo: 1, Hi: 0}))
	s.run(time.Second)
	s.want(len(s.got) == 1 && s.got[0] == "", "delivered were %d messages", len(s.got))
}

func TestDirectMessagesStopAtTheWindowOfTheirRecipients(t *testing.T) {
	s := newSoloist(t, Config{MaxOutputMessages: 4096})
	s.seedWith(10)
	direct := Direct(Address{peerAddr(10)})
	for i := range 1024 {
		s.want(s.SendData([]byte("x"), direct) == nil, "message %d was refused", i+1)
	}
	before := s.Stats()
	s.want(errors.Is(s.SendData([]byte("x"), direct), ErrQueueFull), "1024 behind, a Direct message should be refused")
	s.want(s.Stats() == before && s.directCounter == 1024, "the refused message left a trace")
	s.want(s.SendData([]byte("x")) == nil, "a Broadcast has numbers of its own")
	delete(s.polite, peerAddr(10))
	first := only(s.speak(), wire.TypeData, peerAddr(10))[0]
	s.hear(first.to, s.ack(first.seq))
	s.want(s.SendData([]byte("x"), direct) == nil, "when the oldest has arrived there is room for one more")
	s.want(errors.Is(s.SendData([]byte("x"), direct), ErrQueueFull), "and for one only")
}

func TestAGapThatNobodyFillsIsGivenUpAfter30Seconds(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	for _, counter := range []uint32{5, 7, 8, 10} { // what is below 5 is history
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	s.run(29 * time.Second)
	o := s.origins.Get(77)
	s.want(s.Stats().GaveUpUnseen == 0 && o.Seen.Floor() == 0, "within 29 s nothing should be given up: %d, floor %d", s.Stats().GaveUpUnseen, o.Seen.Floor())
	s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 12}))
	s.run(4 * time.Second)
	s.want(o.Seen.Floor() == 10 && s.Stats().GaveUpUnseen == 2, "6 and 9 are given up, and what is below 5 without a count: %d, floor %d", s.Stats().GaveUpUnseen, o.Seen.Floor())
	s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 6}))
	s.want(len(s.got) == 5 && s.Stats().Duplicate == 1, "what was given up and comes after all is not delivered")
	s.run(20 * time.Second)
	s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 11}))
	s.run(time.Minute)
	s.want(o.Seen.Floor() == 12 && s.Stats().GaveUpUnseen == 2 && len(s.got) == 6, "a gap that opened later and was filled is not given up")
}

func TestANewOriginFarAheadMustComeFromWhoIsProven(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	stranger, id := peerAddr(99), s.peerID(99)
	d := wire.Data{Origin: id, Counter: 5000, Payload: []byte("x")}
	s.hear(stranger, s.data(d))
	all := s.run(100 * time.Millisecond)
	s.want(s.Stats().DropAhead == 1 && len(s.got) == 0 && s.origins.Get(id) == nil, "it should be refused without a trace")
	s.want(len(only(all, wire.TypeAck, stranger)) == 0, "what was refused is not acknowledged")
	hello := only(all, wire.TypeHello, stranger)
	s.want(len(hello) == 1, "the stranger is asked who it is: %v", all)
	s.hear(stranger, s.welcome(hello[0].seq, 7, id, stranger))
	s.hear(stranger, s.data(d))
	s.want(fmt.Sprint(s.got) == "[x]", "once it has answered it should be believed, got %v", s.got)
	s.want(s.Stats().GaveUpUnseen == 0, "what was said before is history, not loss: %d", s.Stats().GaveUpUnseen)
}

func TestWhatAWindowCannotHoldIsCounted(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	for _, counter := range []uint32{1, 2, 4} {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	s.hear(peerAddr(99), s.data(wire.Data{Origin: 77, Counter: 1500}))
	s.want(s.Stats().DropAhead == 1 && s.origins.Get(77).Seen.Floor() == 2, "a stranger moved the window")
	s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 1500}))
	// The floor goes to 476: 3 and 5 to 476 were never seen.
	s.want(s.Stats().GaveUpUnseen == 473 && len(s.got) == 4, "%d were given up, %d delivered", s.Stats().GaveUpUnseen, len(s.got))
	s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 477}), s.data(wire.Data{Origin: 77, Counter: 476}))
	s.want(len(s.got) == 5, "477 is new still and 476 is not")
	// Direct ones go elsewhere, so that what is missing of them is no loss.
	s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 9000, Flags: wire.FlagDirect}))
	s.want(s.Stats().GaveUpUnseen == 473 && len(s.got) == 6, "a Direct message far ahead of a proven member is taken")
}

func TestANodeThatIsCutOffGivesNothingUp(t *testing.T) {
	s := newSoloist(t, Config{})
	s.want(s.Join(Address{peerAddr(99)}) == nil, "Join failed")
	s.join(s.peerID(10), peerAddr(10))
	for _, counter := range []uint32{1, 3} {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	delete(s.polite, peerAddr(10))
	s.hear(peerAddr(10), s.goodbye(s.peerID(10)))
	s.run(5 * time.Minute)
	s.want(s.State() == StateDisconnected && s.Stats().GaveUpUnseen == 0, "in 5 minutes on its own, %v, it gave up %d", s.State(), s.Stats().GaveUpUnseen)
	s.join(s.peerID(20), peerAddr(20))
	s.run(2 * time.Second)
	s.hear(peerAddr(20), s.data(wire.Data{Origin: 77, Counter: 2}))
	s.want(len(s.got) == 3, "what was missing comes when there is a member: %d delivered", len(s.got))
}

// What nobody offers may be retained by somebody: it is asked for by itself.
func TestWhatIsMissingForLongIsAskedFor(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	for _, counter := range []uint32{1, 3} {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	asked := 0
	for _, m := range only(s.run(10*time.Second), wire.TypeStatus, anybody) {
		if origin, _, runs, ok := m.status.Digest.Next(nil); m.status.Mode == wire.Request && ok {
			asked++
			s.want(origin == 77 && len(runs) == 1 && runs[0].First == 2 && runs[0].Last == 2, "of %d it asks for %v", origin, runs)
			s.want(m.at > askAfter, "it asks after %v only", m.at)
		}
	}
	s.want(asked > 0, "in 10 s it did not ask for what is missing")
}

// A stream of repairs is offered on in few messages.
func TestWhatCameByRepairIsOfferedToNeighboursNowAndThen(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	from := peerAddr(around(8)[0])
	offers := 0
	for i := range uint32(60) { // one in a millisecond
		s.hear(from, s.data(wire.Data{Origin: 77, Counter: i + 1, Flags: wire.FlagPull}))
		for _, m := range only(s.run(time.Millisecond), wire.TypeStatus, anybody) {
			if m.status.Mode == wire.Offer {
				offers++
			}
		}
	}
	s.want(offers > 0 && offers <= 2*4+1, "60 repairs in 60 ms were offered in %d messages", offers)
}
