package view

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The counts and the search of one octave find the same member as a look at all of them.
func TestEvictionIsFromTheMostCrowdedOctave(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 9))
		v := New(place(r.Uint32()), 2*Near+1+r.IntN(60))
		var kept *Member
		for i := 0; v.Len() <= v.limit; i++ {
			pos := v.self>>32 + uint64(r.Uint32()>>r.IntN(32))
			if r.IntN(2) == 0 {
				pos = v.self>>32 - uint64(r.Uint32()>>r.IntN(32))
			}
			id := place(uint32(pos)) + uint64(r.IntN(2))
			if id == v.self || v.Get(id) != nil {
				continue
			}
			limit := v.limit
			v.limit++ // the last one is one too many
			m, _ := v.Insert(id, host(i), false)
			v.limit = limit
			if r.IntN(4) > 0 {
				v.Validate(m)
			}
			if r.IntN(v.limit) == 0 {
				v.Remove(m)
			} else if kept = nil; r.IntN(2) == 0 {
				kept = m
			}
		}
		if r.IntN(3) == 0 {
			v.Rename(place(r.Uint32()))
		}
		if got, want := v.crowded(kept), plainly(v, kept); got != want {
			t.Fatalf("seed %d: of %d members %v should go, not %v", seed, v.Len(), want, got)
		}
	}
}

// However many members there are in an octave, few of them are looked at.
func TestEvictionLooksAtFewMembers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	v := New(place(0), 4000)
	for i := range 4000 {
		m, _ := v.Insert(place(1<<31+r.Uint32()>>2), host(i), false)
		v.Validate(m)
	}
	for range 20 {
		looked := 0
		v.smallestHole(octaves+31, v.Search(v.self), func(*Member) bool { looked++; return true })
		if looked > mostCompared {
			t.Fatalf("for one eviction from a view of %d, %d members were looked at", v.Len(), looked)
		}
	}
}

// plainly is crowded with a look at each member.
func plainly(v *View, kept *Member) *Member {
	var all, hearsay [2 * octaves]int // of those that may go, and of those that are not validated
	total, n, first := 0, len(v.ring), v.Search(v.self)
	at := func(i int) *Member { // clockwise from the node
		if i += first; i >= n {
			i -= n
		}
		return v.ring[i]
	}
	for i := range n {
		m := at(i)
		if m == kept {
			continue
		}
		o, may := v.octave(m), 0
		if i >= Near && i < n-Near {
			may = 1
		}
		all[o] += may
		if !m.Validated {
			hearsay[o] += may
			total++
		}
	}
	counts, validated := &all, true
	if 4*total > v.limit && slices.Max(hearsay[:]) > 0 {
		counts, validated = &hearsay, false
	}
	worst := 0
	for o, c := range counts {
		if c > counts[worst] {
			worst = o
		}
	}
	var gone *Member
	smallest := ^uint32(0)
	for i := Near; i < n-Near; i++ {
		m := at(i)
		if m == kept || v.octave(m) != worst || m.Validated && !validated {
			continue
		}
		before, after := at(i-1), at(i+1)
		if hole := after.Pos() - before.Pos(); gone == nil || hole < smallest {
			gone, smallest = m, hole
		}
	}
	return gone
}
