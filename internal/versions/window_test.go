package versions

import (
	"testing"

	"example.com/gossip/internal/wire"
)

func TestWindowsAgreeWithPlainSets(t *testing.T) {
	bases := []uint64{0, 1, 1000, 1 << 20, 1<<31 - 500, lastCounter - 12000, lastCounter - 3000, lastCounter - 1100, lastCounter - 70, lastCounter}
	budgets := []int{0, 255, 256, 1024, 1500, 1 << 20}
	for seed := range uint64(60) {
		base := bases[seed%uint64(len(bases))]
		w := newWindows(t, seed, base, budgets[seed/10%6])
		spread := []uint64{4, 80, 1100, 5000, 10000}[w.r.IntN(5)] // tight ones swallow much, wide ones keep gaps
		for w.step = range 400 {
			i := w.r.IntN(len(w.windows))
			w.act(w.windows[i], w.models[i], base, spread)
			w.compare(w.windows[i], w.models[i])
			w.checkPool()
		}
	}
}

func TestWindowOfMessagesInOrderNeedsNoGap(t *testing.T) {
	var w Window
	var p Pool
	for c := uint32(1); c <= 5000; c++ {
		if v := w.Add(c, &p); v != New || w.gap != nil {
			t.Fatalf("message %d came in order: it should be New and need no memory, but is %v with %v", c, v, w.gap)
		}
	}
	if w.Floor() != 5000 || !w.Has(0) || w.Add(17, &p) != Seen {
		t.Fatalf("all 5000 messages should be seen, 0 and 17 among them, with floor %d", w.Floor())
	}
}

func TestWindowTakesALateMessageOnce(t *testing.T) {
	for _, width := range []uint32{NarrowWidth, Width} {
		w, p := &NewOrigin(1).Seen, Pool{budget: bytesOf(width)}
		w.Add(1, &p)
		for c := uint32(3); c <= width+1; c++ { // 2 is late, and all the window allows comes before it
			if v := w.Add(c, &p); v != New {
				t.Fatalf("message %d fits the window above floor 1, but is %v", c, v)
			}
		}
		if v := w.Add(width+2, &p); v != Ahead || w.Has(width+2) || w.Highest() != width+1 {
			t.Fatalf("message %d is Ahead of the window and leaves no trace, but is %v, highest %d", width+2, v, w.Highest())
		}
		if v := w.Add(2, &p); v != New || w.Floor() != width+1 || w.Gap() {
			t.Fatalf("message 2 should be New and close the gap, but is %v and leaves floor %d", v, w.Floor())
		}
		if v := w.Add(2, &p); v != Seen {
			t.Fatalf("message 2 came a second time and is %v", v)
		}
		if p.out != 0 || len(p.free) != 1 {
			t.Fatalf("the gap is closed, but %d bytes of a wide window are in use and %d gaps free", p.out, len(p.free))
		}
	}
}

// bytesOf returns how many bytes of the pool a window of that width takes.
func bytesOf(width uint32) int { return int(bytes(uint64(width))) }

func TestWindowGivesUpWhatIsTooFarBehind(t *testing.T) {
	for _, width := range []uint32{NarrowWidth, Width} {
		w, p := &NewOrigin(1).Seen, Pool{budget: bytesOf(width)}
		w.Add(2, &p)
		w.Add(4, &p)
		if lost := w.MakeRoom(width+3, &p); lost != 2 || w.Floor() != 4 {
			t.Fatalf("room for %d needs floor 3, which gives up 1 and 3 and swallows 4; instead %d lost and floor %d", width+3, lost, w.Floor())
		}
		if lost := w.Advance(2, &p); lost != 0 || w.Floor() != 4 {
			t.Fatalf("a floor never sinks, but Advance(2) gave up %d and left it at %d", lost, w.Floor())
		}
		if lost := w.Advance(lastCounter, &p); lost != lastCounter-4 || w.Highest() != lastCounter {
			t.Fatalf("advancing from 4 to the last counter gives up %d, not %d", uint32(lastCounter-4), lost)
		}
		if v := w.Add(0, &p); v != Seen || w.Floor() != lastCounter {
			t.Fatalf("no counter follows the last, but 0 is %v and leaves floor %d", v, w.Floor())
		}
		if v := w.Check(lastCounter, &p); v != Seen || w.MakeRoom(lastCounter, &p) != 0 {
			t.Fatalf("nothing comes after the last counter, and it is given up, but Check says %v", v)
		}
	}
}

