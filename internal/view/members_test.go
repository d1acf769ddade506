package view

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

const least = 2*Near + 1 // the lowest limit of a view

// know makes members of all these ids, id i at host(i).
func know(r *Members, ids ...uint64) {
	for _, id := range ids {
		r.Admit(id, host(int(id)), now)
	}
}

// announce makes news of these members.
func announce(r *Members, ids ...uint64) {
	for _, id := range ids {
		r.Disseminate(r.Get(id))
	}
}

// tellAll takes all the news, n at a time, and returns their ids in order.
func tellAll(r *Members, n int) (ids []uint64) {
	for r.HasNews() {
		for _, m := range r.News(nil, n) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func TestLearnTakesWhatContradictsNothing(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3, 4, 5)
	r.SendsFrom(r.Get(2), host(22))
	for _, at := range []int{3, 24, 22} { // the last is where it sends from, and no third address
		r.Get(2).Answers(host(at))
	}
	r.Lose(r.Get(4), now)
	r.Depart(r.Get(5), now)
	for _, c := range []struct {
		why  string
		id   uint64
		addr int
		want Verdict
	}{
		{"it is the node itself", 1, 100, Refused},
		{"it is known just so", 2, 2, Known},
		{"it is known to send from there", 2, 22, Known},
		{"it is known altAddrs", 2, 100, Doubted},
		{"it is known altAddrs, and answered there too", 2, 24, Known},
		{"somebody else is there", 100, 3, Doubted},
		{"somebody else sends from there", 100, 22, Doubted},
		{"both are known, but not together", 2, 3, Doubted},
		{"it was lost lately", 4, 4, Refused},
		{"it was lost lately, wherever it is said to be", 4, 100, Refused},
		{"somebody else was lost there", 100, 4, Doubted},
		{"it has left", 5, 5, Refused},
		{"only who left was there", 100, 5, Added},
		{"it is new", 101, 101, Added},
	} {
		m, got := r.Learn(c.id, host(c.addr), now)
		known := got == Known || got == Added
		if got != c.want || (m != nil) != known || known && (m.ID != c.id || r.Get(c.id) != m) {
			t.Errorf("%d at %v should have verdict %d, for %s, but it is %d with %v", c.id, host(c.addr), c.want, c.why, got, m)
		}
	}
}

func TestLearnTakesNobodyWhomTheFullViewHasNoPlaceFor(t *testing.T) {
	r := NewMembers(place(0), least, 2)
	near := []uint32{1, 2, 3, 4, 1<<32 - 1, 1<<32 - 2, 1<<32 - 3, 1<<32 - 4, 3 << 29}
	for i, pos := range near {
		r.Admit(place(pos), host(i), now)
	}
	if m, v := r.Learn(place(5<<28), host(100), now); m != nil || v != Refused || r.Len() != least {
		t.Fatalf("beside its octave's only member it leaves the smaller hole and should be refused, but got %v, %v", m, v)
	}
	announce(r, place(3<<29))
	if m, added := r.Admit(place(5<<28), host(100), now); m == nil || !added || r.Get(place(3<<29)) != nil {
		t.Fatalf("when it has shown itself it should take the other's place, but got %v, %v", m, added)
	}
	announce(r, place(5<<28))
	if m, v := r.Learn(place(7<<28), host(101), now); v != Added || m == nil || r.Get(place(5<<28)) != nil {
		t.Fatalf("the farther one should take the place of the one before it, but got %v, %v", m, v)
	}
	if ids := tellAll(r, 10); len(ids) != 0 {
		t.Fatalf("who had to go is no news any more, but %x are told", ids)
	}
}

func TestAdmitTakesThePlaceOfWhoeverWasThere(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3)
	announce(r, 2, 3)
	m, added := r.Admit(9, host(2), now+5)
	if m == nil || !added || r.Get(2) != nil || r.ByAddr(host(2)) != m || r.Len() != 2 || m.LastSeen != now+5 {
		t.Fatalf("9 should be where 2 was, and 2 gone, but got %v, %v", m, added)
	}
	if ids := tellAll(r, 10); !slices.Equal(ids, []uint64{3, 3}) {
		t.Fatalf("2 is no news any more and 9 not yet, but told are %v", ids)
	}
	m.SuspectUntil = now + time.Hour
	again, added := r.Admit(9, host(3), now+6)
	if again != m || added || r.Len() != 1 || m.Addr != host(3) || r.ByAddr(host(2)) != nil || m.Suspect(now) || m.LastSeen != now+6 {
		t.Fatalf("9 should have moved to where 3 was, above suspicion, but is %v, added %v", again, added)
	}
	if _, v := r.Learn(2, host(2), now); v != Added {
		t.Fatalf("2 did not leave and may be learned again, but the verdict is %d", v)
	}
}

