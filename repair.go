package gossip

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	offerAge   = 30 * time.Millisecond // of a message when it is offered, or 5/4 of a round trip if that is more
	offerPause = 60 * time.Millisecond // between two offers
	askAfter   = 5 * time.Second       // until what is missing is asked for by itself
	stuckFor   = 30 * time.Second      // until a gap that nobody fills is given up
)

// handleStatus answers a full Status with what its sender lacks and with a
// request for what this node lacks, an offer with a request, and a request with
// what it asks for.
func (g *GossipService) handleStatus(now time.Duration, in *envelopeIn, seq uint32, s wire.Status) {
	if !in.proven() {
		g.prove(in)
		if g.repair.Skipping(now) { // not at a stranger's word
			return
		}
	}
	room := g.room - wire.StatusOverhead
	push := &g.push
	*push = pusher{g: g, now: now, in: in}
	var wanted versions.Digest
	switch s.Mode {
	case wire.Full:
		g.acknowledge(now, in, seq)
		if g.repair.Skipping(now) {
			g.repair.Skip(now, s.Digest, s.First, s.Last, view.Fold(in.from))
			return
		}
		wanted = g.repair.Compare(now, s.Digest, s.First, s.Last, room, push)
	case wire.Offer:
		wanted = g.repair.Want(now, s.Digest, room)
	case wire.Request:
		g.repair.Serve(s.Digest, push)
	}
	if wanted.Len() > 0 {
		g.emitStatus(in.from, wire.Status{Mode: wire.Request, Last: 1<<64 - 1, Digest: wanted}, outbox.NoAnswer)
	}
}

// pusher sends repairs to the node that is being answered, until the budget of
// its datagram is used up, and leaves half of the data queue to others.
type pusher struct {
	g   *GossipService
	now time.Duration
	in  *envelopeIn
}

func (p *pusher) Push(e *datalog.Entry) bool {
	size := wire.DataSize(0, len(e.Payload))
	if p.in.push <= 0 || p.g.outbox.Spare() <= p.g.config.MaxOutputMessages/2 ||
		p.g.outbox.Load(p.in.from) >= p.g.outbox.Share() || !p.g.afford(p.in.from, size) {
		p.g.stats.DropPush++
		return false
	}
	p.in.push -= size
	c := outbox.Copy{Entry: e, Flags: wire.FlagPull, Hops: wire.AgeCode(p.now - e.Born)}
	if p.g.outbox.EmitData(p.in.from, c, outbox.NoAnswer) == nil {
		p.g.stats.DropPush++
	}
	return true
}

// compare tells m the next page of what was seen here, or, every other time, if that
// takes more than one page, of what was seen lately.
func (g *GossipService) compare(now time.Duration, m *view.Member) {
	if g.repair.Skipping(now) {
		return // it would bring what is to be skipped
	}
	if g.upkeep.recent = !g.upkeep.recent; g.upkeep.recent {
		if digest := g.repair.Recent(now, g.room-wire.StatusOverhead); digest.Len() > 0 {
			g.emitOffer(m.Addr, digest)
			return
		}
	}
	digest, first, last := g.repair.Page(now, g.room-wire.StatusOverhead)
	g.emitStatus(m.Addr, wire.Status{Mode: wire.Full, First: first, Last: last, Digest: digest}, g.config.RetryAttempts)
}

// compareOften begins or prolongs the time in which what was seen is compared
// with random members, for there may be news.
func (g *GossipService) compareOften(now time.Duration) {
	g.newsAt = now
	g.upkeep.Compare.Resume(now, g.comparePause(), g.rng)
}

// comparePause is between two comparisons while there is news.
func (g *GossipService) comparePause() time.Duration {
	return g.config.TickInterval / time.Duration(g.config.RumorFactor)
}

// anybody returns a random member that is not silent, or nil.
func (g *GossipService) anybody(now time.Duration) *view.Member {
	g.members = g.roster.Random(g.members[:0], g.rng, 1, netip.AddrPort{}, now)
	if len(g.members) == 0 {
		return nil
	}
	return g.members[0]
}

// isNews notes that a message is new here, to be offered to others: to a random
// member soon, for it may have been lost on its way there, or, if it came by
// repair, to the neighbours at once, for then it was lost to a whole arc.
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

// offer offers what is new to a random member.
func (g *GossipService) offer(now time.Duration) {
	g.upkeep.offeredAt = now
	digest := g.repair.Offer(&g.upkeep.news, g.room-wire.StatusOverhead)
	if m := g.anybody(now); m != nil {
		g.emitOffer(m.Addr, digest)
	}
}

func (g *GossipService) emitOffer(to netip.AddrPort, digest versions.Digest) {
	g.emitStatus(to, wire.Status{Mode: wire.Offer, Last: 1<<64 - 1, Digest: digest}, outbox.NoAnswer)
}

// heal offers what came by repair to the successor, the predecessor and two
// more members that are near.
func (g *GossipService) heal(now time.Duration) {
	g.upkeep.healAt = now
	digest := g.repair.Offer(&g.upkeep.healed, g.room-wire.StatusOverhead)
	g.members = g.roster.Nearest(g.members[:0], uint64(g.id), 2*view.Near)
	for i, m := range g.members {
		if i < 2 || g.rng.IntN(len(g.members)-2) < 2 {
			g.emitOffer(m.Addr, digest)
		}
	}
}

// askForMissing asks a random member for what has been missing for a while: the
// pages may take long to come round to it.
func (g *GossipService) askForMissing(now time.Duration) {
	missing := g.repair.Missing(g.awake, askAfter, g.room-wire.StatusOverhead)
	if missing.Len() == 0 {
		return
	}
	if m := g.anybody(now); m != nil {
		g.emitStatus(m.Addr, wire.Status{Mode: wire.Request, Last: 1<<64 - 1, Digest: missing}, outbox.NoAnswer)
	}
}

// emitStatus sends a Status. Only a full one is acknowledged, the others take NoAnswer.
func (g *GossipService) emitStatus(to netip.AddrPort, s wire.Status, attempts int) {
	g.body = s.AppendTo(g.body[:0])
	g.emit(to, wire.TypeStatus, attempts)
}

// giveUp gives up what is missing of an origin up to floor.
func (g *GossipService) giveUp(o *versions.Origin, floor uint32) {
	unseen := g.repair.GiveUp(o, floor)
	g.stats.GaveUpUnseen += unseen
	if g.config.Ordered {
		g.deliverInOrder(o, unseen)
	}
}

// giveUpStuck gives up what has been missing for long: nobody retains it.
func (g *GossipService) giveUpStuck() {
	if g.state != StateConnected {
		return
	}
	patience := stuckFor
	if g.config.Ordered {
		patience = g.config.OrderedWait
	}
	for o := range g.repair.Stuck(g.awake, patience) {
		g.giveUp(o, o.StuckUpTo())
	}
}

// deliverInOrder delivers what an origin said next, as far as it is here.
func (g *GossipService) deliverInOrder(o *versions.Origin, unseen uint64) {
	g.stats.GaveUpUnseen += g.repair.InOrder(o, unseen, func(e *datalog.Entry) { g.deliver(g.log.Retain(e)) })
}
