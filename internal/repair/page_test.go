package repair

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// Pages go once through all origins, those touched last first, however little a page holds.
func TestPagesGoOnceAround(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 52))
		n := roomy()
		room := minRecord + r.IntN(400)
		for origin := range uint64(10 * (room / recordFixed)) {
			n.hear(origin+1, run(1+r.Uint32N(3), 4+r.Uint32N(30)))
		}
		for range 50 {
			n.origins.Touch(n.origins.Get(1+r.Uint64N(uint64(n.origins.Len()))), old)
		}
		pages, after, want := 0, uint64(0), n.origins.Newest()
		for {
			page, last := n.desk.Page(old, after, room)
			pages++
			for _, x := range read(carry(t, page, room)) {
				if want == nil || x.origin != want.ID || x.floor != want.Seen.Floor() {
					t.Fatalf("seed %d: page %d names %v in place of %+v", seed, pages, x, want)
				}
				want = want.Older()
			}
			if last == 0 {
				break
			}
			if page.Len() == 0 {
				t.Fatalf("seed %d: page %d is empty and not the last", seed, pages)
			}
			after = last
		}
		if want != nil || pages < 9 {
			t.Fatalf("seed %d: %d pages should name all %d origins", seed, pages, n.origins.Len())
		}
	}
	if page, last := roomy().desk.Page(old, 7, 100); last != 0 || page.Len() != 0 {
		t.Fatalf("the page of an empty table should be empty, and the last, but names %d and ends with %d", page.Len(), last)
	}
}

// A page does not look for what it can name beyond its bound, and the next one goes on there.
func TestPageLooksAtFewOrigins(t *testing.T) {
	n := roomy().hear(1, run(1, 1))
	for origin := range uint64(3 * mostVisited) {
		n.knew(origin + 2) // of which nothing was seen
	}
	after, pages := uint64(0), 1
	for ; pages < 10; pages++ {
		page, last := n.desk.Page(old, after, pageRoom)
		if after = last; last == 0 {
			if page.Len() != 1 {
				t.Fatalf("the last page names %d origins, not the one that sent something", page.Len())
			}
			break
		}
	}
	if pages != 4 {
		t.Errorf("%d origins, of which one is to be named, take %d pages that look at %d each", n.origins.Len(), pages, mostVisited)
	}
}

func TestPageHidesTheYoungAndNothingElse(t *testing.T) {
	const age = Epoch
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
			desk.Page(now, 0, 10000)
			young := o.YoungFrom(now, age)
			x := read(desk.digest)[0]
			for c := range o.Seen.Highest() + 3 {
				want := o.Seen.Has(c) && (young == 0 || c < young)
				got := c <= x.floor || slices.ContainsFunc(x.runs, func(r wire.Run) bool { return r.First <= c && c <= r.Last })
				if got != want {
					t.Fatalf("seed %d: at %v with floor %d and young from %d the page should cover %d: %v, but it says %v", seed, now, o.Seen.Floor(), young, c, want, x)
				}
			}
		}
	}
}
