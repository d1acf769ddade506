package node

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

const (
	offerAge   = 30 * time.Millisecond // of a message when it is offered, or 5/4 of the last offer's round trip if that is more
	offerPause = 60 * time.Millisecond // between two offers
	staleAfter = 30 * time.Second      // until a gap that no node fills is given up
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
	compared       uint64      // the last origin of the last page compared, 0 if none was
	onward         bool        // the last comparison asked for the page after that, not for the first
	behind         bool        // the last first page showed that anything is missing
	standby        fifo.Queue[standing]
	skipped        uint32 // own numbers skipped because others used them, since the last look
}

// handleData delivers a new message and passes it on as its spread requires. If there is no
// room to pass it on it is refused, as if it had not come: it comes again.
func (n *Node) handleData(now time.Duration, in *datagram, seq uint32, d wire.Data) {
	if len(d.Payload) > n.longestPayload() { // it could not be passed on with an arc
		n.stats.DropOversize++
		return
	}
	if d.Origin == n.self.id {
		if d.Flags&wire.FlagDirect == 0 {
			if d.Counter <= n.self.counter {
				n.history.coverage.note(d.Origin, d.Counter, noArc)
			}
			n.skipForged(now, in, d.Counter)
		}
		n.handleDuplicate(now, in, seq, &d)
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
		n.handleDuplicate(now, in, seq, &d)
		return
	}
	if n.tooEarly(in, o, &d) {
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

// take delivers a new message, and hands it to the members that delegate chose.
func (n *Node) take(now time.Duration, o *versions.Origin, window *versions.Window, d *wire.Data) {
	newest := d.Counter > window.Highest()
	window.Add(d.Counter, n.history.origins.Pool())
	n.history.origins.Touch(o, now)
	if d.Flags&wire.FlagDirect != 0 {
		n.deliver(n.history.log.Detached(d.Origin, d.Counter, d.Payload, now))
		return
	}
	o.Taken(d.Counter, n.history.origins.Pool())
	e := n.retain(now, o, d)
	if d.Flags&wire.FlagPull != 0 {
		n.stats.Repaired++
	} else if newest {
		o.MarkYoung(d.Counter, now, n.epoch())
	}
	s := noArc
	if d.PassedOn() {
		n.hand(n.relayed(e, d))
		s = n.sideOf(d)
	}
	n.history.coverage.note(d.Origin, d.Counter, s)
	if d.Flags&wire.FlagStandby != 0 {
		n.standBy(now, n.relayed(e, d))
	}
	n.history.log.Release(e)
}

// handleDuplicate handles a copy of a message that was here already, or is the node's own.
func (n *Node) handleDuplicate(now time.Duration, in *datagram, seq uint32, d *wire.Data) {
	n.stats.Duplicate++
	if n.forwardDuplicate(now, in, d) {
		n.acknowledgeData(now, in, seq, d)
	} else {
		n.refuse(now, in, seq)
	}
}

// forwardDuplicate forwards the arc of a duplicate if none was forwarded for this message yet, of
// those that this node lies in or of the others. It returns false if there is no room for that.
func (n *Node) forwardDuplicate(now time.Duration, in *datagram, d *wire.Data) bool {
	if d.Flags&wire.FlagArc == 0 || d.Flags&(wire.FlagDirect|wire.FlagStandby) != 0 {
		return true
	}
	h, s := &n.history, n.sideOf(d)
	if h.coverage.covers(d.Origin, d.Counter, s) {
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
	n.hand(n.relayed(e, d))
	h.coverage.note(d.Origin, d.Counter, s)
	h.log.Release(e)
	return true
}

// retain puts a new message in the log and delivers it, or, where order is kept, what is next
// in order. The caller must Release the entry.
func (n *Node) retain(now time.Duration, o *versions.Origin, d *wire.Data) *datalog.Entry {
	put := n.history.log.Put
	if n.config.Ordered { // it must stay until its turn
		put = n.history.log.Pin
		o.Wait(datalog.Overhead + len(d.Payload))
	}
	e := put(d.Origin, d.Counter, d.Payload, now-d.Age()) // so that old messages do not evict new ones
	n.scheduleOffer(now, e, d.Flags&wire.FlagPull != 0)
	if n.config.Ordered {
		n.deliverInOrder(o)
	} else {
		n.deliver(n.history.log.Retain(e))
	}
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
