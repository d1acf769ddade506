package outbox

import (
	"container/heap"
	"math"
	"net/netip"
	"time"

	"example.com/gossip/internal/wire"
)

// The bounds of the window of a peer queue, in bytes of messages. It limits the Data in flight
// to a recipient: a burst neither overruns the recipient's socket buffer nor stalls. On a long
// path the window grows to what the path holds.
const (
	leastWindow = 2 << 10
	firstWindow = 16 << 10
	lanWindow   = 64 << 10 // the most at a round trip of nearly 0: about 120 datagrams of 512 bytes
	perMilli    = 5 << 10  // the most grows by this for each millisecond of the round trip
	mostWindow  = 1 << 20
)

// The acknowledgements that wait to be sent to one recipient.
const (
	AcksInHand = 32   // this many are sent without waiting for more
	MostAcks   = 1024 // runs of numbers, and as many of refusals, are queued at most
)

// PeerQueue is what goes to one recipient: first-in-first-out chains of envelopes that wait to
// be sent, those that wait for an answer in the order of their deadlines, and the
// acknowledgements to send.
//
// Bound: envelopes as Outbox bounds them, MostAcks runs of acknowledgements and as many of
// refusals, and 384 KiB of numbers.
type PeerQueue struct {
	to         netip.AddrPort
	control    chain // waiting to be sent, first or again
	retransmit chain // Data waiting to be sent again, before other Data
	repairs    chain // Data of class Repair waiting to be sent, before that of others
	data       chain // Data waiting to be sent
	sent       chain // waiting for an answer before the next attempt
	final      chain // waiting for an answer after the last attempt
	held       chain // Data that waits for a sign of life; meanwhile no other Data is sent

	outstanding chain // Data that was sent and is not answered, in the order of first sending
	begun       int   // how many Data were sent
	numbers     numbers

	unsent   int          // of class Own, in data
	crowded  bool         // counted in Outbox.crowded
	used     [classes]int // charges of all Data
	controls int          // control envelopes in any of the chains
	hellos   int          // Hellos among these

	room     int // bytes of messages that the recipient takes in a datagram, as far as is known
	flight   int // bytes of Data that wait for an answer
	window   int // at this many no more Data is sent, but repairs
	shrunkAt time.Duration

	busy     bool          // no Data is sent before resumeAt
	resumeAt time.Duration // while busy
	backoff  time.Duration // the last one, 0 after an acknowledgement

	acks      owed // numbers of messages to acknowledge
	refused   owed // numbers of messages that were not taken, for want of room
	ackDue    time.Duration
	dataFirst bool // in the last datagram; it alternates, so that neither starves the other

	binding wire.Binding // of seals, see Outbox.Bind
	node    uint64

	keepUntil time.Duration // an idle queue is kept until then; 0: it is not idle, or not kept
	wake      time.Duration // never later than due
	index     int           // in the Outbox's timers, -1 if it has none

	// listed tells that it is among the Outbox's ready peer queues. Removing it from their
	// middle would take a search, so a queue that is freed before its turn keeps its place,
	// even when it is reused for another recipient; its turn may then be idle.
	listed bool
}

// Limit bounds the bytes of messages in a datagram, for a recipient that takes fewer than Room.
func (q *PeerQueue) Limit(room int) { q.room = room }

// To returns the recipient's address.
func (q *PeerQueue) To() netip.AddrPort { return q.to }

// Bound returns what Bind noted, wire.ToAny if that is nothing.
func (q *PeerQueue) Bound() (b wire.Binding, node uint64) { return q.binding, q.node }

func (q *PeerQueue) chains() [7]*chain {
	return [...]*chain{&q.control, &q.sent, &q.final, &q.held, &q.retransmit, &q.repairs, &q.data}
}

// waiting returns the first envelope of each chain with deadlines, or nil.
func (q *PeerQueue) waiting() [3]*Envelope {
	return [...]*Envelope{q.sent.head, q.final.head, q.held.head}
}

func (q *PeerQueue) idle() bool { return !q.laden() && q.owed() == 0 }

// laden reports whether there is any envelope in q.
func (q *PeerQueue) laden() bool { return q.load()+q.control.len > 0 }

