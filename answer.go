package gossip

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// leastTimeout is how long an acknowledgement is waited for at least, beside
	// Config.AckDelay.
	leastTimeout = 5 * time.Millisecond

	// verification is how long a member gets no arc to cover that is being asked whether
	// it lives, which happens so many times before it is taken for lost.
	verification  = 5 * time.Second
	verifications = 2
)

// handleAck takes the acknowledged envelopes out of the queue.
func (g *GossipService) handleAck(now time.Duration, in *envelopeIn, m wire.Ack) {
	for i := range m.Len() {
		e := g.outbox.Acknowledged(in.from, m.Seq(i), g.sameNode)
		if e == nil {
			g.stats.DropAck++
			continue
		}
		if in.member != nil {
			in.member.Proven = true
			g.measure(now, in.member, e)
		}
		page, left, to := e.Page, e.Left, e.To()
		g.finish(e)
		if left > 0 {
			g.emitPage(to, page, left)
		}
	}
}

// sameNode reports whether a member is reached at one address and sends from
// the other.
func (g *GossipService) sameNode(a, b netip.AddrPort) bool {
	m := g.roster.ByAddr(a)
	return m != nil && m == g.roster.ByAddr(b)
}

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

// timeout returns how long to wait for an answer from an address.
func (g *GossipService) timeout(to netip.AddrPort) time.Duration {
	if m := g.roster.ByAddr(to); m != nil {
		return m.RTT.Timeout(leastTimeout+g.config.AckDelay, g.rtt.Timeout(0, g.config.RetryInterval))
	}
	return g.config.RetryInterval
}

// unanswered goes on with an envelope that got no answer in time: it is sent
// again, and in the end given up.
func (g *GossipService) unanswered(now time.Duration, e *outbox.Envelope) {
	if !e.Arc.Empty() && (e.Attempt > 1 || e.Attempt >= e.Attempts-1) {
		g.handOver(now, e.To(), &e.Copy)
	}
	if e.Attempt < e.Attempts {
		g.nameRecipient(e) // somebody else may be there by now
		g.outbox.Resend(now, e)
		return
	}
	if !e.Lingering() {
		g.hint(e)
		g.outbox.Linger(e)
		return
	}
	g.stats.GivenUp++
	m, firstAt := g.roster.ByAddr(e.To()), e.FirstAt
	g.finish(e)
	if m == nil || m.Heard >= firstAt || g.outbox.Greets(m.Addr) {
		return
	}
	// On a bad network silence is common: ask before believing it.
	if m.Asked == verifications {
		g.lose(now, m)
		return
	}
	m.Asked++
	m.SuspectUntil = now + verification
	g.greet(m.Addr, 0, g.config.RetryAttempts)
}

// hint offers a message to a member that left the last copy of it unanswered: if
// it is the message that was lost every time, and not the acknowledgement, the
// member asks for it.
func (g *GossipService) hint(e *outbox.Envelope) {
	if !e.IsData() || e.Flags&wire.FlagDirect != 0 {
		return
	}
	g.hints.Add(e.Entry.Origin, e.Entry.Counter)
	g.emitOffer(e.To(), g.repair.Offer(&g.hints, g.room-wire.StatusOverhead))
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