func TestTheLostAreProbedAndComeBack(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3)
	two := r.Get(2)
	announce(r, 2)
	r.Lose(two, now)
	if r.Get(2) != nil || r.ByAddr(host(2)) != nil || r.Lost() != 1 || r.HasNews() {
		t.Fatalf("2 should be lost and no news, but %d are lost, news %v", r.Lost(), r.news)
	}
	if p := r.Probes(nil, 8, true, now); !slices.Equal(p, []netip.AddrPort{host(2)}) {
		t.Fatalf("the lost should be probed, not %v", p)
	}
	if m, again := r.MarkAlive(host(7), 0, now); m != nil || again {
		t.Fatalf("nobody is known at %v, but %v is", host(7), m)
	}
	if m, again := r.MarkAlive(host(2), 99, now); m != nil || again {
		t.Fatalf("another node took the address of 2, but %v is back", m)
	}
	m, again := r.MarkAlive(host(2), 0, now+9)
	if m == nil || !again || m.ID != 2 || m.Addr != host(2) || m.LastSeen != now+9 || r.Get(2) != m || r.Lost() != 0 {
		t.Fatalf("2 was heard and should be back, but got %v, %v, and %d are lost", m, again, r.Lost())
	}
	announce(r, 2)
	if ids := tellAll(r, 10); !slices.Equal(ids, []uint64{2, 2}) {
		t.Fatalf("that 2 is back should be passed on twice, but told are %v", ids)
	}
	m.SuspectUntil = now + time.Hour
	if same, again := r.MarkAlive(host(2), 0, now+10); same != m || again || m.Suspect(now) || m.LastSeen != now+10 {
		t.Fatalf("2 is back already and now no more suspect, but got %v, %v", same, again)
	}
	if p := r.Probes(nil, 8, true, now); len(p) != 0 {
		t.Fatalf("nobody is left to probe, but %v are", p)
	}
}

func TestWhoIsBackAtAnotherAddressIsNotLostAtTheOld(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2)
	r.Lose(r.Get(2), now)
	r.Admit(2, host(20), now)
	if p := r.Probes(nil, 8, false, now); r.Lost() != 0 || len(p) != 0 {
		t.Fatalf("2 proved where it is now, but %d are lost and %v are probed", r.Lost(), p)
	}
	r.Depart(r.Get(2), now)
	if m, again := r.MarkAlive(host(2), 0, now); m != nil || again {
		t.Fatalf("2 has left, yet something from where it was before brings it back: %v, %v", m, again)
	}
}

func TestHearsayDoesNotBringBackTheGoneForAWhile(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3)
	r.Lose(r.Get(2), now)
	r.Depart(r.Get(3), now)
	for _, c := range []struct {
		id         uint64
		addr       int
		after      time.Duration
		want       Verdict
		admonition string
	}{
		{2, 2, Forget - 1, Refused, "it was lost less than a minute ago"},
		{3, 3, Forget - 1, Refused, "it left less than a minute ago"},
		{2, 2, Forget, Doubted, "it is being probed there"},
		{2, 20, Forget, Added, "it may be altAddrs"},
		{3, 3, Forget, Added, "its leave is forgotten"},
	} {
		if _, v := r.Learn(c.id, host(c.addr), now+c.after); v != c.want {
			t.Errorf("after %v the verdict on %d at %v should be %d, for %s, but is %d", c.after, c.id, host(c.addr), c.want, c.admonition, v)
		}
	}
	r.Depart(r.Get(3), now+Forget)
	if m, added := r.Admit(3, host(3), now+Forget+1); m == nil || !added {
		t.Error("who left and proves that it is there is admitted at once")
	}
	r.drop(r.Get(3))
	if _, v := r.Learn(3, host(3), now+Forget+2); v != Added {
		t.Errorf("since it was there again its leave counts no more, but the verdict is %d", v)
	}
}

func TestOnlySoManyDeparturesAreRemembered(t *testing.T) {
	r := NewMembers(1, least, 2)
	leave := func(from, to uint64, at time.Duration) {
		for id := from; id < to; id++ {
			m, _ := r.Admit(id, host(int(id)), at)
			r.Depart(m, at)
		}
	}
	leave(100, 1000, now)
	if len(r.gone) != 4*least {
		t.Fatalf("of 900 that left %d should be remembered, but %d are", 4*least, len(r.gone))
	}
	leave(2000, 2001, now+Forget)
	if _, v := r.Learn(2000, host(2000), now+Forget); v != Refused || len(r.gone) != 1 {
		t.Fatalf("a minute later there should be room for one more, but its verdict is %d among %d", v, len(r.gone))
	}
}
