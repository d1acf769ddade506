package outbox

import (
	"math"
	"net/netip"
)

// bytesEach times Config.Limit is about the most memory that the copies of one class take.
const bytesEach = 4 << 10

// Bytes is how much memory the copies of one class may take, as far as an int holds it.
func (o *Outbox) Bytes() int { return bytesEach * min(o.config.Limit, math.MaxInt/bytesEach) }

// hopClasses is how many parts the room for relayed copies has.
const hopClasses = 8

// Share is the most of a queue of Limit messages that one recipient may take: of control, which
// Emit enforces, and of repairs.
func (o *Outbox) Share() int { return max(o.config.Limit/4, min(o.config.Limit, 16)) }

// Spare returns how many more copies of class Own there is room for, negative if there are more
// than that already.
func (o *Outbox) Spare() int { return o.config.Limit - o.unsent }

// Takes reports whether there is room for a copy to a recipient, which is the only one if alone
// is set. Of class Relayed, hops is how many the copy has made, this one included.
func (o *Outbox) Takes(to netip.AddrPort, c Class, hops uint8, alone bool) bool {
	bytes, count := o.Bytes(), o.config.Limit
	if c == Relayed {
		bytes = bytes / hopClasses * int(min(max(hops, 1), hopClasses))
	}
	if o.used[c] >= bytes || c == Own && o.unsent >= count {
		return false
	}
	q := o.peers[to]
	if q == nil || alone {
		return true
	}
	if c == Own { // a message needs room for all of its copies, so a share would spare nothing
		return q.used[c] <= bytes/2 && q.unsent < max(count/4, 1)
	}
	return q.used[c] <= bytes/4
}

// HalfFree reports whether half of the room for copies of class Own is free, and room for so
// many copies; and, for each recipient but the only member, if there is only one, half of its
// own.
func (o *Outbox) HalfFree(copies int, only netip.AddrPort) bool {
	crowded, limit := o.crowded, o.config.Limit
	if q := o.peers[only]; q != nil && q.crowded {
		crowded--
	}
	return crowded == 0 && o.used[Own] <= o.Bytes()/2 && o.Spare() >= max(limit-limit/2, min(copies, limit))
}

// HasOwn reports whether a copy of class Own is queued or unanswered.
func (o *Outbox) HasOwn() bool { return o.used[Own] > 0 }

// TakesRepair reports whether there is room for a repair to a recipient.
func (o *Outbox) TakesRepair(to netip.AddrPort) bool {
	if o.repairs >= o.config.Limit || o.used[Repair] >= o.Bytes() {
		return false
	}
	q := o.peers[to]
	return q == nil || q.repairs.len < o.Share()
}

// account adds e to, or takes it from, what is counted of Data.
func (o *Outbox) account(e *Envelope, sign int) {
	o.stats.Data += sign
	o.used[e.Class] += sign * e.charge()
	e.peer.used[e.Class] += sign * e.charge()
	switch {
	case e.Class == Repair:
		o.repairs += sign
	case e.Class == Own && e.Attempt == 0:
		o.countUnsent(e, sign)
	case e.Class == Own:
		o.noteCrowd(e.peer)
	}
}

func (o *Outbox) countUnsent(e *Envelope, sign int) {
	o.unsent += sign
	e.peer.unsent += sign
	o.noteCrowd(e.peer)
}

// noteCrowd counts q as crowded, or no longer.
func (o *Outbox) noteCrowd(q *PeerQueue) {
	crowded := q.used[Own] > o.Bytes()/4 || 2*q.unsent >= max(o.config.Limit/4, 1)
	switch {
	case crowded && !q.crowded:
		o.crowded++
	case !crowded && q.crowded:
		o.crowded--
	}
	q.crowded = crowded
}
