package view

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/ring"
)

// zoned returns the full views of nodes in zones of those sizes, and of some without a zone.
func zoned(r *rand.Rand, without int, sizes ...int) map[uint64]*View {
	ids, taken := []uint64{}, map[uint32]bool{}
	add := func(zone string) {
		id := ring.ID(zone, r.Uint64())
		for ; taken[ring.Pos(id)]; id = ring.ID(zone, r.Uint64()) {
		}
		taken[ring.Pos(id)] = true
		ids = append(ids, id)
	}
	for z, size := range sizes {
		for range size {
			add(fmt.Sprint("zone", z))
		}
	}
	for range without {
		add("")
	}
	views := map[uint64]*View{}
	for _, id := range ids {
		v := New(id, len(ids))
		for i, x := range ids {
			if x != id {
				m, _ := v.Insert(x, host(i), false)
				v.Validate(m)
			}
		}
		views[id] = v
	}
	return views
}

func TestBroadcastCrossesEachBorderOnce(t *testing.T) {
	for seed := range uint64(20) {
		for _, sizes := range [][]int{{1}, {20}, {40}, {8, 8, 8}, {1, 1, 1}, {100, 30, 10, 3, 2, 1}, {20, 20, 20, 20, 20, 20, 20, 20, 20, 20}} {
			views := zoned(rand.New(rand.NewPCG(seed, 6)), 0, sizes...)
			for from := range views {
				times, crossed := told(views, from)
				for id := range views {
					if id != from && times[id] != 1 || times[from] != 0 {
						t.Fatalf("seed %d: in zones of %v %x should be told once what %x said, not %d times", seed, sizes, id, from, times[id])
					}
				}
				if crossed != len(sizes)-1 {
					t.Fatalf("seed %d: in zones of %v a message should cross %d borders, not %d", seed, sizes, len(sizes)-1, crossed)
				}
				break
			}
		}
	}
}

// told has the node tell all others. It returns how often each was told, and how many copies
// went to another zone, without those that are to stand by.
func told(views map[uint64]*View, from uint64) (times map[uint64]int, crossed int) {
	type part struct {
		id  uint64
		arc ring.Arc
	}
	times = map[uint64]int{}
	for queue := []part{{from, ring.AllBut(from)}}; len(queue) > 0; queue = queue[1:] {
		x := queue[0]
		for _, d := range views[x.id].Split(nil, x.arc, 16, now) {
			if d.Standby {
				continue
			}
			times[d.ID]++
			if ring.Zone(d.ID) != ring.Zone(x.id) {
				crossed++
			}
			queue = append(queue, part{d.ID, d.Arc})
		}
	}
	return times, crossed
}

func TestBroadcastReachesEveryNodeWithAndWithoutAZone(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		sizes := make([]int, r.IntN(100))
		for i := range sizes {
			sizes[i] = 1 + r.IntN(6)
		}
		views := zoned(r, r.IntN(100)+1, sizes...)
		for from := range views {
			times, _ := told(views, from)
			for id := range views {
				if id != from && times[id] != 1 {
					t.Fatalf("seed %d: among %d nodes in %d zones and without, %x should be told once what %x said, not %d times", seed, len(views), len(sizes), id, from, times[id])
				}
			}
			break
		}
	}
}

func TestSplitLeavesAZoneWithoutValidatedMembersToItsNeighbours(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 8))
		for from, v := range zoned(r, r.IntN(5), 5, 5, 5, 5, 5) {
			validated := 0
			for _, m := range v.ring {
				if m.Validated = r.IntN(6) == 0; m.Validated {
					validated++
				}
			}
			covered := uint64(0)
			for _, d := range v.Split(nil, ring.AllBut(from), 16, now) {
				if !d.Standby {
					covered += uint64(d.Arc.Len())
				}
			}
			if want := uint64(1<<32 - 1); validated > 0 && covered != want {
				t.Fatalf("seed %d: of %d positions %d are covered", seed, want, covered)
			}
			break
		}
	}
}

func TestSplitLetsAnotherMemberOfALargeZoneStandBy(t *testing.T) {
	for _, size := range []int{1, 2, 3, 20} {
		views := zoned(rand.New(rand.NewPCG(1, 9)), 0, 4, size)
		for from, v := range views {
			if ring.Zone(from) != ring.Zone(ring.ID("zone0", 0)) {
				continue
			}
			entries := map[uint64]bool{}
			for range 4 * size {
				var there []Delegate
				for _, d := range v.Split(nil, ring.AllBut(from), 16, now) {
					if d.Zone() != ring.Zone(from) {
						there = append(there, d)
					}
				}
				if want := min((size+1)/2, 2); len(there) != want || there[0].Standby {
					t.Fatalf("a zone of %d gets %d copies, the first to cover it at once", size, want)
				}
				if len(there) == 2 && (there[0].Member == there[1].Member || !there[1].Standby || there[0].Arc != there[1].Arc) {
					t.Fatalf("another member stands by for the same arc, not %+v", there)
				}
				entries[there[0].ID] = true
			}
			if len(entries) != size {
				t.Errorf("all %d members take turns, not %d of them", size, len(entries))
			}
			break
		}
	}
}

