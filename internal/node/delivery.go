package node

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	offerAge   = 30 * time.Millisecond // of a message when it is offered, or 5/4 of a round trip if that is more
	offerPause = 60 * time.Millisecond // between two offers
	askAfter   = 5 * time.Second       // until missing messages are requested explicitly
	staleAfter = 30 * time.Second      // until a gap that no node fills is given up

	// unvalidatedLead is how far Data from an unvalidated source may be ahead of what is
	// known of its origin.
	unvalidatedLead = 64

	// span is how many numbers of an origin may be on their way to a node after one that it
	// lacks: less than its window holds.
	span = versions.Width * 3 / 4

	// aheadFor is how long messages beyond the window are refused while repair closes no part
	// of the gap, before the gap is given up.
	aheadFor = 2 * time.Second
)

// history is what a node knows of messages: which it has seen, which it retains, and which it
// is to offer to others.
type history struct {
	origins  *versions.Table
	log      *datalog.Log
	repair   *repair.Reconciler
	coverage coverage

	news, repaired repair.News // to be offered
	wanted         wanted      // what was requested
	skipped        uint32      // own numbers skipped because others used them, since the exchange
}

// handleData delivers a new message and passes it on as its spread requires. If there is no
// room to pass it on it is refused, as if it had not come: it comes again.
func (n *Node) handleData(now time.Duration, in *datagram, seq uint32, d wire.Data) {
	if len(d.Payload) > n.longestPayload() { // it could not be passed on with an arc
		n.stats.DropOversize++
		return
	}
	if d.Origin == n.self.id {
		if d.Flags&wire.FlagArc == 0 { // without an Ack the sender gives the arc to another node
			n.acknowledgeData(now, in, seq, &d)
		}
		n.stats.Duplicate++
		n.skipForged(now, in, d.Counter)
		return
	}
	if to, direct := d.Recipient(); direct && to != n.self.id {
		n.stats.DropRecipient++
		n.probe(in, in.from) // so that it learns which node is here
		return
	}
	o, window := n.sequence(now, in, seq, &d)
	if o == nil {
		return
	}
	if window.Has(d.Counter) {
		n.stats.Duplicate++
		if n.forwardDuplicate(now, in, &d) {
			n.acknowledgeData(now, in, seq, &d)
		} else {
			n.refuse(now, in, seq)
		}
		return
	}
	if n.tooEarly(o, &d) {
		if d.Flags&wire.FlagPull == 0 {
			n.refuse(now, in, seq)
		}
		return
	}
	if d.PassedOn() && n.delegate(now, n.relayed(nil, &d), in.from) != ready {
		n.refuse(now, in, seq)
		return
	}
	n.acknowledgeData(now, in, seq, &d)
	n.take(now, o, window, &d)
}

// tooEarly reports whether, where order is kept, a message would have to wait for so many before
// it that the log could not hold them all.
func (n *Node) tooEarly(o *versions.Origin, d *wire.Data) bool {
	from := max(o.Delivered, o.Seen.Floor(), max(o.From, 1)-1) // what precedes is not waited for
	if !n.config.Ordered || d.Flags&wire.FlagDirect != 0 || o.From == 0 || d.Counter <= from {
		return false
	}
	before := uint64(d.Counter - from - 1)
	return before*uint64(datalog.Overhead+len(d.Payload)) > uint64(n.config.DataLogSize)/waitingShare
}

// waitingShare is the part of the log that messages of one origin may fill while they wait for
// their turn.
const waitingShare = 2

// take delivers a new message, and hands it to the members that delegate chose.
func (n *Node) take(now time.Duration, o *versions.Origin, window *versions.Window, d *wire.Data) {
	newest := d.Counter > window.Highest()
	window.Add(d.Counter, n.history.origins.Pool())
	o.Touch(now)
	if d.Flags&wire.FlagDirect != 0 {
		n.deliver(n.history.log.Detached(d.Origin, d.Counter, d.Payload, now))
		return
	}
	o.Taken(d.Counter)
	e := n.retain(now, o, d)
	if d.Flags&wire.FlagPull != 0 {
		n.stats.Repaired++
	} else if newest {
		o.MarkYoung(d.Counter, now, repair.Epoch)
	}
	var arcs covered
	if d.PassedOn() {
		n.hand(now, n.relayed(e, d))
		arc := ring.Arc{Lo: d.Lo, Hi: d.Hi}
		*arcs.of(arc, ring.Pos(n.self.id)) = arc
	}
	n.history.coverage.set(e, arcs)
	n.history.log.Release(e)
}

