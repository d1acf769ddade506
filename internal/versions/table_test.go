package versions

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const anHour = time.Hour

// newestFirst lists the origins of a table from the one touched last on.
func newestFirst(table *Table) (ids []uint64) {
	for o := table.Newest(); o != nil; o = o.Older() {
		ids = append(ids, o.ID)
	}
	return ids
}

func TestTableListsTheOriginTouchedLastFirst(t *testing.T) {
	table := NewTable(10)
	for _, id := range []uint64{50, 10, 40, 20, 30} {
		if o, evicted, ok := table.Add(id, id%2, 0, anHour); !ok || evicted.ID != 0 || o.ID != id || table.Get(id) != o {
			t.Fatalf("origin %d should be added with room to spare, but got %v, evicted %d, %v", id, o, evicted.ID, ok)
		}
	}
	table.Touch(table.Get(10), time.Second)
	table.Remove(40)
	table.Remove(41)
	if got := newestFirst(table); !slices.Equal(got, []uint64{10, 30, 20, 50}) || table.Len() != 4 || table.Get(40) != nil {
		t.Fatalf("origin 10 was touched last and 40 removed, but %d are listed as %v", table.Len(), got)
	}
}

func TestTableTakesAnOriginItKnowsAsItIs(t *testing.T) {
	table := NewTable(1)
	first, _, _ := table.Add(7, 0, 0, anHour)
	first.Seen.Add(1, table.Pool())
	again, evicted, ok := table.Add(7, 0, 2*anHour, anHour)
	if again != first || evicted.ID != 0 || !ok || again.Idle(2*anHour) != 2*anHour {
		t.Fatalf("origin 7 should be found untouched in a full table, but got %v, evicted %d, %v", again, evicted.ID, ok)
	}
}

func TestTableEvictsTheIdlestAndOnlyIfIdleEnough(t *testing.T) {
	table := NewTable(3)
	table.Keep(1)
	table.Add(1, 0, 0, anHour)
	two, _, _ := table.Add(2, 0, 1*time.Minute, anHour)
	three, _, _ := table.Add(3, 0, 2*time.Minute, anHour)
	three.Seen.Add(5, table.Pool())
	three.Direct.Add(5, table.Pool())
	table.Touch(two, 30*time.Minute)
	table.Touch(two, 3*time.Minute)
	if two.Idle(40*time.Minute) != 10*time.Minute || two.Idle(0) != 0 {
		t.Fatalf("origin 2 was touched at 30m, and late news makes nobody idler, but at 40m it is idle for %v", two.Idle(40*time.Minute))
	}

	if o, _, ok := table.Add(4, 0, 62*time.Minute-1, anHour); ok || o != nil || table.Len() != 3 {
		t.Fatalf("origin 3 is a nanosecond short of an hour idle, yet origin 4 got in as %v", o)
	}
	if _, evicted, ok := table.Add(4, 0, 62*time.Minute, anHour); !ok || evicted.ID != 3 || table.Get(3) != nil || table.Len() != 3 {
		t.Fatalf("origin 3 is the idlest beside our own and should go for 4, but %d went, %v", evicted.ID, ok)
	}
	if len(table.pool.free) != 2 {
		t.Fatalf("both gaps of origin 3 should be in the pool, but %d are", len(table.pool.free))
	}
	if _, evicted, ok := table.Add(5, 0, 90*time.Minute, anHour); !ok || evicted.ID != 2 {
		t.Fatalf("origin 2 was touched at 30m and should go at 90m, but %d went, %v", evicted.ID, ok)
	}
	if o, _, ok := table.Add(6, 0, 95*time.Minute, anHour); ok {
		t.Fatalf("only our own origin has been idle for an hour at 95m, yet %d got in", o.ID)
	}
	table.Keep(4)
	if _, evicted, ok := table.Add(6, 0, 95*time.Minute, anHour); !ok || evicted.ID != 1 {
		t.Fatalf("origin 1 is no longer our own and should go, but %d went, %v", evicted.ID, ok)
	}
}

func TestTableOfOnlyOurselvesTakesNobody(t *testing.T) {
	table := NewTable(1)
	table.Keep(9)
	table.Add(9, 0, 0, anHour)
	if o, evicted, ok := table.Add(1, 0, 100*anHour, anHour); ok || evicted.ID != 0 || table.Get(9) == nil {
		t.Fatalf("our own origin is never evicted, but %v got in and %d went", o, evicted.ID)
	}
}

func TestTableFindsRoomForOurselves(t *testing.T) {
	table := NewTable(2)
	table.Keep(9)
	table.Add(2, 0, 1*time.Minute, anHour)
	table.Add(1, 0, 2*time.Minute, anHour)
	if o, evicted, ok := table.Add(9, 0, 3*time.Minute, anHour); !ok || evicted.ID != 2 || table.Get(9) != o {
		t.Fatalf("nobody is idle for an hour, but our own origin takes the place of the idlest, 2: got in %v, and %d went", ok, evicted.ID)
	}
}

