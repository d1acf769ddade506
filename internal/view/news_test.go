package view

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNewsOfTheLeastToldFirst(t *testing.T) {
	r := NewMembers(1, 100, 3)
	know(r, 2, 3, 4, 5)
	r.Learn(6, host(6), host(1), now)
	if r.CountNews() > 0 {
		t.Fatal("nobody is news before it is said so")
	}
	announce(r, 2, 3, 4)
	var got []uint64
	take := func(n int) {
		for _, m := range r.News(nil, n) {
			got = append(got, m.ID)
		}
	}
	take(2) // 2 3
	take(2) // 4 2, of which 2 was told before
	announce(r, 5)
	take(1)        // 5, the newest
	announce(r, 2) // anew
	take(1)
	if want := []uint64{2, 3, 4, 2, 5, 2}; !slices.Equal(got, want) {
		t.Fatalf("told should be %v, but are %v", want, got)
	}
}

func TestNewsIsPassedOnSoManyTimes(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 32))
		transmitsLeft := 1 + rng.IntN(5)
		r := NewMembers(1, 100, transmitsLeft)
		left, next := map[uint64]int{}, uint64(2)
		for step := 0; step < 100 || len(left) > 0; step++ {
			if op := rng.IntN(8); step < 100 && op < 3 {
				know(r, next)
				announce(r, next)
				left[next] = transmitsLeft
				next++
				continue
			} else if step < 100 && op == 3 && r.Len() > 0 {
				m := r.At(rng.IntN(r.Len()))
				delete(left, m.ID)
				r.Depart(m, now)
				continue
			}
			n := rng.IntN(6)
			told := map[uint64]bool{}
			for _, m := range r.News(nil, n) {
				for id, p := range left {
					if !told[id] && p > left[m.ID] {
						t.Fatalf("seed %d step %d: %d was told though %d was told less", seed, step, m.ID, id)
					}
				}
				told[m.ID] = true
			}
			if len(told) != min(n, len(left)) {
				t.Fatalf("seed %d step %d: asked for %d of %d news, but %d came", seed, step, n, len(left), len(told))
			}
			for id := range told {
				if left[id]--; left[id] == 0 {
					delete(left, id)
				}
			}
		}
		if r.CountNews() > 0 {
			t.Fatalf("seed %d: everybody was told of %d times, but there is more: %v", seed, transmitsLeft, r.news)
		}
	}
}

func TestRandomPassesOverSuspectsAndTheSender(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 33))
	r := NewMembers(1, 100, 2)
	know(r, 2, 3, 4, 5, 6)
	r.Get(3).SuspectUntil = now + 1
	for range 100 {
		got := r.Random(nil, rng, 10, func(m *Member) bool { return m.Addr != host(5) }, now)
		if len(got) != 3 || slices.Contains(got, r.Get(3)) || slices.Contains(got, r.Get(5)) {
			t.Fatalf("2, 4 and 6 are to be had, but got %v", got)
		}
	}
}
