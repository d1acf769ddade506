package view

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/ring"
)

const now = time.Minute

// crowd returns a view of n members at n positions, some of them close
// together, about the node or at the top of the ring. Up to half are suspect.
func crowd(r *rand.Rand, n int) *View {
	self := r.Uint32()
	if r.IntN(4) == 0 {
		self = r.Uint32N(4) - 2
	}
	v := ringOf(self)
	doubt := r.IntN(3)
	for i := 0; v.Len() < n; i++ {
		pos := somewhere(r, v)
		if pos == self || v.Get(place(pos)) != nil {
			continue
		}
		m, _ := v.Insert(place(pos), host(i), false)
		v.Validate(m)
		if r.IntN(4) < doubt {
			m.SuspectUntil = now + 1
		}
	}
	return v
}

// somewhere returns a position, preferably one where something may go wrong.
func somewhere(r *rand.Rand, v *View) uint32 {
	switch k := r.IntN(5); {
	case k == 0:
		return ring.Pos(v.self) + r.Uint32N(20) - 10
	case k == 1:
		return r.Uint32N(20) - 10
	case k == 2 && v.Len() > 0:
		return v.At(r.IntN(v.Len())).Pos() + r.Uint32N(5) - 2
	}
	return r.Uint32()
}

func someArc(r *rand.Rand, v *View) ring.Arc {
	a := ring.Arc{Lo: somewhere(r, v), Hi: somewhere(r, v)}
	switch r.IntN(8) {
	case 0:
		return ring.AllBut(v.self)
	case 1:
		a.Hi = a.Lo + 1
	case 2:
		a.Lo = ring.Pos(v.self)
	case 3:
		a.Hi = ring.Pos(v.self)
	case 4: // across the top
		a = ring.Arc{Lo: max(a.Lo, a.Hi), Hi: min(a.Lo, a.Hi)}
	case 5: // over the node, where it ends or further
		a = ring.Arc{Lo: ring.Pos(v.self) - r.Uint32()>>r.IntN(32), Hi: ring.Pos(v.self) + 1 + r.Uint32()>>r.IntN(32)}
	}
	return a
}

// sides returns what is left of the arc, in one part or two, without the position.
func sides(a ring.Arc, pos uint32) (parts []ring.Arc) {
	if !a.Has(pos) {
		parts = []ring.Arc{a}
	} else {
		parts = []ring.Arc{{Lo: a.Lo, Hi: pos}, {Lo: pos + 1, Hi: a.Hi}}
	}
	return slices.DeleteFunc(parts, ring.Arc.Empty)
}

// disjoint reports whether the delegates' arcs have no position in common.
func disjoint(dels []Delegate) bool {
	for i, a := range dels {
		for _, b := range dels[:i] {
			if !a.Arc.Empty() && !b.Arc.Empty() && (a.Arc.Has(b.Arc.Lo) || b.Arc.Has(a.Arc.Lo)) {
				return false
			}
		}
	}
	return true
}

func TestSplitCoversTheArcOnce(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		size := r.IntN(20)
		if r.IntN(4) == 0 {
			size = r.IntN(301)
		}
		v := crowd(r, size)
		for range 5 {
			checkSplit(t, seed, v, someArc(r, v), 1+r.IntN(16))
		}
	}
}

