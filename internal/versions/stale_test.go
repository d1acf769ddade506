package versions

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// stale lists the IDs and ends of what StaleGaps yields.
func stale(table *Table, now, patience time.Duration) (all []uint64) {
	for o, end := range table.StaleGaps(now, patience) {
		all = append(all, o.ID, uint64(end))
	}
	return all
}

func TestStaleGapsCountTheTimeOfEachGap(t *testing.T) {
	const patience = 10 * time.Second
	table := NewTable(10)
	p := table.Pool()
	o, _, _ := table.Add(7, 0, 0, anHour)
	ask := func(at int, why string, want ...uint64) {
		t.Helper()
		if got := stale(table, time.Duration(at)*time.Second, patience); !slices.Equal(got, want) {
			t.Fatalf("at %ds origins and ends %v should be stale, not %v: %s", at, want, got, why)
		}
	}
	o.Seen.Add(1, p)
	ask(0, "there is no gap")
	o.Seen.Add(3, p)
	o.Seen.Add(5, p)
	ask(51, "the gaps have just opened")
	ask(60, "patience lasts until 61s")
	o.Seen.Add(8, p)
	ask(61, "2 and 4 are missing for 10s", 7, 5)
	o.Seen.Add(2, p)
	ask(62, "2 came, and 4 is missing as before", 7, 5)
	o.Seen.Advance(4, p)
	ask(63, "4 was given up, 6 and 7 are missing since 61s")
	o.Seen.Add(10, p)
	ask(71, "6 and 7 are missing for 10s, and 9 is not", 7, 8)
	ask(81, "9 is, too", 7, 10)
	o.Seen.Reset(o.Seen.Floor(), p)
	ask(101, "with what was seen above 5 forgotten there is no gap")
	o.Seen.Add(10, p)
	ask(102, "the gap is new, though at the same floor")
	ask(112, "it is 10s old", 7, 10)
	table.Remove(7)
	ask(113, "the origin is gone")
}

func TestStaleGapsAscendByOrigin(t *testing.T) {
	table := NewTable(100)
	for _, id := range []uint64{50, 10, 40, 20, 30} {
		o, _, _ := table.Add(id, 0, 0, anHour)
		o.Seen.Add(uint32(id), table.Pool())
	}
	table.Get(40).Seen.Advance(40, table.Pool())
	if got := stale(table, 0, 0); !slices.Equal(got, []uint64{10, 10, 20, 20, 30, 30, 50, 50}) {
		t.Fatalf("the origins with a gap, ascending, are 10, 20, 30 and 50, each up to its number, not %v", got)
	}
	calls := 0
	for o, end := range table.StaleGaps(0, 0) {
		o.Seen.Advance(end, table.Pool()) // as the caller may
		if calls++; calls == 3 {
			break
		}
	}
	if got := stale(table, 0, 0); !slices.Equal(got, []uint64{50, 50}) {
		t.Fatalf("three gaps were given up, so 50 should be left, but left are %v", got)
	}
}

// missingSince remembers when each number was first missing.
type missingSince map[uint32]time.Duration

// look brings it up to date.
func (m missingSince) look(o *Origin, now time.Duration) {
	for c := range m {
		if o.Seen.Has(c) {
			delete(m, c)
		}
	}
	for c := o.Seen.Floor() + 1; c <= o.Seen.Highest(); c++ {
		if _, known := m[c]; !known && !o.Seen.Has(c) {
			m[c] = now
		}
	}
}

// However many gaps are open, and however they close, each is given up when its time has
// come. A caller that calls less than 16 times within patience gives it up at most two
// intervals late, and any other a seventh of patience later.
func TestStaleGapsGiveUpEachGapInTime(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 5))
		tick := time.Second
		patience := time.Duration(1+r.IntN(14)) * tick
		late := 2 * tick
		if seed%3 == 0 {
			patience = time.Duration(20+r.IntN(200)) * tick
			late += patience / 7
		}
		table := NewTable(10)
		o, _, _ := table.Add(7, 0, 0, anHour)
		missing, now, gaveUp := missingSince{}, time.Duration(0), 0
		for range 8 * patience / tick {
			for range r.IntN(4) { // within a tick gaps open and close
				now += tick / 4
				o.Seen.MakeRoom(o.Seen.Highest()+3, table.Pool())
				o.Seen.Add(o.Seen.Highest()+1+r.Uint32N(3), table.Pool())
				if r.IntN(3) == 0 {
					o.Seen.Add(o.Seen.Floor()+1+r.Uint32N(o.Seen.Highest()-o.Seen.Floor()+1), table.Pool())
				}
				missing.look(o, now)
			}
			now = (now/tick + 1) * tick
			for o, end := range table.StaleGaps(now, patience) {
				for c, since := range missing {
					if c > end {
						continue
					}
					if gaveUp++; now-since < patience {
						t.Fatalf("seed %d: %d is given up after %v of %v", seed, c, now-since, patience)
					}
				}
				o.Seen.Advance(end, table.Pool())
			}
			missing.look(o, now)
			for c, since := range missing {
				if now-since > patience+late {
					t.Fatalf("seed %d: %d is missing for %v, with a patience of %v, and not given up", seed, c, now-since, patience)
				}
			}
			if g := o.Seen.gap; g != nil && len(g.marks) > mostMarks {
				t.Fatalf("seed %d: there are %d marks", seed, len(g.marks))
			}
		}
		if gaveUp == 0 {
			t.Fatalf("seed %d: nothing was given up", seed)
		}
	}
}

// Gaps that close soon, and messages without a gap, do not make the time of others less exact,
// however long patience is.
func TestStaleGapsAreExactWhileFewLast(t *testing.T) {
	const tick, patience = time.Second, 200 * time.Second
	table := NewTable(10)
	o, _, _ := table.Add(7, 0, 0, anHour)
	p, opened, due := table.Pool(), map[uint32]time.Duration{}, []time.Duration{0, 50, 51, 53, 120}
	for now := time.Duration(0); now < 400*tick; now += tick {
		if slices.Contains(due, now/tick) {
			opened[o.Seen.Highest()+1] = now
			o.Seen.Add(o.Seen.Highest()+2, p)
		}
		late := o.Seen.Highest() + 1 // comes behind the next one, after a look
		o.Seen.Add(late+1, p)
		for o, end := range table.StaleGaps(now, patience) {
			o.Seen.Advance(end, p)
		}
		o.Seen.Add(late, p)
		o.Seen.Add(late+2, p)
		for c, since := range opened {
			if gone := o.Seen.Has(c); gone != (now-since >= patience) {
				t.Fatalf("at %v message %d, missing since %v, is given up: %v", now, c, since, gone)
			}
		}
	}
	if len(opened) != len(due) {
		t.Fatalf("%d gaps should have opened, not %d", len(due), len(opened))
	}
}

// BenchmarkStaleGaps looks for stale gaps in a full table.
func BenchmarkStaleGaps(b *testing.B) {
	for name, gaps := range map[string]uint64{"none": 0, "10": 10, "all": 8192} {
		b.Run(name, func(b *testing.B) {
			table := NewTable(8192)
			for id := range uint64(8192) {
				o, _, _ := table.Add(id+1, 0, 0, anHour)
				if id < gaps {
					o.Seen.Add(2, table.Pool())
				}
			}
			for b.Loop() {
				for range table.StaleGaps(0, time.Second) {
				}
			}
		})
	}
}