// owed returns how many acknowledgements and refusals wait to be sent.
func (q *PeerQueue) owed() int { return q.acks.numbers + q.refused.numbers }

// load returns the number of messages, without control that waits to be sent.
func (q *PeerQueue) load() int {
	return q.data.len + q.repairs.len + q.retransmit.len + q.sent.len + q.final.len + q.held.len
}

// sendable reports whether there is a message to send, whatever the time.
func (q *PeerQueue) sendable(span int) bool { return q.control.len > 0 || q.nextData(span) != nil }

// nextData returns the Data to send next, nil if there is none or it has to wait.
func (q *PeerQueue) nextData(span int) *Envelope {
	first := q.outstanding.head
	switch {
	case q.held.head != nil || q.busy:
		return nil
	case q.repairs.head != nil:
		return q.repairs.head
	case q.flight >= q.window:
		return nil
	case q.retransmit.head != nil:
		return q.retransmit.head
	case first != nil && q.begun-first.begunAt >= span:
		return nil
	}
	return q.data.head
}

// grow lets the window grow with an answered envelope, if it was used, up to what a path of
// that round trip holds.
func (q *PeerQueue) grow(size int, roundTrip time.Duration) {
	most := min(lanWindow+int(roundTrip/time.Millisecond)*perMilli, mostWindow)
	if 2*q.flight >= q.window {
		q.window = max(q.window, min(q.window+size, most))
	}
}

// shrink halves the window, at most once in a round trip.
func (q *PeerQueue) shrink(now, roundTrip time.Duration) {
	if now-q.shrunkAt > roundTrip {
		q.window, q.shrunkAt = max(q.window/2, leastWindow), now
	}
}

func (q *PeerQueue) acksDue(now time.Duration) bool {
	return q.owed() > 0 && (q.owed() >= AcksInHand || q.ackDue <= now)
}

// due returns when the first acknowledgement or deadline is due.
func (q *PeerQueue) due() (at time.Duration, any bool) {
	at = 1<<63 - 1
	if q.owed() > 0 && !q.listed {
		at, any = q.ackDue, true
	}
	if q.busy {
		at, any = min(at, q.resumeAt), true
	}
	if q.keepUntil > 0 {
		at, any = min(at, q.keepUntil), true
	}
	for _, e := range q.waiting() {
		if e != nil {
			at, any = min(at, e.Deadline), true
		}
	}
	return at, any
}

// peer returns the queue to a recipient, which something is to be added to, making one if
// there is none.
func (o *Outbox) peer(to netip.AddrPort) *PeerQueue {
	q := o.peers[to]
	if q == nil {
		if n := len(o.freePeers); n > 0 {
			q, o.freePeers = o.freePeers[n-1], o.freePeers[:n-1]
		} else {
			q = new(PeerQueue)
		}
		*q = PeerQueue{to: to, room: math.MaxInt, window: firstWindow, index: -1, acks: q.acks.empty(), refused: q.refused.empty(), numbers: q.numbers, listed: q.listed}
		q.numbers.next = o.rng.Uint32()
		o.peers[to] = q
	}
	q.keepUntil = 0
	return q
}

// makeReady gives q a turn to send, if it has none yet.
func (o *Outbox) makeReady(q *PeerQueue) {
	if !q.listed {
		q.listed = true
		o.ready.Push(q)
	}
}

// keepFor is how long an idle queue remembers that its window has grown.
const keepFor = 10 * time.Second

// release frees a queue that has nothing left to do, at once or after keepFor.
func (o *Outbox) release(q *PeerQueue) {
	if !q.idle() || o.peers[q.to] != q {
		return
	}
	if q.keepUntil == 0 && q.window > firstWindow && len(o.peers)-o.laden <= o.config.Limit {
		q.keepUntil = o.now + keepFor
		o.schedule(q, q.keepUntil)
	}
	if q.keepUntil > o.now {
		return
	}
	if q.index >= 0 {
		heap.Remove(&o.timers, q.index)
	}
	if len(q.numbers.slots) > 64*leastNumbers { // few recipients need as many
		q.numbers.slots = nil
	}
	if delete(o.peers, q.to); q == o.answering {
		o.answering = nil
	}
	o.freePeers = append(o.freePeers, q)
}
