package outbox

import (
	"container/heap"
	"net/netip"
	"time"

	"example.com/gossip/internal/versions"
)

// The bounds of what is in flight to one recipient, in Data messages. It starts
// at FirstWindow, grows by one with each that is acknowledged and halves when
// one is not, at most once per round trip: a burst neither overruns the
// recipient's socket buffer nor stalls.
const (
	LeastWindow = 8
	FirstWindow = 64
	MostWindow  = 256
)

// MostSpan is how many Data messages begin at most after one that may be sent again. The
// recipient tells versions.Width numbers of an origin apart: what falls further behind
// than that it has to give up.
const MostSpan = versions.Width * 3 / 4

// The acknowledgements that wait to be sent to one recipient.
const (
	AcksInHand = 32   // so many are sent without waiting for more
	MostAcks   = 1024 // while the caller does not send, no more are made
)

// Lane is what goes to one recipient: a pair of first-in-first-out chains that
// wait to be sent, the envelopes that wait for an answer in the order in which
// it is due, and the acknowledgements to send.
type Lane struct {
	to            netip.AddrPort
	control, data chain // waiting to be sent, control also again
	again         chain // Data waiting to be sent again, before other Data
	sent          chain // waiting for an answer before the next attempt
	spent         chain // waiting for an answer after the last attempt
	lingering     chain // waiting on, for as long as a slow loop may take
	begun         chain // Data that was sent and may be again, the first begun first
	begins        int   // how often Data began
	flying        int   // Data that wait for an answer, see flies
	controls      int   // in any of the chains
	hellos        int   // of these
	window        int
	shrunkAt      time.Duration
	dataFirst     bool // in the next datagram, so that neither starves the other

	acks   []uint32
	ackDue time.Duration

	wake  time.Duration // never later than the first thing to do by time
	index int           // in the Outbox's timers, -1 if it waits for no time

	// listed: it is among the Outbox's ready lanes. To take it out of their middle would
	// cost a search. So a lane that is freed before its turn keeps its place there, also
	// when it is used again for another recipient; the turn may then be for nothing.
	listed bool
}

// To returns the recipient's address.
func (l *Lane) To() netip.AddrPort { return l.to }

func (l *Lane) chains() [6]*chain {
	return [...]*chain{&l.control, &l.sent, &l.spent, &l.lingering, &l.again, &l.data}
}

// waiting returns the first of each kind that waits for an answer; nil: of that
// kind none does.
func (l *Lane) waiting() [3]*Envelope {
	return [...]*Envelope{l.sent.head, l.spent.head, l.lingering.head}
}

func (l *Lane) idle() bool {
	return l.control.len+l.load()+len(l.acks) == 0
}

// load returns how many messages there are, without control that waits to be sent.
func (l *Lane) load() int {
	return l.data.len + l.again.len + l.sent.len + l.spent.len + l.lingering.len
}

// flies reports whether e counts as in flight, which the window bounds: Data between two
// attempts, whose silence will halve the window. Data of a single attempt is spent at
// once: it counts for as long as it waits, or nothing would bound it.
func (l *Lane) flies(e *Envelope) bool {
	return e.IsData() && (e.chain == &l.sent || e.Attempts == 1 && (e.chain == &l.spent || e.chain == &l.lingering))
}

// sendable reports whether there is a message to send, whatever the time.
func (l *Lane) sendable() bool { return l.control.len > 0 || l.nextData() != nil }

// sendableAt reports whether there is anything to send at now: a message, or
// acknowledgements that are due.
func (l *Lane) sendableAt(now time.Duration) bool { return l.sendable() || l.acksDue(now) }

// nextData returns the Data to send next, nil if there is none or it has to wait for
// answers.
func (l *Lane) nextData() *Envelope {
	switch first := l.begun.head; {
	case l.flying >= l.window:
		return nil
	case l.again.head != nil:
		return l.again.head
	case first != nil && l.begins-first.begin >= MostSpan:
		return nil
	}
	return l.data.head
}

// start and end bound the time in which MostSpan counts what begins after e.
func (l *Lane) start(e *Envelope) {
	l.begins++
	e.begin = l.begins
	l.begun.push(e, inBegun)
}

func (l *Lane) end(e *Envelope) {
	if e.begin != 0 {
		e.begin = 0
		l.begun.remove(e, inBegun)
	}
}

func (l *Lane) acksDue(now time.Duration) bool {
	return len(l.acks) > 0 && (len(l.acks) >= AcksInHand || l.ackDue <= now)
}

// due returns the time of the first thing to do by time.
func (l *Lane) due() (at time.Duration, any bool) {
	at = 1<<63 - 1
	if len(l.acks) > 0 && !l.listed {
		at, any = l.ackDue, true
	}
	for _, e := range l.waiting() {
		if e != nil {
			at, any = min(at, e.Deadline), true
		}
	}
	return at, any
}

// lane returns the lane to a recipient, a new one if there is none.
func (o *Outbox) lane(to netip.AddrPort) *Lane {
	l := o.lanes[to]
	if l == nil {
		if n := len(o.freeLanes); n > 0 {
			l, o.freeLanes = o.freeLanes[n-1], o.freeLanes[:n-1]
		} else {
			l = new(Lane)
		}
		*l = Lane{to: to, window: FirstWindow, index: -1, acks: l.acks[:0], listed: l.listed}
		o.lanes[to] = l
	}
	return l
}

// makeReady gives l a turn to send, if it has none.
func (o *Outbox) makeReady(l *Lane) {
	if !l.listed {
		l.listed = true
		o.ready.Push(l)
	}
}

// settle frees a lane that has nothing left to do.
func (o *Outbox) settle(l *Lane) {
	if !l.idle() || o.lanes[l.to] != l {
		return
	}
	if l.index >= 0 {
		heap.Remove(&o.timers, l.index)
	}
	delete(o.lanes, l.to)
	o.freeLanes = append(o.freeLanes, l)
}

// schedule makes sure that Overdue looks at l at the given time.
func (o *Outbox) schedule(l *Lane, at time.Duration) {
	switch {
	case l.index < 0:
		l.wake = at
		heap.Push(&o.timers, l)
	case at < l.wake:
		l.wake = at
		heap.Fix(&o.timers, l.index)
	}
}

// reschedule puts the wake of l where its first thing to do by time is.
func (o *Outbox) reschedule(l *Lane) {
	at, any := l.due()
	if !any {
		heap.Remove(&o.timers, l.index)
		return
	}
	l.wake = at
	heap.Fix(&o.timers, l.index)
}

// timers orders lanes by their wake, for container/heap.
type timers []*Lane

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].wake < t[j].wake }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	l := x.(*Lane)
	l.index = len(*t)
	*t = append(*t, l)
}

func (t *timers) Pop() any {
	old := *t
	l := old[len(old)-1]
	l.index = -1
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return l
}
