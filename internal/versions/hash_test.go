package versions

import (
	"math/rand/v2"
	"testing"
	"time"
)

// hashOf works the hash of a table out anew, from every counter seen.
func hashOf(table *Table) (h uint64) {
	for o := table.Newest(); o != nil; o = o.Older() {
		a := mix(o.ID)
		for c := uint64(1); c <= uint64(o.Seen.Highest()); c++ {
			if o.Seen.Has(uint32(c)) {
				h += a*c + mix(a)*c*c
			}
		}
	}
	return h
}

// Whatever happens to the windows of a table, its hash is that of what was seen.
func TestHashIsOfWhatWasSeen(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 70))
		table, now := NewTable(4), time.Duration(0)
		for step := range 400 {
			now += time.Duration(r.IntN(2)) * time.Hour
			o, _, ok := table.Add(1+r.Uint64N(8), r.Uint64N(3), now, anHour)
			if !ok {
				continue
			}
			top := o.Seen.Highest() + uint32(r.IntN(100*(1+99*r.IntN(2))))
			switch r.IntN(6) {
			case 0:
				o.Seen.Advance(o.Seen.Floor()+uint32(r.IntN(300)), table.Pool())
			case 1:
				table.Remove(o.ID)
			case 2:
				o.Direct.Add(1+r.Uint32N(9), table.Pool())
			default:
				o.Seen.MakeRoom(top, table.Pool())
				o.Seen.Add(top, table.Pool())
				o.Seen.Add(o.Seen.Floor()+1+r.Uint32N(5), table.Pool())
			}
			if got, want := table.Hash(), hashOf(table); got != want {
				t.Fatalf("seed %d step %d: the hash of the table is %x, and that of what was seen %x", seed, step, got, want)
			}
		}
	}
}

// Two nodes that lack different messages, of the same number and sum, tell that they do.
func TestHashTellsApartWhatHasTheSameSum(t *testing.T) {
	a, b := NewTable(1), NewTable(1)
	for table, counters := range map[*Table][]uint32{a: {1, 4}, b: {2, 3}} {
		o, _, _ := table.Add(7, 0, 0, anHour)
		for _, c := range counters {
			o.Seen.Add(c, table.Pool())
		}
	}
	if a.Hash() == b.Hash() {
		t.Error("the hashes of 1 and 4, and of 2 and 3, are the same")
	}
}
