package outbox

import (
	"net/netip"
	"time"
)

// Acknowledge queues an acknowledgement, to the recipient, of its envelope seq; or, if refused
// is set, a refusal: there was no room for what it brought, and it is to be sent again.
func (o *Outbox) Acknowledge(now time.Duration, to netip.AddrPort, seq uint32, refused bool) {
	o.now = now
	if o.peers[to] == nil && len(o.peers)-o.laden >= 2*o.config.Limit {
		o.stats.Dropped++
		return
	}
	q := o.peer(to)
	if q.owed() == 0 {
		q.ackDue = now + o.config.AckDelay
	}
	owed := &q.acks
	if refused {
		owed = &q.refused
	}
	before := owed.numbers
	if !owed.add(seq) {
		o.stats.Dropped++
		return
	}
	o.stats.Acks += owed.numbers - before
	if q.acksDue(now) {
		o.makeReady(q)
	} else {
		o.schedule(q, q.ackDue)
	}
}

// Answered returns the envelope that was sent to a recipient with a number, and when it was
// sent; nil if none waits for that. exact tells that it was sent only once with this number.
// The caller passes it to Accepted, Refused or Drop.
func (o *Outbox) Answered(to netip.AddrPort, seq uint32) (e *Envelope, at time.Duration, exact bool) {
	if seq&dataNumber == 0 {
		if e = o.bySeq[seq]; e == nil || e.peer.to != to {
			return nil, 0, false
		}
		return e, e.SentAt, e.Attempt == 1
	}
	q := o.answering // nearly all numbers of a datagram are of one queue
	if q == nil || q.to != to {
		if q = o.peers[to]; q == nil {
			return nil, 0, false
		}
		o.answering = q
	}
	e, at = q.numbers.find(seq)
	return e, at, true
}

// Accepted drops an envelope that its recipient took. The window grows; roundTrip is the
// estimate for the recipient. What was held is sent again.
func (o *Outbox) Accepted(e *Envelope, now, roundTrip time.Duration) {
	o.now = now
	q := e.peer
	if e.IsData() {
		q.backoff = 0
		q.grow(e.Size(), roundTrip)
	}
	o.resume(q)
	o.Drop(e)
}

// Refused queues an envelope again that its recipient did not take, for want of room, unless it
// may not be sent again. The window halves, and no Data is sent to the recipient for a while:
// first for about a round trip, then for twice as long each time, up to longestBackoff.
func (o *Outbox) Refused(e *Envelope, now, roundTrip time.Duration) {
	q := e.peer
	if !q.busy {
		q.shrink(now, roundTrip)
		q.backoff = min(max(2*q.backoff, roundTrip, o.config.AckDelay), max(longestBackoff, roundTrip))
		q.busy, q.resumeAt = true, now+q.backoff
		o.schedule(q, q.resumeAt)
	}
	if !e.IsLast() {
		o.enqueue(e)
	}
}

// longestBackoff is the longest pause after refusals, unless a round trip takes longer.
const longestBackoff = 100 * time.Millisecond

// Find returns the control envelope that was sent with a sequence number and waits for an
// answer, or nil if there is none.
func (o *Outbox) Find(seq uint32) *Envelope { return o.bySeq[seq] }
