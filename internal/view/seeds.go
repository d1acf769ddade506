package view

import (
	"net/netip"
	"slices"
	"time"
)

// AddSeed makes addr a seed. At the limit it replaces one that echoes, or is ignored.
func (c *candidates) AddSeed(addr netip.AddrPort, now time.Duration) {
	if c.IsSeed(addr) {
		return
	}
	if seeds := c.kinds[isSeed]; len(seeds) == c.limit {
		i := slices.IndexFunc(seeds, func(x *candidate) bool { return x.echoes })
		if i < 0 {
			return
		}
		c.release(seeds[i])
	}
	x := c.at(addr, now)
	x.seed, x.since, x.askedAt = true, now, now // Join sends it a Hello
	c.list(x)
}

// release ends that x is a seed.
func (c *candidates) release(x *candidate) {
	if x.seed = false; x.id == 0 {
		c.forget(x)
	} else {
		c.list(x)
	}
}

// IsSeed reports whether addr is a seed.
func (c *candidates) IsSeed(addr netip.AddrPort) bool {
	x := c.byAddress[addr]
	return x != nil && x.seed
}

// Seeds returns how many seeds there are that do not echo.
func (c *candidates) Seeds() (n int) {
	for _, x := range c.kinds[isSeed] {
		if !x.echoes {
			n++
		}
	}
	return n
}

// Answered notes that the member id answers at addr, which may not be its known address.
func (r *Members) Answered(addr netip.AddrPort, id uint64, now time.Duration) {
	if x := r.byAddress[addr]; x != nil {
		if x.by == 0 || x.by != id && r.Len() < r.View.limit && r.Get(id) == nil {
			x.since = now
		}
		x.by, x.askedAt, x.echoes, x.came = id, now, false, 0
	}
}

// Echo notes that so many Hellos to addr came back and were not answered; 0 stands for one that
// did not come back. It reports whether the last ones, as many as are enough, all came back: the
// node itself is there, or somebody pretends to be it. Until another node answers there it
// does not count as a seed, but is asked as one that answers.
func (c *candidates) Echo(addr netip.AddrPort, came, enough int, now time.Duration) bool {
	x := c.byAddress[addr]
	if x == nil {
		return false
	}
	switch x.came += came; {
	case came == 0:
		x.came, x.echoes = 0, false
	case x.came >= enough:
		if !x.echoes {
			x.since = now
		}
		x.came, x.askedAt, x.echoes = enough, now, true
		c.find(x)
		c.list(x)
	}
	return x.echoes
}
