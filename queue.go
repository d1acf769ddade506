// What a node does by the clock, and what becomes of an envelope, answered or not.

package gossip

import (
	"log/slog"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	announcePause = 100 * time.Millisecond  // between two announcements of new members
	newsLasts     = 1500 * time.Millisecond // after the last news: until then comparisons are more frequent
	healing       = 3 * time.Second         // after a lost member came back: until then others are probed more often
	growing       = 8 * time.Second         // after the last new member: until then more are exchanged, and more often
	mostProbes    = 64                      // Hellos to doubtful addresses in a TickInterval
	trimEvery     = 16                      // exchanges of an idle node between two calls of Trim
	longProbe     = 4 * time.Second         // between two rounds of Hellos of a node that is alone
)

// upkeep is the schedule of a node's periodic duties, and what it remembers for them.
type upkeep struct {
	pace.Plan
	news, healed repair.News   // to be offered
	turn         int           // of the exchange
	recent       bool          // the last comparison was of recent messages
	round        int           // of a node that is alone
	probes       int           // left of mostProbes until the next exchange
	skipped      uint32        // own numbers skipped because others used them, since the exchange
	awake        time.Duration // how long the loop has turned while CONNECTED; the age of gaps is counted by it
	lookedAt     time.Duration // when gaps were last looked at
	newsAt       time.Duration // when a message was last new, here or there
	warnAt       time.Duration // when to log a Hello of another cluster again
	grewAt       time.Duration // when hearsay last brought a member
	backAt       time.Duration // when a lost member was last heard again
	offeredAt    time.Duration // when offer was last done
	healAt       time.Duration // and heal
}

// keepUp does the duties that are due.
func (g *GossipService) keepUp(now time.Duration) {
	u, c := &g.upkeep, &g.config
	if g.saidAlone.First > 0 && g.roster.Len() > 0 {
		g.sayAgain(now)
	}
	fast := now-u.newsAt < newsLasts
	pause, most := c.TickInterval, exchanged
	if now-u.grewAt < growing {
		pause, most = g.comparePause(), g.room/wire.MinMemberSize
	}
	if u.Exchange.Due(now, pause, g.rng) {
		if !fast && u.turn%trimEvery == 0 {
			g.outbox.Trim()
			g.body = nil
		}
		u.probes, u.skipped = mostProbes, 0
		if g.state == StateConnected { // a node that is cut off cannot ask for what is missing
			u.awake += min(now-u.lookedAt, 2*c.TickInterval)
		}
		u.lookedAt = now
		g.askForMissing(now)
		g.giveUpStuck()
		u.turn++
		if m := g.roster.Partner(u.turn, g.rng); m != nil {
			// A queue of one message does not hold both, so they alternate.
			both, odd := c.MaxOutputMessages > 1, u.turn%2 == 1
			if both || fast || odd {
				g.exchange(m, most)
				g.meetNeighbours()
			}
			if !fast && (both || !odd) {
				g.compare(now, m)
			}
		}
	}
	if u.Compare.Due(now, g.comparePause(), g.rng) {
		if !fast {
			u.Compare.Stop()
		} else if m := g.anybody(now); m != nil {
			g.compare(now, m)
		}
	}
	if u.Announce.Due(now, announcePause, g.rng) {
		g.announce(now)
	}
	if u.Offer.Due(now, pace.Never, g.rng) {
		g.offer(now)
	}
	if u.Heal.Due(now, pace.Never, g.rng) {
		g.heal(now)
	}
	if g.state == StateJoining && g.outbox.Stats().Hellos == 0 {
		g.inform(slog.LevelWarn, "gossip: no seed answers", "seeds", g.roster.Seeds())
		g.disconnect(now)
	}
	pause = c.TickInterval
	if now-u.backAt < healing {
		pause /= 10
	}
	if g.state == StateDisconnected {
		pause = min(pause<<min(u.round, 8), longProbe)
	}
	if u.Probe.Due(now, pause, g.rng) && g.state != StateJoining {
		u.round++
		g.probeContacts(now)
	}
}

const (
	offerAge   = 30 * time.Millisecond // of a message when it is offered, or 5/4 of a round trip if that is more
	offerPause = 60 * time.Millisecond // between two offers
	askAfter   = 5 * time.Second       // until missing messages are requested explicitly
	stuckFor   = 30 * time.Second      // until a gap that nobody fills is given up
)

