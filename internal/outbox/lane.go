package outbox

import (
	"container/heap"
	"net/netip"
	"time"
)

// The bounds of a peer queue's window, which limits the Data messages in flight to a recipient.
// It starts at FirstWindow, grows by one with each acknowledgement and halves when one is
// missing, at most once per round trip: a burst neither overruns the recipient's socket
// buffer nor stalls.
const (
	LeastWindow = 8
	FirstWindow = 64
	MostWindow  = 256
)

// The acknowledgements that wait to be sent to one recipient.
const (
	AcksInHand = 32   // this many are sent without waiting for more
	MostAcks   = 1024 // no more are queued while the caller does not send
)

// PeerQueue is what goes to one recipient: first-in-first-out chains of envelopes that wait to
// be sent, those that wait for an answer in the order of their deadlines, and the
// acknowledgements to send.
type PeerQueue struct {
	to            netip.AddrPort
	control, data chain // waiting to be sent, control also again
	retransmit    chain // Data waiting to be sent again, before other Data
	sent          chain // waiting for an answer before the next attempt
	final         chain // waiting for an answer after the last attempt
	grace         chain // waiting longer, because the recipient's loop may be slow
	outstanding   chain // Data that was sent and may be sent again, the first outstanding first
	begunLen      int   // how many Data envelopes have outstanding
	flight        int   // Data that wait for an answer, see flies
	controls      int   // control envelopes in any of the chains
	hellos        int   // Hellos among these
	window        int
	span          int // Config.Span
	shrunkAt      time.Duration
	dataFirst     bool // in the last datagram; it alternates, so that neither starves the other

	acks   []uint32
	ackDue time.Duration

	wake  time.Duration // never later than due
	index int           // in the Outbox's timers, -1 if it has none

	// listed tells that it is among the Outbox's ready peer queues. Removing it from their
	// middle would take a search, so a peer queue that is freed before its turn keeps its place,
	// even when it is reused for another recipient; its turn may then be idle.
	listed bool
}

// To returns the recipient's address.
func (l *PeerQueue) To() netip.AddrPort { return l.to }

func (l *PeerQueue) chains() [6]*chain {
	return [...]*chain{&l.control, &l.sent, &l.final, &l.grace, &l.retransmit, &l.data}
}

// waiting returns the first envelope of each chain that waits for an answer, or nil.
func (l *PeerQueue) waiting() [3]*Envelope {
	return [...]*Envelope{l.sent.head, l.final.head, l.grace.head}
}

func (l *PeerQueue) idle() bool {
	return l.control.len+l.load()+len(l.acks) == 0
}

// load returns the number of messages, without control that waits to be sent.
func (l *PeerQueue) load() int {
	return l.data.len + l.retransmit.len + l.sent.len + l.final.len + l.grace.len
}

// flies reports whether e counts as in flight, which the window bounds: Data that waits for
// an answer and has attempts left. Data with a single attempt is final at once, so it counts
// for as long as it waits, or nothing would bound it.
func (l *PeerQueue) inFlight(e *Envelope) bool {
	return e.IsData() && (e.chain == &l.sent || e.Attempts == 1 && (e.chain == &l.final || e.chain == &l.grace))
}

// sendable reports whether there is a message to send, whatever the time.
func (l *PeerQueue) sendable() bool { return l.control.len > 0 || l.nextData() != nil }

// sendableAt reports whether there is anything to send at now: a message, or
// acknowledgements that are due.
func (l *PeerQueue) sendableAt(now time.Duration) bool { return l.sendable() || l.acksDue(now) }

// nextData returns the Data to send next, nil if there is none or it has to wait for
// answers.
func (l *PeerQueue) nextData() *Envelope {
	switch first := l.outstanding.head; {
	case l.flight >= l.window:
		return nil
	case l.retransmit.head != nil:
		return l.retransmit.head
	case first != nil && l.begunLen-first.begunAt >= l.span:
		return nil
	}
	return l.data.head
}

// start and end delimit the time in which e may be sent again, for Config.Span.
func (l *PeerQueue) start(e *Envelope) {
	l.begunLen++
	e.begunAt = l.begunLen
	l.outstanding.push(e, inOutstanding)
}

func (l *PeerQueue) end(e *Envelope) {
	if e.begunAt != 0 {
		e.begunAt = 0
		l.outstanding.remove(e, inOutstanding)
	}
}

func (l *PeerQueue) acksDue(now time.Duration) bool {
	return len(l.acks) > 0 && (len(l.acks) >= AcksInHand || l.ackDue <= now)
}

// due returns when the first acknowledgement or deadline is due.
func (l *PeerQueue) due() (at time.Duration, any bool) {
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

// peer queue returns the peer queue to a recipient, making one if there is none.
func (o *Outbox) peer(to netip.AddrPort) *PeerQueue {
	l := o.peers[to]
	if l == nil {
		if n := len(o.freePeers); n > 0 {
			l, o.freePeers = o.freePeers[n-1], o.freePeers[:n-1]
		} else {
			l = new(PeerQueue)
		}
		*l = PeerQueue{to: to, window: FirstWindow, span: o.config.Span, index: -1, acks: l.acks[:0], listed: l.listed}
		o.peers[to] = l
	}
	return l
}

// makeReady gives l a turn to send, if it has none yet.
func (o *Outbox) makeReady(l *PeerQueue) {
	if !l.listed {
		l.listed = true
		o.ready.Push(l)
	}
}

// settle frees a peer queue that has nothing left to do.
func (o *Outbox) release(l *PeerQueue) {
	if !l.idle() || o.peers[l.to] != l {
		return
	}
	if l.index >= 0 {
		heap.Remove(&o.timers, l.index)
	}
	delete(o.peers, l.to)
	o.freePeers = append(o.freePeers, l)
}

// schedule makes sure that Overdue looks at l at the given time.
func (o *Outbox) schedule(l *PeerQueue, at time.Duration) {
	switch {
	case l.index < 0:
		l.wake = at
		heap.Push(&o.timers, l)
	case at < l.wake:
		l.wake = at
		heap.Fix(&o.timers, l.index)
	}
}

// reschedule sets the wake of l, which has a timer, to what is due first.
func (o *Outbox) reschedule(l *PeerQueue) {
	at, any := l.due()
	if !any {
		heap.Remove(&o.timers, l.index)
		return
	}
	l.wake = at
	heap.Fix(&o.timers, l.index)
}

// timers orders peer queues by their wake, for container/heap.
type timers []*PeerQueue

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].wake < t[j].wake }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	l := x.(*PeerQueue)
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
