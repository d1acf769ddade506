package repair

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/wire"
)

// offered is what a desk makes of news.
func offered(t *testing.T, d *Reconciler, n *News, room int) []record {
	t.Helper()
	return read(carry(t, d.Offer(n, room), room))
}

func TestOfferPutsNewsInOrder(t *testing.T) {
	var n News
	if len(n.items) > 0 {
		t.Fatalf("fresh news should be none")
	}
	for _, m := range []message{{7, 5}, {3, 9}, {7, 4}, {3, 2}, {7, 8}, {7, 5}, {lastOrigin, lastCounter}, {3, 3}, {lastOrigin, lastCounter}, {7, 6}} {
		if n.Add(m.origin, m.counter); len(n.items) == 0 {
			t.Fatalf("%v was added, but there is no news", m)
		}
	}
	got := offered(t, roomy().desk, &n, anyRoom)
	want := []record{
		{3, 1, []wire.Run{run(2, 3), run(9, 9)}},
		{7, 3, []wire.Run{run(4, 6), run(8, 8)}},
		{lastOrigin, lastCounter - 1, []wire.Run{run(lastCounter, lastCounter)}},
	}
	if !slices.EqualFunc(got, want, record.equal) {
		t.Fatalf("news of three origins, some of it twice, should be offered in order, %v, not %v", want, got)
	}
	if again := offered(t, roomy().desk, &n, anyRoom); len(n.items) > 0 || len(again) != 0 {
		t.Fatalf("what was offered is news no more, but %v is offered again", again)
	}
}

func TestNewsClearedIsNotOffered(t *testing.T) {
	var n News
	n.Add(1, 1)
	n.Clear()
	if got := offered(t, roomy().desk, &n, anyRoom); len(n.items) > 0 || len(got) != 0 {
		t.Fatalf("the news was cleared, but %v is offered", got)
	}
}

func TestNewsForgetsTheOldest(t *testing.T) {
	const most = 256
	var n News
	for c := range uint32(1000) {
		n.Add(5, 1000-c) // they come the wrong way round, so the oldest is the highest
		if len(n.items) > most {
			t.Fatalf("of %d messages %d are on the list, which should hold %d", c+1, len(n.items), most)
		}
	}
	got := offered(t, roomy().desk, &n, anyRoom)
	if want := []record{{5, 0, []wire.Run{run(1, most)}}}; !slices.EqualFunc(got, want, record.equal) {
		t.Fatalf("of messages 1000 to 1, in this order, the last %d should be offered, %v, not %v", most, want, got)
	}
	if cap(n.items) > 2*most {
		t.Fatalf("a list of %d took memory for %d", most, cap(n.items))
	}
}

// What does not fit is left to the pages: the list is empty afterwards.
func TestOfferKeepsToItsRoom(t *testing.T) {
	const each = recordFixed + 2*runSize
	for room := range 6 * each {
		var n News
		for _, origin := range []uint64{4, 2, 5, 1, 3} {
			n.Add(origin, 7)
			n.Add(origin, 9)
		}
		got := messages(offered(t, roomy().desk, &n, room))
		want := []message{{1, 7}, {1, 9}, {2, 7}, {2, 9}, {3, 7}, {3, 9}, {4, 7}, {4, 9}, {5, 7}, {5, 9}}
		fit := min(room/each, 5) * 2
		if fit < 10 && room%each >= minRecord {
			fit++
		}
		if !slices.Equal(got, want[:fit]) || len(n.items) > 0 {
			t.Fatalf("in %d bytes %v should be offered and the rest forgotten, but offered are %v, and is the list empty? %v", room, want[:fit], got, len(n.items) == 0)
		}
	}
}

func TestOfferAgainstASimpleMind(t *testing.T) {
	d := roomy().desk // one for all, so that nothing is left over from one to the next
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 30))
		var n News
		var all []message
		base := r.Uint32N(lastCounter - 1000)
		for range r.IntN(2 * mostNews) {
			m := message{1 + r.Uint64N(4), base + 1 + r.Uint32N(400)}
			n.Add(m.origin, m.counter)
			all = append(all, m)
		}
		all = slices.Clone(all[max(0, len(all)-mostNews):])
		slices.SortFunc(all, func(a, b message) int {
			return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.counter, b.counter))
		})
		all = slices.Compact(all)

		got := offered(t, d, &n, anyRoom)
		if !slices.Equal(messages(got), all) {
			t.Fatalf("seed %d: news are %v, but offered is %v", seed, all, got)
		}
		for _, x := range got {
			for i, run := range x.runs {
				if i == 0 && run.First != x.floor+1 || i > 0 && run.First <= x.runs[i-1].Last+1 {
					t.Fatalf("seed %d: the runs of origin %d should begin at the floor %d and stand apart, but are %v", seed, x.origin, x.floor, x.runs)
				}
			}
		}
	}
}

// A record holds 255 runs, a list 256 messages: of a list full of gaps the last
// message is left to the pages. So is all that is too far above the rest to be said.
func TestOfferSaysWhatARecordCan(t *testing.T) {
	var n News
	for c := range uint32(mostNews) {
		n.Add(5, 1+2*c)
	}
	got := messages(offered(t, roomy().desk, &n, anyRoom))
	if len(got) != mostRuns || got[mostRuns-1] != (message{5, 2*mostRuns - 1}) || len(n.items) > 0 {
		t.Fatalf("%d messages of which none follow one another should be offered to the %dth, but %d are: %v", mostNews, mostRuns, len(got), got)
	}
	n.Add(5, 1)
	n.Add(5, 0x10002)
	n.Add(6, 1)
	n.Add(6, 0x10001)
	got = messages(offered(t, roomy().desk, &n, anyRoom))
	if want := []message{{5, 1}, {6, 1}, {6, 0x10001}}; !slices.Equal(got, want) {
		t.Fatalf("a gap of 65536 cannot be said, and one of 65535 can, so %v should be offered, not %v", want, got)
	}
}

// An offer is understood by those for whom it is made: who lacks it asks for just
// that, and is given it.
func TestOfferIsTakenUp(t *testing.T) {
	a, b := roomy(), roomy().hear(5, run(1, 2))
	var n News
	for _, m := range []message{{5, 1}, {5, 2}, {5, 3}, {5, 5}, {9, 1}} {
		a.take(0, m, false)
		n.Add(m.origin, m.counter)
	}
	wanted := b.desk.Want(0, carry(t, a.desk.Offer(&n, 485), 485), 485)
	to := bottomless()
	a.desk.Serve(carry(t, wanted, 485), to)
	if want := []message{{5, 3}, {5, 5}, {9, 1}}; !slices.Equal(to.got, want) {
		t.Fatalf("of five messages offered three are lacking, %v, however young they are, but %v are given", want, to.got)
	}
}