// The numbers of Direct messages to one node have gaps that are never filled.
func TestWindowWithoutOwnerStaysNarrow(t *testing.T) {
	var w Window
	p := Pool{budget: 1 << 20}
	w.Add(2, &p)
	if v := w.Add(NarrowWidth+1, &p); v != Ahead || w.FloorFor(NarrowWidth+1, &p) != 1 {
		t.Fatalf("message %d is Ahead of a narrow window, but is %v", NarrowWidth+1, v)
	}
	o := NewOrigin(1)
	if o.Seen.Check(Width, &p) != New || o.Direct.Check(NarrowWidth+1, &p) != Ahead {
		t.Fatalf("of an origin Seen should widen and Direct not")
	}
}

// Two windows share room for one wide one.
func TestWindowsWidenAsFarAsThePoolHasRoom(t *testing.T) {
	p := Pool{budget: bytesOf(Width)}
	a, b := &NewOrigin(1).Seen, &NewOrigin(2).Seen
	for c := uint32(2); c <= Width; c++ {
		a.Add(c, &p)
	}
	if b.Add(NarrowWidth, &p) != New || b.Check(NarrowWidth+1, &p) != Ahead {
		t.Fatalf("the second window should be narrow, but counter %d is %v", NarrowWidth+1, b.Check(NarrowWidth+1, &p))
	}
	if floor := b.FloorFor(5000, &p); floor != 5000-NarrowWidth {
		t.Fatalf("a window that stays narrow has room for 5000 above %d, not %d", 5000-NarrowWidth, floor)
	}
	a.Advance(Width/2, &p) // the run above it closes the gap
	if b.Check(Width, &p) != New || b.Check(Width+1, &p) != Ahead || b.FloorFor(Width+5, &p) != 5 {
		t.Fatalf("the gap of the first window is closed, so the second should widen to %d", Width)
	}
}

// A gap of the full width is filled from below, as repair does.
func TestWindowNarrowsWithItsGap(t *testing.T) {
	w, p := &NewOrigin(1).Seen, Pool{budget: 1 << 20}
	w.Add(Width, &p)
	for c := uint32(1); c < Width; c++ {
		missing := Width - w.Floor()
		if width := uint32(len(w.gap.words)) * wordBits; width < missing || width > max(NarrowWidth, 4*missing) {
			t.Fatalf("with a gap of %d the window is %d wide", missing, width)
		}
		w.Add(c, &p)
	}
	if w.Gap() || p.out != 0 {
		t.Fatalf("all is seen, but %d bytes are in use", p.out)
	}
}

func TestWindowAllocatesNothingOnceWarm(t *testing.T) {
	w, p := &NewOrigin(1).Seen, Pool{}
	var runs []wire.Run
	theirs := []wire.Run{{First: 40, Last: 50}, {First: 60, Last: 90}}
	round := func() {
		f := w.Floor()
		w.Add(f+2, &p)
		w.Add(f+5, &p)
		w.Add(f+NarrowWidth, &p)
		w.MakeRoom(f+NarrowWidth+1, &p)
		runs = w.AppendRuns(runs[:0], 0, 10)
		runs = w.AppendMissing(runs[:0], f+10, theirs, 10, &p)
		w.Advance(f+NarrowWidth-200, &p)
		w.Advance(f+NarrowWidth+1, &p)
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Fatalf("a warm narrow window allocates %v times each round", n)
	}
}

func BenchmarkWindowAddInOrder(b *testing.B) {
	w, p := new(Window), new(Pool)
	for b.Loop() {
		w.Add(w.Floor()+1, p)
	}
}

func BenchmarkWindowCheckInOrder(b *testing.B) {
	w, p := new(Window), new(Pool)
	w.Reset(1000, p)
	for b.Loop() {
		w.Check(1001, p)
	}
}

func BenchmarkWindowHas(b *testing.B) {
	w, p := new(Window), new(Pool)
	w.Reset(1000, p)
	for b.Loop() {
		w.Has(1000)
	}
}

func BenchmarkWindowAddSwapped(b *testing.B) {
	w, p := &NewOrigin(1).Seen, new(Pool)
	for b.Loop() {
		f := w.Floor()
		w.Add(f+2, p)
		w.Add(f+1, p)
	}
}

// BenchmarkWindowFillsAWideGap is per message of a gap that opens to the full width and is filled.
func BenchmarkWindowFillsAWideGap(b *testing.B) {
	w, p := &NewOrigin(1).Seen, Pool{budget: bytesOf(Width)}
	for b.Loop() {
		if !w.Gap() {
			for d := uint32(2); d <= Width; d *= 2 {
				w.Add(w.Floor()+d, &p)
			}
		}
		w.Add(w.Floor()+1, &p)
	}
}
