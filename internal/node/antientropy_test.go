package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// statuses returns the Statuses of a mode.
func statuses(all []wiretest.Message, mode wire.Mode) []wiretest.Message {
	return slices.DeleteFunc(wiretest.Only(all, wire.TypeStatus, anyAddr), func(m wiretest.Message) bool { return m.Status.Mode != mode })
}

// requestOf is a request for messages of an origin from the first to the last.
func (s *solo) requestOf(origin uint64, first, last uint32) []byte {
	m := wire.Status{Mode: wire.Request}
	m.Digest.Add(origin, first-1, []wire.Run{{First: first, Last: last}}, 1000)
	return s.status(m)
}

// A new message is offered to one member, a moment later. However many follow, at least 50 ms
// pass between two offers.
func TestOfferGoesToOneMemberNowAndThen(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	from := peerAddr(around(8)[0])
	start := s.at
	s.receive(from, s.data(wire.Data{Origin: 77, Counter: 1}))
	one := statuses(s.run(200*time.Millisecond), wire.Offer)
	s.want(len(one) == 1 && one[0].At-start >= 27*time.Millisecond && one[0].At-start <= 33*time.Millisecond, "the offers of one new message, which came at %v, are %v", start, one)

	var many []wiretest.Message
	for i := range uint32(1000) { // one in a millisecond
		s.receive(from, s.data(wire.Data{Origin: 77, Counter: 2 + i}))
		for _, m := range statuses(s.run(time.Millisecond), wire.Offer) {
			if origin, _, _, ok := m.Status.Digest.Next(nil); ok && origin == 77 {
				many = append(many, m)
			}
		}
	}
	for i := range many[1:] {
		s.want(many[i+1].At-many[i].At >= 50*time.Millisecond, "two offers are %v apart", many[i+1].At-many[i].At)
	}
	s.want(len(many) >= 10, "new messages are offered %d times in a second", len(many))
}

// A stream of repairs is offered on in few messages.
func TestHealOffersRepairsToNeighboursNowAndThen(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	offers := 0
	for i := range uint32(60) { // one in a millisecond
		s.receive(peerAddr(around(8)[0]), s.data(wire.Data{Origin: 77, Counter: i + 1, Flags: wire.FlagPull}))
		offers += len(statuses(s.run(time.Millisecond), wire.Heal))
	}
	s.want(offers > 0 && offers <= 2*4+1, "60 repairs in 60 ms were offered in %d messages", offers)
}

// Until it answers a Hello there may be no node, or the node itself at another of its addresses.
func TestHealOffersNothingToMembersKnownByHearsay(t *testing.T) {
	s := newSolo(t, Config{})
	ids := around(4)
	s.withMembers(ids...)
	known := s.peers.members.Get(s.peerID(ids[1]))
	known.Validated = false
	s.receive(peerAddr(ids[0]), s.data(wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagPull}))
	offers := statuses(s.run(time.Millisecond), wire.Heal)
	for _, m := range offers {
		s.want(m.To != known.Addr, "a repair is offered to a member that is not validated")
	}
	s.want(len(offers) > 0, "a repair is offered to nobody")
}

// Among many dead members a Status finds a live one within a few timeouts. When no member
// answers, the node itself may be cut off: only one of them is in doubt.
func TestStatusThatASilentMemberDoesNotAnswerGoesToAnother(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	silent := peerAddr(around(8)[0])
	delete(s.responsive, silent)
	s.sendAnycast(silent, anycastTries, wire.Status{Mode: wire.Heal})
	tries := statuses(s.run(100*time.Millisecond), wire.Heal)
	s.want(len(tries) == 2 && tries[0].To == silent && tries[1].To != silent, "it was sent to %v", tries)

	s.run(10 * time.Second) // the silent member is lost
	clear(s.responsive)
	s.sendAnycast(peerAddr(around(8)[1]), anycastTries, wire.Status{Mode: wire.Heal})
	all := s.run(150 * time.Millisecond)
	asked := map[netip.AddrPort]bool{}
	for _, m := range statuses(all, wire.Heal) {
		asked[m.To] = true
	}
	s.want(len(asked) == 7, "it was sent to %d of 7 members", len(asked))
	doubted := map[netip.AddrPort]bool{}
	for _, m := range wiretest.Only(all, wire.TypeHello, anyAddr) {
		doubted[m.To] = m.To != silent
	}
	delete(doubted, silent)
	s.want(len(doubted) <= 2, "%d members are in doubt, not one and perhaps one of an exchange", len(doubted))
}

// Comparing is the dearest answer, and an honest node asks for one in a datagram.
func TestStatusIsComparedOnceInADatagram(t *testing.T) {
	for _, mode := range []wire.Mode{wire.Full, wire.Summary} {
		s := newSolo(t, Config{})
		s.withMembers(10)
		status := func(int) []byte { return s.status(wire.Status{Mode: mode, Mark: 1}) }
		for range 3 {
			before := s.Stats()
			s.receive(peerAddr(10), repeat(18, status)...)
			s.receive(victim, repeat(18, status)...)
			member, stranger := s.Stats().DropPush-before.DropPush, s.Stats().DropStranger-before.DropStranger
			s.want(member == 17 && stranger == 18, "of 18 in a datagram of a member %d were not compared, and %d of an unvalidated source", member, stranger)
		}
	}
}

