package outbox

import (
	"math"
	"net/netip"
	"time"

	"example.com/gossip/internal/wire"
)

const (
	// finalWait is the least time a recipient has to answer the last attempt, so that a slow
	// loop on either side does not cost its membership.
	finalWait = time.Second

	// From the fifth attempt on, the wait for an answer to Data doubles up to longestWait.
	patientFrom = 5
	longestWait = 300 * time.Millisecond

	// holdPause is how long an envelope is held before Overdue returns it again.
	holdPause = time.Second
)

// Pending reports whether Next has anything to return.
func (o *Outbox) Pending() bool { return o.ready.Len() > 0 }

// Next returns the peer queue whose turn it is to send a datagram, or nil. The caller must
// Pack it.
func (o *Outbox) Next() *PeerQueue {
	q, ok := o.ready.Pop()
	if ok {
		q.listed = false
	}
	return q
}

// Pack appends to b, which is empty, the messages of one datagram: acknowledgements, then
// control and Data, which take turns in being first; or Hellos and Welcomes that go apart. An answer is expected within timeout.
// It appends nothing if everything that waited in the queue was dropped meanwhile.
func (o *Outbox) Pack(b []byte, q *PeerQueue, now, timeout time.Duration) []byte {
	o.now = now
	if first := q.control.head; o.apart && first != nil && first.Kind.IsContact() {
		b = o.packControl(b, q, true, now, timeout)
	} else {
		most := MostAcked(o.room(q))
		b = o.packAcks(b, q, &q.acks, false, &most)
		b = o.packAcks(b, q, &q.refused, true, &most)
		q.dataFirst = !q.dataFirst
		if q.dataFirst {
			b = o.packData(b, q, now, timeout)
			b = o.packControl(b, q, false, now, timeout)
		} else {
			b = o.packControl(b, q, false, now, timeout)
			b = o.packData(b, q, now, timeout)
		}
	}
	if q.sendable(o.config.Span) || q.acksDue(now) {
		o.makeReady(q)
	} else if q.owed() > 0 {
		o.schedule(q, q.ackDue)
	}
	o.release(q)
	return b
}

func (o *Outbox) packAcks(b []byte, q *PeerQueue, owed *owed, refused bool, left *int) []byte {
	runs, numbers := owed.front((o.room(q)-len(b)-wire.AckOverhead)/wire.AckSize, *left)
	if runs == 0 {
		return b
	}
	b = wire.AppendAck(wire.Header{Type: wire.TypeAck, Tag: o.config.Tag, Seq: o.stamp()}.AppendTo(b), owed.runs[:runs], refused)
	owed.runs = owed.runs[:copy(owed.runs, owed.runs[runs:])]
	owed.numbers -= numbers
	*left -= numbers
	o.stats.Acks -= numbers
	o.stats.Messages++
	return b
}

// room returns how many bytes of messages a datagram to the recipient of q may hold.
func (o *Outbox) room(q *PeerQueue) int { return min(o.config.Room, q.room) }

// TooLong returns the next message of q if its recipient takes none of that length, or nil. The
// caller must Drop it.
func (o *Outbox) TooLong(q *PeerQueue) *Envelope {
	if e := q.control.head; e != nil && e.Size() > o.room(q) {
		return e
	}
	if e := q.nextData(o.config.Span); e != nil && e.largest() > o.room(q) {
		return e
	}
	return nil
}

// packControl appends control up to the first message that has to go apart from what is there,
// which is contact or not.
func (o *Outbox) packControl(b []byte, q *PeerQueue, contact bool, now, timeout time.Duration) []byte {
	for e := q.control.head; e != nil && len(b)+e.Size() <= o.room(q); e = q.control.head {
		if o.apart && e.Kind.IsContact() != contact {
			break
		}
		b = o.put(b, e, now, timeout)
	}
	return b
}

func (o *Outbox) packData(b []byte, q *PeerQueue, now, timeout time.Duration) []byte {
	span := o.config.Span
	for e := q.nextData(span); e != nil && len(b)+e.Size() <= o.room(q); e = q.nextData(span) {
		b = o.put(b, e, now, timeout)
	}
	return b
}

