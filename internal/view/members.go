package view

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Forget is how long hearsay cannot bring back a member that left or was lost.
const Forget = time.Minute

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
	gone map[uint64]time.Duration // ids that left, until when; nil while none did

	transmitsLeft int       // how often the arrival of a member is passed on
	news          []*Member // members whose arrival is to be passed on
}

// NewMembers returns an empty roster with a view of at most limit members; the arrival of a
// member is passed on transmitsLeft times, at most 255.
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

// Heard records that something came from addr itself, from a node that claims to be the
// node claimed if that is not 0. A lost member is back by that, which again reports, unless
// another node claims its address. For an unknown address m is nil.
func (r *Members) MarkAlive(addr netip.AddrPort, claimed uint64, now time.Duration) (m *Member, again bool) {
	if m = r.ByAddr(addr); m == nil {
		i := r.candidate(addr)
		if i < 0 || r.all[i].id == 0 || r.Get(r.all[i].id) != nil {
			return nil, false
		}
		id := r.all[i].id
		if claimed != 0 && claimed != id {
			return nil, false
		}
		r.found(id, addr)
		if m = r.insert(id, addr, false); m == nil {
			return nil, false
		}
		again = true
	}
	m.LastSeen, m.SuspectUntil, m.Probed = now, 0, 0
	return m, again
}

// Admit adds id, which has proved that it can be reached at addr, to the view, in place of
// any other member known there. added reports whether it was not in the view before.
func (r *Members) Admit(id uint64, addr netip.AddrPort, now time.Duration) (m *Member, added bool) {
	if m = r.ByAddr(addr); m != nil && m.ID != id {
		r.drop(m)
	}
	r.found(id, addr)
	r.Answered(addr, id, now)
	delete(r.gone, id)
	if m = r.Get(id); m == nil {
		m, added = r.insert(id, addr, true), true
	} else if m.Addr != addr {
		r.Move(m, addr)
	}
	m.LastSeen, m.SuspectUntil, m.Probed = now, 0, 0
	return m, added
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
	case r.gone[id] > now:
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
	r.bury(m.ID, now)
	r.lose(m, now)
}

// Depart removes m, which is leaving, from the view.
func (r *Members) Depart(m *Member, now time.Duration) {
	r.drop(m)
	r.found(m.ID, m.Addr)
	r.rouse(m.ID)
	r.bury(m.ID, now)
}

// Tell makes the arrival of m news.
func (r *Members) Disseminate(m *Member) {
	if m.transmitsLeft == 0 {
		r.news = append(r.news, m)
	}
	m.transmitsLeft = uint8(r.transmitsLeft)
}

// News appends up to n members whose arrival is to be passed on now, those passed on the
// fewest times first, and counts this as one pass.
func (r *Members) News(dst []*Member, n int) []*Member {
	slices.SortStableFunc(r.news, func(a, b *Member) int { return int(b.transmitsLeft) - int(a.transmitsLeft) })
	n = min(n, len(r.news))
	told := len(dst)
	dst = append(dst, r.news[:n]...)
	r.news = append(r.news[:0], r.news[n:]...)
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
// nearest, on either side, and a random one. It is nil if there are no members.
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
	default:
		return r.At(rng.IntN(n))
	}
}

// Random appends up to n random members that are neither suspect nor at
// the address except.
func (r *Members) Random(dst []*Member, rng *rand.Rand, n int, except netip.AddrPort, now time.Duration) []*Member {
	return r.Sample(dst, rng, n, func(m *Member) bool { return m.Addr != except && !m.Suspect(now) })
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

// bury keeps hearsay from bringing id back for a while.
func (r *Members) bury(id uint64, now time.Duration) {
	if len(r.gone) >= 4*r.View.limit {
		for id, until := range r.gone {
			if until <= now {
				delete(r.gone, id)
			}
		}
	}
	if r.gone == nil {
		r.gone = map[uint64]time.Duration{}
	}
	if len(r.gone) < 4*r.View.limit {
		r.gone[id] = now + Forget
	}
}
