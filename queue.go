package gossip

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// measure takes the round trip of an answered envelope. Of one that was sent
// again it is not known which attempt is answered (Karn's rule).
func (g *GossipService) measure(now time.Duration, m *view.Member, e *outbox.Envelope) {
	if e.Attempt == 1 {
		m.RTT.SampleLike(now-e.SentAt, &g.rtt)
		g.rtt.Sample(now - e.SentAt)
	} else {
		m.RTT.Ambiguous(now-e.FirstAt, now)
	}
}

// finish drops an envelope that was answered or given up.
func (g *GossipService) finish(e *outbox.Envelope) {
	if e.IsData() && e.Flags&wire.FlagDirect != 0 {
		g.direct.Add(e.Entry.Counter, g.origins.Pool())
	}
	g.outbox.Drop(e)
}

// clearLane takes everything to an address that is not a member's any more out
// of the queue. The arcs it should have covered go to others.
func (g *GossipService) clearLane(now time.Duration, to netip.AddrPort) {
	for e := g.outbox.Oldest(to); e != nil; e = g.outbox.Oldest(to) {
		if e.Flags&wire.FlagDirect != 0 {
			g.stats.GivenUp++
		}
		if e.Arc.Empty() {
			g.finish(e)
			continue
		}
		orphan := e.Copy // its place in the queue may be needed for the copy that goes on
		g.log.Retain(orphan.Entry)
		g.finish(e)
		g.handOver(now, to, &orphan)
		g.log.Release(orphan.Entry)
	}
}
