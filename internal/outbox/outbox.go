// Package outbox holds the messages of a node until they are sent and answered: for each
// recipient a queue of messages, and of acknowledgements owed to it.
//
// A message travels in an Envelope, which moves between the chains of its peer queue, and
// which Drop removes from any of them:
//
//	                          ┌── Overdue, Resend ──→ control or retransmit, before data
//	Emit     → control ─┐      │                 ↑
//	                    ├ Pack ┼─→ sent ── Overdue, Hold ─→ held ── Resume
//	EmitData → data ────┘      │
//	                          └─→ final ── Overdue, Drop
//
// An envelope is in sent while it waits for the answer to an attempt that is not the last, in
// final after the last attempt, and in held while its recipient gives no sign of life. An
// envelope with NoAnswer is dropped once it is packed. Data that its recipient refuses goes back
// to retransmit.
//
// Data to one recipient is limited by a window in bytes, which grows with acknowledgements and
// halves when one is missing or is a refusal. Also, at most Config.Span envelopes begin after one
// that is not answered. Neither holds up control, nor repairs.
//
// Nothing here reads a clock, starts a goroutine or locks: time is an argument,
// and the caller lets one goroutine in at a time.
package outbox

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/wire"
)

// Config holds the settings of an Outbox. None has a default.
type Config struct {
	Limit    int           // envelopes of control, of unsent Data of class Own, and of Repair, at least 1
	Room     int           // bytes of messages in a datagram
	Tag      uint16        // of the cluster, in each header
	AckDelay time.Duration // how long an acknowledgement waits for others

	// Span is how many Data messages to one recipient may begin after one that is not
	// answered. The recipient keeps track of only so many numbers of an origin.
	Span int
}

// Stats counts what an Outbox has done since New, and how much it holds now.
type Stats struct {
	Messages uint64 // packed, including acknowledgements
	Retries  uint64 // of these, sent again
	Dropped  uint64 // control and acknowledgements refused, and control displaced

	Control, Data int // envelopes that wait to be sent or answered
	Hellos        int // of control
	Acks          int // acknowledgements and refusals that wait to be sent
	Recipients    int // peer queues: of all these, and idle ones that are kept
}

// Outbox is the bounded queues of control and of Data, sorted by recipient into peer queues.
//
// Control: at Limit envelopes the oldest makes room (not for goodbyes, which go to each member
// once and end everything else). One recipient gets at most a Share; more is refused.
//
// Data is never displaced, and EmitData takes what fits in a datagram; the caller asks Takes or
// TakesRepair first. There is room while fewer than Limit copies of class Own are unsent, fewer
// than Limit repairs are queued, and the copies of the class, sent or not, take less than
// bytesEach*Limit bytes of memory: each is charged as if it alone held the payload. There is room
// for one recipient while it has at most a quarter of these bytes, or half of them and fewer than
// a quarter of Limit unsent if the class is Own, or its Share of repairs. EmitData does not check
// that: what is queued after one question, or without one, may exceed it.
//
// Of class Relayed the caller may use a part that grows with the hops that a copy has made. A
// copy waits only for room of copies that have made more hops, and those at the end wait for
// none, so that nodes whose queues are all full still drain (Merlin and Schweitzer, "Deadlock
// Avoidance in Store-and-Forward Networks", IEEE Transactions on Communications, 1980).
//
// Every peer queue has an envelope, is owed acknowledgements or has been idle for less than
// keepFor. At most Limit are kept while they are idle. A new one for acknowledgements alone is
// made only while there are fewer than 2*Limit without an envelope. What exceeds that, or
// MostAcks, is not queued, and the other side tries again. The memory of envelopes and peer
// queues is reused until Trim.
//
// Finding an envelope by its sequence number, a peer queue by its recipient and the next one to
// send from is O(1); finding the next one with something due is O(log peer queues).
type Outbox struct {
	config Config
	log    *datalog.Log
	rng    *rand.Rand
	stats  Stats         // except Control and Recipients, which are counted below
	now    time.Duration // of the last Acknowledge, Accepted, Pack or Overdue

	apart   bool         // see SetApart
	unsent  int          // copies of class Own that were never sent
	repairs int          // envelopes of class Repair
	used    [classes]int // charges of all copies
	crowded int          // peer queues that have more than half of what they may have of class Own

	bySeq  map[uint32]*Envelope // control
	peers  map[netip.AddrPort]*PeerQueue
	laden  int // peer queues with envelopes
	timers timers
	ready  fifo.Queue[*PeerQueue] // peer queues to send from, in turn
	age    chain                  // control, the oldest first

	answering *PeerQueue // of the last Answered, while it is among peers

	freeEnvs  *Envelope
	freePeers []*PeerQueue
}

