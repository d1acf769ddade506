package node

import (
	"log/slog"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
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
// an origin: an unvalidated source may not run far ahead in a window. While the view has room,
// so that nodes are soon members, it may not run far ahead of what members have sent, not even in
// many short steps, and sends few Direct messages. One of a member is taken from that member only; a
// node outside a full view is not known, and any source may send in its name.
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
	highest, full := window.Highest(), n.peers.members.Len() >= n.config.MaxMembers
	switch {
	case full:
	case direct:
		highest = 0
	case o != nil:
		highest = o.Vouched
	}
	switch {
	case direct && n.isElsewhere(in, d.Origin):
		n.stats.DropStranger++
	case !in.validated() && (window.Check(d.Counter, nil) == versions.Ahead || d.Counter > highest && d.Counter-highest > unvalidatedLead):
		n.stats.DropAhead++
	default:
		return n.admitNumber(now, in, seq, d, o)
	}
	if direct { // it comes again; a sender that answers becomes a member, even of a full view
		n.probe(in, in.from)
	} else {
		n.challenge(in)
	}
	return nil, nil
}

// admitNumber is sequence for a number that is not refused because of its source.
func (n *Node) admitNumber(now time.Duration, in *datagram, seq uint32, d *wire.Data, o *versions.Origin) (*versions.Origin, *versions.Window) {
	h, direct := &n.history, d.Flags&wire.FlagDirect != 0
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
	if in.validated() {
		o.Vouched = max(o.Vouched, d.Counter)
	}
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

// isElsewhere reports whether there is a member with that id, which neither is nor sends where a
// datagram came from, nor has answered there.
func (n *Node) isElsewhere(in *datagram, id uint64) bool {
	m := n.peers.members.Get(id)
	return m != nil && m.Validated && m != in.member && !m.AnswersAt(in.from)
}

// makeRoom deals with a message beyond the window of its origin. What precedes the first
// message taken of the origin is history, and makes room at once. For the rest the message is
// refused at first, and what is missing is requested of its sender; when nothing of that has
// come for a while, all is given up that cannot be on its way any more.
func (n *Node) makeRoom(now time.Duration, in *datagram, seq uint32, o *versions.Origin, d *wire.Data) bool {
	floor := o.Seen.Floor()
	need := o.Seen.FloorFor(d.Counter, n.history.origins.Pool())
	first := in.gaps > 0 && (o.AheadAt == 0 || o.AheadOf != floor)
	if first && d.Counter-o.Seen.Highest() > mostSkipped {
		n.returnTo(now, in, d)
	}
	if o.From == 0 || need < o.From {
		n.giveUp(o, need)
		return true
	}
	if first {
		o.AheadAt, o.AheadOf = now, floor
	}
	if o.AheadAt > 0 && o.AheadOf == floor && now-o.AheadAt >= aheadFor {
		o.AheadAt = 0
		n.giveUp(o, max(need, d.Counter-min(d.Counter, span)))
		return true
	}
	if first {
		in.gaps--
		n.sendDigest(in, in.from, wire.Request, n.history.repair.MissingOf(o, n.digestRoom(in.from)))
	}
	if d.Flags&wire.FlagPull == 0 {
		n.refuse(now, in, seq)
	}
	return false
}

// returnTo sends a message with a number far ahead to its origin, which knows whether it is true,
// and finds out about it before the gap is given up.
func (n *Node) returnTo(now time.Duration, in *datagram, d *wire.Data) {
	m := n.peers.members.Get(d.Origin)
	if m == nil || !m.Validated || m == in.member || !n.out.queue.TakesRepair(m.Addr) {
		return
	}
	e := n.history.log.Detached(d.Origin, d.Counter, d.Payload, now)
	n.emitData(m.Addr, Repair, outbox.Copy{Entry: e, Class: outbox.Repair, Flags: wire.FlagPull})
	n.history.log.Release(e)
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
		self.backlog.add(e, s, h.log)
	}
	n.scheduleOffer(now, e, false)
	return e, nil
}

// mostSkipped is how many numbers that others used in its name a node skips in a TickInterval.
const mostSkipped = 2 * versions.Width

// skipForged moves this node's counter past a number that another node used in its name, so
// that others take its next message for new. It skips few numbers in a TickInterval: there
// are only 2^32, and messages that fall below others' windows are lost to them. If the number is
// farther ahead than it skips, others may soon take all its numbers for old: then the node is
// to renew itself.
func (n *Node) skipForged(now time.Duration, in *datagram, counter uint32) {
	most := uint32(mostSkipped)
	if !in.validated() {
		most = unvalidatedLead
	}
	self, h := &n.self, &n.history
	switch ahead := counter - self.counter; {
	case counter <= self.counter:
	case ahead > most:
		n.stats.DropForged++
		if now >= n.timers.forgedAt {
			n.timers.forgedAt = now + time.Minute
			n.record(slog.LevelWarn, "gossip: message forged in the name of this node", "address", in.from, "counter", counter, "last", self.counter)
		}
		self.forged = self.forged || in.validated()
	case ahead <= most-min(most, h.skipped):
		h.skipped += ahead
		o := h.repair.Origin(now, self.id, 0) // it may not have sent anything itself yet
		o.Published(counter, h.origins.Pool())
		self.counter = counter
	}
}

// renewPause is the time between two changes of the id of a node in whose name others send.
const renewPause = 5 * time.Second

// renew gives the node another id, and its messages numbers from 1 on. It keeps all else, and its
// members: they are told by Hellos, and tell the others. Its messages under the old id were
// acknowledged by all that they went to.
func (n *Node) renew(now time.Duration) {
	self, members := &n.self, n.peers.members
	old := self.id
	self.id, self.counter, self.directCounter, self.forged = n.drawID(), 0, 0, false
	self.directDone.Reset(0, n.history.origins.Pool())
	n.record(slog.LevelInfo, "gossip: new id, as messages were forged with the old one", "old", idText(old), "new", idText(self.id))
	members.Rename(self.id)
	n.history.origins.Keep(self.id)
	n.timers.renewAt = now + renewPause
	n.peers.picked = members.Sample(n.peers.picked[:0], n.rng, mostProbes, nil)
	for _, m := range n.peers.picked {
		n.sendHello(nil, m.Addr, 0, Hello)
	}
}
