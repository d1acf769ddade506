package ring

import (
	"math/rand/v2"
	"testing"
)

const top = ^uint32(0)

// place returns an id at that place of the ring.
func place(pos uint32) uint64 { return uint64(pos)<<32 | 1 }

func TestArcHasThePlacesFromLoUpToHi(t *testing.T) {
	for _, c := range []struct {
		arc     Arc
		len     uint32
		in, out []uint32
	}{
		{Arc{Lo: 10, Hi: 20}, 10, []uint32{10, 15, 19}, []uint32{9, 20, 0, top}},
		{Arc{Lo: 10, Hi: 10}, 0, nil, []uint32{9, 10, 11}},
		{Arc{Lo: 0, Hi: 0}, 0, nil, []uint32{0, top}},
		{Arc{Lo: 10, Hi: 11}, 1, []uint32{10}, []uint32{9, 11}},
		{Arc{Lo: top, Hi: 2}, 3, []uint32{top, 0, 1}, []uint32{2, top - 1, 1 << 31}},
		{Arc{Lo: top, Hi: 0}, 1, []uint32{top}, []uint32{0, top - 1}},
		{Arc{Lo: 20, Hi: 10}, top - 9, []uint32{20, top, 0, 9}, []uint32{10, 19}},
		{AllBut(place(5)), top, []uint32{6, top, 0, 4}, []uint32{5}},
		{AllBut(place(top)), top, []uint32{0, top - 1}, []uint32{top}},
		{AllBut(place(0)), top, []uint32{1, top}, []uint32{0}},
	} {
		if c.arc.Len() != c.len || c.arc.Empty() != (c.len == 0) {
			t.Errorf("arc %v should have %d places, but has %d", c.arc, c.len, c.arc.Len())
		}
		for _, p := range c.in {
			if !c.arc.Has(p) {
				t.Errorf("arc %v should have %d", c.arc, p)
			}
		}
		for _, p := range c.out {
			if c.arc.Has(p) {
				t.Errorf("arc %v should not have %d", c.arc, p)
			}
		}
	}
}

func TestContainsIsWhetherNoPlaceIsLeftOver(t *testing.T) {
	for _, c := range []struct {
		story string
		a, b  Arc
		want  bool
	}{
		{"an arc contains itself", Arc{10, 20}, Arc{10, 20}, true},
		{"a part at its begin", Arc{10, 20}, Arc{10, 11}, true},
		{"a part at its end", Arc{10, 20}, Arc{19, 20}, true},
		{"one place before it", Arc{10, 20}, Arc{9, 20}, false},
		{"one place after it", Arc{10, 20}, Arc{10, 21}, false},
		{"what it leaves of the ring", Arc{10, 20}, Arc{20, 10}, false},
		{"it and almost all of the rest, from its middle on", Arc{10, 20}, Arc{15, 14}, false},
		{"a part of an arc across the top, below it", Arc{top - 5, 5}, Arc{top - 5, top}, true},
		{"a part of it across the top", Arc{top - 5, 5}, Arc{top, 1}, true},
		{"a part of it above the top", Arc{top - 5, 5}, Arc{0, 5}, true},
		{"more than it on both sides", Arc{top - 5, 5}, Arc{top - 6, 6}, false},
		{"an empty arc, wherever it is", Arc{10, 20}, Arc{99, 99}, true},
		{"an empty arc in an empty one", Arc{}, Arc{99, 99}, true},
		{"a place in an empty arc", Arc{10, 10}, Arc{10, 11}, false},
		{"the whole ring but one place in the same", AllBut(place(7)), AllBut(place(7)), true},
		{"the whole ring but one place in that without another", AllBut(place(7)), AllBut(place(8)), false},
	} {
		if got := c.a.Contains(c.b); got != c.want {
			t.Errorf("%s: that %v contains %v should be %v, but is %v", c.story, c.a, c.b, c.want, got)
		}
	}
}

// Where two arcs begin and end, and just before, decides whether one holds a place that the
// other does not.
func TestContainsAgreesWithASearchOfTheEnds(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		somewhere := func() uint32 {
			if r.IntN(4) == 0 {
				return r.Uint32()
			}
			return r.Uint32N(12) - 6
		}
		a, b := Arc{somewhere(), somewhere()}, Arc{somewhere(), somewhere()}
		want := true
		for _, p := range []uint32{a.Lo - 1, a.Hi, b.Lo, b.Hi - 1} {
			want = want && (!b.Has(p) || a.Has(p))
		}
		if got := a.Contains(b); got != want {
			t.Fatalf("seed %d: that %v contains %v should be %v, but is %v", seed, a, b, want, got)
		}
	}
}