// forwardDuplicate handles a copy of a message that was here already. It may still carry
// work: its arc is forwarded if none was forwarded for this message yet, of those that this
// node lies in or of the others; or, where the log turns over so fast that repair may come too
// late, if it is not part of the last one. It returns false if there is no room for that.
func (n *Node) forwardDuplicate(now time.Duration, in *datagram, d *wire.Data) bool {
	if d.Flags&wire.FlagArc == 0 || d.Flags&wire.FlagDirect != 0 {
		return true
	}
	h, arc := &n.history, ring.Arc{Lo: d.Lo, Hi: d.Hi}
	arcs, known := h.coverage.get(d.Origin, d.Counter)
	last := arcs.of(arc, ring.Pos(n.self.id))
	if !known || !last.Empty() && (last.Contains(arc) || !h.log.Brief(now, askAfter)) {
		return true
	}
	if n.delegate(now, n.relayed(nil, d), in.from) != ready {
		return false
	}
	e := h.log.Get(d.Origin, d.Counter)
	if e == nil {
		e = h.log.Detached(d.Origin, d.Counter, d.Payload, now)
	} else {
		h.log.Retain(e)
	}
	n.hand(now, n.relayed(e, d))
	*last = arc
	h.coverage.set(e, arcs)
	h.log.Release(e)
	return true
}

// retain puts a new message in the log and delivers it, or, where order is kept, what is next
// in order. The caller must Release the entry.
func (n *Node) retain(now time.Duration, o *versions.Origin, d *wire.Data) *datalog.Entry {
	born := now - d.Age() // so that old messages do not evict new ones
	if n.config.Ordered { // it must stay until its turn
		born = now
	}
	log := n.history.log
	e := log.Put(d.Origin, d.Counter, d.Payload, born)
	n.scheduleOffer(now, e, d.Flags&wire.FlagPull != 0)
	if !n.config.Ordered {
		n.deliver(log.Retain(e))
		return e
	}
	if d.Counter == o.Delivered+1 && log.Get(d.Origin, d.Counter) == nil {
		o.Delivered = d.Counter // it is next, and need not wait in a log that is too small for it
		n.deliver(log.Retain(e))
	}
	n.deliverInOrder(o)
	return e
}

// longestPayload returns the length of the longest payload that is accepted from others. If
// clear text is accepted it may come from a node without Keys.
func (n *Node) longestPayload() int {
	if n.seals.keys.TakesClear() {
		return payloadIn(n.config.MaxMessageSize)
	}
	return payloadIn(n.out.room)
}

// acknowledgeData acknowledges d, unless it came by repair, which expects no Ack.
func (n *Node) acknowledgeData(now time.Duration, in *datagram, seq uint32, d *wire.Data) {
	if d.Flags&wire.FlagPull == 0 {
		n.acknowledge(now, in, seq)
	}
}

// sequence returns the origin of d and the one of its two windows that d belongs to, with
// room for d in it; or nil if d is not to be accepted now. A forged number must not silence
// an origin: an unvalidated source may neither run far ahead in a window nor advance it, not
// even in many short steps.
func (n *Node) sequence(now time.Duration, in *datagram, seq uint32, d *wire.Data) (*versions.Origin, *versions.Window) {
	h := &n.history
	o := h.origins.Get(d.Origin)
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
	if !in.validated() && (window.Check(d.Counter, nil) == versions.Ahead || d.Counter > highest && d.Counter-highest > unvalidatedLead) {
		n.stats.DropAhead++
		if direct { // it comes again; a sender that answers becomes a member, even of a full view
			n.probe(in, in.from)
		} else {
			n.challenge(in)
		}
		return nil, nil
	}
	if o == nil {
		if o = n.newOrigin(now, in, d.Origin); o == nil {
			n.acknowledgeData(now, in, seq, d)
			return nil, nil
		}
	}
	if direct {
		o.Direct.MakeRoom(d.Counter, h.origins.Pool())
		return o, &o.Direct
	}
	h.repair.Begin(now, o)
	if o.From == 0 && h.repair.Skipping(now) {
		h.repair.SkipTo(o, d.Counter-1)
		n.deliverSkipped(o)
	}
	if d.Flags&wire.FlagPull != 0 && in.validated() && h.repair.History(d.Age(), now) {
		h.repair.SkipTo(o, d.Counter)
		n.deliverSkipped(o)
	}
	if o.Seen.Check(d.Counter, h.origins.Pool()) == versions.Ahead && !n.makeRoom(now, in, seq, o, d) {
		return nil, nil
	}
	return o, &o.Seen
}

