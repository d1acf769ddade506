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
			r.AddSeed(host(i))
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
	if r.AddSeed(host(60)); r.Seeds() != least || r.Lost() != 2 {
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
	if r.Seeds() != 0 || r.Lost() != 0 || r.Len() != 0 || r.HasNews() {
		t.Fatalf("after Reset nobody is left, but there are %d seeds, %d lost, %d members, news %v", r.Seeds(), r.Lost(), r.Len(), r.news)
	}
	if p := append(r.Probes(nil, 8, true, now), r.Probes(nil, 8, false, now)...); len(p) != 0 {
		t.Fatalf("after Reset nobody is known, but %v are probed", p)
	}
	if _, v := r.Learn(61, host(61), now); v != Added {
		t.Fatalf("after Reset nobody is gone, but the verdict is %d", v)
	}
}

func TestTheOldestLostIsForgotten(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 30))
		r := NewMembers(1, least, 2)
		for i := range rng.IntN(least) {
			r.AddSeed(host(1000 + i))
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

func TestProbesKeepTheirPace(t *testing.T) {
	for _, c := range []struct {
		candidates                  int
		soon, later, alone, unknown int // unknown: of the candidates, where no member is
	}{
		{0, 0, 0, 0, 0}, {1, 1, 1, 1, 1}, {5, 1, 1, 5, 5}, {6, 2, 1, 6, 6}, {10, 2, 1, 8, 10}, {11, 3, 1, 8, 11},
		{50, 3, 1, 8, 50}, {50, 2, 1, 2, 2}, {50, 0, 0, 0, 0},
	} {
		r := NewMembers(1, 100, 2)
		for i := range c.candidates {
			r.AddSeed(host(i))
		}
		for i := c.unknown; i < c.candidates; i++ {
			r.Learn(uint64(i+2), host(i), now)
		}
		pace := func(connected bool, now time.Duration) int { return len(r.Probes(nil, 8, connected, now)) }
		if got := pace(true, 0); got != c.later {
			t.Errorf("%+v: nobody was ever lost, but %d are probed at the start", c, got)
		}
		know(r, 9999)
		r.Lose(r.Get(9999), now)
		r.Admit(9999, host(9999), now) // and back at once, so that it is no candidate
		if got := []int{pace(true, now), pace(true, now+fresh), pace(true, now+fresh+1), pace(false, now+fresh+1)}; !slices.Equal(got, []int{c.soon, c.soon, c.later, c.alone}) {
			t.Errorf("%+v: right after a loss, two minutes later, after that and alone %v are probed", c, got)
		}
	}
}

func TestEveryContactGetsItsTurn(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 31))
		r := NewMembers(1, 20, 2)
		seeds := rng.IntN(20)
		for i := range seeds {
			r.AddSeed(host(i))
		}
		// since[a][b]: b is a candidate since before a was probed last, and was not probed since.
		since := map[netip.AddrPort]map[netip.AddrPort]bool{}
		gone := func(a netip.AddrPort) {
			delete(since, a)
			for _, waiting := range since {
				delete(waiting, a)
			}
		}
		for round := range 200 {
			a := host(rng.IntN(40))
			switch m := r.ByAddr(a); {
			case m != nil && rng.IntN(2) == 0:
				r.Lose(m, now)
			case m != nil:
				r.Depart(m, now)
			case rng.IntN(2) == 0:
				r.Admit(uint64(rng.IntN(40)+2), a, now)
			}
			for i := range 40 {
				a := host(i)
				if c := r.candidate(a); c < 0 || r.ByAddr(a) != nil || r.all[c].rest > now {
					gone(a)
				}
			}
			for _, p := range r.Probes(nil, 8, rng.IntN(3) > 0, now) {
				favoured := func(i int) bool { return len(r.all) > 2*latest && (r.all[i].seed || i >= len(r.all)-latest) }
				if len(since[p]) > 0 && !favoured(r.candidate(p)) {
					t.Fatalf("seed %d round %d: %v has its turn again before %v", seed, round, p, since[p])
				}
				gone(p)
				since[p] = map[netip.AddrPort]bool{}
				for i, c := range r.all {
					if !favoured(i) && !favoured(r.candidate(p)) && r.ByAddr(c.addr) == nil && c.rest <= now && c.addr != p {
						since[p][c.addr] = true
					}
				}
			}
		}
	}
}

