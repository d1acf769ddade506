package view

import (
	"math/bits"
	"slices"

	"example.com/gossip/internal/ring"
)

// octaves is how many octaves of distance there are on each side.
const octaves = 33

// mostCompared bounds how many members the search for one to evict looks at.
const mostCompared = 256

// count is of the members of an octave: all, and those that are not validated.
type count struct{ all, hearsay int32 }

// tally takes a member into the counts, or out of them: by is 1 or -1.
func (v *View) tally(m *Member, by int32) { countIn(&v.counts, v.octave(m), m, by) }

func countIn(counts *[2 * octaves]count, octave int, m *Member, by int32) {
	counts[octave].all += by
	if !m.Validated {
		counts[octave].hearsay += by
	}
}

func (v *View) recount() {
	v.counts = [2 * octaves]count{}
	for _, m := range v.ring {
		v.tally(m, 1)
	}
}

// crowded returns the member to evict, but not kept: of the most crowded octave of distance
// per side, the one that leaves the smallest hole.
func (v *View) crowded(kept *Member) *Member {
	counts, n, self := v.counts, len(v.ring), v.Search(v.self)
	if kept != nil {
		countIn(&counts, v.octave(kept), kept, -1)
	}
	hearsay := 0
	for _, c := range counts {
		hearsay += int(c.hearsay)
	}
	for i := range Near {
		for _, m := range [2]*Member{v.clockwise(self + i), v.clockwise(self + n - 1 - i)} {
			if m != kept {
				countIn(&counts, v.octave(m), m, -1)
			}
		}
	}
	if 4*hearsay > v.limit {
		if o := slices.IndexFunc(counts[:], func(c count) bool { return c.hearsay > 0 }); o >= 0 {
			for i, c := range counts {
				if c.hearsay > counts[o].hearsay {
					o = i
				}
			}
			return v.smallestHole(o, self, func(m *Member) bool { return m != kept && !m.Validated })
		}
	}
	worst := 0
	for o, c := range counts {
		if c.all > counts[worst].all {
			worst = o
		}
	}
	return v.smallestHole(worst, self, func(m *Member) bool { return m != kept })
}

// smallestHole returns, of the members of an octave that may go, the one that leaves the smallest
// hole. Of more than mostCompared it looks at so many, at others the next time, or until one may go.
func (v *View) smallestHole(octave, self int, may func(*Member) bool) (gone *Member) {
	smallest, size := ^uint32(0), len(v.ring)
	first, n := v.within(v.arcOf(octave))
	start := 0
	if n > mostCompared {
		v.looked += mostCompared
		start = v.looked % n
	}
	for i := 0; i < n && (i < mostCompared || gone == nil); i++ {
		at := first + (start+i)%n
		if from := (at - self + size) % size; from < Near || from >= size-Near {
			continue
		}
		if m := v.clockwise(at); may(m) {
			if hole := v.clockwise(at+1).Pos() - v.clockwise(at-1+size).Pos(); gone == nil || hole < smallest {
				gone, smallest = m, hole
			}
		}
	}
	return gone
}

// octave returns the octave of distance of a member, those after the node before those on the
// other side.
func (v *View) octave(m *Member) int {
	clockwise := m.Pos() - ring.Pos(v.self)
	if clockwise <= 1<<31 {
		return bits.Len32(clockwise)
	}
	return octaves + bits.Len32(-clockwise)
}

// arcOf returns the arc of an octave.
func (v *View) arcOf(octave int) ring.Arc {
	self := ring.Pos(v.self)
	switch {
	case octave == 0:
		return ring.Arc{Lo: self, Hi: self + 1}
	case octave == octaves-1: // opposite the node
		return ring.Arc{Lo: self + 1<<31, Hi: self + 1<<31 + 1}
	case octave < octaves:
		return ring.Arc{Lo: self + 1<<(octave-1), Hi: self + 1<<octave}
	}
	octave -= octaves
	return ring.Arc{Lo: self - 1<<octave + 1, Hi: self - 1<<(octave-1) + 1}
}
