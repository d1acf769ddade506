package view

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"example.com/gossip/internal/ring"
)

// host returns an address of its own for each i.
func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 7000)
}

// place returns an id at that position of the ring.
func place(pos uint32) uint64 { return uint64(pos)<<32 | 1 }

// ringOf returns a roomy view with members at these positions; the i-th is at host(i).
func ringOf(self uint32, positions ...uint32) *View {
	v := New(place(self), 1000)
	for i, pos := range positions {
		m, _ := v.Insert(place(pos), host(i), false)
		v.Validate(m)
	}
	return v
}

// around returns the members by their distance clockwise from id, the nearest first.
func around(v *View, id uint64) []*Member {
	all := slices.Clone(v.ring)
	slices.SortFunc(all, func(a, b *Member) int { return cmp.Compare(a.ID-id, b.ID-id) })
	return all
}

func positions(members []*Member) (p []uint32) {
	for _, m := range members {
		p = append(p, m.Pos())
	}
	return p
}

func TestViewAgreesWithAPlainMap(t *testing.T) {
	type entry struct{ addr, observed netip.AddrPort }
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 10))
		v, plain := New(100, 1000), map[uint64]entry{}
		at := func(a netip.AddrPort) (id uint64) {
			for i, e := range plain {
				if e.addr == a || e.observed == a {
					return i
				}
			}
			return 0
		}
		for step := range 400 {
			id, addr := r.Uint64N(20)+1, host(r.IntN(30))
			e, known := plain[id]
			there := at(addr)
			switch op := r.IntN(6); {
			case op == 0 && known:
				v.Remove(v.Get(id))
				delete(plain, id)
			case op <= 2 && known && (there == 0 || there == id):
				v.Move(v.Get(id), addr)
				if e.observed == addr {
					e.observed = netip.AddrPort{}
				}
				plain[id] = entry{addr, e.observed}
			case op <= 4 && known:
				v.SendsFrom(v.Get(id), addr)
				if there == 0 {
					plain[id] = entry{e.addr, addr}
				}
			case !known && there == 0:
				if m, gone := v.Insert(id, addr, false); m == nil || gone != nil || m != v.Get(id) {
					t.Fatalf("seed %d step %d: there is room for %d, but Insert returned %v and %v", seed, step, id, m, gone)
				}
				plain[id] = entry{addr: addr}
			}
			if v.Len() != len(plain) {
				t.Fatalf("seed %d step %d: the view has %d members, not %d", seed, step, v.Len(), len(plain))
			}
			for i := range v.Len() {
				m := v.At(i)
				if e, ok := plain[m.ID]; !ok || m.Addr != e.addr || v.Get(m.ID) != m || i > 0 && v.At(i-1).ID >= m.ID {
					t.Fatalf("seed %d step %d: member %d of the ring is %d at %v, out of place or not as in %v", seed, step, i, m.ID, m.Addr, plain)
				}
			}
			for i := range 30 {
				m, id := v.ByAddr(host(i)), at(host(i))
				if m == nil && id != 0 || m != nil && m.ID != id {
					t.Fatalf("seed %d step %d: at %v should be %d (0 is nobody), but ByAddr gives %v", seed, step, host(i), id, m)
				}
			}
		}
		v.Reset(7)
		if v.Len() != 0 || len(v.byAddr) != 0 || v.Get(3) != nil {
			t.Fatalf("seed %d: a view that was reset still has %d members and %d addresses", seed, v.Len(), len(v.byAddr))
		}
		v.Insert(100, host(0), false) // its old self is now anyone
	}
}

func TestViewRefusesToInsertWhoIsKnown(t *testing.T) {
	v := ringOf(0, 10)
	v.SendsFrom(v.At(0), host(9))
	for what, try := range map[string]func(){
		"itself":                           func() { v.Insert(v.self, host(1), false) },
		"a known id":                       func() { v.Insert(place(10), host(1), false) },
		"a new id at a known address":      func() { v.Insert(place(11), host(0), false) },
		"a new id at a member's other one": func() { v.Insert(place(11), host(9), false) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Insert of %s should panic, for the caller has lost track", what)
				}
			}()
			try()
		}()
	}
}

