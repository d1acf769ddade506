package outbox

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/wire"
)

// all returns the numbers of o, in order.
func (o *owed) all() (seqs []uint32) {
	for _, r := range o.runs {
		for i := range uint32(r.More) + 1 {
			seqs = append(seqs, r.First+i)
		}
	}
	return seqs
}

// check compares o with the numbers that were added.
func (o *owed) check(t *testing.T, added map[uint32]bool, sentence string, args ...any) {
	t.Helper()
	if all := o.all(); !slices.Equal(all, slices.Sorted(maps.Keys(added))) || o.numbers != len(added) || len(o.runs) > MostAcks {
		args = append(args, len(added), len(all), len(o.runs), o.numbers)
		t.Fatalf(sentence+": %d numbers were added, and %d are owed, in %d runs, counted as %d", args...)
	}
}

func TestOwedAgreesWithAPlainSet(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var o owed
		added := map[uint32]bool{}
		width := uint32(1) << (2 + rng.IntN(16))
		next := rng.Uint32()
		if seed%4 == 0 { // about the last number that there is
			next = -width / 2
		}
		for step := range 3000 {
			seq := next
			switch rng.IntN(4) {
			case 0:
				seq = next - rng.Uint32N(width) // late, or for the second time
			case 1:
				next += rng.Uint32N(3) // some are lost
			default:
				next++
			}
			taken := o.add(seq)
			if want := taken || added[seq]; want {
				added[seq] = true
			}
			if !taken && len(o.runs) < MostAcks {
				t.Fatalf("seed %d step %d: %d is not taken, though there are only %d runs", seed, step, seq, len(o.runs))
			}
			if step%50 == 0 || !taken {
				o.check(t, added, "seed %d step %d", seed, step)
			}
			if rng.IntN(400) == 0 {
				o = o.empty()
				clear(added)
			}
		}
	}
}

func TestOwedJoinsARunAtEitherEnd(t *testing.T) {
	run := func(first uint32, more uint8) wire.AckRun { return wire.AckRun{First: first, More: more} }
	for _, c := range []struct {
		story  string
		before []wire.AckRun
		seq    uint32
		after  []wire.AckRun
	}{
		{"the first", nil, 7, []wire.AckRun{run(7, 0)}},
		{"the next", []wire.AckRun{run(7, 0)}, 8, []wire.AckRun{run(7, 1)}},
		{"the one before", []wire.AckRun{run(7, 2)}, 6, []wire.AckRun{run(6, 3)}},
		{"the one between", []wire.AckRun{run(3, 1), run(6, 1)}, 5, []wire.AckRun{run(3, 4)}},
		{"one that is owed", []wire.AckRun{run(3, 4)}, 5, []wire.AckRun{run(3, 4)}},
		{"the last of a run again", []wire.AckRun{run(3, 4)}, 7, []wire.AckRun{run(3, 4)}},
		{"one apart, before", []wire.AckRun{run(3, 1)}, 1, []wire.AckRun{run(1, 0), run(3, 1)}},
		{"one apart, after", []wire.AckRun{run(3, 1)}, 6, []wire.AckRun{run(3, 1), run(6, 0)}},
		{"the 128th of a run", []wire.AckRun{run(0, 126)}, 127, []wire.AckRun{run(0, 127)}},
		{"the one after 128", []wire.AckRun{run(0, 127)}, 128, []wire.AckRun{run(0, 127), run(128, 0)}},
		{"the one before 128", []wire.AckRun{run(5, 127)}, 4, []wire.AckRun{run(4, 0), run(5, 127)}},
		{"one between that would make 129", []wire.AckRun{run(0, 49), run(51, 77)}, 50, []wire.AckRun{run(0, 50), run(51, 77)}},
		{"one between that makes 128", []wire.AckRun{run(0, 49), run(51, 76)}, 50, []wire.AckRun{run(0, 127)}},
		{"one between a full run and another", []wire.AckRun{run(0, 127), run(129, 3)}, 128, []wire.AckRun{run(0, 127), run(128, 4)}},
		{"the last number that there is", []wire.AckRun{run(0, 0)}, 1<<32 - 1, []wire.AckRun{run(0, 0), run(1<<32-1, 0)}},
		{"number 0", []wire.AckRun{run(1<<32-1, 0)}, 0, []wire.AckRun{run(0, 0), run(1<<32-1, 0)}},
	} {
		o := owed{runs: slices.Clone(c.before)}
		o.numbers = len(o.all())
		if !o.add(c.seq) || !slices.Equal(o.runs, c.after) || o.numbers != len(o.all()) {
			t.Errorf("%s: %d added to %v should make %v, but makes %v with %d numbers", c.story, c.seq, c.before, c.after, o.runs, o.numbers)
		}
	}
}

func TestOwedHoldsMostAcksRuns(t *testing.T) {
	var o owed
	for i := range uint32(MostAcks) {
		if !o.add(3 * i) {
			t.Fatalf("run %d of %d should be taken", i+1, MostAcks)
		}
	}
	if o.add(3*MostAcks) || o.add(1<<31) || o.numbers != MostAcks {
		t.Errorf("one run more should not be taken, but there are %d numbers in %d runs", o.numbers, len(o.runs))
	}
	if !o.add(7) || !o.add(6) || !o.add(8) || len(o.runs) != MostAcks-1 || o.numbers != MostAcks+2 {
		t.Errorf("what joins a run, or is owed already, should be taken, but there are %d numbers in %d runs", o.numbers, len(o.runs))
	}
}

func TestOwedGivesOneAckNoMoreThanItHolds(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var o owed
		for seq := uint32(0); len(o.runs) < 40 && rng.IntN(100) > 0; seq += 300 {
			o.runs = append(o.runs, wire.AckRun{First: seq, More: uint8(rng.IntN(mostMore + 1))})
			o.numbers += 1 + int(o.runs[len(o.runs)-1].More)
		}
		most := rng.IntN(60) - 5
		numbers := MostAcked(rng.IntN(10000))
		runs, n := o.front(most, numbers)
		part := owed{runs: o.runs[:runs]}
		if n != len(part.all()) || n > numbers || runs > max(most, 0) {
			t.Fatalf("seed %d: of %d runs, at most %d, an Ack gets %d with %d numbers, counted as %d", seed, len(o.runs), most, runs, len(part.all()), n)
		}
		if runs < min(len(o.runs), most) && n+1+int(o.runs[runs].More) <= numbers {
			t.Fatalf("seed %d: of %d runs, at most %d, an Ack gets %d, though there is room for another", seed, len(o.runs), most, runs)
		}
	}
}

func TestOwedAllocatesNothingOnceWarm(t *testing.T) {
	var o owed
	round := func() {
		for i := range uint32(200) {
			o.add(3 * (i ^ 5))
		}
		o = o.empty()
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("200 numbers in warm memory allocate %v times", n)
	}
}

// FuzzOwed adds any numbers: two bytes each, near the last number that there is or not.
func FuzzOwed(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x03\x00\x02"), uint32(0))
	f.Add([]byte("\x00\x01\x00\x00\xff\xff\x00\x02"), uint32(1<<32-3))
	f.Fuzz(func(t *testing.T, b []byte, base uint32) {
		var o owed
		added := map[uint32]bool{}
		for ; len(b) >= 2; b = b[2:] {
			seq := base + uint32(binary.BigEndian.Uint16(b))
			if o.add(seq) {
				added[seq] = true
			} else if len(o.runs) < MostAcks {
				t.Fatalf("%d is not taken, though there are only %d runs", seq, len(o.runs))
			}
		}
		o.check(t, added, "with base %d", base)
	})
}
