package gossip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// handle reads the messages of a datagram, one after another.
func (g *GossipService) handle(now time.Duration, from netip.AddrPort, b []byte) {
	g.stats.DatagramsIn++
	g.stats.BytesIn += uint64(len(b))
	if len(b) > g.config.MaxMessageSize {
		g.stats.DropOversize++
		return
	}
	if g.left {
		g.stats.DropLeft++
		return
	}
	in := &g.in
	*in = envelopeIn{from: from, credit: amplification * len(b), push: pushBudget}
	b, ok := g.open(b)
	if !ok {
		return
	}
	defer func() { in.from = netip.AddrPort{} }()
	for first := true; len(b) > 0 || first; first = false {
		h, ok := wire.ParseHeader(b)
		switch {
		case !ok:
			g.stats.DropMalformed++
			return
		case h.Tag != g.tag:
			g.stats.DropTag++
			return
		}
		if first {
			g.heard(now, in)
		}
		n, ok := g.dispatch(now, in, h, b[wire.HeaderSize:])
		if !ok {
			return
		}
		b = b[wire.HeaderSize+n:]
	}
}

// What sealing adds to the messages of a datagram.
//
//	0        8       20
//	+--------+-------+----------------------+-----+
//	| header | nonce | messages, encrypted  | tag |
//	+--------+-------+----------------------+-----+
const (
	sealedFront = wire.HeaderSize + seal.NonceSize
	sealedBack  = seal.Overhead - seal.NonceSize
)

// open returns the messages in a datagram, which is sealed or in clear. What
// cannot be opened, or is clear and should not be, is counted and goes no further.
func (g *GossipService) open(b []byte) (messages []byte, ok bool) {
	h, ok := wire.ParseHeader(b)
	switch {
	case !ok:
		g.stats.DropMalformed++
	case h.Tag != g.tag:
		g.stats.DropTag++
	case h.Type == wire.TypeSealed:
		if messages, ok = g.ring.Open(b[wire.HeaderSize:], g.additional(b)); ok {
			return messages, true
		}
		g.stats.DropSealed++
	case g.ring.TakesClear():
		return b, true
	default:
		g.stats.DropClear++
	}
	return nil, false
}

// additional returns what a sealed datagram is bound to: its header and the cluster.
func (g *GossipService) additional(datagram []byte) []byte {
	g.ad = append(append(g.ad[:0], datagram[:wire.HeaderSize]...), g.cluster...)
	return g.ad
}

// pack makes the next datagram of a lane, or none if there is nothing due in it.
func (g *GossipService) pack(l *outbox.Lane) []byte {
	messages := g.outbox.Pack(g.leaving[sealedFront:sealedFront], l, g.now(), g.timeout(l.To()))
	if len(messages) == 0 {
		return nil
	}
	datagram := messages
	if g.ring.Seals() {
		wire.Header{Type: wire.TypeSealed, Tag: g.tag}.AppendTo(g.leaving[:0])
		datagram = g.ring.Seal(g.leaving[:sealedFront+len(messages)], wire.HeaderSize, g.additional(g.leaving))
	}
	g.stats.DatagramsOut++
	g.stats.BytesOut += uint64(len(datagram))
	return datagram
}

