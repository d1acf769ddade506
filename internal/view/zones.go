package view

import (
	"math/rand/v2"
	"time"

	"example.com/gossip/internal/ring"
)

// runs is Split for an arc that does not hold the node. If the node has a zone, the arc is
// divided at the borders of zones. The part with members of the node's own zone is split among
// about k of them. Any other one goes whole to a member in it; if there are more than entries,
// consecutive ones share one. A part without validated members is left to its neighbour.
func (v *View) runs(dst []Delegate, arc ring.Arc, entries, k int, now time.Duration) []Delegate {
	zone := ring.Zone(v.self)
	if zone == 0 || arc.Empty() {
		return v.split(dst, arc, k, now)
	}
	first, n := v.within(arc)
	count := 0
	for i := 0; i < n; i += v.run(first+i, n-i) {
		count++
	}
	together, lo, start := (count+entries-1)/entries, arc.Lo, len(dst)
	for i := 0; i < n; {
		own, size := v.clockwise(first+i).Zone() == zone, v.run(first+i, n-i)
		for j := 1; j < together && !own && i+size < n && v.clockwise(first+i+size).Zone() != zone; j++ {
			size += v.run(first+i+size, n-i-size)
		}
		part := ring.Arc{Lo: lo, Hi: arc.Hi}
		if i+size < n {
			part.Hi = border(v.clockwise(first+i+size-1), v.clockwise(first+i+size))
		}
		before := len(dst)
		if own {
			dst = v.split(dst, part, k, now)
		} else {
			dst = v.enter(dst, part, first+i, size, now)
		}
		if i += size; len(dst) > before {
			lo = part.Hi
		}
	}
	for i := range dst[start:] {
		if d := &dst[start+i]; d.Arc.Hi == lo && !d.Arc.Empty() {
			d.Arc.Hi = arc.Hi
		}
	}
	return dst
}

// run returns how many of the n members from ring index i on are of one zone, or of none.
func (v *View) run(i, n int) int {
	m := v.clockwise(i)
	if zone := m.Zone(); zone != 0 { // the next zone's ids are larger, or lie behind the top of the ring
		end := v.Search(uint64(ring.ZoneArc(zone).Hi) << 32)
		if ring.ZoneArc(zone).Hi == 0 {
			end = len(v.ring)
		}
		return min(n, end-i%len(v.ring))
	}
	for j := 1; j < n; j++ {
		if v.clockwise(i+j).Zone() != 0 {
			return j
		}
	}
	return n
}

// border returns where the arc of m's run begins: where its zone does, or else at m, if it has
// none or the member before it lies beyond.
func border(before, m *Member) uint32 {
	start := ring.ZoneArc(m.Zone()).Lo
	if m.Zone() == 0 || start-before.Pos()-1 >= m.Pos()-before.Pos() {
		return m.Pos()
	}
	return start
}

// enter appends a delegate for an arc whose n members from ring index first on are of other
// zones; and, if there are three or more, another one, which covers it if the first fails.
func (v *View) enter(dst []Delegate, arc ring.Arc, first, n int, now time.Duration) []Delegate {
	v.turn++
	turn := int(v.turn % uint32(n))
	for _, may := range [2]func(*Member) bool{func(m *Member) bool { return !m.Suspect(now) }, func(*Member) bool { return true }} {
		entry := v.nearest(first, n, turn, may)
		if entry == nil {
			continue
		}
		dst = append(dst, Delegate{Member: entry, Arc: arc})
		if n >= 3 && entry.Zone() != 0 {
			if m := v.nearest(first, n, turn+1, func(m *Member) bool { return m != entry && may(m) }); m != nil {
				dst = append(dst, Delegate{Member: m, Arc: arc, Standby: true})
			}
		}
		break
	}
	return dst
}

// local returns the places of arc in the node's own zone, or all if it has none.
func (v *View) local(arc ring.Arc) ring.Arc {
	if zone := ring.Zone(v.self); zone != 0 {
		return arc.Clip(ring.ZoneArc(zone))
	}
	return arc
}

// Abroad reports whether an arc that a message is to cover begins in another zone than the node's.
func (v *View) Abroad(arc ring.Arc) bool {
	zone := ring.Zone(v.self)
	return zone != 0 && !ring.ZoneArc(zone).Has(arc.Lo)
}

// Suspects returns how many members in arc are suspect.
func (v *View) Suspects(arc ring.Arc, now time.Duration) (count int) {
	first, n := v.within(arc)
	for i := range n {
		if v.clockwise(first + i).Suspect(now) {
			count++
		}
	}
	return count
}

// Zone returns the members of a zone: the ring index of the first, and how many they are.
func (v *View) Zone(zone uint32) (first, n int) { return v.within(ring.ZoneArc(zone)) }

// StaysIn returns the zone, 0 for any, in which the partner of a comparison is to be: mostly the
// node's own, so that a zone compares with others about as often whatever its size.
func (v *View) StaysIn(rng *rand.Rand) uint32 {
	zone := ring.Zone(v.self)
	if zone == 0 {
		return 0
	}
	if _, mates := v.Zone(zone); mates == 0 || rng.IntN(mates+1) < 2 {
		return 0
	}
	return zone
}
