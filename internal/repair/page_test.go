package repair

import (
	"math/rand/v2"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

func TestPagesGoOnceAround(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 52))
		table := versions.NewTable(1000)
		room := wire.MinRecord + r.IntN(400)
		n := 10 * (room / recordFixed)
		for table.Len() < n {
			id := 1 + r.Uint64()>>r.IntN(55)
			if r.IntN(50) == 0 {
				id = lastOrigin - r.Uint64N(2)
			}
			o, _, _ := table.Add(id, 0, 0, time.Hour)
			for range r.IntN(6) {
				o.Seen.Add(1+r.Uint32N(30), table.Pool())
			}
		}
		desk := NewReconciler(datalog.New(0), table)
		met, pages := 0, 0
		for first := uint64(0); ; pages++ {
			last := desk.page(first, room, 0, 0)
			d := desk.digest
			if len(d.Bytes()) > room || last < first {
				t.Fatalf("seed %d: the page from %d has %d of %d bytes and goes to %d", seed, first, len(d.Bytes()), room, last)
			}
			parsed, _, ok := wire.ParseDigest(d.Bytes(), d.Len(), first, last)
			if !ok || d.Len() == 0 {
				t.Fatalf("seed %d: the page from %d to %d with %d records should be good", seed, first, last, d.Len())
			}
			for _, x := range read(parsed) {
				o := table.At(met)
				if met++; x.origin != o.ID || x.floor != o.Seen.Floor() {
					t.Fatalf("seed %d: origin %d of the table is %d at %d, but the page says %v", seed, met-1, o.ID, o.Seen.Floor(), x)
				}
			}
			if last == lastOrigin {
				break
			}
			if met == n {
				t.Fatalf("seed %d: all %d origins were met, but the pages only go to %d", seed, n, last)
			}
			first = last + 1
		}
		if met != n || pages < 9 {
			t.Fatalf("seed %d: %d pages should meet all %d origins, but met %d", seed, pages+1, n, met)
		}
	}
	desk := NewReconciler(datalog.New(0), versions.NewTable(1))
	if last := desk.page(7, 100, 0, 0); last != lastOrigin || desk.digest.Len() != 0 {
		t.Fatalf("the page of an empty table should be empty and go to the end, but goes to %d with %d", last, desk.digest.Len())
	}
}

func TestPageHidesTheYoungAndNothingElse(t *testing.T) {
	const age = 100 * time.Millisecond
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 53))
		table := versions.NewTable(1)
		o, _, _ := table.Add(7, 0, 0, time.Hour)
		o.Seen.Advance(r.Uint32N(20), table.Pool())
		desk := NewReconciler(datalog.New(0), table)
		now := time.Duration(0)
		for range 40 {
			now += time.Duration(r.IntN(int(age) / 4))
			if c := o.Seen.Floor() + 1 + r.Uint32N(30); o.Seen.Add(c, table.Pool()) == versions.New {
				o.MarkYoung(c, now, age)
			}
			desk.page(1, 10000, now, age)
			young := o.YoungFrom(now, age)
			x := read(desk.digest)[0]
			for c := range o.Seen.Highest() + 3 {
				want := o.Seen.Has(c) && (young == 0 || c < young)
				if got := wire.Covers(x.floor, x.runs, c); got != want {
					t.Fatalf("seed %d: at %v with floor %d and young from %d the page should cover %d: %v, but it says %v", seed, now, o.Seen.Floor(), young, c, want, x)
				}
			}
		}
	}
}