func TestFullViewKeepsTheNearestAndThinsTheMostCrowdedOctave(t *testing.T) {
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 11))
		self := r.Uint64()
		limit := r.IntN(60)
		v := New(self, limit)
		limit = max(limit, 2*Near+1)
		for i := range 200 {
			id := self + r.Uint64()>>r.IntN(60) // near and far alike
			if r.IntN(2) == 0 {
				id = self - (id - self)
			}
			if id == self || v.Get(id) != nil {
				continue
			}
			full := New(self, 1000)
			for _, m := range v.ring {
				full.Insert(m.ID, m.Addr, false)
			}
			full.Insert(id, host(i), false)
			m, gone := v.Insert(id, host(i), false)
			if full.Len() <= limit {
				if m == nil || gone != nil || v.Len() != full.Len() {
					t.Fatalf("seed %d insert %d: there is room, but Insert returned %v and %v", seed, i, m, gone)
				}
				continue
			}
			lost := id
			if m != nil {
				lost = gone.ID
			}
			if v.Len() != limit || v.Get(lost) != nil || v.ByAddr(full.Get(lost).Addr) != nil || len(v.byAddr) != limit {
				t.Fatalf("seed %d insert %d: the view of at most %d has %d members and %d addresses after %x went", seed, i, limit, v.Len(), len(v.byAddr), lost)
			}
			order := around(full, self)
			far := order[Near : len(order)-Near]
			if slices.IndexFunc(far, func(m *Member) bool { return m.ID == lost }) < 0 {
				t.Fatalf("seed %d insert %d: %x went, which is one of the %d nearest on a side of %x", seed, i, lost, Near, self)
			}
			count := map[int]int{} // by octave: upwards of the node positive, below it negative
			octave := func(m uint64) int {
				if d := ring.Pos(m) - ring.Pos(self); d <= 1<<31 {
					return bits.Len32(d)
				}
				return -bits.Len32(ring.Pos(self) - ring.Pos(m))
			}
			for _, m := range far {
				count[octave(m.ID)]++
			}
			for o, n := range count {
				if n > count[octave(lost)] {
					t.Fatalf("seed %d insert %d: %x went from an octave of %d, but octave %d has %d", seed, i, lost, count[octave(lost)], o, n)
				}
			}
		}
	}
}

func TestSampleIsDistinctAndOnlyOfTheWilling(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 12))
		v := crowd(r, r.IntN(40))
		willing := func(m *Member) bool { return !m.Suspect(1) }
		able := 0
		for _, m := range v.ring {
			if willing(m) {
				able++
			}
		}
		first := &Member{}
		n := r.IntN(50) - 1
		got := v.Sample([]*Member{first}, r, n, willing)
		if got[0] != first || len(got)-1 != min(max(n, 0), able) {
			t.Fatalf("seed %d: of %d that are willing %d were asked for, but %d came", seed, able, n, len(got)-1)
		}
		seen := map[*Member]bool{}
		for _, m := range got[1:] {
			if seen[m] || !willing(m) || v.Get(m.ID) != m {
				t.Fatalf("seed %d: the sample holds %x twice, or against its will", seed, m.ID)
			}
			seen[m] = true
		}
		if all := v.Sample(nil, r, 1000, nil); len(all) != v.Len() {
			t.Fatalf("seed %d: a sample of everybody has %d of %d", seed, len(all), v.Len())
		}
	}
}

func TestSampleIsFair(t *testing.T) {
	const rounds = 20000
	for _, size := range []int{1, 2, 3, 12, 25} {
		r := rand.New(rand.NewPCG(uint64(size), 13))
		v := crowd(r, size)
		const n = 5
		times := map[*Member]int{}
		var buf []*Member
		for range rounds {
			buf = v.Sample(buf[:0], r, n, nil)
			for _, m := range buf {
				times[m]++
			}
		}
		want := float64(rounds*min(n, size)) / float64(size)
		for _, m := range v.ring {
			if got := float64(times[m]); got < 0.9*want || got > 1.1*want {
				t.Fatalf("size %d: each member should come up about %v times, but %x did %v times", size, want, m.ID, got)
			}
		}
	}
}

