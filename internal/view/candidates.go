package view

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// fresh is how long after the last loss lost members are probed eagerly.
	fresh = 2 * time.Minute

	// never is a time of the last loss that is never fresh.
	never = -2 * fresh

	// resting is how long a connected node leaves a candidate alone that has answered. In
	// a cluster larger than a view most nodes do not keep their seed in it: without
	// this all of them would probe the seed all the time.
	resting = time.Minute

	// askPause is the time between two Hellos to a candidate of which something is heard.
	askPause = 100 * time.Millisecond

	// latest is how many of the newest candidates are favoured, if there are more than
	// twice as many candidates.
	latest = 8
)

// candidates are the addresses at which a node is expected: seeds, which stay, and lost
// members, which are probed until they answer. There are at most limit seeds and, besides
// these, at most limit lost members, of which the oldest are forgotten.
type candidates struct {
	limit    int
	all      []candidate // oldest first
	turn     int         // the one to probe next
	favoured int         // the favoured one to probe next
	favours  bool        // the last probe was of a favoured one
	lastLost time.Duration
}

// candidate is an address to send a Hello to: that of a seed, a lost member or both.
type candidate struct {
	addr    netip.AddrPort
	id      uint64        // of the lost member, 0 if none
	at      time.Duration // when it was lost
	by      uint64        // of the member that answered last, 0 if none
	askedAt time.Duration // when ProbeNext may make it the first again
	rest    time.Duration // until then it is left alone, unless that member is lost
	deaf    bool          // that member took no Data
	seed    bool
	came    int  // how many Hellos came back since one did not
	echoes  bool // see Echo
}

func (c *candidates) reset() { *c = candidates{limit: c.limit, all: c.all[:0], lastLost: never} }

// AddSeed makes addr a seed. At the limit it replaces one that echoes, or is ignored.
func (c *candidates) AddSeed(addr netip.AddrPort) {
	if c.IsSeed(addr) {
		return
	}
	if c.count(func(x *candidate) bool { return x.seed }) == c.limit {
		i := slices.IndexFunc(c.all, func(x candidate) bool { return x.seed && x.echoes })
		if i < 0 {
			return
		}
		c.forget(i)
	}
	if i := c.candidate(addr); i >= 0 {
		c.all[i].seed = true
	} else {
		c.all = append(c.all, candidate{addr: addr, seed: true})
	}
}

// IsSeed reports whether addr is a seed.
func (c *candidates) IsSeed(addr netip.AddrPort) bool {
	i := c.candidate(addr)
	return i >= 0 && c.all[i].seed
}

// Seeds returns how many seeds there are that do not echo.
func (c *candidates) Seeds() int {
	return c.count(func(x *candidate) bool { return x.seed && !x.echoes })
}

// Lost returns how many lost members are being probed.
func (c *candidates) Lost() int {
	return c.count(func(x *candidate) bool { return x.id != 0 && !x.echoes })
}

func (c *candidates) count(is func(*candidate) bool) (n int) {
	for i := range c.all {
		if is(&c.all[i]) {
			n++
		}
	}
	return n
}

// Answered notes that the member id answers at addr, which may not be its known address.
func (c *candidates) Answered(addr netip.AddrPort, id uint64, now time.Duration) {
	if i := c.candidate(addr); i >= 0 {
		c.all[i].by, c.all[i].rest, c.all[i].echoes, c.all[i].came = id, now+resting, false, 0
	}
}

// Echo notes that so many Hellos to addr came back and were not answered; 0 stands for one that
// did not come back. It reports whether the last ones, as many as are enough, all came back: the
// node itself is there, or somebody pretends to be it. Until another node answers there it
// does not count as a candidate, but is probed occasionally.
func (c *candidates) Echo(addr netip.AddrPort, came, enough int, now time.Duration) bool {
	i := c.candidate(addr)
	if i < 0 {
		return false
	}
	x := &c.all[i]
	switch x.came += came; {
	case came == 0:
		x.came, x.echoes = 0, false
	case x.came >= enough:
		x.came, x.rest, x.echoes = enough, now+resting, true
	}
	return x.echoes
}

