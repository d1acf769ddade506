package versions

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/wire"
)

const lastCounter = math.MaxUint32

// plainWindow is a Window as one would explain it: a floor and a set.
type plainWindow struct {
	floor, highest uint64
	seen           map[uint64]bool
}

func (m *plainWindow) has(c uint64) bool { return c <= m.floor || m.seen[c] }

func (m *plainWindow) check(c uint64) Verdict {
	switch {
	case c > m.floor+Width:
		return Ahead
	case m.has(c):
		return Seen
	}
	return New
}

func (m *plainWindow) swallow() {
	for m.seen[m.floor+1] {
		m.floor++
	}
}

func (m *plainWindow) add(c uint64) Verdict {
	v := m.check(c)
	if v == New {
		m.seen[c] = true
		m.highest = max(m.highest, c)
		m.swallow()
	}
	return v
}

func (m *plainWindow) advance(f uint64) (unseen uint32) {
	for ; m.floor < f; m.floor++ {
		if !m.seen[m.floor+1] {
			unseen++
		}
	}
	m.highest = max(m.highest, m.floor)
	m.swallow()
	return unseen
}

func (m *plainWindow) reset(f uint64) {
	m.floor, m.highest, m.seen = f, f, map[uint64]bool{}
}

// runsOf returns the counters in (floor, floor+Width] for which in holds, as runs.
func (m *plainWindow) runsOf(in func(c uint64) bool, limit int) (runs []wire.Run) {
	for c := m.floor + 1; c <= min(m.floor+Width, lastCounter); c++ {
		switch n := len(runs); {
		case !in(c):
		case n > 0 && uint64(runs[n-1].Last)+1 == c:
			runs[n-1].Last = uint32(c)
		case n == limit:
			return runs
		default:
			runs = append(runs, wire.Run{First: uint32(c), Last: uint32(c)})
		}
	}
	return runs
}

// randomTheirs makes up what another node, whose floor is near, says it has seen.
func randomTheirs(r *rand.Rand, floor uint64) (theirFloor uint32, runs []wire.Run) {
	c := uint64(max(0, int64(floor)+r.Int64N(600)-500))
	theirFloor = uint32(min(c, lastCounter))
	for range r.IntN(12) {
		first := c + 1 + r.Uint64N(200)
		c = first + r.Uint64N(100)
		if c > lastCounter {
			break
		}
		runs = append(runs, wire.Run{First: uint32(first), Last: uint32(c)})
	}
	return theirFloor, runs
}

func TestWindowAgreesWithAPlainSet(t *testing.T) {
	bases := []uint64{0, 1, 1000, 1 << 20, 1<<31 - 500, lastCounter - 3000, lastCounter - 1100, lastCounter - 70, lastCounter}
	for seed := range uint64(54) {
		r := rand.New(rand.NewPCG(seed, 1))
		base := bases[seed%uint64(len(bases))]
		m := plainWindow{}
		m.reset(base)
		var w Window
		var p Pool
		w.Reset(uint32(base), &p)
		spread := []uint64{4, 80, 1100}[r.IntN(3)] // tight ones swallow much, wide ones keep gaps

		for step := range 300 {
			c := uint64(max(0, int64(m.floor)-5)) + r.Uint64N(spread+6)
			c = min(c, lastCounter)
			switch op := r.IntN(100); {
			case op < 90:
				check := w.Check(uint32(c))
				got, want := w.Add(uint32(c), &p), m.add(c)
				if got != want || check != want {
					t.Fatalf("seed %d step %d: counter %d should be %v, but Check says %v and Add %v", seed, step, c, want, check, got)
				}
			case op < 94:
				if got, want := w.Advance(uint32(c), &p), m.advance(c); got != want {
					t.Fatalf("seed %d step %d: advancing to %d gives up %d counters, but Advance says %d", seed, step, c, want, got)
				}
			case op < 98:
				c = min(c+r.Uint64N(2*Width), lastCounter)
				want := m.advance(uint64(max(0, int64(c)-Width)))
				if got := w.MakeRoom(uint32(c), &p); got != want {
					t.Fatalf("seed %d step %d: room for %d costs %d counters, but MakeRoom says %d", seed, step, c, want, got)
				}
				if w.Check(uint32(c)) == Ahead {
					t.Fatalf("seed %d step %d: MakeRoom(%d) made no room for it", seed, step, c)
				}
			case op < 99:
				w.Release(&p)
				m.reset(m.floor)
			case seed%3 == 0: // elsewhere floors only rise, up to the last counter
				w.Reset(uint32(base), &p)
				m.reset(base)
			}
			compareWindows(t, r, seed, step, &w, &m)
		}
	}
}