func TestNearestTakesHalfFromEachSide(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 14))
		v := crowd(r, r.IntN(30))
		id := place(r.Uint32())
		switch k := r.IntN(3); {
		case k == 0:
			id = v.self
		case k == 1 && v.Len() > 0:
			id = v.At(r.IntN(v.Len())).ID
		}
		n := r.IntN(35)
		var others []*Member // by distance clockwise from id
		for _, m := range around(v, id) {
			if m.ID != id {
				others = append(others, m)
			}
		}
		take := min(n, len(others))
		up, down := (take+1)/2, take/2
		want := slices.Concat(others[:up], others[len(others)-down:])
		got := v.Nearest(nil, id, n)
		slices.SortFunc(want, func(a, b *Member) int { return cmp.Compare(a.ID, b.ID) })
		slices.SortFunc(got, func(a, b *Member) int { return cmp.Compare(a.ID, b.ID) })
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: the %d nearest to %x should be at %v, but are at %v", seed, n, id, positions(want), positions(got))
		}
	}
}

func TestNeighboursCountFromTheNodeRoundTheRing(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 15))
		v := crowd(r, 1+r.IntN(20))
		order, n := around(v, v.self), v.Len()
		for i := range 2 * n {
			if m := v.Clockwise(i); m != order[i%n] {
				t.Fatalf("seed %d: member %d after the node should be %x, but is %x", seed, i, order[i%n].ID, m.ID)
			}
			if m := v.Counterclockwise(i); m != order[n-1-i%n] {
				t.Fatalf("seed %d: member %d before the node should be %x, but is %x", seed, i, order[n-1-i%n].ID, m.ID)
			}
		}
	}
}

func TestSuspicionEnds(t *testing.T) {
	m := Member{SuspectUntil: 10}
	if !m.Suspect(9) || m.Suspect(10) || (&Member{}).Suspect(0) {
		t.Fatal("a member suspect until 10 should be so at 9 and not at 10, and a fresh one never")
	}
}