// useKeys puts other keys in use. What is queued and does not fit in a sealed
// datagram is dropped: it was said by, or came from, a node without Keys.
func (g *GossipService) useKeys(keys [][]byte) error {
	ring, err := seal.New(keys, g.rng.Uint64)
	if err != nil {
		return fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	g.ring = ring
	room := g.config.MaxMessageSize
	if ring.Seals() {
		room = g.room
	}
	g.outbox.SetRoom(room, func(e *outbox.Envelope) {
		g.stats.DropRelay++
		g.finish(e)
	})
	return nil
}

// longest returns the length of the longest payload that is taken from others.
// Where clear text is taken it may come from a node without Keys.
func (g *GossipService) longest() int {
	if g.ring.TakesClear() {
		return payloadIn(g.config.MaxMessageSize)
	}
	return payloadIn(g.room)
}

// dispatch parses one message, whose body begins b, and hands it to its handler
// if the state allows. It returns the length of the body, and false if the rest
// of the datagram cannot be read.
func (g *GossipService) dispatch(now time.Duration, in *envelopeIn, h wire.Header, b []byte) (n int, ok bool) {
	in.member = g.roster.ByAddr(in.from) // the message before may have changed that
	legal := h.Type < wire.Types && messageLegal[h.Type]&(1<<g.column()) != 0
	switch h.Type {
	case wire.TypeHello:
		var m wire.Hello
		if m, n, ok = wire.ParseHello(b); ok && legal {
			g.handleHello(now, in, h.Seq, m)
		}
	case wire.TypeWelcome:
		var m wire.Welcome
		if m, n, ok = wire.ParseWelcome(b); ok && legal {
			g.handleWelcome(now, in, m)
		}
	case wire.TypeMemberList:
		var m wire.MemberList
		if m, n, ok = wire.ParseMemberList(b); ok && legal {
			g.handleMemberList(now, in, h.Seq, m)
		}
	case wire.TypeAck:
		var m wire.Ack
		if m, n, ok = wire.ParseAck(b); ok && legal {
			g.handleAck(now, in, m)
		}
	case wire.TypeData:
		var m wire.Data
		if m, n, ok = wire.ParseData(b); ok && legal {
			g.handleData(now, in, h.Seq, m)
		}
	case wire.TypeStatus:
		var m wire.Status
		if m, n, ok = wire.ParseStatus(b); ok && legal {
			g.handleStatus(now, in, h.Seq, m)
		}
	case wire.TypeLeave:
		var id uint64
		if id, n, ok = wire.ParseLeave(b); ok && legal {
			g.handleLeave(now, in, id)
		}
	default:
		g.stats.DropUnknownType++
		return 0, false
	}
	switch {
	case !ok:
		g.stats.DropMalformed++
	case !legal:
		g.stats.DropIllegal++
	default:
		g.stats.MessagesIn++
	}
	return n, ok
}

// afford reports whether size bytes may be sent to an address now, and charges
// them if it is that of a source that is being answered and not proven.
func (g *GossipService) afford(to netip.AddrPort, size int) bool {
	if to != g.in.from || g.in.proven() {
		return true
	}
	if g.ring.Seals() { // it may need a datagram of its own
		size += sealedFront + sealedBack
	}
	if g.in.credit < size {
		g.stats.DropAmplify++
		return false
	}
	g.in.credit -= size
	return true
}

// emit queues a control message whose body is in g.body. To a source that is
// not proven it is sent once, whatever attempts says.
func (g *GossipService) emit(to netip.AddrPort, kind wire.Type, attempts int) *outbox.Envelope {
	if !g.afford(to, wire.HeaderSize+len(g.body)) {
		return nil
	}
	if to == g.in.from && !g.in.proven() {
		attempts = min(attempts, 1)
	}
	return g.outbox.Emit(to, kind, g.body, attempts)
}

// acknowledge owes the source of in an Ack.
func (g *GossipService) acknowledge(now time.Duration, in *envelopeIn, seq uint32) {
	if g.afford(in.from, wire.AckOverhead+wire.AckSize) {
		g.outbox.Acknowledge(now, in.from, seq)
	}
}

const (
	offerAge   = 30 * time.Millisecond   // of a message when it is offered, or 5/4 of a round trip if that is more
	offerPause = 60 * time.Millisecond   // between two offers
	newsPause  = 100 * time.Millisecond  // between two announcements of new members
	newsLasts  = 1500 * time.Millisecond // after the last news, what was seen is compared more rarely
	askAfter   = 5 * time.Second         // until what is missing is asked for by itself
	stuckFor   = 30 * time.Second        // until a gap that nobody fills is given up
	skipsFor   = 30 * time.Second        // until a node that skips history does not wait for more of it
	healing    = 3 * time.Second         // after a lost member came back, the others are asked more often
	growing    = 8 * time.Second         // after the last new member, more are exchanged, more often
	originIdle = time.Hour               // until an origin may make room for another
	exchanged  = 16                      // members in one exchange
	mostProbes = 64                      // Hellos to doubtful addresses in a TickInterval
	trimEvery  = 16                      // exchanges of an idle node
	longProbe  = 4 * time.Second         // between two rounds of Hellos of a node that is alone
)

// upkeep is what a node does by the clock alone, and what it remembers for that.
type upkeep struct {
	pace.Plan
	news, healed repair.News   // to be offered
	turn         int           // of the exchange
	recent       bool          // of the comparison: the last was of what was seen lately
	round        int           // of a node that is alone
	probes       int           // Hellos to doubtful addresses that are left
	grewAt       time.Duration // when hearsay last brought a member
	backAt       time.Duration // when a lost member was last heard again
	offeredAt    time.Duration // when offer was last done
	healAt       time.Duration // and heal
}

// keepUp does the duties whose time has come.
func (g *GossipService) keepUp(now time.Duration) {
	u, c := &g.upkeep, &g.config
	if g.unheard > 0 && g.roster.Len() > 0 {
		g.sayAgain(now)
	}
	fast := now-g.newsAt < newsLasts
	pause, most := c.TickInterval, exchanged
	if now-u.grewAt < growing {
		pause, most = g.comparePause(), g.room/wire.MinMemberSize
	}
	if u.Exchange.Due(now, pause, g.rng) {
		if !fast && u.turn%trimEvery == 0 {
			g.outbox.Trim()
			g.body = nil
		}
		u.probes = mostProbes
		g.awake += min(now-g.lookedAt, 2*c.TickInterval)
		g.lookedAt = now
		g.askForMissing(now)
		g.giveUpStuck()
		u.turn++
		if m := g.roster.Partner(u.turn, g.rng); m != nil {
			g.exchange(m, most)
			g.meetNeighbours()
			if !fast {
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
	if u.Announce.Due(now, newsPause, g.rng) {
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

// comparePause is between two comparisons while there is news.
func (g *GossipService) comparePause() time.Duration {
	return g.config.TickInterval / time.Duration(g.config.RumorFactor)
}

// compareOften begins or prolongs the time in which what was seen is compared
// with random members, for there may be news.
func (g *GossipService) compareOften(now time.Duration) {
	g.newsAt = now
	g.upkeep.Compare.Resume(now, g.comparePause(), g.rng)
}

// anybody returns a random member that is not silent, or nil.
func (g *GossipService) anybody(now time.Duration) *view.Member {
	g.members = g.roster.Random(g.members[:0], g.rng, 1, netip.AddrPort{}, now)
	if len(g.members) == 0 {
		return nil
	}
	return g.members[0]
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