func compareWindows(t *testing.T, r *rand.Rand, seed uint64, step int, w *Window, m *plainWindow) {
	t.Helper()
	if uint64(w.Floor()) != m.floor || uint64(w.Highest()) != m.highest || w.Gap() != (m.highest > m.floor) {
		t.Fatalf("seed %d step %d: the window says floor %d, highest %d, gap %v; it should be floor %d, highest %d",
			seed, step, w.Floor(), w.Highest(), w.Gap(), m.floor, m.highest)
	}
	if (w.ring != nil) != w.Gap() {
		t.Fatalf("seed %d step %d: a bitmap is held exactly while there is a gap, but gap is %v and bitmap %v", seed, step, w.Gap(), w.ring)
	}
	for range 20 {
		c := min(uint64(max(0, int64(m.floor)-10))+r.Uint64N(Width+50), lastCounter)
		if w.Has(uint32(c)) != m.has(c) {
			t.Fatalf("seed %d step %d: Has(%d) is %v with floor %d", seed, step, c, w.Has(uint32(c)), m.floor)
		}
	}

	limit, below := r.IntN(6)*r.IntN(100), uint64(0)
	if r.IntN(2) == 0 {
		below = min(m.floor+r.Uint64N(Width), lastCounter)
	}
	want := m.runsOf(func(c uint64) bool { return m.has(c) && (below == 0 || c < below) }, limit)
	if got := w.AppendRuns(nil, uint32(below), limit); !slices.Equal(got, want) {
		t.Fatalf("seed %d step %d: AppendRuns(below %d, limit %d) says %v, seen is %v", seed, step, below, limit, got, want)
	}

	theirFloor, theirs := randomTheirs(r, m.floor)
	want = m.runsOf(func(c uint64) bool { return !m.has(c) && holds(theirFloor, theirs, uint32(c)) }, limit)
	if got := w.AppendMissing(nil, theirFloor, theirs, limit); !slices.Equal(got, want) {
		t.Fatalf("seed %d step %d: of floor %d and %v AppendMissing(limit %d) says %v, missing is %v", seed, step, theirFloor, theirs, limit, got, want)
	}
}

func holds(floor uint32, runs []wire.Run, c uint32) bool {
	return c <= floor || slices.ContainsFunc(runs, func(r wire.Run) bool { return r.First <= c && c <= r.Last })
}

func TestWindowIgnoresMalformedRuns(t *testing.T) {
	odd := []uint32{0, 1, 99, 100, 101, 500, 1124, 1125, lastCounter - 1, lastCounter}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		var w Window
		var p Pool
		w.Reset([]uint32{0, 100, lastCounter - 10, lastCounter}[r.IntN(4)], &p)
		for range 10 {
			w.Add(w.Floor()+r.Uint32N(Width), &p)
		}
		theirs := make([]wire.Run, r.IntN(8))
		for i := range theirs {
			theirs[i] = wire.Run{First: odd[r.IntN(len(odd))] + r.Uint32N(30), Last: odd[r.IntN(len(odd))]}
		}
		theirFloor, limit := odd[r.IntN(len(odd))], r.IntN(20)

		got := w.AppendMissing([]wire.Run{{First: 7, Last: 7}}, theirFloor, theirs, limit)
		if got[0] != (wire.Run{First: 7, Last: 7}) || len(got)-1 > limit {
			t.Fatalf("seed %d: AppendMissing should append at most %d runs, but made %v of the one there was", seed, limit, got)
		}
		before := w.Floor()
		for _, run := range got[1:] {
			if run.First <= before || run.Last < run.First || uint64(run.Last) > uint64(w.Floor())+Width {
				t.Fatalf("seed %d: %v does not ascend within the window above %d", seed, got[1:], w.Floor())
			}
			for c := uint64(run.First); c <= uint64(run.Last); c++ {
				if w.Has(uint32(c)) || !holds(theirFloor, theirs, uint32(c)) {
					t.Fatalf("seed %d: %d is said to be missing and theirs, of floor %d and %v", seed, c, theirFloor, theirs)
				}
			}
			before = run.Last
		}
	}
}

func TestWindowOfAFaithfulOriginNeedsNoBitmap(t *testing.T) {
	var w Window
	var p Pool
	for c := uint32(1); c <= 5000; c++ {
		if v := w.Add(c, &p); v != New || w.ring != nil {
			t.Fatalf("message %d came in order: it should be New without a bitmap, but is %v with %v", c, v, w.ring)
		}
	}
	if w.Floor() != 5000 || !w.Has(0) || w.Add(17, &p) != Seen {
		t.Fatalf("all 5000 messages should be seen, 0 and 17 among them, with floor %d", w.Floor())
	}
}

