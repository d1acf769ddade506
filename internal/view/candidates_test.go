package view

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestSeedsAreFewAndStandForEver(t *testing.T) {
	r := NewMembers(1, least, 2)
	for i := range 2 * least {
		for range 2 { // the second time it is one already, or refused already
			r.AddSeed(host(i), now)
			if taken := r.IsSeed(host(i)); taken != (i < least) || r.Seeds() != min(i+1, least) {
				t.Fatalf("seed %d of at most %d: taken %v, and %d seeds", i, least, taken, r.Seeds())
			}
		}
	}
	r.Echo(host(0), 1, 1, now)
	r.Echo(host(0), 1, 1, now)
	if r.Seeds() != least-1 {
		t.Fatalf("one seed was removed, once, but %d are left of %d", r.Seeds(), least)
	}
	m, _, _ := r.Admit(50, host(1), now) // a seed
	r.Lose(m, now)
	know(r, 60)
	r.Lose(r.Get(60), now)
	if r.Echo(host(61), 1, 1, now); r.Lost() != 2 {
		t.Fatalf("60 was lost but never a seed, and 50 was lost at one, but %d are lost", r.Lost())
	}
	if r.AddSeed(host(60), now); r.Seeds() != least || r.Lost() != 2 {
		t.Fatalf("a lost member's address may be a seed too, but there are %d seeds and %d lost", r.Seeds(), r.Lost())
	}
	r.Admit(60, host(60), now)
	r.Admit(50, host(1), now)
	if r.Seeds() != least || r.Lost() != 0 || r.Len() != 2 {
		t.Fatalf("both are back, and their addresses still seeds: %d seeds, %d lost, %d members", r.Seeds(), r.Lost(), r.Len())
	}
	know(r, 61)
	r.Lose(r.Get(61), now)
	announce(r, 50)
	r.Lose(r.Get(60), now)
	r.Reset(2)
	if r.Seeds() != 0 || r.Lost() != 0 || r.Len() != 0 || r.CountNews() > 0 {
		t.Fatalf("after Reset nobody is left, but there are %d seeds, %d lost, %d members, news %v", r.Seeds(), r.Lost(), r.Len(), r.news)
	}
	if p := r.Probes(nil, 8, now, testRand(1)); len(p) != 0 {
		t.Fatalf("after Reset nobody is known, but %v are probed", p)
	}
	if _, v := r.Learn(61, host(61), host(1), now); v != Added {
		t.Fatalf("after Reset nobody is gone, but the verdict is %d", v)
	}
}

func TestTheOldestLostIsForgotten(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 30))
		r := NewMembers(1, least, 2)
		for i := range rng.IntN(least) {
			r.AddSeed(host(1000+i), now)
		}
		var lost []int
		for i := range 30 {
			know(r, uint64(i+2))
			r.Lose(r.Get(uint64(i+2)), now+time.Duration(i))
			if lost = append(lost, i+2); len(lost) > least {
				lost = lost[1:]
			}
			if rng.IntN(4) == 0 {
				k := rng.IntN(len(lost))
				m, _, back := r.Admit(uint64(lost[k]), host(lost[k]), now)
				if !back {
					t.Fatalf("seed %d: %d should be among the lost %v", seed, lost[k], lost)
				}
				r.Depart(m, now)
				lost = slices.Delete(lost, k, k+1)
			}
			if r.Lost() != len(lost) {
				t.Fatalf("seed %d: after %d losses %v should be lost, but %d are", seed, i+1, lost, r.Lost())
			}
		}
		for i := range 40 {
			if _, known := r.MarkAlive(host(i), 0, now); known != slices.Contains(lost, i) {
				t.Fatalf("seed %d: of those lost %v are still to be known, but that %d is one is %v", seed, lost, i, known)
			}
		}
	}
}

// testRand returns randomness that is the same in every run.
func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 31)) }

// asked returns when, within long, the node sends Hellos to each address, looking each second.
func asked(r *Members, from, long time.Duration) map[netip.AddrPort][]time.Duration {
	all, rng := map[netip.AddrPort][]time.Duration{}, testRand(2)
	for at := from; at < from+long; at += time.Second {
		for _, p := range r.Probes(nil, 100, at, rng) {
			all[p] = append(all[p], at-from)
		}
	}
	return all
}

// gaps returns the longest pause of those that begin after a moment.
func longestGap(times []time.Duration, after, end time.Duration) (longest time.Duration) {
	last := time.Duration(0)
	for _, at := range append(times, end) {
		if last >= after {
			longest = max(longest, at-last)
		}
		last = at
	}
	return longest
}

