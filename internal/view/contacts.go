package view

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// fresh is how long after the last loss the lost are probed eagerly.
	fresh = 2 * time.Minute

	// never stands for a last loss that is not fresh at any time.
	never = -2 * fresh

	// resting is how long after it has answered a contact is left alone by a node that
	// is connected. In a cluster that is larger than a view most nodes do not keep their
	// seed there: without it the seed would be asked by all of them all the time.
	resting = time.Minute

	// latest is how many of the contacts that came last have more than their turn, where
	// there are more than twice as many.
	latest = 8
)

// contacts are the addresses at which somebody is expected: seeds, which stand, and
// lost members, which are probed until they answer. There are at most limit seeds and,
// beside these, at most limit lost, of which the oldest are forgotten.
type contacts struct {
	limit    int
	all      []contact // those that came last are last
	turn     int       // the one to probe next
	favoured int       // and of those that have more than their turn
	favours  bool      // the last that was probed was one of these
	lastLost time.Duration
}

// contact is an address to say Hello to: a seed, a lost member or both.
type contact struct {
	addr   netip.AddrPort
	id     uint64        // of the lost member, 0 if none
	at     time.Duration // when it was lost
	by     uint64        // of the member that answered last, 0 if none
	rest   time.Duration // until then it is left alone, unless that member is lost
	seed   bool
	echoes bool // see Echo
}

func (c *contacts) reset() { *c = contacts{limit: c.limit, all: c.all[:0], lastLost: never} }

// AddSeed makes addr a seed. At the limit it takes the place of one that echoes, or is
// refused.
func (c *contacts) AddSeed(addr netip.AddrPort) {
	if c.IsSeed(addr) {
		return
	}
	if c.count(func(x *contact) bool { return x.seed }) == c.limit {
		i := slices.IndexFunc(c.all, func(x contact) bool { return x.seed && x.echoes })
		if i < 0 {
			return
		}
		c.forget(i)
	}
	if i := c.contact(addr); i >= 0 {
		c.all[i].seed = true
	} else {
		c.all = append(c.all, contact{addr: addr, seed: true})
	}
}

// IsSeed reports whether addr is a seed.
func (c *contacts) IsSeed(addr netip.AddrPort) bool {
	i := c.contact(addr)
	return i >= 0 && c.all[i].seed
}

// Seeds returns how many seeds there are that do not echo.
func (c *contacts) Seeds() int { return c.count(func(x *contact) bool { return x.seed && !x.echoes }) }

// Lost returns how many lost members are being probed.
func (c *contacts) Lost() int {
	return c.count(func(x *contact) bool { return x.id != 0 && !x.echoes })
}

func (c *contacts) count(is func(*contact) bool) (n int) {
	for i := range c.all {
		if is(&c.all[i]) {
			n++
		}
	}
	return n
}

// Answered notes that the member id answers at addr, which may not be where it is known.
func (c *contacts) Answered(addr netip.AddrPort, id uint64, now time.Duration) {
	if i := c.contact(addr); i >= 0 {
		c.all[i].by, c.all[i].rest, c.all[i].echoes = id, now+resting, false
	}
}

// Echo notes that what is said at addr comes back: the node itself is there, or somebody
// pretends so. Until somebody else answers there it does not count as a contact, but is
// asked now and then.
func (c *contacts) Echo(addr netip.AddrPort, now time.Duration) {
	if i := c.contact(addr); i >= 0 {
		c.all[i].rest, c.all[i].echoes = now+resting, true
	}
}

// lose makes a contact of a member that was lost.
func (c *contacts) lose(m *Member, now time.Duration) {
	c.lastLost = now
	c.rouse(m.ID)
	if i := c.contact(m.Addr); i >= 0 {
		x := &c.all[i]
		x.id, x.at, x.rest, x.echoes = m.ID, now, 0, false // it is not the node itself that is silent
		return
	}
	if c.count(func(x *contact) bool { return !x.seed }) >= c.limit {
		oldest := -1
		for i, x := range c.all {
			if !x.seed && (oldest < 0 || x.at < c.all[oldest].at) {
				oldest = i
			}
		}
		c.forget(oldest)
	}
	c.all = append(c.all, contact{addr: m.Addr, id: m.ID, at: now})
}

// rouse ends the rest of where the member id has answered.
func (c *contacts) rouse(id uint64) {
	for i := range c.all {
		if c.all[i].by == id {
			c.all[i].rest = 0
		}
	}
}

// found takes the lost member at addr, and id wherever it was lost, off the
// contacts; a seed stays.
func (c *contacts) found(id uint64, addr netip.AddrPort) {
	for i := len(c.all) - 1; i >= 0; i-- {
		switch x := &c.all[i]; {
		case x.addr != addr && x.id != id:
		case x.seed:
			x.id = 0
		default:
			c.forget(i)
		}
	}
}

// forget takes a contact off, so that those after it keep their turn.
func (c *contacts) forget(i int) {
	c.all = slices.Delete(c.all, i, i+1)
	for _, turn := range []*int{&c.turn, &c.favoured} {
		if i < *turn {
			*turn--
		}
	}
}

func (c *contacts) contact(addr netip.AddrPort) int {
	return slices.IndexFunc(c.all, func(x contact) bool { return x.addr == addr })
}

// next returns the next contact, round all of them, for which ok holds; -1: there is none.
func (c *contacts) next(turn *int, ok func(i int) bool) int {
	for range c.all {
		i := *turn % len(c.all)
		*turn = (i + 1) % len(c.all)
		if ok(i) {
			return i
		}
	}
	return -1
}

// Probes appends the addresses to say Hello to in this round: of the contacts at which
// no member is known. A node that is connected asks a fifth of them, at most 3, or 1 when
// nobody was lost lately, and leaves those alone that have just answered; one that is not
// asks up to 8. There are never more than most. Where there are many, of which in time
// most will never answer, every other one is a seed, or one of the latest. Among these,
// and among all, each has its turn.
func (r *Roster) Probes(dst []netip.AddrPort, most int, connected bool, now time.Duration) []netip.AddrPort {
	c := &r.contacts
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
