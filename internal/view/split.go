package view

import (
	"math/rand/v2"
	"time"

	"example.com/gossip/internal/ring"
)

// Delegate is a member and the arc that it is to cover. A suspect is only tried: it gets an
// empty arc.
type Delegate struct {
	*Member
	Arc     ring.Arc
	Tried   bool
	Standby bool // it covers the arc only if no other delegate does
}

// Split appends to dst about k delegates that cover arc between them. The node's own
// position is cut out of the arc first: an arc that spans its sender would lose the part
// behind it. The delegates' arcs are disjoint and hold every position of arc except the
// node's, unless no validated member is known there: one that is not validated may not exist.
//
// This is the broadcast of El-Ansary, Alima, Brand and Haridi, "Efficient
// Broadcast in Structured P2P Networks" (IPTPS 2003), on arcs of equal length
// instead of fingers.
func (v *View) Split(dst []Delegate, arc ring.Arc, k int, now time.Duration) []Delegate {
	self := ring.Pos(v.self)
	if ring.Zone(v.self) != 0 && (arc.Has(self) || arc == ring.AllBut(v.self)) {
		first, n := v.within(ring.Arc{Lo: self, Hi: self + 1})
		for i := range min(n, Near) { // no arc without the node's own place holds them
			if m := v.clockwise(first + i); m.Validated {
				dst = append(dst, Delegate{Member: m})
			}
		}
	}
	if !arc.Has(self) {
		return v.runs(dst, arc, k, k, now)
	}
	before, after := ring.Arc{Lo: arc.Lo, Hi: self}, ring.Arc{Lo: self + 1, Hi: arc.Hi}
	if before.Empty() || after.Empty() {
		if before.Empty() {
			before = after
		}
		return v.runs(dst, before, k, k, now)
	}
	length := uint64(v.local(arc).Len())
	share := int((uint64(k)*uint64(v.local(before).Len()) + length/2) / length)
	share = min(max(share, 1), max(k-1, 1))
	dst = v.runs(dst, before, k, share, now)
	return v.runs(dst, after, k, max(k-share, 1), now)
}

// split is runs for an arc in which all members are of the node's zone.
func (v *View) split(dst []Delegate, arc ring.Arc, k int, now time.Duration) []Delegate {
	if arc.Empty() {
		return dst
	}
	first, n := v.within(arc)
	start := len(dst)
	if n > k {
		dst = v.cut(dst, arc, k, func(m *Member) bool { return !m.Suspect(now) })
		if len(dst) == start {
			dst = v.cut(dst, arc, k, func(*Member) bool { return true })
		}
	} else {
		for i := range n {
			if m := v.clockwise(first + i); m.Validated {
				dst = append(dst, Delegate{Member: m, Tried: m.Suspect(now)})
			}
		}
	}
	return own(dst, start, arc)
}

// cut divides the arc into k equal parts and appends a delegate for each: the first of the
// validated members that may be one.
func (v *View) cut(dst []Delegate, arc ring.Arc, k int, may func(*Member) bool) []Delegate {
	arc = v.local(arc)
	length := uint64(arc.Len())
	for i := range uint64(k) {
		part := ring.Arc{Lo: arc.Lo + uint32(i*length/uint64(k)), Hi: arc.Lo + uint32((i+1)*length/uint64(k))}
		first, n := v.within(part)
		if m := v.nearest(first, n, 0, may); m != nil {
			dst = append(dst, Delegate{Member: m})
		}
	}
	return dst
}

// Hearsay returns a member in arc that is not validated and has left fewer Hellos than that
// unanswered, or nil.
func (v *View) Hearsay(arc ring.Arc, unanswered uint8) *Member {
	if arc.Empty() {
		return nil
	}
	first, n := v.within(arc)
	for i := range n {
		if m := v.clockwise(first + i); !m.Validated && m.Probed < unanswered {
			return m
		}
	}
	return nil
}

// own gives each delegate from start on the arc from itself to the next one, and the first
// also what precedes it. Suspects are only tried, unless there are no others.
func own(dst []Delegate, start int, arc ring.Arc) []Delegate {
	owners := 0
	for _, d := range dst[start:] {
		if !d.Tried {
			owners++
		}
	}
	if owners == 0 {
		for i := range dst[start:] {
			dst[start+i].Tried = false
		}
	}
	hi := arc.Hi
	var last *Delegate
	for i := len(dst) - 1; i >= start; i-- {
		d := &dst[i]
		if d.Tried {
			continue
		}
		d.Arc = ring.Arc{Lo: d.Pos(), Hi: hi}
		hi, last = d.Pos(), d
	}
	if last != nil {
		last.Arc.Lo = arc.Lo
	}
	return dst
}

// clockwise returns the member at ring index i, which wraps around.
func (v *View) clockwise(i int) *Member { return v.ring[i%len(v.ring)] }

// within returns the ring index of the first member clockwise in arc and how
// many members lie in it.
func (v *View) within(arc ring.Arc) (first, n int) {
	lo := v.Search(uint64(arc.Lo) << 32)
	hi := v.Search(uint64(arc.Hi) << 32)
	if n = hi - lo; arc.Hi < arc.Lo {
		n += len(v.ring)
	}
	return lo, n
}

// Inside returns a random validated member in arc that is not suspect and not except, or
// nil. If except is nil it rather returns a suspect than none.
func (v *View) Inside(arc ring.Arc, except *Member, rng *rand.Rand, now time.Duration) *Member {
	if arc.Empty() {
		return nil
	}
	first, n := v.within(arc)
	if n == 0 {
		return nil
	}
	start := rng.IntN(n)
	var suspect *Member
	for i := range n {
		switch m := v.clockwise(first + (start+i)%n); {
		case !m.Validated || m == except:
		case !m.Suspect(now):
			return m
		case except == nil:
			suspect = m
		}
	}
	return suspect
}

// Outside returns the nearest validated member outside arc, after it or before it, that is not suspect
// and not except, looking at Near on each side; or nil.
func (v *View) Outside(arc ring.Arc, except *Member, now time.Duration) *Member {
	first, n := v.within(arc)
	size := len(v.ring)
	for i := range min(Near, size-n) {
		for _, j := range [2]int{first + n + i, first - 1 - i + size} {
			if m := v.clockwise(j); m.Validated && m != except && !m.Suspect(now) {
				return m
			}
		}
	}
	return nil
}

// LocalGap estimates the distance between neighbours on the ring from the members nearest to
// the node; it is at least 1. Without members it is the whole ring.
func (v *View) LocalGap() uint64 {
	n := min(Near, len(v.ring)/2)
	if n == 0 {
		return 1 << 32
	}
	span := v.Clockwise(n-1).Pos() - v.Counterclockwise(n-1).Pos()
	return max(uint64(span)/uint64(2*n), 1)
}
