package view

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// How long hearsay cannot bring back a member.
const (
	afterLoss    = time.Minute      // that left or was lost
	afterHearsay = 10 * time.Second // that did not answer when it was known only by hearsay
)

// Verdict says what became of a piece of hearsay.
type Verdict int

// The results of Learn.
const (
	Known   Verdict = iota // nothing new
	Added                  // a new member
	Doubted                // it contradicts what is known: probe that address
	Refused                // it cannot be a member now
)

// Members is the View together with the nodes that may enter or return to it: the candidates,
// of which seeds stay until Reset, and at most 4*limit ids that left lately, which hearsay
// does not bring back. A Members is for one goroutine at a time.
type Members struct {
	*View
	candidates
	gone map[uint64]burial // ids that left, until when; nil while none did

	transmitsLeft int       // how often the arrival of a member is passed on
	news          []*Member // members whose arrival is to be passed on
}

// NewMembers returns no members, and a view of at most limit of them; the arrival of a member
// is passed on transmitsLeft times, at most 255.
func NewMembers(self uint64, limit, transmitsLeft int) *Members {
	v := New(self, limit)
	return &Members{View: v, candidates: candidates{limit: v.limit, lastLost: never}, transmitsLeft: transmitsLeft}
}

// Reset forgets all members and candidates, and gives the node a new identity.
func (r *Members) Reset(self uint64) {
	r.View.Reset(self)
	r.candidates.reset()
	clear(r.gone)
	clear(r.news)
	r.news = r.news[:0]
}

// MarkAlive records that something came from addr. For an unknown address m is nil; lost then
// tells that a member was lost there, unless the source claims to be another node: claimed is
// the id that it gives, 0 if none. Only an answer brings a lost member back, for datagrams may
// come from where none can be sent.
func (r *Members) MarkAlive(addr netip.AddrPort, claimed uint64, now time.Duration) (m *Member, lost bool) {
	if m = r.ByAddr(addr); m != nil {
		m.LastSeen, m.SuspectUntil = now, 0
		return m, false
	}
	i := r.candidate(addr)
	return nil, i >= 0 && r.all[i].id != 0 && (claimed == 0 || claimed == r.all[i].id)
}

// Admit adds id, which has proved that it can be reached at addr, to the view, in place of
// any other member known there. added reports whether it was not in the view before, and back
// whether it was lost then.
func (r *Members) Admit(id uint64, addr netip.AddrPort, now time.Duration) (m *Member, added, back bool) {
	if m = r.ByAddr(addr); m != nil && m.ID != id {
		r.drop(m)
	}
	back, deaf := r.found(id, addr)
	r.Answered(addr, id, now)
	delete(r.gone, id)
	if m = r.Get(id); m == nil {
		m, added = r.insert(id, addr, true), true
	} else if m.Addr != addr {
		r.Move(m, addr)
	}
	m.Deaf = m.Deaf || deaf && m.TookAt == 0
	m.Validated, m.LastSeen, m.SuspectUntil, m.Probed = true, now, 0, 0
	return m, added, added && back
}

// Learn takes hearsay: another node says that id can be reached at addr.
func (r *Members) Learn(id uint64, addr netip.AddrPort, now time.Duration) (*Member, Verdict) {
	if id == r.self {
		return nil, Refused
	}
	m, there := r.Get(id), r.ByAddr(addr)
	switch {
	case m != nil && m == there:
		return m, Known
	case m != nil && there == nil && m.answersAt(addr): // it has two addresses, and others know this one
		return m, Known
	case m != nil || there != nil:
		return nil, Doubted
	case r.gone[id].until > now && (r.gone[id].hearsay || r.lostElsewhere(id, addr)):
		return nil, Doubted
	case r.gone[id].until > now:
		return nil, Refused
	}
	if i := r.candidate(addr); i >= 0 && r.all[i].id != 0 {
		return nil, Doubted
	}
	if m = r.insert(id, addr, false); m == nil {
		return nil, Refused
	}
	return m, Added
}

// Lose moves m from the view to the lost members.
func (r *Members) Lose(m *Member, now time.Duration) {
	r.drop(m)
	r.bury(m.ID, now, burial{now + afterLoss, false})
	r.lose(m, now)
}

