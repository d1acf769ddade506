package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/wire"
)

// fillOrigins sends the node messages of more origins than its table holds, from an address,
// and returns the lowest id of these, and the bound of the table.
func (s *solo) fillOrigins(from netip.AddrPort) (lowest uint64, bound int) {
	s.t.Helper()
	lowest, bound = 1000, s.config.origins()
	for i := range bound + 10 {
		s.receive(from, s.data(wire.Data{Origin: lowest + uint64(i), Counter: 1, Flags: wire.FlagPull}))
		if i%512 == 0 {
			s.send()
		}
	}
	s.send()
	return lowest, bound
}

func TestEvictedOriginIsNotNewAgain(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		s := newSolo(t, Config{Ordered: ordered})
		s.withMembers(10)
		const id = 5
		s.addMember(id, peerAddr(20))
		receive := func(counter uint32, flags uint8) {
			s.receive(peerAddr(20), s.data(wire.Data{Origin: id, Counter: counter, Flags: flags, Payload: []byte("once")}))
		}
		for i := range uint32(3) {
			receive(1+i, 0)
			receive(1+i, wire.FlagDirect)
		}
		lowest, _ := s.fillOrigins(peerAddr(10))
		origins := s.history.origins
		s.want(origins.Get(id) != nil, "an origin that sent something lately was evicted")
		s.at += repair.OriginIdle + time.Minute
		s.receive(peerAddr(10), s.data(wire.Data{Origin: lowest - 1, Counter: 1}))
		s.want(origins.Get(id) == nil && origins.Get(lowest-1) != nil, "an origin that is idle for an hour should make room for a new one")
		s.got = nil
		for i := range uint32(3) { // some node may retain them
			receive(1+i, wire.FlagPull)
			receive(1+i, wire.FlagDirect)
		}
		s.want(len(s.got) == 0, "messages that were delivered before their origin was evicted are delivered again: %v", s.got)
		receive(4, 0)
		receive(4, wire.FlagDirect)
		s.want(len(s.got) == 2, "of the next two messages of that origin %d were delivered", len(s.got))
		s.want(s.Stats().GaveUpUnseen == 0, "with Ordered %v the messages delivered before are counted as %d given up", ordered, s.Stats().GaveUpUnseen)
	}
}

// Half of the table is kept for the origins that members introduce, and each member has its
// share of it.
func TestInventedOriginsLeaveRoomForOthers(t *testing.T) {
	for _, liar := range []netip.AddrPort{unknownAddr, peerAddr(10)} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		for i := range uint64(9000) {
			s.receive(liar, s.data(wire.Data{Origin: 1000 + i, Counter: 1, Flags: wire.FlagPull}))
		}
		most := s.config.origins()
		if liar == unknownAddr {
			most /= 2
		}
		s.want(s.history.origins.Len() == most, "%v filled the table with %d origins, not %d", liar, s.history.origins.Len(), most)
		s.got = nil
		for i := range uint64(1000) {
			s.receive(peerAddr(20), s.data(wire.Data{Origin: 1<<40 + i, Counter: 1, Payload: []byte("true")}))
		}
		s.want(len(s.got) == 1000, "after the inventions of %v messages of %d of 1000 origins from a member were delivered", liar, len(s.got))
	}
}

func TestUnvalidatedSourcesFillHalfOfTheOrigins(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	_, bound := s.fillOrigins(unknownAddr)
	s.want(s.history.origins.Len() <= bound/2+1, "unvalidated sources filled %d of %d places", s.history.origins.Len(), bound)
	s.want(s.Stats().DropOrigin > 0, "what they could not fill is not counted")
	s.got = nil
	s.receive(peerAddr(10), s.data(wire.Data{Origin: s.peerID(10), Counter: 1, Payload: []byte("first words")}))
	s.receive(peerAddr(10), s.data(wire.Data{Origin: s.peerID(30), Counter: 1, Payload: []byte("of another")}))
	s.want(fmt.Sprint(s.got) == "[first words of another]", "of a member and another origin %q were delivered", s.got)
	s.publish([]byte("x"))
}

func TestMemberThatChangesItsIDEvictsNoOriginsOfOthers(t *testing.T) {
	heavy(t)
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	for o := range uint64(5) {
		s.receive(peerAddr(20), s.data(wire.Data{Origin: 100 + o, Counter: 1}))
	}
	origin := uint64(1000)
	for id := range uint64(3000) {
		s.receive(peerAddr(10), s.hello(1<<40+id, peerAddr(10), s.tokens.Make(peerAddr(10), s.at)))
		for range 3 {
			origin++
			s.receive(peerAddr(10), s.data(wire.Data{Origin: origin, Counter: 1, Flags: wire.FlagPull}))
		}
		s.send()
	}
	for o := range uint64(5) {
		s.want(s.history.origins.Get(100+o) != nil, "origin %d was evicted", 100+o)
	}
	s.want(s.history.origins.Len() == s.config.origins(), "the flood filled the table with %d", s.history.origins.Len())
	s.got = nil
	s.receive(peerAddr(20), s.data(wire.Data{Origin: 99, Counter: 1, Payload: []byte("of a new origin")}))
	s.want(fmt.Sprint(s.got) == "[of a new origin]", "a new origin of another member found no room: %+v", s.Stats())
}
