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
	for r.CountNews() > 0 {
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
	r.Leave(r.Get(5), now)
	for _, c := range []struct {
		why  string
		id   uint64
		addr int
		want Verdict
	}{
		{"it is the node itself", 1, 100, Refused},
		{"it is known just so", 2, 2, Known},
		{"it is known to send from there", 2, 22, Known},
		{"it is known elsewhere", 2, 100, Doubted},
		{"it is known elsewhere, and answered there too", 2, 24, Known},
		{"somebody else is there", 100, 3, Doubted},
		{"somebody else sends from there", 100, 22, Doubted},
		{"both are known, but not together, and who is there was just asked", 2, 3, Refused},
		{"it was lost there", 4, 4, Refused},
		{"it was lost lately, and may be elsewhere now", 4, 102, Doubted},
		{"somebody else was lost there, and was just asked", 100, 4, Refused},
		{"it has left", 5, 5, Refused},
		{"only who left was there", 100, 5, Added},
		{"it is new", 101, 101, Added},
	} {
		m, got := r.Learn(c.id, host(c.addr), host(1), now)
		if got == Doubted {
			r.Doubt(host(c.addr), now)
		}
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
	if m, v := r.Learn(place(5<<28), host(100), host(1), now); m != nil || v != Refused || r.Len() != least {
		t.Fatalf("beside its octave's only member it leaves the smaller hole and should be refused, but got %v, %v", m, v)
	}
	announce(r, place(3<<29))
	if m, added, _ := r.Admit(place(5<<28), host(100), now); m == nil || !added || r.Get(place(3<<29)) != nil {
		t.Fatalf("when it has shown itself it should take the other's place, but got %v, %v", m, added)
	}
	announce(r, place(5<<28))
	if m, v := r.Learn(place(7<<28), host(101), host(1), now); v != Added || m == nil || r.Get(place(5<<28)) != nil {
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
	m, added, back := r.Admit(9, host(2), now+5)
	if m == nil || !added || back || r.Get(2) != nil || r.ByAddr(host(2)) != m || r.Len() != 2 || m.LastSeen != now+5 {
		t.Fatalf("9 should be where 2 was, and 2 gone, but got %v, %v", m, added)
	}
	if ids := tellAll(r, 10); !slices.Equal(ids, []uint64{3, 3}) {
		t.Fatalf("2 is no news any more and 9 not yet, but told are %v", ids)
	}
	m.SuspectUntil = now + time.Hour
	again, added, _ := r.Admit(9, host(3), now+6)
	if again != m || added || r.Len() != 1 || m.Addr != host(3) || r.ByAddr(host(2)) != nil || m.Suspect(now) || m.LastSeen != now+6 {
		t.Fatalf("9 should have moved to where 3 was, above suspicion, but is %v, added %v", again, added)
	}
	if _, v := r.Learn(2, host(2), host(1), now); v != Added {
		t.Fatalf("2 did not leave and may be learned again, but the verdict is %d", v)
	}
}

func TestTheLostAreProbedAndComeBackWhenTheyAnswer(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3)
	two := r.Get(2)
	announce(r, 2)
	r.Lose(two, now)
	if r.Get(2) != nil || r.ByAddr(host(2)) != nil || r.Lost() != 1 || len(r.news) > 0 {
		t.Fatalf("2 should be lost and no news, but %d are lost, news %v", r.Lost(), r.news)
	}
	if p := r.Probes(nil, 8, now, testRand(1)); !slices.Equal(p, []netip.AddrPort{host(2)}) {
		t.Fatalf("the lost should be probed, not %v", p)
	}
	for _, c := range []struct {
		addr    int
		claimed uint64
		lost    bool
	}{
		{7, 0, false},  // no node is known there
		{7, 2, false},  // nor was 2 lost there
		{2, 99, false}, // another node took its address
		{2, 2, true},
		{2, 0, true},
	} {
		if m, lost := r.MarkAlive(host(c.addr), c.claimed, now+8); m != nil || lost != c.lost || r.Len() != 1 || r.Lost() != 1 {
			t.Fatalf("a datagram from %v that claims to be of %d brings %v, lost there %v, and %d of 1 are lost", host(c.addr), c.claimed, m, lost, r.Lost())
		}
	}
	m, added, back := r.Admit(2, host(2), now+9)
	if m == nil || !added || !back || m.ID != 2 || m.Addr != host(2) || m.LastSeen != now+9 || r.Get(2) != m || r.Lost() != 0 {
		t.Fatalf("2 answered and should be back, but got %v, %v, %v, and %d are lost", m, added, back, r.Lost())
	}
	announce(r, 2)
	if ids := tellAll(r, 10); !slices.Equal(ids, []uint64{2, 2}) {
		t.Fatalf("that 2 is back should be passed on twice, but told are %v", ids)
	}
	if same, added, back := r.Admit(2, host(2), now+10); same != m || added || back {
		t.Fatalf("2 is back already, but got %v, %v, %v", same, added, back)
	}
	if p := r.Probes(nil, 8, now, testRand(1)); len(p) != 0 {
		t.Fatalf("no node is left to probe, but %v are", p)
	}
}

// A datagram shows only that its source sends. That the member receives anything, or takes
// Data, shows in its answers.
func TestMarkAliveEndsSuspicionAndNothingElse(t *testing.T) {
	r := NewMembers(1, least, 2)
	r.Learn(2, host(2), host(1), now)
	m := r.Get(2)
	m.SuspectUntil, m.Probed, m.Deaf = now+time.Hour, 3, true
	if got, _ := r.MarkAlive(host(2), r.self, now+1); got != m || m.LastSeen != 0 || m.SuspectUntil == 0 {
		t.Fatalf("a Hello of the node itself that comes back shows that 2 is alive: seen at %v", m.LastSeen)
	}
	if got, lost := r.MarkAlive(host(2), 0, now+1); got != m || lost {
		t.Fatalf("2 is a member and not lost, but got %v, %v", got, lost)
	}
	if m.LastSeen != now+1 || m.SuspectUntil != 0 {
		t.Errorf("2 was seen at %v and is no longer suspect, but was at %v and is until %v", now+1, m.LastSeen, m.SuspectUntil)
	}
	if m.Validated || m.Probed != 3 || !m.Deaf || !m.Suspect(now+1) {
		t.Errorf("a datagram made 2 validated: %v, left it %d of 3 unanswered Hellos, and deaf: %v", m.Validated, m.Probed, m.Deaf)
	}
	r.Admit(2, host(2), now+2)
	if !m.Validated || m.Probed != 0 || m.LastSeen != now+2 {
		t.Errorf("an answer should make 2 validated: %v, and its Hellos answered: %d are not", m.Validated, m.Probed)
	}
}

func TestAMemberLostForBeingDeafComesBackDeaf(t *testing.T) {
	for _, c := range []struct {
		story string
		deaf  bool
		back  func(r *Members) *Member
	}{
		{"it answers where it was", true, func(r *Members) *Member {
			m, _, _ := r.Admit(2, host(2), now+1)
			return m
		}},
		{"it answers at a new address", true, func(r *Members) *Member {
			m, _, _ := r.Admit(2, host(20), now+1)
			return m
		}},
		{"hearsay names a new address before it answers there", true, func(r *Members) *Member {
			r.Learn(2, host(20), host(1), now)
			m, _, _ := r.Admit(2, host(20), now+1)
			return m
		}},
		{"another node has its address", false, func(r *Members) *Member {
			m, _, _ := r.Admit(9, host(2), now+1)
			return m
		}},
		{"it said goodbye since", false, func(r *Members) *Member {
			m, _, _ := r.Admit(2, host(2), now+1)
			r.Depart(m, now+2)
			m, _, _ = r.Admit(2, host(2), now+3)
			return m
		}},
	} {
		for _, seed := range []bool{false, true} {
			r := NewMembers(1, least, 2)
			if seed {
				r.AddSeed(host(2), now)
			}
			know(r, 2)
			r.Get(2).Deaf = true
			r.Lose(r.Get(2), now)
			if m := c.back(r); m.Deaf != c.deaf || m.Suspect(now+time.Hour) != c.deaf {
				t.Errorf("%s (at a seed: %v): that it is deaf should be %v, but is %v", c.story, seed, c.deaf, m.Deaf)
			}
		}
	}
}

func TestWhoIsBackAtAnotherAddressIsNotLostAtTheOld(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2)
	r.Lose(r.Get(2), now)
	r.Admit(2, host(20), now)
	if p := r.Probes(nil, 8, now, testRand(1)); r.Lost() != 0 || len(p) != 0 {
		t.Fatalf("2 proved where it is now, but %d are lost and %v are probed", r.Lost(), p)
	}
	r.Depart(r.Get(2), now)
	if m, again := r.MarkAlive(host(2), 0, now); m != nil || again {
		t.Fatalf("2 has left, yet something from where it was before brings it back: %v, %v", m, again)
	}
}

