// Package view holds what a node knows of the other members, as a ring ordered by their ids,
// and decides which of them to send to.
package view

import (
	"net/netip"
	"slices"
	"sort"

	"example.com/gossip/internal/ring"
)

// Near is how many members on each side of a node always stay in its view.
const Near = 4

// View is the ring of known members without the node itself. It holds at most limit of them:
// at the limit the most crowded octave of distance from the node, per side, gives one up,
// but never one of the Near nearest on each side. If more than a quarter of the members are
// not validated, one of those goes, so that invented members cannot drive out more of the
// validated ones. A View is for one goroutine at a time.
type View struct {
	self   uint64
	limit  int
	ring   []*Member // ascending by ID
	byAddr addrIndex
	counts [2 * octaves]count // of the members in each octave of distance
	looked int                // see smallestHole
	rtt    RTT                // of all members together
	turn   uint32             // of the members through which messages enter other zones
}

// New returns an empty view of at most limit members for the node self. A limit
// below 2*Near+1 is raised to it.
func New(self uint64, limit int) *View {
	return &View{self: self, limit: max(limit, 2*Near+1)}
}

// Reset empties the view and gives the node a new place in it.
func (v *View) Reset(self uint64) {
	v.self = self
	clear(v.ring)
	v.ring = v.ring[:0]
	clear(v.byAddr)
	v.byAddr = v.byAddr[:0]
	v.recount()
}

// Rename gives the node a new place in the view, which it leaves as it is.
func (v *View) Rename(self uint64) {
	v.self = self
	v.recount()
}

// Validate notes that m receives what is sent to it.
func (v *View) Validate(m *Member) {
	v.tally(m, -1)
	m.Validated = true
	v.tally(m, 1)
}

// Len returns the number of members.
func (v *View) Len() int { return len(v.ring) }

// At returns the i-th member clockwise from position 0.
func (v *View) At(i int) *Member { return v.ring[i] }

// Get returns the member with that id, or nil.
func (v *View) Get(id uint64) *Member {
	if i := v.Search(id); i < len(v.ring) && v.ring[i].ID == id {
		return v.ring[i]
	}
	return nil
}

// ByAddr returns the member with that address or source, or nil.
func (v *View) ByAddr(a netip.AddrPort) *Member { return v.byAddr.find(a) }

// Insert adds a member of which neither id nor address is in the view. If the view is full
// another member is evicted, and returned as gone. Unless keep is set the new one itself may
// be the one to go: then both results are nil.
func (v *View) Insert(id uint64, addr netip.AddrPort, keep bool) (m, gone *Member) {
	if id == v.self || v.Get(id) != nil || v.ByAddr(addr) != nil {
		panic("view: Insert of a member that is known")
	}
	m = &Member{ID: id, Addr: addr}
	v.ring = slices.Insert(v.ring, v.Search(id), m)
	v.byAddr.add(addr, m)
	v.tally(m, 1)
	if len(v.ring) > v.limit {
		var kept *Member
		if keep {
			kept = m
		}
		gone = v.crowded(kept)
		v.Remove(gone)
		if gone == m {
			return nil, nil
		}
	}
	return m, gone
}

// Remove removes m, which must be in the view.
func (v *View) Remove(m *Member) {
	i := v.Search(m.ID)
	if i == len(v.ring) || v.ring[i] != m {
		panic("view: Remove of a member that is not in it")
	}
	v.ring = slices.Delete(v.ring, i, i+1)
	v.tally(m, -1)
	v.byAddr.remove(m.Addr)
	if observed, ok := m.observed(); ok {
		v.byAddr.remove(observed)
	}
}

// Wants reports whether the view would surely keep a member with that id: it has room, or
// the member would be one of the nearest.
func (v *View) Wants(id uint64) bool {
	if id == v.self || len(v.ring) < v.limit {
		return id != v.self
	}
	pos, self := ring.Pos(id), ring.Pos(v.self)
	return pos-self < v.Clockwise(Near-1).Pos()-self || self-pos < self-v.Counterclockwise(Near-1).Pos()
}

// Move records that m is now at addr, where no other member may be.
func (v *View) Move(m *Member, addr netip.AddrPort) {
	v.byAddr.remove(m.Addr)
	if observed, ok := m.observed(); ok && observed == addr {
		v.byAddr.remove(observed)
		m.altAddrs.observed, m.altAddrs.proven = netip.AddrPort{}, false
	}
	m.Addr = addr
	v.byAddr.add(addr, m)
}

// SendsFrom records that datagrams of m come from an address other than its own, unless a
// member is known there.
func (v *View) SendsFrom(m *Member, observed netip.AddrPort) {
	if v.ByAddr(observed) != nil || observed == m.Addr {
		return
	}
	if old, ok := m.observed(); ok {
		v.byAddr.remove(old)
	}
	if m.altAddrs == nil {
		m.altAddrs = new(altAddrs)
	}
	m.altAddrs.observed, m.altAddrs.proven = observed, false
	v.byAddr.add(observed, m)
}

// Search returns the index of the first member whose id is at least id, or Len if there is
// none.
func (v *View) Search(id uint64) int {
	return sort.Search(len(v.ring), func(i int) bool { return v.ring[i].ID >= id })
}

// Clockwise returns the i-th member after the node, from 0; i wraps around.
func (v *View) Clockwise(i int) *Member {
	return v.ring[(v.Search(v.self)+i)%len(v.ring)]
}

// Counterclockwise returns the i-th member before the node, from 0.
func (v *View) Counterclockwise(i int) *Member {
	n := len(v.ring)
	return v.ring[((v.Search(v.self)-1-i)%n+n)%n]
}
