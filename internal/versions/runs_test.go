package versions

import (
	"math/rand/v2"
	"testing"

	"example.com/gossip/internal/wire"
)

func TestWindowIgnoresMalformedRuns(t *testing.T) {
	odd := []uint32{0, 1, 99, 100, 101, 500, 1124, 1125, lastCounter - 1, lastCounter}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		w, p := &NewOrigin(1).Seen, Pool{budget: r.IntN(2) * Width / 8}
		w.Reset([]uint32{0, 100, lastCounter - 10, lastCounter}[r.IntN(4)], &p)
		for range 10 {
			w.Add(w.Floor()+r.Uint32N(Width), &p)
		}
		theirs := make([]wire.Run, r.IntN(8))
		for i := range theirs {
			theirs[i] = wire.Run{First: odd[r.IntN(len(odd))] + r.Uint32N(30), Last: odd[r.IntN(len(odd))]}
		}
		theirFloor, limit := odd[r.IntN(len(odd))], r.IntN(20)

		got := w.AppendMissing([]wire.Run{{First: 7, Last: 7}}, theirFloor, theirs, limit, &p)
		if got[0] != (wire.Run{First: 7, Last: 7}) || len(got)-1 > limit {
			t.Fatalf("seed %d: AppendMissing should append at most %d runs, but made %v of the one there was", seed, limit, got)
		}
		before := w.Floor()
		for _, run := range got[1:] {
			if run.First <= before || run.Last < run.First || uint64(run.Last) > uint64(w.Floor())+uint64(w.reach(&p)) {
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

// worstRuns are what a digest may say of a window of the full width in which every other
// counter was seen.
func worstRuns() (w *Window, p *Pool, cases map[string][]wire.Run) {
	w, p = &NewOrigin(1).Seen, &Pool{budget: bytesOf(Width)}
	for c := uint32(2); c <= Width; c += 2 {
		w.Add(c, p)
	}
	var single, pairs, wide []wire.Run
	for i := range uint32(wire.MaxRuns) {
		single = append(single, wire.Run{First: 32*i + 2, Last: 32*i + 2}) // all of them seen
		pairs = append(pairs, wire.Run{First: 32*i + 1, Last: 32*i + 4})   // every other missing
		wide = append(wide, wire.Run{First: i + 1, Last: Width})           // overlapping
	}
	return w, p, map[string][]wire.Run{"one run": {{First: 1, Last: Width}}, "seen": single, "pairs": pairs, "overlapping": wide}
}

// Whatever a digest says, the words visited are bounded by the width, the runs of the digest
// and those of the answer.
func TestWindowAppendMissingStopsAtItsLimit(t *testing.T) {
	w, p, cases := worstRuns()
	for name, theirs := range cases {
		want := min(wire.MaxRuns, map[string]int{"one run": Width / 2, "seen": 0, "pairs": 2 * len(theirs), "overlapping": Width / 2}[name])
		if got := w.AppendMissing(nil, 0, theirs, wire.MaxRuns, p); len(got) != want {
			t.Errorf("of %d runs, %s, %d are missing, not %d", len(theirs), name, want, len(got))
		}
	}
}

func BenchmarkWindowAppendMissing(b *testing.B) {
	w, p, cases := worstRuns()
	for name, theirs := range cases {
		b.Run(name, func(b *testing.B) {
			var runs []wire.Run
			for b.Loop() {
				runs = w.AppendMissing(runs[:0], 0, theirs, wire.MaxRuns, p)
			}
		})
	}
	b.Run("nothing to add", func(b *testing.B) {
		full, runs := &NewOrigin(2).Seen, []wire.Run(nil)
		for c := uint32(2); c <= Width; c++ {
			full.Add(c, &Pool{budget: bytesOf(Width)})
		}
		for b.Loop() {
			runs = full.AppendMissing(runs[:0], 0, []wire.Run{{First: 2, Last: Width}}, wire.MaxRuns, p)
		}
	})
}
