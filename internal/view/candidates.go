package view

import (
	"net/netip"
	"slices"
	"time"
)

// askPause is the time between two Hellos to a lost member from which something is heard.
const askPause = 100 * time.Millisecond

// longAgo is a time since which every pause but that of hearsay has passed.
func longAgo(now time.Duration) time.Duration { return now - time.Hour }

// candidates are the addresses at which a node may be that is no member: those of seeds, which
// stay, of lost members, which are forgotten after an hour, and of nodes known by hearsay that
// did not answer. Each is owed a Hello when its pause has passed; the last only if others told of
// a node there since the last one.
//
// Bounds: limit of each of the three; of the latter two the oldest are forgotten. What a datagram
// causes costs the search for a pointer among those of one kind.
type candidates struct {
	limit     int
	kinds     [kinds][]*candidate // each with the oldest first
	byAddress map[netip.AddrPort]*candidate
	lost      map[uint64]*candidate // by the id of the lost member
	lookAt    time.Duration         // see LookAgain
}

// The kinds of candidates.
const (
	isSeed = iota
	isHearsay
	isLost
	kinds
)

// candidate is one address.
type candidate struct {
	addr    netip.AddrPort
	id      uint64        // of the member that was lost there, 0 if none
	by      uint64        // of the member that answered last, 0 if none
	at      time.Duration // when it was lost, or did not answer
	since   time.Duration // since when its answers, or its silence, have been the same
	askedAt time.Duration // when it was last sent a Hello
	seed    bool
	came    int    // how many Hellos came back since one did not
	echoes  bool   // see Echo
	deaf    bool   // the lost member took no Data
	told    uint64 // which members told of a node there since askedAt, as bits of a hash
	listed  int    // the kind under which it is listed
}

// kind returns the kind of a candidate, which it may have changed since it was listed.
func (x *candidate) kind() int {
	switch {
	case x.seed:
		return isSeed
	case x.id == 0:
		return isHearsay
	}
	return isLost
}

func (c *candidates) reset() {
	*c = candidates{limit: c.limit, byAddress: map[netip.AddrPort]*candidate{}, lost: map[uint64]*candidate{}}
}

// at returns the candidate at addr, which is made if there is none. The caller must list it.
func (c *candidates) at(addr netip.AddrPort, now time.Duration) *candidate {
	x := c.byAddress[addr]
	if x == nil {
		x = &candidate{addr: addr, since: now, askedAt: longAgo(now), listed: kinds}
		c.byAddress[addr] = x
	}
	return x
}

// list makes x the newest of its kind. At the limit the oldest is forgotten.
func (c *candidates) list(x *candidate) {
	c.unlist(x)
	x.listed = x.kind()
	if of := &c.kinds[x.listed]; x.listed != isSeed && len(*of) >= c.limit {
		c.forget((*of)[0])
	}
	c.kinds[x.listed] = append(c.kinds[x.listed], x)
}

func (c *candidates) unlist(x *candidate) {
	if x.listed < kinds {
		of := &c.kinds[x.listed]
		i := slices.Index(*of, x)
		*of = slices.Delete(*of, i, i+1)
	}
}

// Lost returns how many lost members are being looked for.
func (c *candidates) Lost() int { return len(c.lost) }

// lose makes a lost member a candidate.
func (c *candidates) lose(m *Member, now time.Duration) {
	c.rouse(m, now)
	if x := c.lost[m.ID]; x != nil && x.addr != m.Addr {
		c.gone(x)
	}
	x := c.at(m.Addr, now)
	c.find(x)
	x.id, x.at, x.since, x.askedAt, x.by, x.echoes, x.deaf = m.ID, now, now, longAgo(now), 0, false, m.Deaf
	c.lost[m.ID] = x
	c.list(x)
	if m.told {
		x.told = 1
	}
}

// rouse ends the rest of the candidates at which m answered: seeds, and its other addresses.
func (c *candidates) rouse(m *Member, now time.Duration) {
	for _, x := range c.kinds[isSeed] {
		x.rouse(m.ID, now)
	}
	if m.altAddrs != nil {
		for _, addr := range [2]netip.AddrPort{m.altAddrs.also, m.altAddrs.observed} {
			if x := c.byAddress[addr]; x != nil {
				x.rouse(m.ID, now)
			}
		}
	}
}

func (x *candidate) rouse(id uint64, now time.Duration) {
	if x.by == id {
		x.by, x.since, x.askedAt = 0, now, longAgo(now)
	}
}

// LookAgain begins the search for all lost members anew: one of them is back.
func (c *candidates) LookAgain(now time.Duration) { c.lookAt = now }

// looked takes LookAgain into account.
func (c *candidates) looked(x *candidate) {
	if x.id != 0 && x.since < c.lookAt {
		x.since, x.askedAt = c.lookAt, longAgo(c.lookAt)
	}
}

// found ends the search at addr, and for id wherever it was lost. It reports whether id was
// lost, and whether for being deaf.
func (c *candidates) found(id uint64, addr netip.AddrPort) (lost, deaf bool) {
	if x := c.lost[id]; x != nil {
		lost, deaf = true, x.deaf
		c.gone(x)
	}
	if x := c.byAddress[addr]; x != nil {
		c.gone(x)
	}
	return lost, deaf
}

// gone ends the search for whatever was expected at a candidate. A seed stays.
func (c *candidates) gone(x *candidate) {
	c.find(x)
	if !x.seed {
		c.forget(x)
	}
}

// find ends the search for the lost member at x.
func (c *candidates) find(x *candidate) {
	if x.id != 0 {
		delete(c.lost, x.id)
		x.id, x.deaf = 0, false
	}
}

func (c *candidates) forget(x *candidate) {
	c.find(x)
	delete(c.byAddress, x.addr)
	c.unlist(x)
}

// lostAt returns the id of the member that was lost at addr, 0 if none was.
func (c *candidates) lostAt(addr netip.AddrPort) uint64 {
	if x := c.byAddress[addr]; x != nil {
		return x.id
	}
	return 0
}

// unproven notes that nobody answers where hearsay expected a node.
func (c *candidates) unproven(addr netip.AddrPort, now time.Duration) {
	x := c.at(addr, now)
	x.at, x.askedAt = now, now
	c.list(x)
}

// tell notes that the node at by tells of a node at addr. It reports whether a member was lost
// there, or one known by hearsay did not answer: then it is among the next to be asked.
func (c *candidates) tell(addr, by netip.AddrPort) bool {
	x := c.byAddress[addr]
	if x == nil || x.seed && x.id == 0 {
		return false
	}
	x.told |= 1 << (HashAddr(by) >> 1 % 64)
	return true
}

// AskNext makes the lost member at addr the first to be sent a Hello. It returns false if there
// is none, or if it was asked less than askPause ago.
func (c *candidates) AskNext(addr netip.AddrPort, now time.Duration) bool {
	x := c.byAddress[addr]
	if x == nil || x.id == 0 || now-x.askedAt < askPause {
		return false
	}
	x.askedAt = longAgo(now)
	return true
}