func TestWindowTakesALateMessageOnce(t *testing.T) {
	var w Window
	var p Pool
	w.Add(1, &p)
	for c := uint32(3); c <= Width+1; c++ { // 2 is late, and all the window allows comes before it
		if v := w.Add(c, &p); v != New {
			t.Fatalf("message %d fits the window above floor 1, but is %v", c, v)
		}
	}
	if v := w.Add(Width+2, &p); v != Ahead || w.Has(Width+2) || w.Highest() != Width+1 {
		t.Fatalf("message %d is Ahead of the window and leaves no trace, but is %v, highest %d", Width+2, v, w.Highest())
	}
	if v := w.Add(2, &p); v != New || w.Floor() != Width+1 || w.Gap() {
		t.Fatalf("message 2 should be New and close the gap, but is %v and leaves floor %d", v, w.Floor())
	}
	if v := w.Add(2, &p); v != Seen {
		t.Fatalf("message 2 came a second time and is %v", v)
	}
	if len(p.free) != 1 {
		t.Fatalf("the gap is closed, so the pool should have the bitmap back, but holds %d", len(p.free))
	}
}

func TestWindowGivesUpWhatIsTooFarBehind(t *testing.T) {
	var w Window
	var p Pool
	w.Add(2, &p)
	w.Add(4, &p)
	if lost := w.MakeRoom(Width+3, &p); lost != 2 || w.Floor() != 4 {
		t.Fatalf("room for %d needs floor 3, which gives up 1 and 3 and swallows 4; instead %d lost and floor %d", Width+3, lost, w.Floor())
	}
	if lost := w.Advance(2, &p); lost != 0 || w.Floor() != 4 {
		t.Fatalf("a floor never sinks, but Advance(2) gave up %d and left it at %d", lost, w.Floor())
	}
	if lost := w.Advance(lastCounter, &p); lost != lastCounter-4 || w.Highest() != lastCounter {
		t.Fatalf("advancing from 4 to the last counter gives up %d, not %d", uint32(lastCounter-4), lost)
	}
	if v := w.Check(lastCounter); v != Seen || w.MakeRoom(lastCounter, &p) != 0 {
		t.Fatalf("nothing comes after the last counter, and it is given up, but Check says %v", v)
	}
}

func TestPoolKeepsFewBitmapsAndCleanOnes(t *testing.T) {
	var p Pool
	windows := make([]Window, 2*mostFree)
	for i := range windows {
		windows[i].Add(900, &p)
	}
	for i := range windows {
		windows[i].Release(&p)
	}
	if len(p.free) != mostFree {
		t.Fatalf("%d bitmaps came back, and the pool should hold %d, not %d", len(windows), mostFree, len(p.free))
	}
	for len(p.free) > 0 {
		if b := p.get(); *b != (bitmap{}) {
			t.Fatalf("a bitmap of the pool should be clear but has %v", *b)
		}
	}
}

func TestWindowAllocatesNothingOnceWarm(t *testing.T) {
	var w Window
	var p Pool
	var runs []wire.Run
	theirs := []wire.Run{{First: 40, Last: 50}, {First: 60, Last: 90}}
	round := func() {
		f := w.Floor()
		w.Add(f+2, &p)
		w.Add(f+5, &p)
		runs = w.AppendRuns(runs[:0], 0, 10)
		runs = w.AppendMissing(runs[:0], f+10, theirs, 10)
		w.Add(f+1, &p)
		w.Advance(f+5, &p)
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Fatalf("a warm window allocates %v times each round", n)
	}
}

func BenchmarkWindowAddInOrder(b *testing.B) {
	var w Window
	var p Pool
	for b.Loop() {
		w.Add(w.Floor()+1, &p)
	}
}

func BenchmarkWindowAddSwapped(b *testing.B) {
	var w Window
	var p Pool
	for b.Loop() {
		f := w.Floor()
		w.Add(f+2, &p)
		w.Add(f+1, &p)
	}
}

func BenchmarkWindowAppendMissing(b *testing.B) {
	var w Window
	var p Pool
	for c := uint32(2); c <= Width; c += 20 {
		w.Add(c, &p)
	}
	var runs []wire.Run
	for b.Loop() {
		runs = w.AppendMissing(runs[:0], Width, nil, 100)
	}
}
