package node

import "net/netip"

// share is what is left of a bounded number of things that others cause. One host may cause no
// more than are left for all the others, so there are always some left for a newcomer.
type share struct {
	left int
	by   map[netip.Addr]int // how many each host has caused
}

func (s *share) refill(n int) {
	s.left = n
	clear(s.by)
}

// take takes one that a host causes; the zero Addr is the node itself.
func (s *share) take(host netip.Addr) bool {
	if s.left == 0 || host.IsValid() && s.by[host] >= s.left {
		return false
	}
	s.left--
	if host.IsValid() {
		s.by[host]++
	}
	return true
}