// checkSplit holds the delegates of each side of the node against the members there.
func checkSplit(t *testing.T, seed uint64, v *View, arc ring.Arc, k int) {
	t.Helper()
	kept := Delegate{Arc: ring.Arc{Lo: 1, Hi: 2}}
	dels := v.Split([]Delegate{kept}, arc, k, now)
	fail := func(why string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: of %d members at %v, node at %d, %d were to cover %v: "+why,
			append([]any{seed, v.Len(), positions(v.ring), ring.Pos(v.self), k, arc}, args...)...)
	}
	if dels[0] != kept {
		fail("what was in dst before is gone")
	}
	dels = dels[1:]
	parts := sides(arc, ring.Pos(v.self))
	most := k
	if len(parts) == 2 {
		most = max(k, 2)
	}
	if len(dels) > most {
		fail("there are %d delegates", len(dels))
	}
	if !disjoint(dels) {
		fail("the arcs of %v overlap", dels)
	}
	seen := map[*Member]bool{}
	for _, d := range dels {
		if seen[d.Member] || !arc.Has(d.Pos()) || d.Pos() == ring.Pos(v.self) {
			fail("%d is a delegate twice or out of place", d.Pos())
		}
		seen[d.Member] = true
		if d.Arc.Has(ring.Pos(v.self)) {
			fail("the arc %v of a delegate holds the node itself", d.Arc)
		}
		if d.Tried && (!d.Arc.Empty() || !d.Suspect(now)) {
			fail("%d is only tried, yet got %v; suspect: %v", d.Pos(), d.Arc, d.Suspect(now))
		}
		if !d.Tried && !d.Arc.Has(d.Pos()) {
			fail("%d is not in its own arc %v", d.Pos(), d.Arc)
		}
	}
	for _, part := range parts {
		members, trusted, left, covered := 0, 0, 0, uint64(0)
		for _, m := range v.ring {
			if part.Has(m.Pos()) {
				members++
				if !m.Suspect(now) {
					trusted++
				}
				if !seen[m] {
					left++
				}
			}
		}
		if len(parts) == 1 && members <= k && left > 0 {
			fail("all %d members there should be delegates, but %d are not", members, left)
		}
		for _, d := range dels {
			if !part.Has(d.Pos()) {
				continue
			}
			if covered += uint64(d.Arc.Len()); !d.Tried && !contains(part, d.Arc) {
				fail("the arc %v of %d leaves its side %v", d.Arc, d.Pos(), part)
			}
			if !d.Tried && d.Suspect(now) && trusted > 0 {
				fail("%d is suspect and covers %v, though others could", d.Pos(), d.Arc)
			}
		}
		if members > 0 && covered != uint64(part.Len()) {
			fail("of side %v with %d members %d positions are covered by %v", part, members, covered, dels)
		}
	}
}

// count is how many members lie in arc, counted one by one.
func (v *View) count(arc ring.Arc) (n int) {
	for _, m := range v.ring {
		if arc.Has(m.Pos()) {
			n++
		}
	}
	return n
}

// Ids are random, so that two of them share a position once in a while, or in
// the hands of somebody who means it.
func TestSplitTakesMembersAtOnePosition(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		base := r.Uint32N(8) - 4
		v := New(uint64(base+r.Uint32N(6))<<32|1<<31|1, 1000)
		for i := range r.IntN(40) {
			if id := uint64(base+r.Uint32N(6))<<32 | uint64(r.Uint32()) | 1; id != v.self && v.Get(id) == nil {
				m, _ := v.Insert(id, host(i), false)
				if m.Validated = true; r.IntN(3) == 0 {
					m.SuspectUntil = now + 1
				}
			}
		}
		arc := ring.Arc{Lo: base + r.Uint32N(8) - 1, Hi: base + r.Uint32N(8) - 1}
		dels := v.Split(nil, arc, 1+r.IntN(16), now)
		seen, covered, want := map[*Member]bool{}, uint64(0), uint64(0)
		for _, d := range dels {
			if seen[d.Member] || d.Arc.Has(ring.Pos(v.self)) || !contains(arc, d.Arc) && !d.Arc.Empty() {
				t.Fatalf("seed %d: %x is a delegate for %v of %v, or twice", seed, d.ID, d.Arc, arc)
			}
			seen[d.Member] = true
			covered += uint64(d.Arc.Len())
		}
		for _, part := range sides(arc, ring.Pos(v.self)) {
			if v.count(part) > 0 {
				want += uint64(part.Len())
			}
		}
		if !disjoint(dels) || covered != want {
			t.Fatalf("seed %d: %d positions of %v should be covered once, but %v cover %d", seed, want, arc, dels, covered)
		}
	}
}

// fullViews returns the ids of n nodes and, by id, their views: of each other.
func fullViews(r *rand.Rand, n int) (ids []uint64, views map[uint64]*View) {
	views = map[uint64]*View{}
	for taken := map[uint32]bool{}; len(ids) < n; {
		if id := r.Uint64(); !taken[ring.Pos(id)] {
			taken[ring.Pos(id)], views[id] = true, New(id, n)
			ids = append(ids, id)
		}
	}
	for _, v := range views {
		for i, id := range ids {
			if v.self != id {
				m, _ := v.Insert(id, host(i), false)
				v.Validate(m)
			}
		}
	}
	return ids, views
}