func TestHearsayDoesNotBringBackWhoSaidGoodbye(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3)
	r.Leave(r.Get(3), now)
	for _, after := range []time.Duration{0, time.Minute, keepLeft} {
		if _, v := r.Learn(3, host(30), host(1), now+after); v != Refused {
			t.Errorf("%v after it said goodbye the verdict on an id is %d", after, v)
		}
	}
	if m, added, back := r.Admit(3, host(3), now+1); m == nil || !added || back {
		t.Error("who left and proves that it is there is admitted at once, and was not lost")
	}
	r.drop(r.Get(3))
	if _, v := r.Learn(3, host(3), host(1), now+2); v != Added {
		t.Errorf("since it was there again its goodbye counts no more, but the verdict is %d", v)
	}
}

func TestOnlySoManyDeparturesAreRemembered(t *testing.T) {
	r := NewMembers(1, least, 2)
	leave := func(from, to uint64, at time.Duration) {
		for id := from; id < to; id++ {
			m, _, _ := r.Admit(id, host(int(id)), at)
			r.Leave(m, at)
		}
	}
	leave(100, 1000, now)
	if len(r.left) != 4*least || r.leftWhen.Len() != 4*least || len(r.goodbyes) != mostPartings {
		t.Fatalf("of 900 that left %d should be remembered, but %d are, and %d to be passed on", 4*least, len(r.left), len(r.goodbyes))
	}
	if !r.left[999] || r.left[100] {
		t.Fatal("not the latest are remembered")
	}
	leave(2000, 2001, now+keepLeft+1)
	if len(r.left) != 1 {
		t.Fatalf("an hour later one should be remembered, but %d are", len(r.left))
	}
}

