package view

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	// Forget is how long a member that left, or was lost, is not taken back
	// from hearsay.
	Forget = time.Minute

	// fresh is how long after the last loss the lost are probed eagerly.
	fresh = 2 * time.Minute

	// never stands for a last loss that is not fresh at any time.
	never = -2 * fresh
)

// Verdict says what became of a piece of hearsay.
type Verdict int

// What Learn answers.
const (
	Known   Verdict = iota // nothing new
	Added                  // a new member
	Doubted                // it contradicts what is known: ask at that address
	Refused                // not a member that can be taken
)

// Roster is the View together with everybody who may come, or come back, into
// it: the seeds, which stand until Reset, and the lost, which are probed until they
// answer. There are at most limit seeds and, beside these, at most limit lost, of
// which the oldest are forgotten, and at most 4*limit ids that left lately. A
// Roster is for one goroutine at a time.
type Roster struct {
	*View
	contacts []contact
	turn     int // the contact to probe next
	seeds    int
	lastLost time.Duration
	gone     map[uint64]time.Duration // ids that left, until when

	passes int       // how often each node passes on who is new
	news   []*Member // whose arrival is to be passed on
}

// contact is an address to say Hello to: a seed, a lost member or both.
type contact struct {
	addr netip.AddrPort
	id   uint64 // of the lost member, 0 if none
	at   time.Duration
	seed bool
	also uint64 // a member, known elsewhere, that answered here; 0 for none
}

// NewRoster returns an empty roster of a view of at most limit members; who is
// new is passed on passes times, at most 255.
func NewRoster(self uint64, limit, passes int) *Roster {
	return &Roster{View: New(self, limit), passes: passes, lastLost: never, gone: map[uint64]time.Duration{}}
}

// Reset forgets everybody, the seeds too, and gives the node a new identity.
func (r *Roster) Reset(self uint64) {
	r.View.Reset(self)
	r.contacts, r.seeds = r.contacts[:0], 0
	r.lastLost = never
	clear(r.gone)
	clear(r.news)
	r.news = r.news[:0]
}

// AddSeed makes addr a seed. At the limit it is refused.
func (r *Roster) AddSeed(addr netip.AddrPort) {
	i := r.contact(addr)
	switch {
	case i >= 0 && r.contacts[i].seed || r.seeds == r.limit:
		return
	case i >= 0:
		r.contacts[i].seed = true
	default:
		r.contacts = append(r.contacts, contact{addr: addr, seed: true})
	}
	r.seeds++
}

// IsSeed reports whether addr is a seed.
func (r *Roster) IsSeed(addr netip.AddrPort) bool {
	i := r.contact(addr)
	return i >= 0 && r.contacts[i].seed
}

// RemoveSeed forgets a seed, which turned out to be the node itself.
func (r *Roster) RemoveSeed(addr netip.AddrPort) {
	if i := r.contact(addr); i >= 0 && r.contacts[i].seed {
		r.forget(i)
		r.seeds--
	}
}

// Seeds returns how many seeds there are.
func (r *Roster) Seeds() int { return r.seeds }

// Lost returns how many lost members are being probed.
func (r *Roster) Lost() (n int) {
	for _, c := range r.contacts {
		if c.id != 0 {
			n++
		}
	}
	return n
}

// Heard records that something came from addr itself, from who claims to be a node if
// that is not 0. A lost member is back by it, unless another claims its address: again
// reports that. Unknown addresses give nil.
func (r *Roster) Heard(addr netip.AddrPort, claimed uint64, now time.Duration) (m *Member, again bool) {
	if m = r.ByAddr(addr); m == nil {
		i := r.contact(addr)
		if i < 0 || r.contacts[i].id == 0 || r.Get(r.contacts[i].id) != nil {
			return nil, false
		}
		id := r.contacts[i].id
		if claimed != 0 && claimed != id {
			return nil, false
		}
		r.found(id, addr)
		if m = r.insert(id, addr, false); m == nil {
			return nil, false
		}
		again = true
	}
	m.Heard, m.SuspectUntil, m.Asked = now, 0, 0
	return m, again
}

// Admit takes id, which has proved that it is to be reached at addr, into the
// view, in the place of whoever was known there. added reports that it was not
// in it.
func (r *Roster) Admit(id uint64, addr netip.AddrPort, now time.Duration) (m *Member, added bool) {
	if m = r.ByAddr(addr); m != nil && m.ID != id {
		r.drop(m)
	}
	r.found(id, addr)
	delete(r.gone, id)
	if m = r.Get(id); m == nil {
		m, added = r.insert(id, addr, true), true
	} else if m.Addr != addr {
		r.Move(m, addr)
	}
	m.Heard, m.SuspectUntil, m.Asked = now, 0, 0
	return m, added
}

// Learn takes hearsay: somebody says that id is to be reached at addr.
func (r *Roster) Learn(id uint64, addr netip.AddrPort, now time.Duration) (*Member, Verdict) {
	if id == r.self {
		return nil, Refused
	}
	m, there := r.Get(id), r.ByAddr(addr)
	switch {
	case m != nil && m == there:
		return m, Known
	case m != nil || there != nil:
		return nil, Doubted
	case r.gone[id] > now:
		return nil, Refused
	}
	if i := r.contact(addr); i >= 0 && r.contacts[i].id != 0 {
		return nil, Doubted
	}
	if m = r.insert(id, addr, false); m == nil {
		return nil, Refused
	}
	return m, Added
}

