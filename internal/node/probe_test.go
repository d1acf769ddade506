package node

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestProbesOfContradictionsAreBounded(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(4)...)
	for round := range 3 {
		for i := range 200 {
			s.receive(peerAddr(around(4)[0]), s.memberList(false, wire.Member{ID: s.peerID(around(4)[1]), Addr: peerAddr(1000*round + 300 + i)}))
		}
		probes := len(s.sent(wire.TypeHello, anyAddr))
		s.want(probes <= mostProbes, "200 contradictions caused %d probes", probes)
		s.want(probes > 0, "a contradiction caused no probe")
		s.run(1200 * time.Millisecond) // more than a TickInterval and its jitter
	}
}

// A newcomer that is reached elsewhere than its datagrams come from is probed there.
func TestUnvalidatedSourcesLeaveProbesForNewcomers(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	from, at := peerAddr(77), peerAddr(78)
	s.responsive[at] = s.peerID(77)
	for i := range 4 * mostProbes {
		s.receive(netip.AddrPortFrom(unknownAddr.Addr(), uint16(1000+i)), s.status(everything(nil)))
	}
	s.receive(from, s.hello(s.peerID(77), at, s.tokens.Make(from, s.at)))
	s.run(100 * time.Millisecond)
	s.want(s.peers.members.ByAddr(at) != nil, "after %d datagrams of unvalidated sources the newcomer at %v was not probed", 4*mostProbes, at)
}

// Somebody who receives at one address says that many nodes are elsewhere, and a newcomer says
// so of itself.
func TestHellosOfOneHostLeaveProbesForNewcomers(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	from, at, liar := peerAddr(77), peerAddr(78), peerAddr(79)
	s.responsive[at] = s.peerID(77)
	for i := range 4 * mostProbes {
		source := netip.AddrPortFrom(liar.Addr(), uint16(1000+i))
		s.receive(source, s.hello(uint64(i+1)<<40, netip.AddrPortFrom(victimHost, uint16(1000+i)), s.tokens.Make(source, s.at)))
	}
	s.receive(from, s.hello(s.peerID(77), at, s.tokens.Make(from, s.at)))
	all := s.run(100 * time.Millisecond)
	toVictim := 0
	for _, m := range all {
		if m.To.Addr() == victimHost {
			toVictim++
		}
	}
	s.want(toVictim <= mostProbes/2, "one host caused %d of %d questions", toVictim, mostProbes)
	s.want(s.peers.members.ByAddr(at) != nil, "after %d Hellos of one host the newcomer at %v was not probed", 4*mostProbes, at)
}