// compare sends m the next page of what was seen here. If one page does not hold all
// origins, every other call offers recent messages instead.
func (g *GossipService) compare(now time.Duration, m *view.Member) {
	if g.repair.Skipping(now) {
		return // it would bring messages that are to be skipped
	}
	if g.upkeep.recent = !g.upkeep.recent; g.upkeep.recent {
		if digest := g.repair.Recent(now, g.digestRoom()); digest.Len() > 0 {
			g.emitDigest(m.Addr, wire.Offer, digest)
			return
		}
	}
	digest, first, last := g.repair.Page(now, g.digestRoom())
	g.emitStatus(m.Addr, wire.Status{Mode: wire.Full, First: first, Last: last, Digest: digest}, g.config.RetryAttempts)
}

// compareOften begins or extends the period in which the node compares what it has seen
// with random members, because there may be news.
func (g *GossipService) compareOften(now time.Duration) {
	g.upkeep.newsAt = now
	g.upkeep.Compare.Resume(now, g.comparePause(), g.rng)
}

// comparePause is the time between two comparisons while there is news.
func (g *GossipService) comparePause() time.Duration {
	return g.config.TickInterval / time.Duration(g.config.RumorFactor)
}

// anybody returns a random member that is not suspect, or nil.
func (g *GossipService) anybody(now time.Duration) *view.Member {
	g.members = g.roster.Random(g.members[:0], g.rng, 1, netip.AddrPort{}, now)
	if len(g.members) == 0 {
		return nil
	}
	return g.members[0]
}

// isNews schedules a message that is new here to be offered to others: soon to a random
// member, for which it may have been lost; or, if it came by repair, at once to the
// neighbours, for it was then probably lost to a whole arc.
func (g *GossipService) isNews(now time.Duration, e *datalog.Entry, repaired bool) {
	u := &g.upkeep
	g.compareOften(now)
	if repaired {
		u.healed.Add(e.Origin, e.Counter)
		u.Heal.By(max(now, u.healAt+offerPause))
	} else {
		u.news.Add(e.Origin, e.Counter)
		u.Offer.By(max(now+pace.Jitter(max(offerAge, 5*g.rtt.Smoothed()/4), g.rng), u.offeredAt+offerPause))
	}
}

// offer offers new messages to a random member.
func (g *GossipService) offer(now time.Duration) {
	g.upkeep.offeredAt = now
	digest := g.repair.Offer(&g.upkeep.news, g.digestRoom())
	if m := g.anybody(now); m != nil {
		g.emitDigest(m.Addr, wire.Offer, digest)
	}
}

// heal offers messages that came by repair to the successor, the predecessor and about two
// more of the nearest members.
func (g *GossipService) heal(now time.Duration) {
	g.upkeep.healAt = now
	digest := g.repair.Offer(&g.upkeep.healed, g.digestRoom())
	g.members = g.roster.Nearest(g.members[:0], uint64(g.id), 2*view.Near)
	for i, m := range g.members {
		if i < 2 || g.rng.IntN(len(g.members)-2) < 2 {
			g.emitDigest(m.Addr, wire.Offer, digest)
		}
	}
}

// askForMissing asks a random member for messages that have been missing for a while: it
// may take long until a page covers them.
func (g *GossipService) askForMissing(now time.Duration) {
	missing := g.repair.Missing(g.upkeep.awake, askAfter, g.digestRoom())
	if missing.Len() == 0 {
		return
	}
	if m := g.anybody(now); m != nil {
		g.emitDigest(m.Addr, wire.Request, missing)
	}
}

// emitDigest sends an offer or a request.
func (g *GossipService) emitDigest(to netip.AddrPort, mode wire.Mode, digest versions.Digest) {
	g.emitStatus(to, wire.Status{Mode: mode, Last: wire.LastOrigin, Digest: digest}, outbox.NoAnswer)
}

// emitStatus sends a Status. Only a full one is acknowledged; for others attempts is
// NoAnswer.
func (g *GossipService) emitStatus(to netip.AddrPort, s wire.Status, attempts int) {
	g.body = s.AppendTo(g.body[:0])
	g.emit(to, wire.TypeStatus, attempts)
}

// digestRoom returns how many bytes of a Status its digest may take.
func (g *GossipService) digestRoom() int { return g.room - wire.StatusOverhead }