func TestRepairSendsAMessageLongerThanItsBudget(t *testing.T) {
	s := newSolo(t, Config{MaxMessageSize: wire.MaxDatagram})
	s.withMembers(10, 20)
	for c := range uint32(3) {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 5, Counter: c + 1, Flags: wire.FlagPull, Payload: make([]byte, 60000)}))
	}
	s.run(5 * time.Second)
	s.receive(peerAddr(20), s.requestOf(5, 1, 3))
	repairs := len(s.sent(wire.TypeData, peerAddr(20)))
	s.want(repairs == 1, "of 3 messages of 60,000 bytes a request should bring one, not %d", repairs)
}

func TestRepairsLeaveTheQueueOfOtherDataFree(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20, 30, 40, 50)
	for c := range uint32(900) {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 5, Counter: c + 1, Flags: wire.FlagPull}))
	}
	s.run(5 * time.Second)
	most := s.config.MaxOutputMessages
	for _, i := range []int{10, 20, 30, 40, 50} {
		for range 4 {
			s.receive(peerAddr(i), s.requestOf(5, 1, 900))
		}
		s.want(s.out.queue.Stats().Data <= most, "there are %d repairs in a queue for %d", s.out.queue.Stats().Data, most)
	}
	s.want(s.out.queue.Stats().Data == most, "the requests brought only %d repairs", s.out.queue.Stats().Data)
	s.publish([]byte("own"))
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 6, Counter: 1, Flags: wire.FlagRumor}))
	s.want(s.Stats().DropBusy == 0 && s.Stats().Relayed > 0, "a queue full of repairs has no room for a relayed message")
}

func TestGapIsGivenUpAfter30Seconds(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	for _, counter := range []uint32{5, 7, 8, 10} { // what is below 5 is history
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	s.run(29 * time.Second)
	o := s.history.origins.Get(77)
	s.want(s.Stats().GaveUpUnseen == 0 && o.Seen.Floor() == 0, "within 29 s nothing should be given up: %d, floor %d", s.Stats().GaveUpUnseen, o.Seen.Floor())
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 12}))
	s.run(4 * time.Second)
	s.want(o.Seen.Floor() == 10 && s.Stats().GaveUpUnseen == 2, "6 and 9 should be given up, and what is below 5 without a count: %d, floor %d", s.Stats().GaveUpUnseen, o.Seen.Floor())
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 6}))
	s.want(len(s.got) == 5 && s.Stats().Duplicate == 1, "a message that was given up is delivered when it comes")
	s.run(20 * time.Second)
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 11}))
	s.run(time.Minute)
	s.want(o.Seen.Floor() == 12 && s.Stats().GaveUpUnseen == 2 && len(s.got) == 6, "a gap that opened later and was filled is given up")
}

func TestDisconnectedNodeGivesNothingUp(t *testing.T) {
	s := newSolo(t, Config{})
	s.join(peerAddr(99))
	s.addMember(s.peerID(10), peerAddr(10))
	for _, counter := range []uint32{1, 3} {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	delete(s.responsive, peerAddr(10))
	s.receive(peerAddr(10), s.goodbye(s.peerID(10)))
	s.run(5 * time.Minute)
	s.want(s.State() == Disconnected && s.Stats().GaveUpUnseen == 0, "after 5 minutes on its own it is %v and gave up %d", s.State(), s.Stats().GaveUpUnseen)
	s.addMember(s.peerID(20), peerAddr(20))
	s.run(2 * time.Second)
	s.receive(peerAddr(20), s.data(wire.Data{Origin: 77, Counter: 2}))
	s.want(len(s.got) == 3, "the missing message should be taken when there is a member: %d delivered", len(s.got))
}

// The message waits in the socket while the process is stopped.
func TestStoppedProcessDoesNotGiveUpWhatWaits(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{{}, {Ordered: true}} {
		s := newSolo(t, config)
		s.withMembers(10, 20)
		s.receive(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
		s.run(2 * time.Second) // the gap is noted
		waiting := s.data(dataOf(77, 2))
		s.at += 40 * time.Second // nothing runs
		s.run(0)                 // Tick and Next come before Handle
		s.receive(peerAddr(20), waiting)
		s.run(time.Second)
		s.want(len(s.got) == 3, "with Ordered %v the message that waited is refused: delivered %v, %d given up", config.Ordered, s.got, s.Stats().GaveUpUnseen)
	}
}

func TestRequestAgainNamesOnlyWhatIsMissing(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	from := peerAddr(around(8)[0])
	var d wire.Digest
	d.Add(77, 0, []wire.Run{{First: 1, Last: 50}}, 400)
	s.receive(from, s.status(wire.Status{Mode: wire.Offer, Digest: d}))
	for i := range uint32(49) {
		s.receive(from, s.data(wire.Data{Origin: 77, Counter: i + 1, Flags: wire.FlagPull}))
	}
	s.sent(wire.TypeStatus, from)
	again := 0
	for _, m := range statuses(s.run(time.Second), wire.Request) {
		if origin, _, runs, ok := m.Status.Digest.Next(nil); ok && origin == 77 {
			again++
			s.want(len(runs) == 1 && runs[0] == (wire.Run{First: 50, Last: 50}), "of 1 to 50 it lacks 50, and requests %v again", runs)
		}
	}
	s.want(again > 0, "the missing message is not requested again")
}