func TestTableAgreesWithAPlainMap(t *testing.T) {
	const own = 5
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		limit, idle := 1+r.IntN(12), time.Duration(1+r.IntN(60))
		table, touched, now := NewTable(limit), map[uint64]time.Duration{}, time.Duration(0)
		table.Keep(own)
		for step := range 1000 {
			now += time.Duration(r.IntN(4))
			id := 1 + r.Uint64N(20)
			switch r.IntN(8) {
			case 0:
				table.Remove(id)
				delete(touched, id)
			case 1, 2, 3:
				if o := table.Get(id); o != nil {
					table.Touch(o, now)
					touched[id] = now
				}
			default:
				_, known := touched[id]
				var victims []uint64 // all as idle as the idlest
				for v, at := range touched {
					switch {
					case v == own || id != own && now-at < idle:
					case len(victims) > 0 && at > touched[victims[0]]:
					case len(victims) > 0 && at == touched[victims[0]]:
						victims = append(victims, v)
					default:
						victims = []uint64{v}
					}
				}
				full := !known && len(touched) == limit
				_, evicted, ok := table.Add(id, 0, now, idle)
				if ok != (!full || len(victims) > 0) || (evicted.ID != 0) != (full && ok) || (evicted.ID != 0 && !slices.Contains(victims, evicted.ID)) {
					t.Fatalf("seed %d step %d: adding %d (known %v, full %v) may evict one of %v, but evicted %d, ok %v",
						seed, step, id, known, full, victims, evicted.ID, ok)
				}
				delete(touched, evicted.ID)
				if ok && !known {
					touched[id] = now
				}
			}
			if table.Len() != len(touched) || len(table.byID) != len(touched) {
				t.Fatalf("seed %d step %d: the table holds %d origins, not %d", seed, step, table.Len(), len(touched))
			}
			listed, last := 0, now
			for o := table.Newest(); o != nil; o = o.Older() {
				at, ok := touched[o.ID]
				if !ok || o.Idle(now) != now-at || at > last || table.Get(o.ID) != o {
					t.Fatalf("seed %d step %d: origin %d was touched at %v, and is idle for %v at %v behind one of %v", seed, step, o.ID, at, o.Idle(now), now, last)
				}
				listed, last = listed+1, at
			}
			if listed != len(touched) {
				t.Fatalf("seed %d step %d: %d origins are listed of %d", seed, step, listed, len(touched))
			}
		}
	}
}

func TestOriginsAllocateNothingOnceWarm(t *testing.T) {
	table := NewTable(100)
	for id := range uint64(100) {
		table.Add(id+1, 0, 0, anHour)
	}
	now, stale := time.Duration(0), 0
	round := func() {
		now += time.Second
		o := table.Get(uint64(now/time.Second)%100 + 1)
		f := o.Seen.Floor()
		o.Seen.Add(f+2, table.Pool())
		table.Touch(o, now)
		o.MarkYoung(f+2, now, time.Minute)
		o.YoungFrom(now, time.Minute)
		for range table.StaleGaps(now, 0) {
			stale++
		}
		o.Seen.Add(f+1, table.Pool())
		table.Newest().Older()
		table.Add(1000, 0, now, 100*anHour)
	}
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Fatalf("a warm table allocates %v times each round", n)
	}
	if stale < 1000 {
		t.Fatalf("each round has a stale gap, but only %d were found", stale)
	}
}

func BenchmarkTableRefusesWhenFull(b *testing.B) {
	table := NewTable(4096)
	for id := range uint64(4096) {
		table.Add(id+1, 0, anHour, anHour)
	}
	for b.Loop() {
		table.Add(1<<40, 0, anHour+time.Minute, anHour)
	}
}

func BenchmarkTableEvicts(b *testing.B) {
	table := NewTable(4096)
	for now := time.Duration(1); b.Loop(); now++ {
		table.Add(uint64(now)*0x9e3779b97f4a7c15, 0, now, 0)
	}
}

func TestTheEvictedAreNotNewAgain(t *testing.T) {
	table := NewTable(2)
	o, _, _ := table.Add(1, 0, 0, time.Hour)
	for _, c := range []uint32{1, 2, 5} {
		o.Seen.Add(c, table.Pool())
	}
	o.Direct.Add(3, table.Pool())
	for id := uint64(2); id <= 9; id++ {
		if _, _, ok := table.Add(id, 0, time.Duration(id)*time.Hour, time.Hour); !ok {
			t.Fatalf("origin %d found no room though another was idle for an hour", id)
		}
	}
	o, _, _ = table.Add(1, 0, 19*time.Hour, time.Hour)
	if o.Seen.Check(5, table.Pool()) != Seen || o.Seen.Check(3, table.Pool()) != Seen || o.Direct.Check(3, table.Pool()) != Seen {
		t.Error("what was seen of origin 1 before it was evicted counts as new")
	}
	if o.Seen.Check(6, table.Pool()) != New || o.Direct.Check(4, table.Pool()) != New {
		t.Error("what origin 1 says next should be new")
	}
	for id := uint64(20); id < 60; id++ {
		table.Add(id, 0, time.Duration(id)*time.Hour, time.Hour)
	}
	if n := len(table.tombstones); n > 8 {
		t.Errorf("a table of 2 remembers %d tombstones origins, and should 8", n)
	}
}

