package node

import (
	"testing"
	"time"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// withZones makes the node, in the zone "here", a seed with so many responsive members in each
// of some zones.
func (s *solo) withZones(zones map[string]int) {
	s.t.Helper()
	s.join()
	peer := 0
	for _, name := range []string{"here", "there", "beyond"} {
		for range zones[name] {
			peer++
			s.addMember(ring.ID(name, s.rng.Uint64()), peerAddr(peer))
		}
	}
	s.run(20 * time.Second)
}

// into returns the copies that went to a zone, those to stand by with apart.
func (s *solo) into(zone string, all []wiretest.Message) (entries, standbys []wiretest.Message) {
	for _, m := range copies(all) {
		switch {
		case ring.Zone(s.peers.members.ByAddr(m.To).ID) != ring.Zone(ring.ID(zone, 0)):
		case m.Data.Flags&wire.FlagStandby != 0:
			standbys = append(standbys, m)
		case m.Data.Flags&wire.FlagArc != 0:
			entries = append(entries, m)
		}
	}
	return entries, standbys
}

func TestStandbyCoversAnArcThatNoOtherCopyBrings(t *testing.T) {
	for _, brought := range []bool{false, true} {
		s := newSolo(t, Config{Zone: "here"})
		s.withZones(map[string]int{"here": 5, "there": 3})
		arc := ring.ZoneArc(ring.Zone(s.ID()))
		d := wire.Data{Origin: 9, Counter: 1, Flags: wire.FlagArc | wire.FlagStandby, Hops: 1, Lo: arc.Lo, Hi: arc.Hi, Payload: []byte("x")}
		s.receive(peerAddr(6), s.data(d))
		all := s.run(standsBy - 5*time.Millisecond)
		s.want(len(copies(all)) == 0, "a node that stands by sends %d copies", len(copies(all)))
		if brought {
			own := ring.Pos(s.ID())
			d.Flags, d.Lo, d.Hi = wire.FlagArc, own, own+1
			s.receive(peerAddr(1), s.data(d))
		}
		entries, _ := s.into("here", s.run(100*time.Millisecond))
		if brought {
			s.want(len(entries) == 0, "it sends %d copies though another node covers the arc", len(entries))
		} else {
			s.want(len(entries) == 5, "it sends copies to %d of its 5 mates though no other node covers the arc", len(entries))
		}
	}
}

func TestStandbyThatIsSilentHandsNothingOver(t *testing.T) {
	s := newSolo(t, Config{Zone: "here"})
	s.withZones(map[string]int{"here": 2, "there": 5})
	s.publish([]byte("x"))
	first := s.send()
	_, standbys := s.into("there", first)
	delete(s.responsive, standbys[0].To)
	for _, m := range first {
		s.answer(m)
	}
	entries, _ := s.into("there", s.run(time.Second))
	s.want(len(entries) == 0, "%d other members got the arc of one that stands by", len(entries))
}

func TestArcAcrossABorderIsHandedOverAtTheFirstTimeout(t *testing.T) {
	s := newSolo(t, Config{Zone: "here"})
	s.withZones(map[string]int{"here": 2, "there": 5})
	s.publish([]byte("x"))
	first := s.send()
	silent, _ := s.into("there", first)
	delete(s.responsive, silent[0].To)
	for _, m := range first {
		s.answer(m)
	}
	all := s.run(2 * time.Second)
	entries, _ := s.into("there", all)
	second := wiretest.Only(all, wire.TypeData, silent[0].To)[0]
	s.want(len(entries) == 1 && entries[0].To != silent[0].To && arcOf(entries[0]) == arcOf(silent[0]), "another member should get the arc once, not %v", entries)
	s.want(entries[0].At == second.At && second.Data.Flags&wire.FlagArc == 0, "it should get it at the first timeout, %v, not at %v", second.At, entries[0].At)
}

func TestArcOfAZoneThatIsSilentStaysThere(t *testing.T) {
	for _, size := range []int{1, 2, 20} {
		s := newSolo(t, Config{Zone: "here"})
		s.withZones(map[string]int{"here": 2, "there": size, "beyond": 3})
		for i := range size {
			delete(s.responsive, peerAddr(3+i))
		}
		s.publish([]byte("x"))
		all := s.run(time.Second)
		entries, _ := s.into("there", all)
		members := map[string]bool{}
		for _, m := range entries {
			members[m.To.String()] = true
		}
		s.want(len(members) <= min(size, mostSuspects+1), "%d of %d members of a silent zone got its arc", len(members), size)
		beyond, _ := s.into("beyond", all)
		here, _ := s.into("here", all)
		s.want(len(beyond) == 1 && len(here) == 2, "its arc went to members of other zones, for there are %d and %d copies", len(beyond), len(here))
	}
}

// A message needs a copy for each zone, and room for all of them: HasRoom never says that there is
// room when Publish refuses, which publish checks.
func TestRoomCountsTheCopiesForAllZones(t *testing.T) {
	for most := 17; most < 80; most++ {
		s := newSolo(t, Config{Zone: "here", MaxOutputMessages: most})
		s.withZones(map[string]int{"here": 20, "b": 3, "c": 3, "d": 3, "e": 3})
		taken := 0
		for range most / 7 { // each takes up a little of the room
			s.tryPublish([]byte("x"), Spread{Kind: Random})
		}
		for s.tryPublish([]byte("x")) == nil {
			taken++
			s.send()
		}
		s.want(taken > 0 || most < 45, "of messages with 24 copies none is taken with room for %d", most)
	}
}

// An arc that a node stood by for, and has no room to cover, is counted.
func TestStandbyWithoutRoomIsCounted(t *testing.T) {
	s := newSolo(t, Config{Zone: "here", MaxOutputMessages: 17})
	s.withZones(map[string]int{"here": 5, "there": 3})
	arc := ring.ZoneArc(ring.Zone(s.ID()))
	for c := range uint32(mostStanding + 5) {
		s.receive(peerAddr(6), s.data(wire.Data{Origin: 9, Counter: c + 1, Flags: wire.FlagArc | wire.FlagStandby, Hops: 1, Lo: arc.Lo, Hi: arc.Hi, Payload: make([]byte, 400)}))
	}
	s.want(s.Stats().DropRelay == 5, "of 5 messages more than it stands by for, %d are counted", s.Stats().DropRelay)
	clear(s.responsive)
	sent := map[uint32]bool{}
	for _, m := range copies(s.run(100 * time.Millisecond)) {
		sent[m.Data.Counter] = true
	}
	covered, uncounted := 0, 0
	for c := range uint32(mostStanding) {
		if s.history.coverage.covers(9, c+1, inside) {
			covered++
		}
	}
	uncounted = mostStanding - covered - int(s.Stats().DropRelay-5)
	s.want(covered < mostStanding && uncounted == 0, "of %d arcs %d are covered, and %d are neither covered nor counted", mostStanding, covered, uncounted)
}
