package node

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
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
		n.deliverInOrder(o)
	}
	if d.Flags&wire.FlagPull != 0 && in.validated() && h.repair.History(d.Age(), now) {
		h.repair.SkipTo(o, d.Counter)
		n.deliverInOrder(o)
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
	o.MarkYoung(self.counter, now, n.epoch())
	h.origins.Touch(o, now)
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
