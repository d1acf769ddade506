package view

import (
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// mostGoodbyes is how often a goodbye is passed on. Nearly all nodes heard it themselves; where loss is
// common the few others are not found sooner.
const mostGoodbyes = 8

// Parting is the news that a member is gone.
type Parting struct {
	ID   uint64
	Addr netip.AddrPort

	at            time.Duration
	transmitsLeft int
}

// Part makes news of the end of m, or of the suspicion of it, once until m answers.
func (r *Members) Part(m *Member, now time.Duration) {
	news, transmits := &r.partings, r.transmits()
	if m.Gone == Left {
		news, transmits = &r.goodbyes, mostGoodbyes
	}
	if m.Validated && !m.parted && len(*news) < mostPartings {
		m.parted = true
		*news = append(*news, Parting{m.ID, m.Addr, now, transmits})
	}
}

// Partings appends up to n members that are lost, which is to be passed on, and counts this as one
// pass.
func (r *Members) Partings(dst []Parting, n int, now time.Duration) []Parting {
	return pass(dst, &r.partings, n, now)
}

// Goodbyes is Partings for members that said goodbye.
func (r *Members) Goodbyes(dst []Parting, n int, now time.Duration) []Parting {
	return pass(dst, &r.goodbyes, n, now)
}

func pass(dst []Parting, news *[]Parting, n int, now time.Duration) []Parting {
	waiting := (*news)[:0]
	for _, p := range *news {
		if now-p.at > partingAge {
			continue
		}
		if n > 0 {
			dst = append(dst, p)
			n--
			p.transmitsLeft--
		}
		if p.transmitsLeft > 0 {
			waiting = append(waiting, p)
		}
	}
	*news = waiting
	return dst
}

// Disseminate makes the arrival of m news.
func (r *Members) Disseminate(m *Member) {
	if m.transmitsLeft == 0 {
		r.news = append(r.news, m)
	}
	m.transmitsLeft = uint8(r.transmits())
}

// transmits returns how often a piece of news is passed on: twice more for each doubling of the
// view beyond 128 members, so that hardly a node is left out by chance.
func (r *Members) transmits() int {
	return min(r.transmitsLeft+2*bits.Len(uint(r.Len()>>7)), math.MaxUint8)
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

// CountNews returns how many pieces of news there are for News and Partings to return.
func (r *Members) CountNews() int { return len(r.news) + len(r.partings) }

func (r *Members) undisseminate(m *Member) {
	m.transmitsLeft = 0
	r.news = slices.DeleteFunc(r.news, func(x *Member) bool { return x == m })
}
