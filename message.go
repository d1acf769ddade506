// Dispatch of a message to the handler of its type, and the handlers of Data and Status.
// Those that concern members are in state.go, that of Ack in queue.go.

package gossip

import (
	"fmt"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// dispatch parses one message, whose body is at the front of b, and hands it to its
// handler if the state allows. It returns the length of the body, and false if the rest
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

// strangerLead is how far Data from an unproven source may be ahead of what is known of
// its origin.
const strangerLead = 64

// handleData delivers a new message and passes it on as its spread requires.
func (g *GossipService) handleData(now time.Duration, in *envelopeIn, seq uint32, d wire.Data) {
	if len(d.Payload) > g.longestPayload() { // it could not be passed on with an arc
		g.stats.DropOversize++
		return
	}
	if d.Origin == uint64(g.id) {
		if d.Flags&wire.FlagArc == 0 { // without an Ack the sender gives the arc to another node
			g.acknowledgeData(now, in, seq, &d)
		}
		g.stats.Duplicate++
		g.skipForged(now, in, d.Counter)
		return
	}
	if to, direct := d.Recipient(); direct && to != uint64(g.id) {
		g.stats.DropRecipient++
		g.probe(in.from) // so that it learns who is here
		return
	}
	o, window := g.sequence(now, in, seq, &d)
	if o == nil {
		return
	}
	g.acknowledgeData(now, in, seq, &d)
	newest := d.Counter > window.Highest()
	if window.Add(d.Counter, g.origins.Pool()) == versions.Seen {
		g.stats.Duplicate++
		g.coverLate(now, &d)
		return
	}
	o.Touch(now)
	if d.Flags&wire.FlagDirect != 0 {
		g.deliver(g.log.Detached(d.Origin, d.Counter, d.Payload, now))
		return
	}
	if o.Since == 0 || d.Counter < o.Since {
		o.Since = d.Counter
	}
	born := now - d.Age() // so that old messages do not evict new ones
	if g.config.Ordered { // it must stay until its turn
		born = now
	}
	e := g.log.Put(d.Origin, d.Counter, d.Payload, born)
	g.isNews(now, e, d.Flags&wire.FlagPull != 0)
	if g.config.Ordered {
		if d.Counter == o.Given+1 && g.log.Get(d.Origin, d.Counter) == nil {
			o.Given = d.Counter // it is next, and need not wait in a log that is too small for it
			g.deliver(g.log.Retain(e))
		}
		g.deliverInOrder(o, 0)
		defer g.log.Release(e)
	} else {
		g.deliver(e)
	}
	switch {
	case d.Flags&wire.FlagPull != 0:
		g.stats.Repaired++
		return
	case d.Flags&wire.FlagRumor != 0:
		g.passOn(now, e, in.from, d.Hops)
	case d.Flags&wire.FlagArc != 0:
		g.cover(now, e, &d)
	}
	if newest {
		o.MarkYoung(d.Counter, now, repair.Epoch)
	}
}

// acknowledgeData acknowledges d, unless it came by repair, which expects no Ack.
func (g *GossipService) acknowledgeData(now time.Duration, in *envelopeIn, seq uint32, d *wire.Data) {
	if d.Flags&wire.FlagPull == 0 {
		g.acknowledge(now, in, seq)
	}
}

// sequence returns the origin of d and the one of its two windows that d belongs to, with
// room for d in it; or nil if d is not to be accepted now. A forged number must not
// silence an origin: an unproven source may neither run far ahead in a window nor advance
// it, not even in many short steps.
func (g *GossipService) sequence(now time.Duration, in *envelopeIn, seq uint32, d *wire.Data) (*versions.Origin, *versions.Window) {
	o := g.origins.Get(d.Origin)
	direct := d.Flags&wire.FlagDirect != 0
	var unknown versions.Window
	window := &unknown
	switch {
	case o != nil && direct:
		window = &o.Direct
	case o != nil:
		window = &o.Seen
	}
	highest := window.Highest()
	if !in.proven() && (window.Check(d.Counter) == versions.Ahead || d.Counter > highest && d.Counter-highest > strangerLead) {
		g.stats.DropAhead++
		if direct { // it comes again; a sender that answers becomes a member, even of a full view
			g.probe(in.from)
		} else {
			g.challenge(in)
		}
		return nil, nil
	}
	if o == nil {
		if o = g.newOrigin(now, in, d.Origin); o == nil {
			g.acknowledgeData(now, in, seq, d)
			return nil, nil
		}
	}
	if direct {
		o.Direct.MakeRoom(d.Counter, g.origins.Pool())
		return o, &o.Direct
	}
	if o.Since == 0 && g.repair.Skipping(now) {
		g.repair.SkipTo(o, d.Counter-1)
		g.deliverSkipped(o)
	}
	if d.Flags&wire.FlagPull != 0 && in.proven() && g.repair.History(d.Age(), now) {
		g.repair.SkipTo(o, d.Counter)
		g.deliverSkipped(o)
	}
	if o.Seen.Check(d.Counter) == versions.Ahead {
		g.giveUp(o, d.Counter-versions.Width)
	}
	return o, &o.Seen
}

// newOrigin adds an origin, if the table has room for it. Unproven sources may fill only
// half of the table.
func (g *GossipService) newOrigin(now time.Duration, in *envelopeIn, id uint64) *versions.Origin {
	if !in.proven() && g.origins.Len() >= originsOf(&g.config)/2 {
		g.stats.DropOrigin++
		g.challenge(in)
		return nil
	}
	var via uint64
	if in.member != nil { // by its address, because ids can be made up
		via = view.Fold(in.from)
	}
	o := g.repair.Origin(now, id, via)
	if o == nil {
		g.stats.DropOrigin++
	}
	return o
}

// handleStatus answers a full Status with what its sender lacks and a request for what
// this node lacks, an offer with a request, and a request with what it asks for.
func (g *GossipService) handleStatus(now time.Duration, in *envelopeIn, seq uint32, s wire.Status) {
	if !in.proven() {
		g.challenge(in)
		if g.repair.Skipping(now) { // a stranger does not decide what is skipped
			return
		}
	}
	room := g.digestRoom()
	push := &g.push
	*push = pusher{g: g, now: now, in: in}
	var wanted versions.Digest
	switch s.Mode {
	case wire.Full:
		g.acknowledge(now, in, seq)
		if g.repair.Skipping(now) {
			g.repair.Skip(now, s.Digest, s.First, s.Last, view.Fold(in.from), g.deliverSkipped)
			return
		}
		if in.compared { // comparing visits all origins, and an honest node sends only one
			g.stats.DropPush++
			return
		}
		in.compared = true
		wanted = g.repair.Compare(now, s.Digest, s.First, s.Last, room, push)
	case wire.Offer:
		wanted = g.repair.Want(now, s.Digest, room)
	case wire.Request:
		g.repair.Serve(s.Digest, push)
	}
	if wanted.Len() > 0 {
		g.emitDigest(in.from, wire.Request, wanted)
	}
}

// pusher sends repairs to the node being answered, until the budget of its datagram is
// used up, and leaves half of the data queue free for other messages.
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

// deliverInOrder delivers the next messages of an origin, as far as they are here.
func (g *GossipService) deliverInOrder(o *versions.Origin, unseen uint64) {
	g.stats.GaveUpUnseen += g.repair.InOrder(o, unseen, func(e *datalog.Entry) { g.deliver(g.log.Retain(e)) })
}

// deliverSkipped delivers, where order is kept, the messages that waited for others that
// are now skipped.
func (g *GossipService) deliverSkipped(o *versions.Origin) {
	if g.config.Ordered {
		g.deliverInOrder(o, 0)
	}
}

// number assigns the next number to a message of this node and retains it.
func (g *GossipService) number(now time.Duration, payload []byte, s Spread) (*datalog.Entry, error) {
	id, pool := uint64(g.id), g.origins.Pool()
	if g.counter == 1<<32-1 || g.directCounter == 1<<32-1 {
		return nil, fmt.Errorf("%w: SendData: all numbers of %v are used, Leave and Join", ErrState, g.id)
	}
	if s.kind == spreadDirect {
		// Beyond the recipients' windows it would not be taken for new.
		if g.directDone.Check(g.directCounter+1) == versions.Ahead {
			return nil, fmt.Errorf("%w: a Direct message, %d before the last, is on its way still", ErrQueueFull, versions.Width)
		}
		g.directCounter++
		return g.log.Detached(id, g.directCounter, payload, now), nil
	}
	o := g.repair.Origin(now, id, 0)
	g.counter++
	if g.roster.Len() == 0 && g.state != StateConnected {
		if g.saidAlone.First == 0 {
			g.saidAlone.First = g.counter
		}
		g.saidAlone.Last = g.counter
	}
	o.Since = 1
	o.Seen.Add(g.counter, pool)
	o.MarkYoung(g.counter, now, repair.Epoch)
	o.Touch(now)
	e := g.log.Put(id, g.counter, payload, now)
	g.isNews(now, e, false)
	return e, nil
}

// skipForged moves this node's counter past a number that somebody used in its name, so
// that others take its next message for new. It skips few numbers in a TickInterval: there
// are only 2^32, and messages that fall below others' windows are lost to them.
func (g *GossipService) skipForged(now time.Duration, in *envelopeIn, counter uint32) {
	most := uint32(2 * versions.Width)
	if !in.proven() {
		most = strangerLead
	}
	skipped := &g.upkeep.skipped
	if counter <= g.counter || counter-g.counter > most-min(most, *skipped) {
		return
	}
	*skipped += counter - g.counter
	o := g.repair.Origin(now, uint64(g.id), 0) // it may not have sent anything itself yet
	o.Since = 1
	o.Seen.Advance(counter, g.origins.Pool())
	g.counter = counter
}
