package versions

import (
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/wire"
)

// windows are some that share a pool, each with its plain counterpart.
type windows struct {
	t       *testing.T
	r       *rand.Rand
	seed    uint64
	step    int
	pool    Pool
	plain   plainPool
	windows []*Window
	models  []*plainWindow
}

// newWindows returns windows with floors at base, the first of which stays narrow.
func newWindows(t *testing.T, seed, base uint64, budget int) *windows {
	w := &windows{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 1)), pool: Pool{budget: budget}, plain: plainPool{budget: uint64(budget)}}
	w.windows, w.models = []*Window{new(Window)}, []*plainWindow{{}}
	for id := range uint64(3) {
		w.windows = append(w.windows, &NewOrigin(id+1).Seen)
		w.models = append(w.models, &plainWindow{pool: &w.plain})
	}
	for i := range w.windows {
		w.windows[i].Reset(uint32(base), &w.pool)
		w.models[i].reset(base)
	}
	return w
}

func (w *windows) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d step %d, budget %d: "+format, append([]any{w.seed, w.step, w.pool.budget}, args...)...)
}

// act does the same to a window and its counterpart.
func (w *windows) act(x *Window, m *plainWindow, base, spread uint64) {
	r := w.r
	c := min(uint64(max(0, int64(m.floor)-5))+r.Uint64N(spread+6), lastCounter)
	switch op := r.IntN(100); {
	case op < 88:
		check := x.Check(uint32(c), &w.pool)
		got, want := x.Add(uint32(c), &w.pool), m.add(c)
		if got != want || check != want {
			w.fatalf("counter %d should be %v, but Check says %v and Add %v", c, want, check, got)
		}
	case op < 91: // much of what is next comes
		first, last := m.floor+1+r.Uint64N(2), min(m.floor+spread/2+r.Uint64N(spread), lastCounter)
		for c := first; c <= last; c++ {
			if got, want := x.Add(uint32(c), &w.pool), m.add(c); got != want {
				w.fatalf("counter %d of a run should be %v, but Add says %v", c, want, got)
			}
		}
	case op < 94:
		if got, want := x.Advance(uint32(c), &w.pool), m.advance(c); got != want {
			w.fatalf("advancing to %d gives up %d counters, but Advance says %d", c, want, got)
		}
	case op < 98:
		c = min(c+r.Uint64N(2*Width), lastCounter)
		floor := m.floorFor(c)
		if got := x.FloorFor(uint32(c), &w.pool); uint64(got) != floor {
			w.fatalf("there is room for %d above floor %d, but FloorFor says %d", c, floor, got)
		}
		want := m.advance(floor)
		if got := x.MakeRoom(uint32(c), &w.pool); got != want {
			w.fatalf("room for %d costs %d counters, but MakeRoom says %d", c, want, got)
		}
		if x.Check(uint32(c), &w.pool) == Ahead {
			w.fatalf("MakeRoom(%d) made no room for it", c)
		}
	case op < 99:
		x.Reset(x.Floor(), &w.pool)
		m.reset(m.floor)
	case w.seed%3 == 0: // elsewhere floors only rise, up to the last counter
		x.Reset(uint32(base), &w.pool)
		m.reset(base)
	}
}

func (w *windows) compare(x *Window, m *plainWindow) {
	w.t.Helper()
	r := w.r
	if uint64(x.Floor()) != m.floor || uint64(x.Highest()) != m.highest || x.Gap() != (m.highest > m.floor) {
		w.fatalf("the window says floor %d, highest %d, gap %v; it should be floor %d, highest %d",
			x.Floor(), x.Highest(), x.Gap(), m.floor, m.highest)
	}
	if (x.gap != nil) != x.Gap() || x.gap != nil && uint64(len(x.gap.words)*wordBits) != m.width {
		w.fatalf("memory is held exactly while there is a gap, for a width of %d, but gap is %v and memory %+v", m.width, x.Gap(), x.gap)
	}
	for range 20 {
		c := min(uint64(max(0, int64(m.floor)-10))+r.Uint64N(m.width+50), lastCounter)
		if x.Has(uint32(c)) != m.has(c) {
			w.fatalf("Has(%d) is %v with floor %d", c, x.Has(uint32(c)), m.floor)
		}
		if got := x.Check(uint32(c), nil); m.has(c) != (got == Seen) || !m.has(c) && (c-m.floor > m.width) != (got == Ahead) {
			w.fatalf("without a pool, with floor %d and width %d, counter %d is %v", m.floor, m.width, c, got)
		}
	}
	if r.IntN(10) > 0 {
		return
	}
	limit, below := r.IntN(6)*r.IntN(100), uint64(0)
	if r.IntN(2) == 0 {
		below = min(m.floor+r.Uint64N(m.width), lastCounter)
	}
	want := m.runsOf(func(c uint64) bool { return m.has(c) && (below == 0 || c < below) }, limit)
	if got := x.AppendRuns(nil, uint32(below), limit); !slices.Equal(got, want) {
		w.fatalf("AppendRuns(below %d, limit %d) says %v, seen is %v", below, limit, got, want)
	}
	theirFloor, theirs := randomTheirs(r, m.floor)
	want = m.runsOf(func(c uint64) bool { return !m.has(c) && holds(theirFloor, theirs, uint32(c)) }, limit)
	if got := x.AppendMissing(nil, theirFloor, theirs, limit, &w.pool); !slices.Equal(got, want) {
		w.fatalf("of floor %d and %v AppendMissing(limit %d) says %v, missing is %v", theirFloor, theirs, limit, got, want)
	}
}

// checkPool holds the books of the pool against the windows.
func (w *windows) checkPool() {
	w.t.Helper()
	if uint64(w.pool.out) != w.plain.out || w.pool.out > w.pool.budget {
		w.fatalf("wide windows take %d bytes, and the pool says %d", w.plain.out, w.pool.out)
	}
	listed := 0
	for _, x := range w.windows[1:] {
		if x.Gap() {
			if listed++; w.pool.gaps[x.gap.index] != x.gap || x.gap.owner != x.owner {
				w.fatalf("the gap of origin %d is not listed", x.owner.ID)
			}
		}
	}
	if len(w.pool.gaps) != listed {
		w.fatalf("%d origins have a gap, and %d are listed", listed, len(w.pool.gaps))
	}
}

func holds(floor uint32, runs []wire.Run, c uint32) bool {
	return c <= floor || slices.ContainsFunc(runs, func(r wire.Run) bool { return r.First <= c && c <= r.Last })
}
