package node

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// behind is a node that has seen the first messages of origin 77 and not those of a while after.
func behind(t *testing.T) *solo {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	for _, c := range []uint32{1, 2, 4} {
		s.receive(peerAddr(10), s.data(dataOf(77, c)))
	}
	return s
}

func TestAheadIsRefusedAndWhatIsMissingIsRequested(t *testing.T) {
	s := behind(t)
	s.send()
	s.receive(peerAddr(10), s.data(dataOf(77, 3*versions.Width)))
	all := s.send()
	s.want(len(s.got) == 3 && s.Stats().DropBusy == 1, "%d messages are delivered, %d refused", len(s.got), s.Stats().DropBusy)
	requests := statuses(all, wire.Request)
	s.want(len(requests) == 1 && requests[0].To == peerAddr(10), "what is missing is requested as %v", requests)
	origin, _, runs, ok := requests[0].Status.Digest.Next(nil)
	s.want(ok && origin == 77 && fmt.Sprint(runs) == "[{3 3}]", "of %d %v is requested", origin, runs)
	acks := wiretest.Only(all, wire.TypeAck, peerAddr(10))
	refused := 0
	for _, m := range acks {
		if m.Refused {
			refused++
		}
	}
	s.want(refused == 1, "%d of %d Acks are refusals", refused, len(acks))
}

// While repair closes the gap, nothing is given up.
func TestAheadWaitsWhileRepairClosesTheGap(t *testing.T) {
	s := behind(t)
	const ahead = versions.Width + 20
	for _, next := range []uint32{3, 5, 6, 7, 8, 9, 10, 11, 12} {
		s.receive(peerAddr(10), s.data(dataOf(77, ahead)))
		s.run(aheadFor * 3 / 4)
		s.receive(peerAddr(10), s.data(dataOf(77, ahead)))
		d := dataOf(77, next)
		d.Flags |= wire.FlagPull
		s.receive(peerAddr(10), s.data(d))
	}
	s.want(s.Stats().GaveUpUnseen == 0, "while messages came %d were given up", s.Stats().GaveUpUnseen)
	s.receive(peerAddr(10), s.data(dataOf(77, ahead)))
	s.run(aheadFor)
	s.receive(peerAddr(10), s.data(dataOf(77, ahead)))
	s.want(s.history.origins.Get(77).Seen.Has(ahead) && s.Stats().GaveUpUnseen == ahead-span-12, "then %d are given up", s.Stats().GaveUpUnseen)
}

// After a gap is given up there is room for what follows: one wait is enough.
func TestAheadWaitsOnceForWhatIsLost(t *testing.T) {
	s := behind(t)
	const ahead = 5 * versions.Width
	s.receive(peerAddr(10), s.data(dataOf(77, ahead)))
	s.run(aheadFor)
	for c := range uint32(versions.Width - span) {
		s.receive(peerAddr(10), s.data(dataOf(77, ahead+c)))
	}
	s.want(len(s.got) == 3+versions.Width-span, "of %d messages behind the gap %d are delivered", versions.Width-span, len(s.got)-3)
}

// A node that was away for long gets what others still retain, also if nothing new is sent.
func TestAheadIsTakenByRepair(t *testing.T) {
	s := behind(t)
	const first = 5 * versions.Width
	start := s.at
	for len(s.got) < 3+10 {
		for c := range uint32(10) {
			d := dataOf(77, first+c)
			d.Flags |= wire.FlagPull
			s.receive(peerAddr(10), s.data(d))
		}
		s.run(5 * time.Second) // a comparison each
		s.want(s.at-start < 20*time.Second, "after %v %d of 10 repairs are delivered", s.at-start, len(s.got)-3)
	}
	s.want(s.Stats().DropBusy == 0, "%d repairs were refused", s.Stats().DropBusy)
}

// What a newcomer has nothing of is history: it waits for none of it.
func TestAheadOfNothingIsTakenAtOnce(t *testing.T) {
	for _, flags := range []uint8{0, wire.FlagPull} {
		for _, ordered := range []bool{false, true} {
			s := newSolo(t, Config{Ordered: ordered})
			s.withMembers(10, 20)
			for c := range uint32(100) {
				d := dataOf(77, 1<<20+c)
				d.Flags |= flags
				s.receive(peerAddr(10), s.data(d))
			}
			s.run(time.Minute)
			s.want(len(s.got) == 100 && s.Stats().GaveUpUnseen == 0, "of 100 messages with flags %x %d are delivered, and %d given up", flags, len(s.got), s.Stats().GaveUpUnseen)
		}
	}
}

// A newcomer gets the history of an origin with many numbers, in a few seconds.
func TestHistoryOfHighNumbersReachesANewcomer(t *testing.T) {
	for seed := range uint64(2) {
		s, config := newSim(t, seed, 0.1), simConfig()
		for range 4 {
			s.add(config)
		}
		s.form()
		n, sent := s.nodes[1], map[string]*simNode{}
		n.hasPublished(20000)
		for range 50 {
			sent[n.publish()] = n
			s.net.Run(10 * time.Millisecond)
		}
		s.awaitDeliveries(20*time.Second, sent)
		s.net.Run(20 * time.Second)
		s.add(config).join(s.nodes[0])
		s.awaitDeliveries(10*time.Second, sent)
		s.noDuplicates()
	}
}
