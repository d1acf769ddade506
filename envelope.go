package gossip

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// amplification is how many times the bytes of a datagram its source is sent
// in answer before it has proved that it can be reached there, as for a QUIC
// server (RFC 9000, section 8.1).
const amplification = 3

// leastTimeout is how long an acknowledgement is waited for at least, beside
// Config.AckDelay.
const leastTimeout = 5 * time.Millisecond

// envelopeIn is where a datagram that is being handled came from.
type envelopeIn struct {
	from   netip.AddrPort
	member *view.Member // at from; nil: a stranger
	proved bool         // it came with a token
	credit int          // bytes of answer that are left to a source not proven
	push   int          // bytes of repairs that are left to the datagram
}

// proven reports whether the source has shown that it is where it seems to be.
func (e *envelopeIn) proven() bool { return e.proved || e.member != nil && e.member.Proven }

// timeout returns how long to wait for an answer from an address.
func (g *GossipService) timeout(to netip.AddrPort) time.Duration {
	if m := g.roster.ByAddr(to); m != nil {
		return m.RTT.Timeout(leastTimeout+g.config.AckDelay, g.rtt.Timeout(0, g.config.RetryInterval))
	}
	return g.config.RetryInterval
}

// forward divides an arc of the ring among about k members. For one that is silent no
// more is queued while something is: repair will bring it. But if the node speaks so
// fast that the log would have lost it by then, its own messages are queued, until
// SendData refuses: whoever heeds that loses nothing by a member that stands still
// for a moment.
func (g *GossipService) forward(now time.Duration, e *datalog.Entry, arc view.Arc, k int, flags, hops uint8) {
	if hops >= mostHops {
		return
	}
	pressing := e.Origin == uint64(g.id) && g.log.Brief(now, askAfter)
	g.delegates = g.roster.Split(g.delegates[:0], arc, k, now)
	for _, d := range g.delegates {
		attempts := g.config.RetryAttempts
		if d.Suspect(now) {
			attempts = 1
		}
		if d.Tried && (!d.Proven || !pressing && g.outbox.Load(d.Addr) > 0) {
			g.stats.DropRelay++ // the queue is not for who may be dead; repair is
			continue
		}
		g.relay(d.Member, outbox.Copy{Entry: e, Flags: flags, Hops: hops + 1, Arc: d.Arc}, attempts)
	}
}

// relay queues one copy. Of what is only known from hearsay nobody gets more than
// a few messages before it answers: it may be the victim of a lie.
func (g *GossipService) relay(m *view.Member, c outbox.Copy, attempts int) {
	if !m.Proven && g.outbox.Load(m.Addr) >= outbox.LeastWindow || g.outbox.EmitData(m.Addr, c, attempts) == nil {
		g.stats.DropRelay++
	} else if c.Entry.Origin != uint64(g.id) {
		g.stats.Relayed++
	}
}

// handOver gives the arc of a copy for a silent delegate to another member inside it,
// or, if none is known and the arc is long enough for unknown ones, to the nearest
// outside, once. The silent one is still tried, without an arc.
func (g *GossipService) handOver(now time.Duration, delegate netip.AddrPort, c *outbox.Copy) {
	arc, silent := c.Arc, g.roster.ByAddr(delegate)
	if silent != nil {
		silent.SuspectUntil = now + suspicion
	}
	c.Arc, c.Flags = view.Arc{}, c.Flags&^wire.FlagArc
	flags := c.Flags&wire.FlagNoOut | wire.FlagRe
	to := g.roster.Inside(arc, silent, g.rng, now)
	if to == nil && flags&wire.FlagNoOut == 0 && uint64(arc.Len()) >= 2*g.roster.LocalGap() {
		to, flags = g.roster.Outside(arc, silent, now), flags|wire.FlagOut|wire.FlagNoOut
	}
	if to != nil {
		g.relay(to, outbox.Copy{Entry: c.Entry, Flags: flags, Hops: c.Hops, Arc: arc}, g.config.RetryAttempts)
	}
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