// Forget removes m, which was known only by hearsay, from the view.
func (r *Members) Forget(m *Member, now time.Duration) {
	r.drop(m)
	r.bury(m.ID, now, burial{now + afterHearsay, true})
}

// Depart removes m, which is leaving, from the view.
func (r *Members) Depart(m *Member, now time.Duration) {
	r.drop(m)
	r.found(m.ID, m.Addr)
	r.rouse(m.ID)
	r.bury(m.ID, now, burial{now + afterLoss, false})
}

// Disseminate makes the arrival of m news.
func (r *Members) Disseminate(m *Member) {
	if m.transmitsLeft == 0 {
		r.news = append(r.news, m)
	}
	m.transmitsLeft = uint8(r.transmitsLeft)
}

// News appends up to n members whose arrival is to be passed on now, those passed on the
// fewest times first, and counts this as one pass. Those that are not validated have to wait.
func (r *Members) News(dst []*Member, n int) []*Member {
	slices.SortStableFunc(r.news, func(a, b *Member) int { return int(b.transmitsLeft) - int(a.transmitsLeft) })
	told, waiting := len(dst), r.news[:0]
	for _, m := range r.news {
		if m.Validated && len(dst)-told < n {
			dst = append(dst, m)
		} else {
			waiting = append(waiting, m)
		}
	}
	r.news = waiting
	for _, m := range dst[told:] {
		if m.transmitsLeft--; m.transmitsLeft > 0 {
			r.news = append(r.news, m)
		}
	}
	return dst
}

// HasNews reports whether there is anything for News to return.
func (r *Members) HasNews() bool { return len(r.news) > 0 }

// Partner returns the member to exchange members with in a turn: alternately one of the
// nearest, on either side, and a random one or the one that was not heard of for longest, so
// that the dead are found. It is nil if there are no members.
func (r *Members) Partner(turn int, rng *rand.Rand) *Member {
	n := r.Len()
	if n == 0 {
		return nil
	}
	switch i := turn / 4 % min(n, Near); turn % 4 {
	case 0:
		return r.Clockwise(i)
	case 2:
		return r.Counterclockwise(i)
	}
	first := 0
	if zone := r.StaysIn(rng); zone != 0 {
		first, n = r.Zone(zone)
	}
	if turn%4 == 3 {
		return r.clockwise(first + rng.IntN(n))
	}
	oldest := r.clockwise(first)
	for i := range n {
		if m := r.clockwise(first + i); m.LastSeen < oldest.LastSeen {
			oldest = m
		}
	}
	return oldest
}

// Random appends up to n random validated members that are not suspect and for which ok holds.
func (r *Members) Random(dst []*Member, rng *rand.Rand, n int, ok func(*Member) bool, now time.Duration) []*Member {
	return r.Sample(dst, rng, n, func(m *Member) bool { return m.Validated && !m.Suspect(now) && ok(m) })
}

// drop removes m from the view and the news.
func (r *Members) drop(m *Member) {
	r.Remove(m)
	r.undisseminate(m)
}

// insert adds a member to the view, which may evict another one.
func (r *Members) insert(id uint64, addr netip.AddrPort, keep bool) *Member {
	m, gone := r.View.Insert(id, addr, keep)
	if gone != nil {
		r.undisseminate(gone)
	}
	return m
}

func (r *Members) undisseminate(m *Member) {
	m.transmitsLeft = 0
	r.news = slices.DeleteFunc(r.news, func(x *Member) bool { return x == m })
}

// burial is until when hearsay does not bring an id back, and whether all that was ever known of
// it was hearsay.
type burial struct {
	until   time.Duration
	hearsay bool
}

// bury keeps hearsay from bringing id back for a while.
func (r *Members) bury(id uint64, now time.Duration, b burial) {
	if len(r.gone) >= 4*r.View.limit {
		for id, old := range r.gone {
			if old.until <= now {
				delete(r.gone, id)
			}
		}
	}
	if r.gone == nil {
		r.gone = map[uint64]burial{}
	}
	if len(r.gone) < 4*r.View.limit {
		r.gone[id] = b
	}
}
