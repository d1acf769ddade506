package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// writes returns writes of a few flags, some of the same version.
func writes(rng *rand.Rand, n int) (all []entry) {
	for i := range n {
		e := entry{name: fmt.Sprintf("flag%d", rng.IntN(10)), version: 1 + rng.Int64N(20), writer: uint64(i)}
		if e.deleted = rng.IntN(3) == 0; !e.deleted {
			e.value = fmt.Sprint(i)
		}
		all = append(all, e)
	}
	return all
}

func TestStoresThatTakeTheSameHoldTheSame(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		all := writes(rng, 60)
		var a, b store
		for _, e := range all {
			a.take(e)
		}
		again := append(slices.Clone(all), all[:20]...)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		for _, e := range again {
			b.take(e)
		}
		if !slices.Equal(a.entries, b.entries) || a.digest() != b.digest() || a.live != b.live {
			t.Errorf("seed %d: in one order the store holds\n%v\nand in another\n%v", seed, a.entries, b.entries)
		}
		checked := store{}
		for _, e := range a.entries {
			checked.note(e)
		}
		if checked.sum != a.sum || checked.live != a.live {
			t.Errorf("seed %d: of %d entries %d are counted as live, and the digest is %x, want %d and %x", seed, len(a.entries), a.live, a.sum, checked.live, checked.sum)
		}
	}
}

func TestVersionsFollowTheClockAndWhatWasSeen(t *testing.T) {
	var s store
	now := time.UnixMicro(1000)
	want := func(when string, version int64) {
		t.Helper()
		if got, err := s.next(now); got != version || err != nil {
			t.Errorf("%s the version is %d, %v, want %d", when, got, err, version)
		}
	}
	want("at first", 1000)
	want("in the same microsecond", 1001)
	now = time.UnixMicro(500)
	want("when the clock was set back", 1002)
	s.take(entry{name: "a", version: 5000})
	want("after one from a clock that is ahead", 5001)
	now = time.UnixMicro(9000)
	want("later", 9000)
	s.take(entry{name: "a", version: mostVersion})
	if _, err := s.next(now); !errors.Is(err, errClock) {
		t.Errorf("above all versions there is none, but next returns %v", err)
	}
}

// A store holds mostHeld entries at most: deleted flags go first, the oldest of them.
func TestStoreIsBounded(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%04d", i) }
	var s store
	for i := range mostFlags {
		if err := s.room(name(i)); err != nil {
			t.Fatalf("there is no room for flag %d: %v", i, err)
		}
		s.take(entry{name: name(i), version: int64(1 + i)})
	}
	if err := s.room("one more"); !errors.Is(err, errTooMany) {
		t.Errorf("for one flag too many room returns %v", err)
	}
	if err := s.room(name(0)); err != nil {
		t.Errorf("for a flag that is there room returns %v", err)
	}
	for i := range mostFlags + 500 { // others come, and are deleted
		s.take(entry{name: name(mostFlags + i), version: int64(10_000 + i), deleted: true})
	}
	if c, live, held := s.state(); live != mostFlags || held != mostHeld || c.evicted != 500 {
		t.Errorf("after many deletions %d flags are live and %d held, %d were evicted", live, held, c.evicted)
	}
	_, first := s.find(name(mostFlags))
	_, last := s.find(name(2*mostFlags + 499))
	if first || !last {
		t.Errorf("the first deletion is remembered: %v, and the last one: %v", first, last)
	}
	for i := range mostFlags + 500 { // as after a partition, when each side was full
		s.take(entry{name: "p" + name(i), version: int64(20_000 + i)})
	}
	_, last = s.get("p" + name(mostFlags+499))
	if _, live, held := s.state(); live != mostHeld || held != mostHeld || !last {
		t.Errorf("after too many new flags %d are live and %d held, and the last one is there: %v", live, held, last)
	}
}

// Answers, one after the other, hold all entries once, in pages that fit in a datagram.
func TestAnswersHoldTheWholeStore(t *testing.T) {
	for _, c := range []struct{ flags, value, size int }{
		{0, 0, 1368}, {1, 0, 1368}, {1, mostValue, 1332}, {100, 10, 1368}, {mostFlags, mostValue, 1332}, {mostFlags, 3, 1368},
	} {
		var s, copied store
		for i := range c.flags {
			s.take(entry{name: fmt.Sprintf("%0*d", mostName, i), value: strings.Repeat("v", c.value), version: 1})
		}
		a, answers := ask{digest: 1}, 0
		for end := false; !end; answers++ {
			for i, p := range s.answer(a, c.size) {
				b := p.append(nil)
				m, err := parse(b)
				got, ok := m.(page)
				if !ok || len(b) > c.size || got.index != i || got.of > mostPages {
					t.Fatalf("%+v: page %d of %d bytes is read as %T, %v", c, i, len(b), m, err)
				}
				for _, e := range got.entries {
					copied.take(e)
				}
				if end = got.end; len(got.entries) > 0 {
					a.after = lastName(got)
				}
			}
		}
		if !slices.Equal(s.entries, copied.entries) || copied.counts.older > 0 {
			t.Errorf("%+v: %d answers hold %d of %d entries, and %d twice", c, answers, len(copied.entries), len(s.entries), copied.counts.older)
		}
		if same := s.answer(ask{digest: s.digest()}, c.size); len(same) != 1 || !same[0].end || len(same[0].entries) > 0 {
			t.Errorf("%+v: to who has the same the answer is %v", c, same)
		}
	}
}
