package node

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip/internal/view"
)

// peers is what a node knows of others.
type peers struct {
	members *view.Members
	rtt     view.RTT // of all members together, for one whose own is not known yet
	loss    float64  // how much of the Data that is answered needed more than one attempt
	probes  int      // left of mostProbes until the next exchange

	// Scratch space.
	picked    []*view.Member
	delegates []view.Delegate
	due       []netip.AddrPort
}

// random returns a random member that is not suspect, or nil.
func (p *peers) random(now time.Duration, rng *rand.Rand) *view.Member {
	p.picked = p.members.Random(p.picked[:0], rng, 1, netip.AddrPort{}, now)
	if len(p.picked) == 0 {
		return nil
	}
	return p.picked[0]
}

// measure records a round trip.
func (p *peers) measure(now time.Duration, m *view.Member, d time.Duration) {
	m.RTT.SampleLike(d, now, &p.rtt)
	p.rtt.Sample(d, now)
}

// noteLoss takes whether Data that is answered needed more than one attempt.
func (p *peers) noteLoss(lost bool) {
	p.loss -= lossWeight * p.loss
	if lost {
		p.loss += lossWeight
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
	all := n.peers.rtt.Timeout(0, n.config.RetryInterval)
	own := m.RTT.Timeout(leastTimeout+n.config.AckDelay, all)
	if m.RTT.Stale(now) {
		return max(own, all)
	}
	return own
}
