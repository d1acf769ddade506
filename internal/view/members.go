package view

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/fifo"
)

const (
	keepLeft     = time.Hour        // how long an id that said goodbye is remembered
	partingAge   = 30 * time.Second // how long that a member is gone is news
	mostPartings = 64
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

// Members is the View together with the nodes that may enter or return to it: the candidates;
// and with the ids that said goodbye in the last hour, at most 4*limit, which hearsay never
// brings back. A Members is for one goroutine at a time.
type Members struct {
	*View
	candidates
	left     map[uint64]bool // ids that said goodbye
	leftWhen fifo.Queue[departure]

	transmitsLeft int       // how often the arrival of a member, or its end, is passed on
	news          []*Member // members whose arrival is to be passed on
	partings      []Parting // those lost, at most mostPartings
	goodbyes      []Parting // those that said goodbye, at most mostPartings
}

// departure is when an id said goodbye.
type departure struct {
	id uint64
	at time.Duration
}

// NewMembers returns no members, and a view of at most limit of them; news of a member is passed
// on transmitsLeft times, at most 255.
func NewMembers(self uint64, limit, transmitsLeft int) *Members {
	v := New(self, limit)
	r := &Members{View: v, candidates: candidates{limit: v.limit}, left: map[uint64]bool{}, transmitsLeft: transmitsLeft}
	r.candidates.reset()
	return r
}

// Reset forgets all members and candidates, and gives the node a new identity.
func (r *Members) Reset(self uint64) {
	r.View.Reset(self)
	r.candidates.reset()
	clear(r.left)
	r.leftWhen = fifo.Queue[departure]{}
	clear(r.news)
	r.news, r.partings, r.goodbyes = r.news[:0], r.partings[:0], r.goodbyes[:0]
}

// MarkAlive records that something came from addr. For an unknown address m is nil; lost then
// tells that a member was lost there, unless the source claims to be another node: claimed is
// the id that it gives, 0 if none. Only an answer brings a lost member back, for datagrams may
// come from where none can be sent.
func (r *Members) MarkAlive(addr netip.AddrPort, claimed uint64, now time.Duration) (m *Member, lost bool) {
	if m = r.ByAddr(addr); m != nil {
		if claimed != r.self { // its own Hello that comes back
			m.LastSeen, m.SuspectUntil = now, 0
		}
		return m, false
	}
	id := r.lostAt(addr)
	return nil, id != 0 && (claimed == 0 || claimed == id)
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
	delete(r.left, id)
	r.partings = slices.DeleteFunc(r.partings, func(p Parting) bool { return p.ID == id })
	if m = r.Get(id); m == nil {
		m, added = r.insert(id, addr, true), true
	} else if m.Addr != addr {
		r.Move(m, addr)
	}
	m.Deaf = m.Deaf || deaf && m.TookAt == 0
	m.LastSeen, m.SuspectUntil = now, 0
	r.Validate(m)
	m.Answered()
	return m, added, added && back
}

// Learn takes hearsay: the node at by says that id can be reached at addr. Hearsay of a node that
// is not there causes few Hellos, however often it is repeated: what is Doubted is so again only a
// while after Doubt.
func (r *Members) Learn(id uint64, addr, by netip.AddrPort, now time.Duration) (*Member, Verdict) {
	m, there := r.Get(id), r.ByAddr(addr)
	switch {
	case id == r.self || r.left[id]:
		return nil, Refused
	case m != nil && m == there:
		return m, Known
	case m != nil && there == nil && m.AnswersAt(addr): // it has two addresses, and others know this one
		return m, Known
	case there != nil:
		there.told = there.told || m == nil
		if !there.MayDoubt(now) {
			return nil, Refused
		}
		return nil, Doubted
	case r.tell(addr, by):
		return nil, Refused
	case m != nil || r.lost[id] != nil:
		return nil, Doubted
	}
	if m = r.insert(id, addr, false); m == nil {
		return nil, Refused
	}
	return m, Added
}

// Doubt notes that addr is sent a Hello because of what others say.
func (r *Members) Doubt(addr netip.AddrPort, now time.Duration) {
	if m := r.ByAddr(addr); m != nil {
		m.DoubtedAt = max(now, 1)
	} else {
		r.unproven(addr, now)
	}
}

// Lose moves m from the view to the lost members.
func (r *Members) Lose(m *Member, now time.Duration) {
	r.drop(m)
	r.lose(m, now)
	r.Part(m, now)
}

// Forget removes m, which was known only by hearsay and did not answer, from the view.
func (r *Members) Forget(m *Member, now time.Duration) {
	r.drop(m)
	r.unproven(m.Addr, now)
}

// Depart removes m, which is no longer at its address, from the view.
func (r *Members) Depart(m *Member, now time.Duration) {
	r.drop(m)
	r.found(m.ID, m.Addr)
	r.rouse(m, now)
}

// Leave removes m, which says goodbye, from the view. Its id does not come back.
func (r *Members) Leave(m *Member, now time.Duration) {
	r.Depart(m, now)
	for r.leftWhen.Len() >= 4*r.View.limit || r.leftWhen.Len() > 0 && now-r.leftWhen.At(0).at > keepLeft {
		old, _ := r.leftWhen.Pop()
		delete(r.left, old.id)
	}
	r.leftWhen.Push(departure{m.ID, now})
	r.left[m.ID] = true
	m.Gone = Left
	r.Part(m, now)
}

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