// Lose moves m from the view to the lost.
func (r *Roster) Lose(m *Member, now time.Duration) {
	r.drop(m)
	r.bury(m.ID, now)
	r.lastLost = now
	if i := r.contact(m.Addr); i >= 0 {
		r.contacts[i].id, r.contacts[i].at = m.ID, now
		return
	}
	if len(r.contacts)-r.seeds >= r.limit {
		oldest := -1
		for i, c := range r.contacts {
			if !c.seed && (oldest < 0 || c.at < r.contacts[oldest].at) {
				oldest = i
			}
		}
		r.forget(oldest)
	}
	r.contacts = append(r.contacts, contact{addr: m.Addr, id: m.ID, at: now})
}

// Depart takes m, which says that it leaves, out of the view.
func (r *Roster) Depart(m *Member, now time.Duration) {
	r.drop(m)
	r.found(m.ID, m.Addr)
	r.bury(m.ID, now)
}

// Answered notes that the member id, which is known at another address, answers
// at addr too: while it is in the view nobody else need be asked there.
func (r *Roster) Answered(addr netip.AddrPort, id uint64) {
	if i := r.contact(addr); i >= 0 {
		r.contacts[i].also = id
	}
}

// Probes appends the addresses to say Hello to in this round: those of the
// contacts, in turn, at which no member is known. A node that is connected asks
// a fifth of them, at most 3, or 1 when nobody was lost lately; one that is not
// asks up to 8. There are never more than most: whoever is not asked keeps its turn.
func (r *Roster) Probes(dst []netip.AddrPort, most int, connected bool, now time.Duration) []netip.AddrPort {
	n := 8
	if connected {
		n = min((len(r.contacts)+4)/5, 3)
		if now-r.lastLost > fresh {
			n = min(n, 1)
		}
	}
	n = min(n, most)
	for range r.contacts {
		if n == 0 {
			break
		}
		c := r.contacts[r.turn%len(r.contacts)]
		r.turn = (r.turn + 1) % len(r.contacts)
		if r.ByAddr(c.addr) == nil && (c.also == 0 || r.Get(c.also) == nil) {
			dst = append(dst, c.addr)
			n--
		}
	}
	return dst
}

// Tell makes the arrival of m news, to be passed on.
func (r *Roster) Tell(m *Member) {
	if m.passes == 0 {
		r.news = append(r.news, m)
	}
	m.passes = uint8(r.passes)
}

// News appends up to n members whose arrival is to be passed on now, the least
// told first, and counts this as one pass.
func (r *Roster) News(dst []*Member, n int) []*Member {
	slices.SortStableFunc(r.news, func(a, b *Member) int { return int(b.passes) - int(a.passes) })
	n = min(n, len(r.news))
	told := len(dst)
	dst = append(dst, r.news[:n]...)
	r.news = append(r.news[:0], r.news[n:]...)
	for _, m := range dst[told:] {
		if m.passes--; m.passes > 0 {
			r.news = append(r.news, m)
		}
	}
	return dst
}

// HasNews reports whether there is anything for News to return.
func (r *Roster) HasNews() bool { return len(r.news) > 0 }

// Partner returns whom to exchange members with in that turn: a neighbour on
// either side, one of the nearest, and random members between. It is nil if there
// are no members.
func (r *Roster) Partner(turn int, rng *rand.Rand) *Member {
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
func (r *Roster) Random(dst []*Member, rng *rand.Rand, n int, except netip.AddrPort, now time.Duration) []*Member {
	return r.Sample(dst, rng, n, func(m *Member) bool { return m.Addr != except && !m.Suspect(now) })
}

// drop takes m out of the view and out of the news.
func (r *Roster) drop(m *Member) {
	r.Remove(m)
	r.untell(m)
}

// insert adds a member to the view, at whose limit another one may go.
func (r *Roster) insert(id uint64, addr netip.AddrPort, keep bool) *Member {
	m, gone := r.View.Insert(id, addr, keep)
	if gone != nil {
		r.untell(gone)
	}
	return m
}

func (r *Roster) untell(m *Member) {
	m.passes = 0
	r.news = slices.DeleteFunc(r.news, func(x *Member) bool { return x == m })
}

// bury notes that id is not to be taken from hearsay for a while.
func (r *Roster) bury(id uint64, now time.Duration) {
	if len(r.gone) >= 4*r.limit {
		for id, until := range r.gone {
			if until <= now {
				delete(r.gone, id)
			}
		}
	}
	if len(r.gone) < 4*r.limit {
		r.gone[id] = now + Forget
	}
}

// found takes the lost member at addr, and id wherever it was lost, off the
// contacts; a seed stays.
func (r *Roster) found(id uint64, addr netip.AddrPort) {
	for i := len(r.contacts) - 1; i >= 0; i-- {
		switch c := &r.contacts[i]; {
		case c.addr != addr && c.id != id:
		case c.seed:
			c.id = 0
		default:
			r.forget(i)
		}
	}
}

// forget takes a contact off, so that those after it keep their turn.
func (r *Roster) forget(i int) {
	r.contacts = slices.Delete(r.contacts, i, i+1)
	if i < r.turn {
		r.turn--
	}
}

func (r *Roster) contact(addr netip.AddrPort) int {
	return slices.IndexFunc(r.contacts, func(c contact) bool { return c.addr == addr })
}
