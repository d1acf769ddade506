package versions

import "testing"

func TestPoolKeepsFewGapsAndCleanOnes(t *testing.T) {
	p := Pool{budget: 1 << 20}
	var windows []*Window
	for id := range uint64(2 * mostFree) {
		w := &NewOrigin(id + 1).Seen
		for _, c := range []uint32{900, 1500, 3000, 8000}[:1+id%4] {
			w.Add(c, &p)
		}
		windows = append(windows, w)
	}
	for i, w := range windows {
		if i%2 == 0 {
			w.Reset(w.Floor(), &p)
		} else {
			w.Advance(w.Highest(), &p)
		}
	}
	if len(p.free) != mostFree || p.out != 0 || len(p.gaps) != 0 {
		t.Fatalf("%d gaps closed: the pool should keep %d, not %d; in use are %d bytes, and listed %d", len(windows), mostFree, len(p.free), p.out, len(p.gaps))
	}
	for _, g := range p.free {
		if g.small != [narrowWords]uint64{} || &g.words[0] != &g.small[0] || len(g.words) != narrowWords || g.owner != nil || len(g.marks) > 0 {
			t.Fatalf("a gap of the pool should be clear and narrow but is %+v", g)
		}
	}
	if p.trim(); p.free != nil || p.gaps != nil {
		t.Fatalf("after trim nothing should be kept, but the pool is %+v", p)
	}
}

// The memory of all wide windows of a table is bounded, whatever their origins do.
func TestPoolBoundsTheWideWindowsOfATable(t *testing.T) {
	for _, limit := range []int{1, 100, 8192} {
		table, p := NewTable(limit), (*Pool)(nil)
		p = table.Pool()
		most := max(4<<10, 32*limit)
		widest := 0
		for id := range uint64(limit) {
			o, _, _ := table.Add(id+1, 0, 0, anHour)
			for c := uint32(2); c <= Width; c *= 2 {
				o.Seen.MakeRoom(c, p)
				if o.Seen.Add(c, p) != New {
					t.Fatalf("with room made for it counter %d is not New", c)
				}
			}
			if o.Seen.Floor() == 0 {
				widest++
			}
		}
		if p.out > most || widest != min(limit, most/(Width/8)) {
			t.Fatalf("in a table of %d wide windows take %d bytes, more than %d, or %d are of the full width", limit, p.out, most, widest)
		}
		for id := range uint64(limit) {
			table.Remove(id + 1)
		}
		if p.out != 0 || len(p.gaps) != 0 {
			t.Fatalf("a table of %d is empty, but %d bytes and %d gaps are in use", limit, p.out, len(p.gaps))
		}
		if table.Trim(); p.free != nil {
			t.Fatalf("after Trim a table of %d keeps %d gaps", limit, len(p.free))
		}
	}
}

// An introducer of many wide windows leaves half of the room to others, and the next one half of
// that.
func TestWideWindowsOfOneIntroducerLeaveRoomForOthers(t *testing.T) {
	table, id := NewTable(8192), uint64(0)
	widen := func(introducer uint64) (reached int) {
		for {
			id++
			o, _, _ := table.Add(id, introducer, 0, anHour)
			if o.Seen.Add(Width, table.Pool()) != New {
				return reached
			}
			reached++
		}
	}
	const most = 32 * 8192 / (Width / 8)
	for i, want := range []int{most / 2, most / 4, most / 8} {
		if got := widen(uint64(i + 1)); got != want {
			t.Errorf("introducer %d has %d wide windows of %d, not %d", i+1, got, most, want)
		}
	}
}
