package view

import (
	"net/netip"
	"slices"
	"sort"
)

// addrIndex finds members by the address where they are, or from which they send. It is
// sorted by the hashes of these addresses, and takes a fifth of the memory of a map.
//
// Bound: two entries for each member of the view. Addresses with equal hashes, which an
// attacker may choose, are adjacent and searched one after the other.
type addrIndex []entry

type entry struct {
	hash uint64
	m    *Member
}

// find returns the member at addr, or nil.
func (d addrIndex) find(addr netip.AddrPort) *Member {
	if i, ok := d.search(addr); ok {
		return d[i].m
	}
	return nil
}

// add adds m at addr, which m already has as its address or source.
func (d *addrIndex) add(addr netip.AddrPort, m *Member) {
	i, _ := d.search(addr)
	*d = slices.Insert(*d, i, entry{HashAddr(addr), m})
}

// remove undoes add, while the member is still there.
func (d *addrIndex) remove(addr netip.AddrPort) {
	if i, ok := d.search(addr); ok {
		*d = slices.Delete(*d, i, i+1)
	}
}

// search returns the index of the entry of addr, or the one to insert it at.
func (d addrIndex) search(addr netip.AddrPort) (i int, ok bool) {
	hash := HashAddr(addr)
	i = sort.Search(len(d), func(i int) bool { return d[i].hash >= hash })
	for ; i < len(d) && d[i].hash == hash; i++ {
		if d[i].m.isAt(addr) {
			return i, true
		}
	}
	return i, false
}
