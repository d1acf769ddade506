package memnet

import (
	"fmt"
	"net/netip"
)

// cuts holds which addresses do not reach each other.
type cuts struct {
	groups map[netip.AddrPort]int // from 1; all others are in group 0
	links  map[link]bool
	down   map[netip.AddrPort]bool
}

type link struct{ from, to netip.AddrPort }

// Partition stops everything between addresses of different groups. Those in none of the groups
// are a group together, so that Partition(a) divides a from the rest. It replaces an earlier
// Partition. It panics if an address is in two groups.
func (n *Net) Partition(groups ...[]netip.AddrPort) {
	of := map[netip.AddrPort]int{}
	for i, group := range groups {
		for _, addr := range group {
			addr = unmap(addr)
			if g := of[addr]; g != 0 && g != i+1 {
				panic(fmt.Sprintf("memnet: partition: %v is in two groups", addr))
			}
			of[addr] = i + 1
		}
	}
	n.change(func() { n.groups = of })
}

// Cut stops everything from one address to another, but nothing on the way back.
func (n *Net) Cut(from, to netip.AddrPort) {
	n.change(func() { n.links[link{unmap(from), unmap(to)}] = true })
}

// Down stops everything from and to an address.
func (n *Net) Down(addr netip.AddrPort) {
	n.change(func() { n.down[unmap(addr)] = true })
}

// Up undoes Down.
func (n *Net) Up(addr netip.AddrPort) {
	n.change(func() { delete(n.down, unmap(addr)) })
}

// Heal undoes Partition, and every Cut and Down.
func (n *Net) Heal() {
	n.change(func() {
		n.cuts = cuts{map[netip.AddrPort]int{}, map[link]bool{}, map[netip.AddrPort]bool{}}
	})
}

// change changes what is cut, for what has not arrived yet.
func (n *Net) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settleAll()
	f()
}

// stops reports whether nothing passes from one address to another.
func (c *cuts) stops(from, to netip.AddrPort) bool {
	return c.groups[from] != c.groups[to] || c.links[link{from, to}] || c.down[from] || c.down[to]
}
