package outbox

import (
	"time"

	"example.com/gossip/internal/wire"
)

// LingersFor is the least time a recipient has to answer the last attempt, so that a slow
// loop on either side does not cost its membership.
const GraceFor = time.Second

// Pending reports whether Next has anything to return.
func (o *Outbox) Pending() bool { return o.ready.Len() > 0 }

// Next returns the peer queue whose turn it is to send a datagram, or nil. The caller must Pack
// it.
func (o *Outbox) Next() *PeerQueue {
	l, ok := o.ready.Pop()
	if ok {
		l.listed = false
	}
	return l
}

// Pack appends to b, which is empty, the messages of one datagram: acknowledgements, then
// control and Data, which take turns in being first. An answer is expected within timeout.
// It appends nothing if everything that waited in the peer queue was dropped meanwhile.
func (o *Outbox) Pack(b []byte, l *PeerQueue, now, timeout time.Duration) []byte {
	b = o.packAcks(b, l)
	l.dataFirst = !l.dataFirst
	if l.dataFirst {
		b = o.packData(b, l, now, timeout)
		b = o.packControl(b, l, now, timeout)
	} else {
		b = o.packControl(b, l, now, timeout)
		b = o.packData(b, l, now, timeout)
	}
	if l.sendableAt(now) {
		o.makeReady(l)
	} else if len(l.acks) > 0 {
		o.schedule(l, l.ackDue)
	}
	o.release(l)
	return b
}

func (o *Outbox) packAcks(b []byte, l *PeerQueue) []byte {
	n := min(len(l.acks), (o.config.Room-wire.AckOverhead)/wire.AckSize)
	if n == 0 {
		return b
	}
	b = wire.AppendAck(wire.Header{Type: wire.TypeAck, Tag: o.config.Tag, Seq: o.stamp()}.AppendTo(b), l.acks[:n])
	l.acks = l.acks[:copy(l.acks, l.acks[n:])]
	o.stats.Acks -= n
	o.stats.Messages++
	return b
}

func (o *Outbox) packControl(b []byte, l *PeerQueue, now, timeout time.Duration) []byte {
	for e := l.control.head; e != nil && len(b)+e.Size() <= o.config.Room; e = l.control.head {
		b = o.put(b, e, now, timeout)
	}
	return b
}

func (o *Outbox) packData(b []byte, l *PeerQueue, now, timeout time.Duration) []byte {
	for e := l.nextData(); e != nil && len(b)+e.Size() <= o.config.Room; e = l.nextData() {
		b = o.put(b, e, now, timeout)
	}
	return b
}

// put makes one attempt to send an envelope.
func (o *Outbox) put(b []byte, e *Envelope, now, timeout time.Duration) []byte {
	if e.Seq == 0 {
		e.Seq = o.stamp()
		e.FirstAt = now
		if e.Attempts != NoAnswer {
			o.bySeq[e.Seq] = e
		}
	}
	b = e.appendTo(b, o.config.Tag)
	o.stats.Messages++
	e.Attempt++
	if e.Attempt > 1 {
		o.stats.Retries++
	}
	if e.Attempts == NoAnswer {
		o.Drop(e)
		return b
	}
	l := e.peer
	if e.IsData() && e.Attempt == 1 {
		l.start(e)
	}
	e.SentAt, e.Deadline = now, now+timeout
	if e.Attempt < e.Attempts {
		o.await(&l.sent, e)
	} else {
		o.await(&l.final, e)
	}
	o.schedule(l, e.Deadline)
	return b
}

// stamp returns a sequence number, never 0 and never one in use. It is random, so that a
// source that names it has proved that it received the envelope.
func (o *Outbox) stamp() uint32 {
	for {
		if n := o.rng.Uint32(); n != 0 && o.bySeq[n] == nil {
			return n
		}
	}
}

// Overdue returns an envelope that was not answered in time, or nil if there is none. The
// caller must Resend, Grace or Drop it, and call Overdue again until there is none.
func (o *Outbox) Overdue(now time.Duration) *Envelope {
	for len(o.timers) > 0 && o.timers[0].wake <= now {
		l := o.timers[0]
		if l.acksDue(now) {
			o.makeReady(l)
		}
		for _, e := range l.waiting() {
			if e != nil && e.Deadline <= now {
				return e
			}
		}
		o.reschedule(l)
	}
	return nil
}

// Deadline returns when Overdue will next have something to do, if ever.
func (o *Outbox) Deadline() (at time.Duration, any bool) {
	for len(o.timers) > 0 {
		l := o.timers[0]
		if at, any = l.due(); any && at <= l.wake {
			return l.wake, true
		}
		o.reschedule(l)
	}
	return 0, false
}

// Resend queues an envelope that was not answered again, Data ahead of other Data. For Data
// the window of its peer queue halves, at most once per round trip.
func (o *Outbox) Resend(now time.Duration, e *Envelope) {
	l := e.peer
	if e.IsData() && now-l.shrunkAt > e.Deadline-e.SentAt {
		l.window, l.shrunkAt = max(l.window/2, LeastWindow), now
	}
	o.enqueue(e)
}

// Grace lets an envelope that was not answered after its last attempt wait longer, until
// LingersFor has passed since that attempt.
func (o *Outbox) Grace(e *Envelope) {
	l := e.peer
	e.Deadline = max(e.Deadline, e.SentAt+GraceFor)
	o.await(&l.grace, e)
	l.end(e)
	if l.sendable() {
		o.makeReady(l)
	}
}