// giveUp gives up the missing messages of an origin up to floor.
func (g *GossipService) giveUp(o *versions.Origin, floor uint32) {
	unseen := g.repair.GiveUp(o, floor)
	g.stats.GaveUpUnseen += unseen
	if g.config.Ordered {
		g.deliverInOrder(o, unseen)
	}
}

// giveUpStuck gives up messages that have been missing for so long that probably nobody
// retains them.
func (g *GossipService) giveUpStuck() {
	if g.state != StateConnected {
		return
	}
	patience := stuckFor
	if g.config.Ordered {
		patience = g.config.OrderedWait
	}
	for o := range g.repair.Stuck(g.upkeep.awake, patience) {
		g.giveUp(o, o.StuckUpTo())
	}
}

const (
	// leastTimeout is the shortest wait for an acknowledgement, not counting
	// Config.AckDelay.
	leastTimeout = 5 * time.Millisecond

	// verifications is how often a silent member is probed before it is considered lost.
	// For the time of a verification after each probe it gets no arc to cover.
	verifications = 2
	verification  = 5 * time.Second
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

// measure records the round trip of an answered envelope. If it was sent more than once it
// is not known which attempt was answered (Karn's rule).
func (g *GossipService) measure(now time.Duration, m *view.Member, e *outbox.Envelope) {
	if e.Attempt == 1 {
		m.RTT.SampleLike(now-e.SentAt, &g.rtt)
		g.rtt.Sample(now - e.SentAt)
	} else {
		m.RTT.Ambiguous(now-e.FirstAt, now)
		if g.rtt.Ambiguous(now-e.FirstAt, now) {
			// Round trips to all members have become longer. Finding that out for each
			// member separately would take many messages, each sent several times.
			g.roster.Remeasure(g.rtt.Smoothed())
		}
	}
}

// finish drops an envelope that was answered or given up.
func (g *GossipService) finish(e *outbox.Envelope) {
	if e.IsData() && e.Flags&wire.FlagDirect != 0 {
		g.directDone.Add(e.Entry.Counter, g.origins.Pool())
	}
	g.outbox.Drop(e)
}

// timeout returns how long to wait for an answer from to.
func (g *GossipService) timeout(to netip.AddrPort) time.Duration {
	if m := g.roster.ByAddr(to); m != nil {
		return m.RTT.Timeout(leastTimeout+g.config.AckDelay, g.rtt.Timeout(0, g.config.RetryInterval))
	}
	return g.config.RetryInterval
}

// unanswered deals with an envelope that got no answer in time: it is sent again, and after
// the last attempt given up. Its arc goes to another member after the second attempt, or
// after the first if there are only two.
func (g *GossipService) unanswered(now time.Duration, e *outbox.Envelope) {
	if !e.Arc.Empty() && (e.Attempt > 1 || e.Attempt >= e.Attempts-1) {
		g.handOver(now, e.To(), &e.Copy)
	}
	if e.Attempt < e.Attempts {
		g.nameRecipient(e) // another node may be there by now
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
	// On a bad network silence is common: probe the member before declaring it lost.
	if m.Asked == verifications {
		g.lose(now, m)
		return
	}
	m.Asked++
	m.SuspectUntil = now + verification
	g.greet(m.Addr, 0, g.config.RetryAttempts)
}

// hint offers a message to a member that left the last copy of it unanswered: if it was
// the message that was lost every time, not its acknowledgement, the member asks for it.
func (g *GossipService) hint(e *outbox.Envelope) {
	if !e.IsData() || e.Flags&wire.FlagDirect != 0 {
		return
	}
	g.hints.Add(e.Entry.Origin, e.Entry.Counter)
	g.emitDigest(e.To(), wire.Offer, g.repair.Offer(&g.hints, g.digestRoom()))
}

// clearLane removes everything queued for an address that no longer belongs to a member.
// The arcs that it should have covered go to others.
func (g *GossipService) clearLane(now time.Duration, to netip.AddrPort) {
	for e := g.outbox.Any(to); e != nil; e = g.outbox.Any(to) {
		if e.Flags&wire.FlagDirect != 0 {
			g.stats.GivenUp++
		}
		if e.Arc.Empty() {
			g.finish(e)
			continue
		}
		orphan := e.Copy // free its place in the queue first: the copy that is handed over may need it
		g.log.Retain(orphan.Entry)
		g.finish(e)
		g.handOver(now, to, &orphan)
		g.log.Release(orphan.Entry)
	}
}
