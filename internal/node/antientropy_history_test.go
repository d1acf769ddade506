package node

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// With SkipHistory a node takes what its members have seen as received.

func TestSeedSkipsNoHistory(t *testing.T) {
	s := newSolo(t, Config{SkipHistory: true})
	s.join()
	s.addMember(s.peerID(10), peerAddr(10))
	page := wire.Status{Mode: wire.Full}
	page.Digest.Add(77, 3, nil, 485)
	s.receive(peerAddr(10), s.status(page))
	s.want(len(statuses(s.send(), wire.Request)) > 0, "a seed does not request what its first newcomer has seen")
}

// A message that waits for its turn when the node leaves is no history when the node joins
// again.
func TestSkipDeliversWhatWaitsForAMissingMessage(t *testing.T) {
	s := newSolo(t, Config{Ordered: true, SkipHistory: true, OrderedWait: time.Hour})
	s.withMembers(10, 20)
	s.receive(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
	s.leave()
	s.join(peerAddr(20))
	s.addMember(s.peerID(10), peerAddr(10))
	s.receive(peerAddr(10), s.status(everything(map[uint64]uint32{77: 9})))
	s.want(fmt.Sprint(s.got) == "[1 3]", "3, which waited for 2, should be delivered: %v", s.got)
	s.receive(peerAddr(10), s.data(dataOf(77, 9)), s.data(dataOf(77, 10)))
	s.want(fmt.Sprint(s.got) == "[1 3 10]", "10, which follows history, should be delivered: %v", s.got)
}

// A node that skips history takes old repairs of validated sources for history.
func TestSkipIgnoresTheRepairsOfAnUnvalidatedSource(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	s.history.repair.SkipHistory()
	s.history.repair.Joined(s.at, skipsFor)
	var page wire.Digest
	page.Add(7, 3, nil, 100)
	s.history.repair.Skip(s.at, page, true, 1, func(*versions.Origin) {})
	for c := uint32(unvalidatedLead); c <= 10*unvalidatedLead; c += unvalidatedLead {
		s.receive(unknownAddr, s.data(wire.Data{Origin: 5, Counter: c, Flags: wire.FlagPull, Hops: wire.AgeCode(time.Hour)}))
	}
	before := s.Stats().Delivered
	for c := range uint32(unvalidatedLead - 1) {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 5, Counter: c + 1, Payload: []byte("true")}))
	}
	delivered := s.Stats().Delivered - before
	s.want(delivered == unvalidatedLead-1, "of %d messages %d were delivered", unvalidatedLead-1, delivered)
}

func TestSkipLeavesRoomForTheOriginsOfOtherMembers(t *testing.T) {
	s := newSolo(t, Config{SkipHistory: true})
	s.withMembers(10, 20)
	s.history.repair.SkipHistory()
	for id := uint64(1000); s.history.origins.Len() < s.config.origins(); {
		m := wire.Status{Mode: wire.Full, Mark: 1}
		for range 30 {
			id++
			m.Digest.Add(id, 5, nil, 485)
		}
		s.receive(peerAddr(10), s.status(m))
		s.send()
	}
	s.receive(peerAddr(20), s.data(wire.Data{Origin: 5, Counter: 1, Payload: []byte("honest")}))
	s.want(fmt.Sprint(s.got) == "[honest]", "an origin of another member found no room: %+v", s.Stats())
}

// History that came after a later message is taken all the same.
func TestMissingMessagesBehindHistoryAreCounted(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		s := newSolo(t, Config{Ordered: ordered})
		s.withMembers(10, 20)
		ahead := uint32(versions.Width + 10) // leaves no room for 10
		for _, counter := range []uint32{5, 1, 2, ahead} {
			s.receive(peerAddr(10), s.data(dataOf(77, counter)))
		}
		s.run(aheadFor)
		s.receive(peerAddr(10), s.data(dataOf(77, ahead)))
		gaveUp := s.Stats().GaveUpUnseen
		floor := uint64(ahead - span)
		s.want(gaveUp == floor-3, "with Ordered %v 3, 4 and 6 to %d are given up, but %d are counted", ordered, floor, gaveUp)
	}
}