// lose makes a lost member a candidate.
func (c *candidates) lose(m *Member, now time.Duration) {
	c.lastLost = now
	c.rouse(m.ID)
	if i := c.candidate(m.Addr); i >= 0 {
		x := &c.all[i]
		x.id, x.at, x.rest, x.echoes, x.deaf = m.ID, now, 0, false, m.Deaf // a member was lost there, so it is not the node itself
		return
	}
	if c.count(func(x *candidate) bool { return !x.seed }) >= c.limit {
		oldest := -1
		for i, x := range c.all {
			if !x.seed && (oldest < 0 || x.at < c.all[oldest].at) {
				oldest = i
			}
		}
		c.forget(oldest)
	}
	c.all = append(c.all, candidate{addr: m.Addr, id: m.ID, at: now, deaf: m.Deaf})
}

// lostElsewhere reports whether id was lost at another address than addr.
func (c *candidates) lostElsewhere(id uint64, addr netip.AddrPort) bool {
	return slices.ContainsFunc(c.all, func(x candidate) bool { return x.id == id && x.addr != addr })
}

// rouse ends the rest of the candidates at which the member id has answered.
func (c *candidates) rouse(id uint64) {
	for i := range c.all {
		if c.all[i].by == id {
			c.all[i].rest = 0
		}
	}
}

// found removes from the candidates the lost member at addr, and id wherever it was lost; a
// seed stays. It reports whether id was lost, and whether for being deaf.
func (c *candidates) found(id uint64, addr netip.AddrPort) (lost, deaf bool) {
	for i := len(c.all) - 1; i >= 0; i-- {
		switch x := &c.all[i]; {
		case x.addr != addr && x.id != id:
			continue
		case x.id == id:
			lost, deaf = true, x.deaf
		}
		if c.all[i].seed {
			c.all[i].id = 0
		} else {
			c.forget(i)
		}
	}
	return lost, deaf
}

// forget removes a candidate, without changing the turn of those after it.
func (c *candidates) forget(i int) {
	c.all = slices.Delete(c.all, i, i+1)
	for _, turn := range []*int{&c.turn, &c.favoured} {
		if i < *turn {
			*turn--
		}
	}
}

func (c *candidates) candidate(addr netip.AddrPort) int {
	return slices.IndexFunc(c.all, func(x candidate) bool { return x.addr == addr })
}

// next returns the next candidate, cyclically, for which ok holds, or -1.
func (c *candidates) next(turn *int, ok func(i int) bool) int {
	for range c.all {
		i := *turn % len(c.all)
		*turn = (i + 1) % len(c.all)
		if ok(i) {
			return i
		}
	}
	return -1
}

// ProbeNext makes the candidate at addr the first of the next Probes. It returns false if there
// is none, or if it was made that less than askPause ago.
func (c *candidates) ProbeNext(addr netip.AddrPort, now time.Duration) bool {
	i := c.candidate(addr)
	if i < 0 || now < c.all[i].askedAt {
		return false
	}
	c.turn, c.favoured, c.all[i].rest, c.all[i].askedAt = i, i, 0, now+askPause
	return true
}

// Probes appends the addresses to send a Hello to in this round, of candidates at which no
// member is known. A connected node probes a fifth of them, at most 3, or 1 when nobody was
// lost lately, and leaves alone those that have just answered; any other node probes up to
// 8. There are never more than most. If there are many candidates, most of them are probably
// gone for good, so every other probe is of a seed or one of the latest. Among these, and
// among all, candidates take turns.
func (r *Members) Probes(dst []netip.AddrPort, most int, connected bool, now time.Duration) []netip.AddrPort {
	c := &r.candidates
	n := 8
	if connected {
		n = min((len(c.all)+4)/5, 3)
		if now-c.lastLost > fresh {
			n = min(n, 1)
		}
	}
	due := func(i int) bool {
		x := &c.all[i]
		rests := now < x.rest && (connected || x.echoes)
		return !rests && r.ByAddr(x.addr) == nil && !slices.Contains(dst, x.addr)
	}
	for range min(n, most) {
		i := -1
		if c.favours = !c.favours && len(c.all) > 2*latest; c.favours {
			i = c.next(&c.favoured, func(i int) bool { return (c.all[i].seed || i >= len(c.all)-latest) && due(i) })
		}
		if i < 0 {
			i = c.next(&c.turn, due)
		}
		if i < 0 {
			break
		}
		if c.all[i].echoes {
			c.all[i].rest = now + resting
		}
		dst = append(dst, c.all[i].addr)
	}
	return dst
}