func TestTheDeadDoNotCrowdOutTheLiving(t *testing.T) {
	const dead = 500
	r := NewMembers(1, 2*dead, 2)
	r.AddSeed(host(0))
	for i := range dead {
		know(r, uint64(i+2))
		r.Lose(r.Get(uint64(i+2)), now)
	}
	know(r, 9999)
	r.Lose(r.Get(9999), now)
	at := r.all[len(r.all)-1].addr
	asked := map[netip.AddrPort]int{}
	for round := range 2 * (dead + 2) {
		if round == 40 && (asked[host(0)] < 2 || asked[at] < 2) {
			t.Errorf("in 40 rounds among %d dead the seed is asked %d times and who was lost last %d times", dead, asked[host(0)], asked[at])
		}
		for _, p := range r.Probes(nil, 8, true, now+fresh+1) {
			asked[p]++
		}
	}
	if len(asked) != dead+2 {
		t.Errorf("after two rounds for each, %d of %d were asked", len(asked), dead+2)
	}
}

func TestWhoHasAnsweredIsLeftAlone(t *testing.T) {
	r := NewMembers(1, 20, 2)
	r.AddSeed(host(5))
	for step, c := range []struct {
		what                    func(at time.Duration)
		connected, alone, later bool // is it asked
	}{
		{func(time.Duration) {}, true, true, true},
		{func(at time.Duration) { r.Admit(5, host(5), at); r.drop(r.Get(5)) }, false, true, true},
		{func(at time.Duration) { r.Admit(5, host(5), at); r.Lose(r.Get(5), at) }, true, true, true},
		{func(at time.Duration) { r.Admit(5, host(5), at); r.Depart(r.Get(5), at) }, true, true, true},
		{func(at time.Duration) { r.Answered(host(5), 77, at) }, false, true, true},
		{func(at time.Duration) {
			r.Answered(host(5), 77, at)
			know(r, 77)
			r.Lose(r.Get(77), at)
			r.Admit(77, host(77), at)
		}, true, true, true},
		{func(at time.Duration) { r.Echo(host(5), 1, 1, at) }, false, false, true},
	} {
		at := now + time.Duration(step)*time.Hour
		c.what(at)
		asks := func(connected bool, at time.Duration) bool { return len(r.Probes(nil, 8, connected, at)) > 0 }
		if got := [3]bool{asks(true, at), asks(false, at), asks(true, at+resting)}; got != [3]bool{c.connected, c.alone, c.later} {
			t.Errorf("step %d: connected, alone, and connected a minute later the seed is asked %v", step, got)
		}
	}
	if r.Echo(host(5), 1, 1, now); r.Seeds() != 0 {
		t.Error("a seed that echoes counts as one")
	}
	if r.Answered(host(5), 77, now); r.Seeds() != 1 {
		t.Error("a seed that echoed and answers does not count as one")
	}
}

// Where the node was once somebody else is now, known by hearsay.
func TestAMemberThatIsLostWhereASeedEchoedIsAContact(t *testing.T) {
	r := NewMembers(1, 20, 2)
	r.AddSeed(host(5))
	r.Echo(host(5), 1, 1, now)
	m, _ := r.Learn(7, host(5), now)
	r.Lose(m, now)
	if r.Seeds() != 1 || r.Lost() != 1 || len(r.Probes(nil, 8, true, now)) != 1 {
		t.Errorf("there are %d seeds, and %d members are looked for: %+v", r.Seeds(), r.Lost(), r.all)
	}
}
