package versions

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
	"unsafe"
)

func TestOriginHidesTheYoungForOneToTwoAges(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 4))
		age := time.Duration(1 + r.IntN(50))
		var o Origin
		type arrival struct {
			c  uint32
			at time.Duration
		}
		var all []arrival
		now := time.Duration(0)
		for step := range 300 {
			now += time.Duration(r.IntN(1 + r.IntN(int(age)*2)))
			if r.IntN(3) > 0 {
				c := 1 + r.Uint32N(1000)
				o.MarkYoung(c, now, age)
				all = append(all, arrival{c, now})
			}
			must, may := uint32(0), false // lowest that has to be hidden; whether what was said may be
			got := o.YoungFrom(now, age)
			for _, a := range all {
				if now-a.at < age && (must == 0 || a.c < must) {
					must = a.c
				}
				may = may || a.c == got && now-a.at < 2*age
			}
			if got == 0 && must != 0 || got > must && must != 0 || got != 0 && !may {
				t.Fatalf("seed %d step %d: at %v with age %v the young begin at %d, but YoungFrom says %d", seed, step, now, age, must, got)
			}
		}
		if got := o.YoungFrom(now+2*age, age); got != 0 {
			t.Fatalf("seed %d: nothing is young after two ages of silence, but YoungFrom says %d", seed, got)
		}
	}
}

// counts fails unless the origin says so many of each.
func counts(t *testing.T, o *Origin, when string, from, missing, waiting uint32) {
	t.Helper()
	if o.From != from || o.Missing() != missing || o.Waiting() != waiting {
		t.Fatalf("%s counting should begin at %d with %d missing and %d waiting, but does at %d with %d and %d",
			when, from, missing, waiting, o.From, o.Missing(), o.Waiting())
	}
}

func TestOriginCountsFromTheLowestTaken(t *testing.T) {
	o, p := NewOrigin(7), Pool{}
	take := func(all ...uint32) {
		for _, c := range all {
			o.Seen.Add(c, &p)
			o.Taken(c, &p)
		}
	}
	counts(t, o, "at first", 0, 0, 0)
	if o.GiveUp(3, &p) != 0 {
		t.Fatal("before anything was taken what is given up is history")
	}
	take(10, 12)
	counts(t, o, "with 10 and 12", 10, 1, 2)
	take(7, 8)
	counts(t, o, "with 7 and 8 of its history", 7, 2, 4)
	if lost := o.GiveUp(9, &p); lost != 1 {
		t.Fatalf("of 4 to 9 only 9 is lost, not %d", lost)
	}
	counts(t, o, "with 9 given up", 7, 1, 1)
	o.Skip(12, &p)
	counts(t, o, "with 11 skipped", 7, 0, 0)
	take(15)
	counts(t, o, "with 15", 7, 2, 1)
}

func TestOriginCountsAllWhereNothingIsHistory(t *testing.T) {
	o, p := NewOrigin(7), Pool{}
	o.CountFrom(1, &p)
	if lost := o.GiveUp(2000, &p); lost != 2000 {
		t.Fatalf("of 2000 given up all are lost, not %d", lost)
	}
	o.Seen.Add(2002, &p)
	o.Taken(2002, &p)
	o.CountFrom(5, &p)
	counts(t, o, "with 2002 above 2000", 1, 1, 1)
	if lost := o.GiveUp(lastCounter, &p); lost != lastCounter-2001 {
		t.Fatalf("all after 2000 but 2002 are lost, %d, not %d", uint32(lastCounter-2001), lost)
	}
	counts(t, o, "after the last number", 1, 0, 0)
}

func TestHistoryThatWasNotSeenIsCounted(t *testing.T) {
	o, p := NewOrigin(7), Pool{}
	want := func(when string, n int64) {
		t.Helper()
		if p.history != n {
			t.Fatalf("%s %d numbers of the history should be missing, not %d", when, n, p.history)
		}
	}
	take := func(c uint32) {
		o.Seen.Add(c, &p)
		o.Taken(c, &p)
	}
	o.CountFrom(101, &p)
	want("with 100 named by a page", 100)
	take(105)
	want("with 105, which is no history", 100)
	take(90)
	want("with 90, behind which nothing is history", 89)
	take(80)
	take(85)
	want("with 80 and 85", 79)
	o.GiveUp(84, &p)
	want("with all up to 84 given up", 79)
	o.Skip(110, &p)
	want("with 86 to 110, without 90 and 105, skipped", 79+23)
	o.Recount(&p)
	o.Skip(120, &p)
	want("with 111 to 120 skipped anew", 79+23+10)
}

func TestOriginHasTheSizeThatItsBoundSays(t *testing.T) {
	if o, g := unsafe.Sizeof(Origin{}), unsafe.Sizeof(gap{}); strconv.IntSize == 64 && (o != 184 || g != 192) {
		t.Fatalf("an Origin should take 184 bytes and a gap 192, but they take %d and %d", o, g)
	}
}
