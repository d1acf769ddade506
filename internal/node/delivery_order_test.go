package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestOrderGivesUpAGapInTime(t *testing.T) {
	s := newSolo(t, Config{Ordered: true, OrderedWait: 2 * time.Second})
	s.withMembers(10, 20)
	for _, counter := range []uint32{1, 2, 4, 5} {
		s.receive(peerAddr(10), s.data(dataOf(77, counter)))
	}
	s.want(fmt.Sprint(s.got) == "[1 2]", "4 and 5 should wait for 3, but %v were delivered", s.got)
	s.run(1500 * time.Millisecond)
	s.want(fmt.Sprint(s.got) == "[1 2]", "they should wait longer, but %v were delivered", s.got)
	s.run(4 * time.Second)
	s.want(fmt.Sprint(s.got) == "[1 2 4 5]" && s.Stats().GaveUpUnseen == 1, "after the wait they should be delivered, but %v were, and %d given up", s.got, s.Stats().GaveUpUnseen)
	s.receive(peerAddr(10), s.data(dataOf(77, 3)), s.data(dataOf(77, 6)))
	s.want(fmt.Sprint(s.got) == "[1 2 4 5 6]", "3 comes too late and 6 is next, but %v were delivered", s.got)
}

// However long the node lived before it left, a gap of that time is given up as soon as any
// other.
func TestOrderGivesUpAGapFromBeforeLeave(t *testing.T) {
	s := newSolo(t, Config{Ordered: true, OrderedWait: 2 * time.Second})
	s.withMembers(10, 20)
	s.run(time.Hour)
	s.receive(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
	s.run(1500 * time.Millisecond)
	s.want(fmt.Sprint(s.got) == "[1]", "3 should wait for 2, but %v were delivered", s.got)
	s.leave()
	s.join()
	s.addMember(s.peerID(10), peerAddr(10))
	s.run(5 * time.Second)
	s.want(fmt.Sprint(s.got) == "[1 3]" && s.Stats().GaveUpUnseen == 1, "after the wait 3 should be delivered, but %v were, and %d given up", s.got, s.Stats().GaveUpUnseen)
}

// A message that has no room to wait is refused, and comes again; the size of the log does not matter.
func TestOrderRefusesWhatHasNoRoomToWait(t *testing.T) {
	s := newSolo(t, Config{Ordered: true, DataLogSize: 1, MaxOutputMessages: 1})
	s.withMembers(10, 20)
	all := func(first uint32) {
		for counter := first; counter <= 40; counter++ {
			s.receive(peerAddr(10), s.data(dataOf(77, counter)))
		}
	}
	s.receive(netip.MustParseAddrPort("203.0.113.9:7070"), s.data(dataOf(78, 2)))
	s.want(s.history.log.Pinned() == 0, "a message of a stranger waits for its turn")
	all(2) // 1 is missing
	held, most := s.history.log.Pinned(), s.out.queue.Bytes()
	s.want(len(s.got) == 0 && s.Stats().DropBusy > 0 && held > most/3 && held <= most/2, "without the first of 40 messages %v were delivered, %d refused, and %d bytes wait, of %d", s.got, s.Stats().DropBusy, held, most)
	all(1)
	s.want(len(s.got) == 40 && s.Stats().GaveUpUnseen == 0, "of 40 messages %d were delivered and %d counted as given up", len(s.got), s.Stats().GaveUpUnseen)
}
