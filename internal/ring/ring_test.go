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

func TestIDsOfAZoneAreNeighbours(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "us-east-1a", "us-east-1b", "us-east-2a", "東京"}
	zones := map[uint32]string{}
	for _, name := range names {
		id := ID(name, r.Uint64())
		if other, taken := zones[Zone(id)]; taken || Zone(id) == 0 {
			t.Errorf("zones %q and %q should have places of their own", name, other)
		}
		zones[Zone(id)] = name
		for range 1000 {
			if x := ID(name, r.Uint64()); x == 0 || Zone(x) != Zone(id) || !ZoneArc(Zone(id)).Has(Pos(x)) {
				t.Fatalf("id %x of zone %q lies outside of %v", x, name, ZoneArc(Zone(id)))
			}
			if x := ID("", r.Uint64()); Zone(x) != 0 {
				t.Fatalf("id %x of a node without a zone has one", x)
			}
		}
	}
}

func TestClipMovesEndsThatLieOutside(t *testing.T) {
	for _, c := range []struct{ a, b, want Arc }{
		{Arc{5, 30}, Arc{10, 20}, Arc{10, 20}},
		{Arc{12, 30}, Arc{10, 20}, Arc{12, 20}},
		{Arc{5, 15}, Arc{10, 20}, Arc{10, 15}},
		{Arc{12, 15}, Arc{10, 20}, Arc{12, 15}},
		{Arc{10, 20}, Arc{10, 20}, Arc{10, 20}},
		{Arc{15, 5}, Arc{10, 20}, Arc{15, 20}},
		{Arc{top - 5, 5}, Arc{top, 2}, Arc{top, 2}},
		{Arc{13, 12}, Arc{10, 20}, Arc{10, 20}},
	} {
		if got := c.a.Clip(c.b); got != c.want {
			t.Errorf("%v clipped to %v is %v, and should be %v", c.a, c.b, got, c.want)
		}
	}
}