func TestALostMemberIsAskedLessAndLessAndForgottenAfterAnHour(t *testing.T) {
	r := NewMembers(1, 100, 2)
	for id := range uint64(19) {
		know(r, id+2)
	}
	r.Lose(r.Get(2), now)
	times := asked(r, now, 3*time.Hour)[host(2)]
	last := times[len(times)-1]
	if len(times) < 60 || len(times) > 200 || last > keepLost {
		t.Errorf("a member lost among 19 is asked %d times, the last time after %v", len(times), last)
	}
	if early, late := longestGap(times[:30], 0, times[30]), times[len(times)-1]-times[len(times)-2]; early > 4*time.Second || late < time.Minute {
		t.Errorf("at first a lost member is asked every %v, and after an hour every %v", early, late)
	}
	if r.Lost() != 0 || r.AskNext(host(2), now+2*keepLost) {
		t.Errorf("after an hour %d members are lost", r.Lost())
	}
}

func TestANodeThatMayBeCutOffLooksForOthersEagerly(t *testing.T) {
	for _, c := range []struct {
		members, lost int
		most          time.Duration // to one of the lost
	}{{5, 4, 3 * time.Minute}, {5, 6, cutPause + 2*time.Second}, {0, 1, cutPause + 2*time.Second}, {0, 500, cutPause + 2*time.Second}} {
		r := NewMembers(1, 1000, 2)
		for i := range c.members + c.lost {
			know(r, uint64(i+2))
		}
		for i := range c.lost {
			r.Lose(r.Get(uint64(i+2)), now)
		}
		quickest := time.Hour
		for _, times := range asked(r, now, 55*time.Minute) {
			quickest = min(quickest, longestGap(times, 30*time.Minute, 55*time.Minute))
		}
		if quickest > c.most || c.lost < c.members && quickest < time.Minute {
			t.Errorf("with %d members, and %d lost an hour ago, one of these is asked every %v", c.members, c.lost, quickest)
		}
	}
}

func TestSeedsAreAskedForEver(t *testing.T) {
	for _, alone := range []bool{false, true} {
		r := NewMembers(1, 20, 2)
		r.AddSeed(host(5), now)
		most := seedPause
		if alone {
			most = alonePause
		} else {
			know(r, 9)
		}
		times := asked(r, now, 24*time.Hour)[host(5)]
		gap := longestGap(times, 0, 24*time.Hour)
		if late := longestGap(times, 12*time.Hour, 24*time.Hour); gap > most+2*time.Second || late < most-most/4 {
			t.Errorf("alone %v: in a day a seed that does not answer is asked every %v at least, and at last every %v", alone, gap, late)
		}
	}
}

func TestASeedThatAnswersRests(t *testing.T) {
	for _, c := range []struct {
		answers string
		id      func(i int) uint64
		known   bool // as a member elsewhere
		most    time.Duration
	}{
		{"one node", func(int) uint64 { return 77 }, false, mostRest},
		{"members in turn", func(i int) uint64 { return uint64(70 + i%5) }, true, mostRest},
		{"ever new nodes", func(i int) uint64 { return uint64(100 + i) }, false, leastRest},
	} {
		r := NewMembers(1, 20, 2)
		r.AddSeed(host(5), now)
		know(r, 9)
		if c.known {
			know(r, 70, 71, 72, 73, 74)
		}
		last, gap, rng := now, time.Duration(0), testRand(3)
		for at, i := now, 0; at < now+time.Hour; at += time.Second {
			if len(r.Probes(nil, 8, at, rng)) > 0 {
				last, gap, i = at, at-last, i+1
				r.Answered(host(5), c.id(i), at)
			}
		}
		if gap < c.most-c.most/4 || gap > c.most+2*time.Second {
			t.Errorf("a seed where %s answer is asked every %v after an hour instead of %v", c.answers, gap, c.most)
		}
	}
	r := NewMembers(1, 20, 2)
	r.AddSeed(host(5), now)
	know(r, 9, 77)
	for range 3 { // its rest ends with the member that answered there
		r.Answered(host(5), 77, now)
		if p := r.Probes(nil, 8, now+leastRest/2, testRand(1)); len(p) != 0 {
			t.Errorf("a seed that has just answered is asked: %v", p)
		}
		r.Lose(r.Get(77), now)
		if p := r.Probes(nil, 8, now, testRand(1)); !slices.Contains(p, host(5)) {
			t.Errorf("the member that answered at a seed is lost, and not the seed but %v are asked", p)
		}
		know(r, 77)
	}
	if r.Echo(host(5), 1, 1, now); r.Seeds() != 0 {
		t.Error("a seed that echoes counts as one")
	}
	if r.Answered(host(5), 77, now); r.Seeds() != 1 {
		t.Error("a seed that echoed and answers does not count as one")
	}
}