// What counts is remembered with it: what was history remains so, and what is missing then is
// told to who evicts it.
func TestTheEvictedCountOnWhereTheyLeft(t *testing.T) {
	table := NewTable(1)
	o, _, _ := table.Add(1, 0, 0, time.Hour)
	o.CountFrom(10, table.Pool())
	o, _, _ = table.Add(2, 0, 2*time.Hour, time.Hour)
	o.CountFrom(1, table.Pool())
	for _, c := range []uint32{1, 3, 5, 6} {
		o.Seen.Add(c, table.Pool())
	}
	o, evicted, _ := table.Add(1, 0, 4*time.Hour, time.Hour)
	if want := (Evicted{ID: 2, Missing: 2, Waiting: 3}); evicted != want {
		t.Errorf("origin 2 lacks 2 and 4 and has 3, 5 and 6 above its floor: evicted should be %v, not %v", want, evicted)
	}
	counts(t, o, "after 9 that are history", 10, 0, 0)
	o, evicted, _ = table.Add(2, 0, 6*time.Hour, time.Hour)
	if want := (Evicted{ID: 1}); evicted != want {
		t.Errorf("nothing of origin 1 was missing: evicted should be %v, not %v", want, evicted)
	}
	counts(t, o, "after 6 that were counted", 7, 0, 0)
}

// Whoever left, came back and left again is remembered from the second time on.
func TestWhoIsEvictedAgainIsRememberedAsLongAsAnybody(t *testing.T) {
	table := NewTable(1)
	now := time.Duration(0)
	add := func(id uint64) *Origin {
		now += 2 * time.Hour
		o, _, ok := table.Add(id, 0, now, time.Hour)
		if !ok {
			t.Fatalf("origin %d found no room though another was idle for an hour", id)
		}
		return o
	}
	add(1).Seen.Add(1, table.Pool())
	add(2)
	add(1).Seen.Add(2, table.Pool())
	for id := uint64(3); id <= 6; id++ { // 1 leaves, and then 3 to 5
		add(id)
	}
	if o := add(1); o.Seen.Floor() != 2 {
		t.Errorf("of origin 1, the fourth last that left, it is remembered that %d were seen, not 2", o.Seen.Floor())
	}
}

// One member tells of all that a table holds, others come later.
func TestAFullTableIsSharedByWhoTells(t *testing.T) {
	const limit = 60
	table, id := NewTable(limit), uint64(0)
	tell := func(introducer uint64) (evicted Evicted, ok bool) {
		id++
		_, evicted, ok = table.Add(id, introducer, time.Duration(id), time.Hour)
		return evicted, ok
	}
	for range limit {
		tell(1)
	}
	if _, ok := tell(1); ok {
		t.Fatal("a member whose origins fill the table got room for one more")
	}
	if _, ok := tell(0); ok {
		t.Fatal("nobody's origin took the place of a member's")
	}
	for _, c := range []struct {
		introducer uint64
		room       int // of limit, when it has told of that many
	}{{2, limit / 2}, {3, limit / 3}} {
		for i := range c.room {
			if evicted, ok := tell(c.introducer); !ok || evicted.ID == 0 {
				t.Fatalf("origin %d of member %d found no room among %d", i+1, c.introducer, limit)
			}
		}
		for range 5 {
			if _, ok := tell(c.introducer); ok {
				t.Fatalf("member %d got more than %d of %d", c.introducer, c.room, limit)
			}
		}
	}
	for i := range uint64(limit / 2) {
		if table.Get(i+1) != nil {
			t.Fatalf("origin %d of the first member, the idlest, is there still", i+1)
		}
	}
}

// Of the room for messages that wait for their turn, what one member tells of takes half of what
// others leave.
func TestWaitingMessagesOfOneIntroducerTakeHalf(t *testing.T) {
	table := NewTable(8)
	add := func(id, introducer uint64) *Origin {
		o, _, _ := table.Add(id, introducer, 0, time.Hour)
		return o
	}
	own, first, second, other := add(1, 0), add(2, 70), add(3, 70), add(4, 71)
	const limit = 1000
	used := 0
	wait := func(o *Origin) (all int) {
		for ; o.MayWait(10, used, limit); used += 10 {
			o.Wait(10)
			all += 10
		}
		return all
	}
	if a, b, c := wait(first), wait(second), wait(other); a != 500 || b != 0 || c != 250 {
		t.Fatalf("one introducer should get 500 of 1000, for any of its origins, and the next one 250, not %d, %d, %d", a, b, c)
	}
	table.Remove(first.ID)
	used -= 500
	if a := wait(second); a != 370 {
		t.Fatalf("when 250 are left to others it should get half of 750, but gets %d", a)
	}
	if a := wait(own); a != limit-250-370 {
		t.Fatalf("what nobody told of may have the rest, but gets %d", a)
	}
}
