package node

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

func summaryOf(hash uint64) wire.Status { return wire.Status{Mode: wire.Summary, Mark: hash} }

func TestSummaryIsAnsweredWithAPageOnlyWhereItDiffers(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	s.publish([]byte("x"))
	s.run(5 * time.Second)
	for _, c := range []struct {
		off   uint64
		pages int
	}{{0, 0}, {1, 1}} {
		s.receive(peerAddr(10), s.status(summaryOf(s.history.origins.Hash()+c.off)))
		all := s.run(50 * time.Millisecond)
		s.want(len(wiretest.Only(all, wire.TypeAck, peerAddr(10))) == 1, "a Summary is not acknowledged")
		pages := len(wiretest.Only(statuses(all, wire.Full), wire.TypeStatus, peerAddr(10)))
		s.want(pages == c.pages, "a Summary that differs by %d is answered with %d pages", c.off, pages)
	}
	s.receive(unknownAddr, s.status(summaryOf(5)))
	pages := len(statuses(s.run(50*time.Millisecond), wire.Full))
	s.want(pages == 0, "a Summary of an unvalidated source is answered with %d pages", pages)
}

// A token validates the source, but a node that gives another address becomes no member.
func TestSummaryOfAValidatedSourceThatIsNoMemberIsAnswered(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	at := netip.MustParseAddrPort("203.0.113.10:5")
	s.receive(unknownAddr, s.hello(s.peerID(99), at, s.tokens.Make(unknownAddr, s.at)), s.status(summaryOf(5)))
	pages := len(wiretest.Only(statuses(s.run(50*time.Millisecond), wire.Full), wire.TypeStatus, unknownAddr))
	s.want(pages == 1 && s.peers.members.ByAddr(unknownAddr) == nil, "it is answered with %d pages", pages)
}

func TestSummaryOfANodeThatSkipsHistoryIsNotAnsweredByAnother(t *testing.T) {
	s := newSolo(t, Config{SkipHistory: true})
	s.join(peerAddr(10))
	s.addMember(s.peerID(10), peerAddr(10))
	s.run(time.Second)
	s.want(s.history.repair.Skipping(s.at), "a newcomer that no page reached skips no history")
	before := len(statuses(s.run(2*time.Second), wire.Summary))
	s.want(before > 0, "a node that skips history does not ask what it is to skip")
	s.receive(peerAddr(10), s.status(summaryOf(5)))
	s.Tick(s.at)
	answers := len(statuses(s.send(), wire.Summary))
	s.want(answers == 0, "a Summary is answered with %d others, and so on for ever", answers)
}

// A background round sends a hash; its answer brings what is missing on either side.
func TestSummaryBringsWhatIsMissing(t *testing.T) {
	for seed := range uint64(3) {
		s := newSim(t, seed, 0)
		for range 2 {
			s.add(simConfig())
		}
		s.form()
		s.net.Run(20 * time.Second)
		a, b := s.nodes[0], s.nodes[1]
		sent := map[string]*simNode{}
		s.net.SetLoss(1)
		for _, n := range s.nodes { // and every offer is lost
			sent[n.publish()] = n
			n.out.queue.Clear()
			n.self.backlog.clear(n.history.log)
			n.history.news.Clear()
		}
		s.net.Run(100 * time.Millisecond)
		s.net.SetLoss(0)
		s.awaitDeliveries(10*time.Second, sent)
		if a.Stats().Repaired == 0 || b.Stats().Repaired == 0 {
			t.Fatalf("seed %d: the messages did not come by repair: %+v", seed, a.Stats())
		}
	}
}

// offerOf is an offer of the messages of an origin from the first to the last.
func (s *solo) offerOf(origin uint64, first, last uint32) []byte {
	m := wire.Status{Mode: wire.Offer}
	m.Digest.Add(origin, first-1, []wire.Run{{First: first, Last: last}}, 1000)
	return s.status(m)
}

// A request or its answer may be lost.
func TestWantedMessageIsRequestedAgainAFewTimes(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	s.receive(peerAddr(10), s.offerOf(77, 3, 5))
	requests := statuses(s.run(4*time.Second), wire.Request)
	s.want(len(requests) == 1+mostTries, "what an offer showed to be missing was requested %d times", len(requests))
	last := requests[0].At - leastTimeout
	for i, m := range requests {
		s.want(m.To == peerAddr(10) && m.At-last >= leastTimeout, "request %d went to %v after %v", i+1, m.To, m.At-last)
		last = m.At
	}
	s.want(len(s.history.wanted.runs) == 0, "after the last request %d runs are wanted", len(s.history.wanted.runs))
}

func TestWantedMessageThatCameIsNotRequestedAgain(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	s.receive(peerAddr(10), s.offerOf(77, 1, 2))
	s.want(len(statuses(s.send(), wire.Request)) == 1, "what is missing is not requested")
	for c := range uint32(2) {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 1 + c, Flags: wire.FlagPull}))
	}
	again := len(statuses(s.run(2*time.Second), wire.Request))
	s.want(again == 0 && len(s.got) == 2, "what came is requested %d times", again)
}

func TestWantedOfAnUnvalidatedSourceIsRequestedOnce(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	s.receive(unknownAddr, s.offerOf(77, 1, 2))
	n := len(wiretest.Only(statuses(s.run(2*time.Second), wire.Request), wire.TypeStatus, unknownAddr))
	s.want(n == 1, "what an unvalidated source offers is requested %d times", n)
}

func TestWantedIsBoundedAndForgottenWithTheIdentity(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	for i := range uint64(3 * mostWanted) {
		s.receive(peerAddr(10), s.offerOf(1000+i, 1, 1))
	}
	s.want(len(s.history.wanted.runs) == mostWanted, "%d runs are wanted", len(s.history.wanted.runs))
	s.leave()
	s.join()
	s.addMember(s.peerID(10), peerAddr(10))
	s.send()
	s.receive(peerAddr(10), s.offerOf(77, 1, 1))
	n := len(statuses(s.run(2*time.Second), wire.Request))
	s.want(n == 1+mostTries, "in the next life a missing message is requested %d times", n)
}