func TestSplitSharesDelegatesAmongManyZones(t *testing.T) {
	views := zoned(rand.New(rand.NewPCG(1, 12)), 0, slices.Repeat([]int{1}, 100)...)
	for from, v := range views {
		got := slices.DeleteFunc(v.Split(nil, ring.AllBut(from), 16, now), func(d Delegate) bool { return d.Standby })
		if len(got) < 8 || len(got) > 16 {
			t.Errorf("99 other zones of one node share %d delegates, and should about 16", len(got))
		}
		break
	}
}

// A member without a zone may lie where a zone begins, before its first member.
func TestSplitPutsABorderBehindAMemberWithoutAZone(t *testing.T) {
	here, there := ring.ID("here", 0), ring.ID("there", 0)
	v := New(here, 100)
	start := uint64(ring.ZoneArc(ring.Zone(there)).Lo) << 32
	for i, id := range []uint64{start | 5<<32 | 1, start | 10<<32 | 2, start | 20<<32 | 2} {
		m, _ := v.Insert(id, host(i), false)
		v.Validate(m)
	}
	dels := v.Split(nil, ring.AllBut(here), 16, now)
	if len(dels) != 2 {
		t.Fatalf("a member without a zone and a zone of two should have a delegate each, not %d", len(dels))
	}
	for _, d := range dels {
		if !d.Arc.Has(d.Pos()) {
			t.Errorf("a delegate at %x should lie in its arc, %x", d.Pos(), d.Arc)
		}
	}
}

// In a zone there are only 65,536 places.
func TestSplitReachesAnotherMemberAtItsOwnPlace(t *testing.T) {
	id := ring.ID("zone", 0)
	a, b := id, id|4
	v := New(a, 100)
	m, _ := v.Insert(b, host(1), false)
	v.Validate(m)
	for _, arc := range []ring.Arc{ring.AllBut(a), ring.ZoneArc(ring.Zone(a))} {
		if got := v.Split(nil, arc, 16, now); len(got) != 1 || got[0].Member != m {
			t.Errorf("of %v another member at the place of the node should get a copy, not %v", arc, got)
		}
	}
}

func TestSplitPrefersAMemberThatIsMuchNearer(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		first, other, all time.Duration
		nearer            bool
	}{
		{100 * ms, 1 * ms, 0, true},
		{100 * ms, 49 * ms, 0, true},
		{100 * ms, 51 * ms, 0, false}, // more than half
		{21 * ms, 0 * ms, 0, false},   // not measured
		{20 * ms, 1 * ms, 0, false},   // not 20 ms less
		{22 * ms, 1 * ms, 0, true},
		{0, 1 * ms, 100 * ms, true}, // not measured: as far as all
		{0, 1 * ms, 15 * ms, false},
	} {
		v := New(1, 100)
		for i := range 40 {
			m, _ := v.Insert(uint64(i+1)<<57|3, host(i), false)
			m.Validated, m.RTT.smoothed = true, c.first
			if i%2 == 1 {
				m.RTT.smoothed = c.other
			}
		}
		v.rtt.smoothed = c.all
		if got := v.Split(nil, ring.AllBut(1), 4, now)[0]; (got.RTT.smoothed == c.other) != c.nearer {
			t.Errorf("beside one at %v, and all at %v, one at %v should be chosen: %v", c.first, c.all, c.other, c.nearer)
		}
	}
}

func TestTimeoutIsThatOfTheZone(t *testing.T) {
	const ms, first = time.Millisecond, 250 * time.Millisecond
	for _, v := range zoned(rand.New(rand.NewPCG(1, 10)), 0, 5, 5) {
		for _, m := range v.ring {
			for range 50 {
				v.Measure(m, 2*ms, now)
			}
		}
		at, n := v.Zone(ring.Zone(ring.ID("zone1", 0)))
		for i := range n {
			v.At(at + i).RTT = RTT{}
		}
		if got := v.Timeout(v.At(at), first); got != first {
			t.Errorf("for a zone that was not measured the timeout should be %v, not %v", first, got)
		}
		far := v.At((at + n) % v.Len())
		for range 50 {
			v.Measure(far, 900*ms, now)
		}
		if got := v.Timeout(v.At(at), first); got < 900*ms {
			t.Errorf("for a zone that was not measured it should be that of the farthest member, at 900 ms, not %v", got)
		}
		v.Measure(v.At(at), 7*ms, now)
		if got := v.Timeout(v.At(at+n-1), first); got < 7*ms || got > 30*ms {
			t.Errorf("for a zone with a member at 7 ms it should follow that, not be %v", got)
		}
		break
	}
}

func TestSplitAcrossZonesAllocatesNothing(t *testing.T) {
	for from, v := range zoned(rand.New(rand.NewPCG(1, 11)), 3, 20, 20, 20) {
		dst := make([]Delegate, 0, 64)
		if got := testing.AllocsPerRun(100, func() { dst = v.Split(dst[:0], ring.AllBut(from), 16, now) }); got > 0 {
			t.Errorf("a split allocates %v times", got)
		}
		break
	}
}