// makeRoom deals with a message beyond the window of its origin. What precedes the first
// message taken of the origin is history, and makes room at once. For the rest the message is
// refused at first, and what is missing is requested of its sender; when nothing of that has
// come for a while, all is given up that cannot be on its way any more.
func (n *Node) makeRoom(now time.Duration, in *datagram, seq uint32, o *versions.Origin, d *wire.Data) bool {
	floor := o.Seen.Floor()
	need := o.Seen.FloorFor(d.Counter, n.history.origins.Pool())
	if o.From == 0 || need < o.From {
		n.giveUp(o, need)
		return true
	}
	first := o.AheadAt == 0 || o.AheadOf != floor
	if first {
		o.AheadAt, o.AheadOf = now, floor
	}
	if now-o.AheadAt >= aheadFor {
		o.AheadAt = 0
		n.giveUp(o, max(need, d.Counter-min(d.Counter, span)))
		return true
	}
	if first {
		n.sendDigest(in, in.from, wire.Request, n.history.repair.MissingOf(o, n.out.digestRoom()))
	}
	if d.Flags&wire.FlagPull == 0 {
		n.refuse(now, in, seq)
	}
	return false
}

// newOrigin adds an origin, if the table has room for it. Unvalidated sources may fill only
// half of the table.
func (n *Node) newOrigin(now time.Duration, in *datagram, id uint64) *versions.Origin {
	if !in.validated() && n.history.origins.Len() >= n.config.origins()/2 {
		n.stats.DropOrigin++
		n.challenge(in)
		return nil
	}
	var introducer uint64
	if in.member != nil { // by its address, because ids can be made up
		introducer = view.HashAddr(in.from)
	}
	o := n.history.repair.Origin(now, id, introducer)
	if o == nil {
		n.stats.DropOrigin++
	}
	return o
}

// deliverInOrder delivers the next messages of an origin, as far as they are here.
func (n *Node) deliverInOrder(o *versions.Origin) {
	n.history.repair.InOrder(o, func(e *datalog.Entry) { n.deliver(n.history.log.Retain(e)) })
}

// deliverSkipped delivers, where order is kept, the messages that waited for others that
// are now skipped.
func (n *Node) deliverSkipped(o *versions.Origin) {
	if n.config.Ordered {
		n.deliverInOrder(o)
	}
}

// giveUp gives up the missing messages of an origin up to floor.
func (n *Node) giveUp(o *versions.Origin, floor uint32) {
	n.history.repair.GiveUp(o, floor)
	if n.config.Ordered {
		n.deliverInOrder(o)
	}
}

// scheduleOffer schedules a message that is new here to be offered to others: soon to a
// random member, for which it may have been lost; or, if it came by repair, at once to the
// neighbours, for it was then probably lost to a whole arc.
func (n *Node) scheduleOffer(now time.Duration, e *datalog.Entry, repaired bool) {
	t := &n.timers
	if repaired {
		t.compareOften(now, comparesAfterRepair, n.rng)
		t.Compare.By(now + max(offerAge, n.peers.rtt.Smoothed())) // more may be missing
		n.history.repaired.Add(e.Origin, e.Counter)
		t.Heal.By(max(now, t.healAt+offerPause))
	} else {
		n.history.news.Add(e.Origin, e.Counter)
		t.Offer.By(max(now+pace.Jitter(max(offerAge, 5*n.peers.rtt.Smoothed()/4), n.rng), t.offeredAt+offerPause))
	}
}

// number assigns the next number, of which there is one, to a message of this node and retains
// it. The caller must Release the entry.
func (n *Node) number(now time.Duration, payload []byte, s SpreadKind) (*datalog.Entry, error) {
	self, h := &n.self, &n.history
	if s == Direct {
		// Beyond the recipients' windows it would not be taken for new.
		if self.directDone.Check(self.directCounter+1, nil) == versions.Ahead {
			return nil, ErrDirectFull
		}
		self.directCounter++
		return h.log.Detached(self.id, self.directCounter, payload, now), nil
	}
	o := h.repair.Origin(now, self.id, 0)
	self.counter++
	o.Published(self.counter, h.origins.Pool())
	o.MarkYoung(self.counter, now, repair.Epoch)
	o.Touch(now)
	e := h.log.Put(self.id, self.counter, payload, now)
	if n.keepsOwn() {
		self.backlog.add(e, h.log)
	}
	n.scheduleOffer(now, e, false)
	return e, nil
}

// skipForged moves this node's counter past a number that another node used in its name, so
// that others take its next message for new. It skips few numbers in a TickInterval: there
// are only 2^32, and messages that fall below others' windows are lost to them.
func (n *Node) skipForged(now time.Duration, in *datagram, counter uint32) {
	most := uint32(2 * versions.Width)
	if !in.validated() {
		most = unvalidatedLead
	}
	self, h := &n.self, &n.history
	if counter <= self.counter || counter-self.counter > most-min(most, h.skipped) {
		return
	}
	h.skipped += counter - self.counter
	o := h.repair.Origin(now, self.id, 0) // it may not have sent anything itself yet
	o.Published(counter, h.origins.Pool())
	self.counter = counter
}