func TestTheEndOfAMemberIsPassedOnAFewTimes(t *testing.T) {
	r := NewMembers(1, least, 2)
	know(r, 2, 3, 4)
	r.Leave(r.Get(2), now)
	r.Lose(r.Get(3), now)
	m, _ := r.Learn(5, host(5), host(1), now)
	r.Lose(m, now) // nobody was told of it
	first := r.Partings(nil, 1, now)
	if len(first) != 1 || first[0].ID != 3 || first[0].Addr != host(3) {
		t.Fatalf("of one lost member %v is passed on", first)
	}
	if all := append(first, r.Partings(nil, 8, now)...); len(all) != 2 || r.CountNews() > 0 {
		t.Fatalf("the loss of a member, to be passed on twice, is passed on as %v", all)
	}
	for i := range 2 * mostGoodbyes {
		all := r.Goodbyes(nil, 8, now)
		if (len(all) == 1 && all[0].ID == 2) != (i < mostGoodbyes) {
			t.Fatalf("a goodbye, to be passed on %d times, is passed on as %v after %d", mostGoodbyes, all, i)
		}
	}
	r.Lose(r.Get(4), now)
	if r.Admit(4, host(4), now); r.CountNews() > 0 {
		t.Fatal("that a member was lost is still passed on when it is back")
	}
	r.Lose(r.Get(4), now)
	if old := r.Partings(nil, 8, now+partingAge+1); len(old) != 0 || r.CountNews() > 0 {
		t.Fatalf("the old news %v is passed on", old)
	}
}