func TestInsideAndOutsideOfAnArc(t *testing.T) {
	// Members at 10, 20 … 60; the node is at 35. Of Inside all answers possible
	// are listed, 0 for none.
	const top = ^uint32(0)
	for _, c := range []struct {
		arc      ring.Arc
		suspects []uint32
		except   uint32
		inside   []uint32
		outside  uint32
		hearsay  []uint32
	}{
		{arc: ring.Arc{Lo: 20, Hi: 41}, hearsay: []uint32{30, 50}, inside: []uint32{20, 40}, outside: 10},
		{arc: ring.Arc{Lo: 20, Hi: 41}, inside: []uint32{20, 30, 40}, outside: 50},
		{arc: ring.Arc{Lo: 20, Hi: 40}, inside: []uint32{20, 30}, outside: 40},
		{arc: ring.Arc{Lo: 20, Hi: 40}, except: 20, inside: []uint32{30}, outside: 40},
		{arc: ring.Arc{Lo: 20, Hi: 40}, suspects: []uint32{20}, inside: []uint32{30}, outside: 40},
		{arc: ring.Arc{Lo: 20, Hi: 40}, suspects: []uint32{20}, except: 30, inside: []uint32{0}, outside: 40},
		{arc: ring.Arc{Lo: 20, Hi: 40}, suspects: []uint32{40}, inside: []uint32{20, 30}, outside: 10},
		{arc: ring.Arc{Lo: 20, Hi: 40}, suspects: []uint32{40}, except: 10, inside: []uint32{20, 30}, outside: 50},
		{arc: ring.Arc{Lo: 20, Hi: 40}, suspects: []uint32{10, 40, 50}, except: 60, inside: []uint32{20, 30}},
		{arc: ring.Arc{Lo: 50, Hi: 15}, inside: []uint32{50, 60, 10}, outside: 20},
		{arc: ring.Arc{Lo: top, Hi: 15}, inside: []uint32{10}, outside: 20},
		{arc: ring.Arc{Lo: 60, Hi: 0}, inside: []uint32{60}, outside: 10},
		{arc: ring.Arc{Lo: 61, Hi: 10}, inside: []uint32{0}, outside: 10},
		{arc: ring.Arc{Lo: 25, Hi: 25}, inside: []uint32{0}, outside: 30},
		{arc: ring.AllBut(place(35)), inside: []uint32{10, 20, 30, 40, 50, 60}},
		{arc: ring.AllBut(place(20)), inside: []uint32{10, 30, 40, 50, 60}, outside: 20},
	} {
		v := ringOf(35, 10, 20, 30, 40, 50, 60)
		for _, p := range []uint32{10, 20, 30, 40, 50, 60} {
			v.Get(place(p)).Validated = !slices.Contains(c.hearsay, p)
		}
		for _, p := range c.suspects {
			v.Get(place(p)).SuspectUntil = now + 1
		}
		pos := func(m *Member) uint32 {
			if m == nil {
				return 0
			}
			return m.Pos()
		}
		met := map[uint32]bool{}
		for seed := range uint64(200) {
			p := pos(v.Inside(c.arc, v.Get(place(c.except)), rand.New(rand.NewPCG(seed, 6)), now))
			if met[p] = true; !slices.Contains(c.inside, p) {
				t.Fatalf("seed %d: inside %+v is %d", seed, c, p)
			}
		}
		if len(met) != len(c.inside) {
			t.Errorf("in 200 tries inside %+v only %v came up", c, met)
		}
		if p := pos(v.Outside(c.arc, v.Get(place(c.except)), now)); p != c.outside {
			t.Errorf("outside %+v is %d", c, p)
		}
	}
	r := rand.New(rand.NewPCG(1, 6))
	if v := ringOf(35); v.Inside(ring.AllBut(v.self), nil, r, now) != nil || v.Outside(ring.Arc{Lo: 1, Hi: 2}, nil, now) != nil {
		t.Error("there is somebody in an empty view")
	}
	far := ringOf(35, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	for i := range 8 { // 1 2 3 4 behind the arc, 10 9 8 7 before it
		far.Get(place([]uint32{1, 10, 2, 9, 3, 8, 4, 7}[i])).SuspectUntil = now + 1
	}
	if m := far.Outside(ring.Arc{Lo: 20, Hi: 30}, nil, now); m != nil {
		t.Errorf("Outside should look at %d on each side and no further, but found %d", Near, m.Pos())
	}
}

func TestLocalGapIsThatOfTheNearest(t *testing.T) {
	const k, below = 1000, 1<<32 - 1000 // below: k before position 0
	for _, c := range []struct {
		why     string
		self    uint32
		members []uint32
		want    uint64
	}{
		{"nobody is known", 5 * k, nil, 1 << 32},
		{"one member is no neighbour on both sides", 5 * k, []uint32{6 * k}, 1 << 32},
		{"one is on each side", 5 * k, []uint32{4 * k, 8 * k}, 2 * k},
		{"of three the nearest two count", 5 * k, []uint32{4 * k, 8 * k, 100 * k}, 2 * k},
		{"two on each side lie across the top", 0, []uint32{k, 2 * k, below, below - k}, k},
		{"of many the nearest eight count", 10 * k, []uint32{0, 6 * k, 7 * k, 8 * k, 9 * k, 11 * k, 12 * k, 13 * k, 14 * k, 1 << 31}, k},
		{"all are where the node is, and it is no divisor of 0", 7, []uint32{7, 7}, 1},
	} {
		v := New(place(c.self)+1, 100)
		for i, pos := range c.members {
			v.Insert(place(pos)+2*uint64(i), host(i), false)
		}
		if got := v.LocalGap(); got != c.want {
			t.Errorf("%s: the gap should be %d, but is %d", c.why, c.want, got)
		}
	}
}

func TestViewAllocatesNothingOnceWarm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	v := crowd(r, 300)
	arc := ring.Arc{Lo: ring.Pos(v.self) - 1<<30, Hi: ring.Pos(v.self) + 1<<30}
	dels, members := make([]Delegate, 0, 16), make([]*Member, 0, 16)
	if n := testing.AllocsPerRun(1000, func() {
		dels = v.Split(dels[:0], arc, 16, now)
		members = v.Sample(members[:0], r, 8, func(m *Member) bool { return !m.Suspect(now) })
		members = v.Nearest(members[:0], v.self, 8)
		v.Inside(arc, nil, r, now)
		v.Outside(arc, nil, now)
		v.LocalGap()
	}); n != 0 {
		t.Fatalf("a view should allocate nothing when asked, but does %v times", n)
	}
}