// put makes one attempt to send an envelope.
func (o *Outbox) put(b []byte, e *Envelope, now, timeout time.Duration) []byte {
	q := e.peer
	switch {
	case e.IsData() && e.Attempts != NoAnswer:
		q.numbers.stamp(e, now)
	case e.Seq == 0:
		e.Seq = o.stamp()
		if e.Attempts != NoAnswer {
			o.bySeq[e.Seq] = e
		}
	}
	b = e.appendTo(b, o.config.Tag)
	o.stats.Messages++
	if e.Attempt > 0 {
		o.stats.Retries++
	} else {
		e.FirstAt = now
	}
	if e.Attempts == NoAnswer {
		o.Drop(e)
		return b
	}
	if e.IsData() && e.Attempt == 0 {
		q.begun++
		e.begunAt = q.begun
		q.outstanding.push(e, inOrder)
		if e.Class == Own {
			o.countUnsent(e, -1)
		}
	}
	e.Attempt = min(e.Attempt, math.MaxUint16-1) + 1
	e.SentAt, e.Deadline = now, now+max(timeout, e.Wait)
	switch {
	case e.IsLast():
		e.Deadline = now + max(timeout, finalWait)
		o.await(&q.final, e)
	case e.IsData() && e.Attempt >= patientFrom:
		e.Deadline = now + max(timeout, min(timeout<<min(e.Attempt-patientFrom+1, 8), longestWait))
		o.await(&q.sent, e)
	default:
		o.await(&q.sent, e)
	}
	o.schedule(q, e.Deadline)
	return b
}

// stamp returns a sequence number for control, never 0 and never one in use. It is random, so
// that a source that names it has proved that it received the envelope.
func (o *Outbox) stamp() uint32 {
	for {
		if n := o.rng.Uint32() &^ dataNumber; n != 0 && o.bySeq[n] == nil {
			return n
		}
	}
}

// Overdue returns an envelope that was not answered in time, or nil if there is none. The
// caller must Resend, Hold or Drop it, and call Overdue again until there is none.
func (o *Outbox) Overdue(now time.Duration) *Envelope {
	for len(o.timers) > 0 && o.timers[0].wake <= now {
		q := o.timers[0]
		if o.now = now; q.keepUntil > 0 && q.keepUntil <= now {
			o.release(q)
			continue
		}
		if q.busy && q.resumeAt <= now {
			q.busy = false
		}
		if q.acksDue(now) || q.sendable(o.config.Span) {
			o.makeReady(q)
		}
		for _, e := range q.waiting() {
			if e != nil && e.Deadline <= now {
				return e
			}
		}
		o.reschedule(q)
	}
	return nil
}

// Deadline returns when Overdue will next have something to do, if ever.
func (o *Outbox) Deadline() (at time.Duration, any bool) {
	for len(o.timers) > 0 {
		q := o.timers[0]
		if at, any = q.due(); any && at <= q.wake {
			return q.wake, true
		}
		o.reschedule(q)
	}
	return 0, false
}

// Resend queues an envelope that was not answered again, Data ahead of other Data. For Data
// the window halves, at most once in a round trip.
func (o *Outbox) Resend(now time.Duration, e *Envelope) {
	if e.IsData() {
		e.peer.shrink(now, e.Deadline-e.SentAt)
	}
	o.enqueue(e)
}

// Hold keeps Data, whose recipient is silent, until Resume. While any is held no Data is sent
// to that recipient. Overdue returns the envelope again after holdPause.
func (o *Outbox) Hold(now time.Duration, e *Envelope) {
	q := e.peer
	e.Deadline = now + holdPause
	o.unchain(e)
	e.chain = &q.held
	q.held.push(e, inQueue)
	o.schedule(q, e.Deadline)
}

// Resume sends again what was held for a recipient that shows a sign of life.
func (o *Outbox) Resume(to netip.AddrPort) {
	if q := o.peers[to]; q != nil {
		o.resume(q)
	}
}

func (o *Outbox) resume(q *PeerQueue) {
	for e := q.held.head; e != nil; e = q.held.head {
		o.enqueue(e)
	}
}