// New returns an empty Outbox. It holds references to entries of the log, and draws
// sequence numbers from rng.
func New(c Config, log *datalog.Log, rng *rand.Rand) *Outbox {
	return &Outbox{
		config: c, log: log, rng: rng,
		bySeq: map[uint32]*Envelope{}, peers: map[netip.AddrPort]*PeerQueue{},
	}
}

// Stats returns what was counted so far.
func (o *Outbox) Stats() Stats {
	s := o.stats
	s.Control, s.Recipients = o.age.len, len(o.peers)
	return s
}

// Emit queues a control message; body is what follows its header, and is copied. The two
// must fit in a datagram. The message is sent up to attempts times until it is answered, or
// once for NoAnswer. Emit returns nil if the recipient has its Share already.
func (o *Outbox) Emit(to netip.AddrPort, kind wire.Type, body []byte, attempts int) *Envelope {
	if q := o.peers[to]; q != nil && q.controls >= o.Share() && kind != wire.TypeLeave {
		o.stats.Dropped++
		return nil
	}
	if o.age.len >= o.config.Limit && kind != wire.TypeLeave {
		o.stats.Dropped++
		o.Drop(o.age.head)
	}
	e := o.take(to, kind, attempts)
	e.Body = append(e.Body[:0], body...)
	e.peer.controls++
	o.age.push(e, inOrder)
	if kind == wire.TypeHello {
		o.stats.Hellos++
		e.peer.hellos++
	}
	o.enqueue(e)
	return e
}

// EmitData queues a copy of a message and takes a reference to its Entry. The copy is sent up to
// attempts times until it is answered, or once for NoAnswer. EmitData returns nil if it does not
// fit in a datagram.
func (o *Outbox) EmitData(to netip.AddrPort, c Copy, attempts int) *Envelope {
	if c.largest() > o.config.Room {
		return nil
	}
	e := o.take(to, wire.TypeData, attempts)
	e.Copy = c
	o.log.Retain(c.Entry)
	if !c.Arc.Empty() {
		e.Flags |= wire.FlagArc
	}
	o.account(e, 1)
	o.enqueue(e)
	return e
}

// Drop removes e and frees it: it must not be used any more.
func (o *Outbox) Drop(e *Envelope) {
	q := e.peer
	o.unchain(e)
	if e.IsData() {
		o.account(e, -1)
		o.log.Release(e.Entry)
		if e.Attempt > 0 {
			q.outstanding.remove(e, inOrder)
		}
	} else {
		delete(o.bySeq, e.Seq)
		o.age.remove(e, inOrder)
		q.controls--
		if e.Kind == wire.TypeHello {
			o.stats.Hellos--
			q.hellos--
		}
	}
	if !q.laden() {
		o.laden--
	}
	*e = Envelope{Body: e.Body[:0], uses: e.uses + 1}
	e.links[inQueue].next, o.freeEnvs = o.freeEnvs, e
	if q.sendable(o.config.Span) {
		o.makeReady(q)
	}
	o.release(q)
}

// SetRoom changes Config.Room. It calls drop, which must Drop it, with each envelope that no
// longer fits.
func (o *Outbox) SetRoom(room int, drop func(*Envelope)) {
	o.config.Room = room
	for e := range o.All() {
		if !e.IsData() && e.Size() > room || e.IsData() && e.largest() > room {
			drop(e)
		}
	}
}

// SetApart tells whether Hellos and Welcomes go in datagrams of their own, because they are
// sealed for any node, and all else for the one that it is for.
func (o *Outbox) SetApart(apart bool) { o.apart = apart }

// Bind notes to what node what is queued for a recipient is to be sealed, if anything is.
func (o *Outbox) Bind(to netip.AddrPort, b wire.Binding, node uint64) {
	if q := o.peers[to]; q != nil {
		q.binding, q.node = b, node
	}
}

// Clear drops everything, including acknowledgements.
func (o *Outbox) Clear() {
	for _, q := range o.sorted() {
		o.stats.Acks -= q.owed()
		q.acks, q.refused = q.acks.empty(), q.refused.empty()
		q.window, q.keepUntil = firstWindow, 0
		for _, c := range q.chains() {
			for c.head != nil {
				o.Drop(c.head)
			}
		}
		o.release(q)
	}
	for o.Next() != nil { // turns of queues that are freed
	}
}

// Trim releases the memory that an empty Outbox has kept for reuse.
func (o *Outbox) Trim() {
	if len(o.peers) > 0 || o.Pending() {
		return
	}
	o.bySeq, o.peers = map[uint32]*Envelope{}, map[netip.AddrPort]*PeerQueue{}
	o.ready, o.timers = fifo.Queue[*PeerQueue]{}, nil
	o.freeEnvs, o.freePeers = nil, nil
}