// broadcast has the node tell all others and returns how often each was told.
// The dead, who are told in vain, do not pass it on.
func broadcast(views map[uint64]*View, from uint64, dead map[uint64]bool) map[uint64]int {
	type told struct {
		id  uint64
		arc ring.Arc
		k   int
	}
	times := map[uint64]int{}
	for queue := []told{{from, ring.AllBut(from), 16}}; len(queue) > 0; queue = queue[1:] {
		x := queue[0]
		for _, d := range views[x.id].Split(nil, x.arc, x.k, now) {
			if d.Standby {
				continue
			}
			if times[d.ID]++; !dead[d.ID] {
				queue = append(queue, told{d.ID, d.Arc, 8})
			}
		}
	}
	return times
}

var clusterSizes = map[int]uint64{1: 1, 2: 50, 3: 50, 17: 50, 64: 20, 500: 1} // and seeds for each

func TestBroadcastReachesEveryNodeOnce(t *testing.T) {
	for n, seeds := range clusterSizes {
		for seed := range seeds {
			ids, views := fullViews(rand.New(rand.NewPCG(seed, 3)), n)
			for _, from := range ids[:min(n, 20)] {
				times := broadcast(views, from, nil)
				if times[from] != 0 {
					t.Fatalf("seed %d: of %d nodes %x was told %d times what it said itself", seed, n, from, times[from])
				}
				for _, id := range ids {
					if id != from && times[id] != 1 {
						t.Fatalf("seed %d: of %d nodes %x should be told once what %x said, not %d times", seed, n, id, from, times[id])
					}
				}
			}
		}
	}
}

func TestBroadcastPassesByTheDeadThatAllSuspect(t *testing.T) {
	for n, seeds := range clusterSizes {
		for seed := range seeds {
			r := rand.New(rand.NewPCG(seed, 4))
			ids, views := fullViews(r, n)
			dead := map[uint64]bool{}
			for _, id := range ids[1:] {
				if r.IntN(3) == 0 {
					dead[id] = true
					for _, v := range views {
						if m := v.Get(id); m != nil {
							m.SuspectUntil = now + 1
						}
					}
				}
			}
			times := broadcast(views, ids[0], dead)
			for _, id := range ids[1:] {
				if !dead[id] && times[id] != 1 {
					t.Fatalf("seed %d: of %d nodes, %d of them dead, %x should be told once, not %d times", seed, n, len(dead), id, times[id])
				}
			}
		}
	}
}

func TestBroadcastReachesTheWronglySuspected(t *testing.T) {
	for n, seeds := range clusterSizes {
		for seed := range seeds {
			r := rand.New(rand.NewPCG(seed, 5))
			ids, views := fullViews(r, n)
			for _, id := range ids {
				for _, m := range views[id].ring {
					if r.IntN(4) == 0 {
						m.SuspectUntil = now + 1
					}
				}
			}
			times := broadcast(views, ids[0], nil)
			for _, id := range ids[1:] {
				if times[id] == 0 {
					t.Fatalf("seed %d: of %d nodes, each of which suspects a quarter, %x was not told", seed, n, id)
				}
			}
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{64, 1000} {
		b.Run(fmt.Sprint(n, " members"), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 8))
			v := New(r.Uint64(), n)
			for i := range n {
				m, _ := v.Insert(r.Uint64(), host(i), false)
				v.Validate(m)
			}
			dels := make([]Delegate, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				dels = v.Split(dels[:0], ring.AllBut(v.self), 16, now)
			}
		})
	}
}

// A member that is not validated may not exist: those that are cover its part of the arc.
func TestSplitPassesOverHearsay(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 77))
		v := crowd(r, 2+r.IntN(40))
		for _, m := range v.ring {
			m.Validated = r.IntN(2) == 0
		}
		arc := someArc(r, v)
		delegates := v.Split(nil, arc, 1+r.IntN(16), now)
		validated := false
		for _, m := range v.ring {
			validated = validated || m.Validated && arc.Has(m.Pos())
		}
		if validated != (len(delegates) > 0) {
			t.Fatalf("seed %d: that there are validated members in %v is %v, and %d delegates were found", seed, arc, validated, len(delegates))
		}
		for _, d := range delegates {
			if !d.Validated {
				t.Fatalf("seed %d: %d is a delegate and not validated", seed, d.ID)
			}
		}
		h := v.Hearsay(arc, 2)
		if h != nil && (h.Validated || !arc.Has(h.Pos())) {
			t.Fatalf("seed %d: %d is no hearsay in %v", seed, h.ID, arc)
		}
	}
}

// contains reports whether all places of b lie in a.
func contains(a, b ring.Arc) bool {
	return b.Empty() || uint64(b.Lo-a.Lo)+uint64(b.Len()) <= uint64(a.Len())
}