// A liar names one address again and again, with ever new ids.
func TestHearsayOfAnAddressWhereNobodyAnswersIsRarelyTaken(t *testing.T) {
	r := NewMembers(1, 20, 2)
	know(r, 9)
	taken, rng := 0, testRand(4)
	for at := now; at < now+time.Hour; at += time.Second {
		if m, v := r.Learn(uint64(at), host(5), host(1), at); v == Added {
			taken += 100 // once
			r.Forget(m, at)
		}
		taken += len(r.Probes(nil, 8, at, rng))
	}
	if taken < 105 || taken > 112 {
		t.Errorf("of an hour of hearsay %d pieces were taken, and the node was asked %d times more", taken/100, taken%100)
	}
	if p := r.Probes(nil, 8, now+2*time.Hour, rng); len(p) > 1 {
		t.Errorf("after the last hearsay %v are asked", p)
	}
	if p := r.Probes(nil, 8, now+4*time.Hour, rng); len(p) > 0 || len(r.byAddress) > 0 {
		t.Errorf("long after the last hearsay %v are asked and %d known", p, len(r.byAddress))
	}
	taken = 0
	for at := now + 5*time.Hour; at < now+6*time.Hour; at += time.Second { // a known id at new addresses
		if _, v := r.Learn(9, host(6), host(1), at); v == Doubted {
			r.Doubt(host(6), at)
			taken++
		}
		taken += len(r.Probes(nil, 8, at, rng))
	}
	if taken > 12 {
		t.Errorf("of another hour of hearsay %d pieces were taken", taken)
	}
}

// Where the node was once somebody else is now, known by hearsay.
func TestAMemberThatIsLostWhereASeedEchoedIsACandidate(t *testing.T) {
	r := NewMembers(1, 20, 2)
	r.AddSeed(host(5), now)
	r.Echo(host(5), 1, 1, now)
	m, _ := r.Learn(7, host(5), host(1), now)
	r.Lose(m, now)
	if r.Seeds() != 1 || r.Lost() != 1 || len(r.Probes(nil, 8, now, testRand(1))) != 1 {
		t.Errorf("there are %d seeds, and %d members are looked for: %+v", r.Seeds(), r.Lost(), r.kinds)
	}
}

// Members that were lost just now, and never asked, are many; one that was lost before is told of.
func TestProbesAskThoseOfWhomOthersTellFirst(t *testing.T) {
	r := NewMembers(1, 300, 2)
	for i := 2; i < 200; i++ {
		know(r, uint64(i))
	}
	r.Lose(r.Get(2), now)
	rng := testRand(1)
	r.Probes(nil, 8, now, rng)
	for i := 3; i < 30; i++ {
		r.Lose(r.Get(uint64(i)), now+10*time.Second)
	}
	r.Learn(2, host(2), host(100), now+10*time.Second)
	if p := r.Probes(nil, 8, now+20*time.Second, rng); len(p) == 0 || p[0] != host(2) {
		t.Errorf("of 27 that were lost later and one of which others tell, these are asked: %v", p)
	}
}

// A node known by hearsay left before it was validated, and another one begins at its address.
func TestProbesAskWhereEnoughMembersTellOfANode(t *testing.T) {
	for tellers, want := range map[int]int{2: 0, 3: 1} {
		r := NewMembers(1, 20, 2)
		know(r, 9)
		m, _ := r.Learn(2, host(2), host(9), now)
		r.Forget(m, now+time.Minute)
		r.Learn(3, host(2), host(9), now+time.Minute) // which makes it one that others tell of
		rng := testRand(1)
		r.Probes(nil, 8, now+3*time.Minute, rng)
		for i := range tellers {
			r.Learn(4, host(2), host(100+i), now+3*time.Minute)
		}
		if p := r.Probes(nil, 8, now+3*time.Minute+leastHearsay, rng); len(p) != want {
			t.Errorf("when %d members tell of a node where none answered, %v are asked", tellers, p)
		}
	}
}

// A node begins where another one was, which is not found to be gone until later.
func TestProbesAskWhereAMemberWasReplaced(t *testing.T) {
	for _, told := range []bool{true, false} {
		r := NewMembers(1, 300, 2)
		for i := 2; i < 200; i++ {
			know(r, uint64(i))
		}
		if told {
			r.Learn(999, host(2), host(100), now)
		}
		r.Lose(r.Get(2), now)
		for i := 3; i < 30; i++ {
			r.Lose(r.Get(uint64(i)), now)
		}
		if p := r.Probes(nil, 8, now+time.Second, testRand(1)); slices.Contains(p, host(2)) != told {
			t.Errorf("where others told of another node, %v, these are asked: %v", told, p)
		}
	}
}
