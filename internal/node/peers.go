package node

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/view"
)

// peers is what a node knows of others.
type peers struct {
	members *view.Members
	loss    float64       // how much of the Data that is answered needed more than one attempt
	retried float64       // how much of the control that is answered needed more than one attempt
	silence float64       // how many first attempts of Data got no answer in time
	turn    uint8         // of nearby
	offered time.Duration // the round trip of the member that was offered messages last

	questions share             // see mostProbes
	asks      fifo.Queue[ask]   // see askSoon
	eager     int               // see mostEager
	late      fifo.Queue[hello] // see mostLate

	// Scratch space.
	picked    []*view.Member
	delegates []view.Delegate
	due       []netip.AddrPort
	partings  []view.Parting
}

// random returns a random member that is not suspect, or nil.
func (p *peers) random(now time.Duration, rng *rand.Rand) *view.Member {
	return p.randomIn(now, rng, 0, 1)
}

// randomIn is random for members of a zone, if there are any that are not suspect; 0 is any zone.
// It is the first of up to so many in picked.
func (p *peers) randomIn(now time.Duration, rng *rand.Rand, zone uint32, most int) *view.Member {
	p.picked = p.members.Random(p.picked[:0], rng, most, func(m *view.Member) bool { return zone == 0 || m.Zone() == zone }, now)
	switch {
	case len(p.picked) > 0:
		return p.picked[0]
	case zone != 0:
		return p.random(now, rng)
	}
	return nil
}

// nearby returns a random member of the node's zone or, if it has none, mostly one of eight random
// members that is much nearer than the first; nil if there is none.
func (p *peers) nearby(now time.Duration, rng *rand.Rand, zone uint32) *view.Member {
	m := p.randomIn(now, rng, zone, 8)
	if p.turn++; p.turn%8 != 0 {
		for _, x := range p.picked {
			if p.members.MuchNearer(x, m) {
				m = x
			}
		}
	}
	return m
}

// average takes another case into a moving average of how often something holds.
func average(share *float64, weight float64, holds bool) {
	*share -= weight * *share
	if holds {
		*share += weight
	}
}

// leastTimeout is the shortest wait for an acknowledgement, not counting Config.AckDelay.
const leastTimeout = 5 * time.Millisecond

// timeout returns how long to wait for an answer from an address. Where round trips have become
// longer the first to find out is the estimate for all members together: it counts too for a
// member that was not measured lately.
func (n *Node) timeout(now time.Duration, to netip.AddrPort) time.Duration {
	m := n.peers.members.ByAddr(to)
	if m == nil {
		return n.config.RetryInterval
	}
	slack := leastTimeout + n.config.AckDelay
	if m.RTT.Smoothed() > 0 && !m.RTT.Stale(now) {
		return m.RTT.Timeout(slack, 0)
	}
	all := n.peers.members.Timeout(m, n.config.RetryInterval)
	return max(m.RTT.Timeout(slack, all), all)
}

// epoch is half the time for which a message may be on its way: it may take three legs, and an
// eighth more.
func (n *Node) epoch() time.Duration {
	return max(repair.Epoch, 7*n.peers.members.RTT().Smoothed()/8)
}
