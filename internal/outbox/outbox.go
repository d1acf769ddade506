// Package outbox holds the messages of a node until they are sent and answered: for each
// recipient a peer queue of messages, and of acknowledgements owed to it.
//
// A message travels in an Envelope, which moves between the chains of its peer queue, and which
// Drop removes from any of them:
//
//	Emit     → control ─┐      ┌─→ sent ── Overdue, Resend ─→ control or again, before data
//	                    ├ Pack ┤
//	EmitData → data ────┘      └─→ final ── Overdue, Grace ─→ grace ── Overdue, Drop
//
// An envelope is sent while it waits for the answer to an attempt that is not the last,
// final after the last attempt, and grace when its time is over but an answer is still
// accepted. An envelope with NoAnswer is dropped once it is packed.
//
// Data to one recipient is limited by its window: FirstWindow envelopes in flight at the
// start, one more with each acknowledgement, and half as many when one is missing. Also, at
// most Config.Span envelopes begin after one that may still be sent again. Neither holds up
// control.
//
// Nothing here reads a clock, starts a goroutine or locks: time is an argument,
// and the caller lets one goroutine in at a time.
package outbox

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/wire"
)

// Config holds the settings of an Outbox. None has a default.
type Config struct {
	Limit    int           // envelopes of control, and of Data, at least 1
	Room     int           // bytes of messages in a datagram
	Tag      uint16        // of the cluster, in each header
	AckDelay time.Duration // how long an acknowledgement waits for others

	// Span is how many Data messages to one recipient may begin after one that may still
	// be sent again. The recipient keeps track of only so many numbers of an origin:
	// messages further behind are given up.
	Span int
}

// Stats counts what an Outbox has done since New, and how much it holds now.
type Stats struct {
	Messages uint64 // packed, including acknowledgements
	Retries  uint64 // of these, sent again
	Dropped  uint64 // control and acknowledgements refused, and control displaced

	Control, Data int // envelopes that wait to be sent or answered
	Hellos        int // of control
	Acks          int // acknowledgements that wait to be sent
	Recipients    int // of all these
}

// Outbox is two bounded queues, of control and of Data, sorted by recipient into peer queues.
// When control is full the oldest envelope makes room (not for goodbyes, which go to each
// member once and end everything else); when Data is full the new one is refused. One
// recipient gets at most a Share of control; more is refused. Every peer queue has an envelope or
// is owed acknowledgements. A new peer queue for acknowledgements alone is made only while there
// are fewer peer queues than the two bounds together, and a peer queue holds at most MostAcks; further
// acknowledgements are not queued, and the other side tries again. The memory of envelopes
// and peer queues is reused until Trim.
//
// Finding an envelope by its sequence number, a peer queue by its recipient and the next peer queue to
// send is O(1); finding the next peer queue with something due is O(log peer queues).
type Outbox struct {
	config Config
	log    *datalog.Log
	rng    *rand.Rand
	stats  Stats // except Control and Recipients, which are counted below

	bySeq  map[uint32]*Envelope
	peers  map[netip.AddrPort]*PeerQueue
	timers timers
	ready  fifo.Queue[*PeerQueue] // peer queues to send from, in turn
	age    chain                  // control, the oldest first

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

// Share is the most of a queue that one recipient may take where it decides itself how much
// it is sent: of control, which Emit enforces, and of repairs, which the caller does.
func (o *Outbox) Share() int { return max(o.config.Limit/4, min(o.config.Limit, 16)) }

// Spare returns how many more Data envelopes there is room for.
func (o *Outbox) Spare() int { return o.config.Limit - o.stats.Data }

// Emit queues a control message; body is what follows its header, and is copied. The two
// must fit in a datagram. The message is sent up to attempts times until it is answered, or
// once for NoAnswer. Emit returns nil if the recipient has its Share already.
func (o *Outbox) Emit(to netip.AddrPort, kind wire.Type, body []byte, attempts int) *Envelope {
	if l := o.peers[to]; l != nil && l.controls >= o.Share() && kind != wire.TypeLeave {
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
	o.age.push(e, inAge)
	if kind == wire.TypeHello {
		o.stats.Hellos++
		e.peer.hellos++
	}
	o.enqueue(e)
	return e
}

// EmitData queues a copy of a message and takes a reference to its Entry. It returns nil if
// there is no room in the queue, or in a datagram.
func (o *Outbox) EmitData(to netip.AddrPort, c Copy, attempts int) *Envelope {
	if o.stats.Data >= o.config.Limit || wire.DataSize(wire.FlagArc, len(c.Entry.Payload)) > o.config.Room {
		return nil
	}
	e := o.take(to, wire.TypeData, attempts)
	e.Copy = c
	o.log.Retain(c.Entry)
	if !c.Arc.Empty() {
		e.Flags |= wire.FlagArc
	}
	o.stats.Data++
	o.enqueue(e)
	return e
}

// Acknowledge queues an acknowledgement, to the recipient, of its envelope seq.
func (o *Outbox) Acknowledge(now time.Duration, to netip.AddrPort, seq uint32) {
	l := o.peers[to]
	if l == nil && len(o.peers) >= 2*o.config.Limit || l != nil && len(l.acks) >= MostAcks {
		o.stats.Dropped++
		return
	}
	if l == nil {
		l = o.peer(to)
	}
	if len(l.acks) == 0 {
		l.ackDue = now + o.config.AckDelay
	}
	l.acks = append(l.acks, seq)
	o.stats.Acks++
	if l.acksDue(now) {
		o.makeReady(l)
	} else {
		o.schedule(l, l.ackDue)
	}
}

// Acknowledged returns the envelope that from acknowledges by seq, or nil if none waits for
// that; the caller drops it. The window of its peer queue grows. sameNode reports whether two
// addresses are known to belong to one node.
func (o *Outbox) Acknowledged(from netip.AddrPort, seq uint32, sameNode func(a, b netip.AddrPort) bool) *Envelope {
	e := o.bySeq[seq]
	if e == nil || e.peer.to != from && !sameNode(e.peer.to, from) {
		return nil
	}
	if e.IsData() && e.peer.window < MostWindow {
		e.peer.window++
	}
	return e
}

// Find returns the envelope that was sent with a sequence number and waits for an answer,
// or nil if there is none.
func (o *Outbox) Find(seq uint32) *Envelope { return o.bySeq[seq] }

// Drop removes e and frees it: it must not be used any more.
func (o *Outbox) Drop(e *Envelope) {
	l := e.peer
	o.unchain(e)
	if e.Seq != 0 {
		delete(o.bySeq, e.Seq)
	}
	if e.IsData() {
		o.stats.Data--
		o.log.Release(e.Entry)
		l.end(e)
	} else {
		o.age.remove(e, inAge)
		l.controls--
		if e.Kind == wire.TypeHello {
			o.stats.Hellos--
			l.hellos--
		}
	}
	*e = Envelope{Body: e.Body[:0]}
	e.links[inQueue].next, o.freeEnvs = o.freeEnvs, e
	if l.sendable() {
		o.makeReady(l)
	}
	o.release(l)
}

// Any returns an envelope of the peer queue to a recipient, or nil if there is none.
func (o *Outbox) Any(to netip.AddrPort) *Envelope {
	if l := o.peers[to]; l != nil {
		for _, c := range l.chains() {
			if c.head != nil {
				return c.head
			}
		}
	}
	return nil
}

// All yields all envelopes, with recipients in no order. Meanwhile only the one yielded may
// be dropped, and none may be emitted.
func (o *Outbox) All() iter.Seq[*Envelope] {
	return func(yield func(*Envelope) bool) {
		for _, l := range o.peers {
			for _, c := range l.chains() {
				for e := c.head; e != nil; {
					next := e.links[inQueue].next
					if !yield(e) {
						return
					}
					e = next
				}
			}
		}
	}
}

// Load returns how many messages to a recipient wait to be sent or answered, not counting
// control that waits to be sent.
func (o *Outbox) Load(to netip.AddrPort) int {
	if l := o.peers[to]; l != nil {
		return l.load()
	}
	return 0
}

// Greets reports whether a Hello to a recipient is queued or unanswered.
func (o *Outbox) HasHello(to netip.AddrPort) bool {
	l := o.peers[to]
	return l != nil && l.hellos > 0
}

// SetRoom changes Config.Room. It calls drop, which must Drop it, with each envelope that no
// longer fits.
func (o *Outbox) SetRoom(room int, drop func(*Envelope)) {
	o.config.Room = room
	for e := range o.All() {
		if e.Size() > room {
			drop(e)
		}
	}
}

// Clear drops everything, including acknowledgements.
func (o *Outbox) Clear() {
	for _, l := range o.peers {
		o.stats.Acks -= len(l.acks)
		l.acks = l.acks[:0]
		for _, c := range l.chains() {
			for c.head != nil {
				o.Drop(c.head)
			}
		}
		o.release(l)
	}
	for l := o.Next(); l != nil; l = o.Next() {
		o.release(l)
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

func (o *Outbox) take(to netip.AddrPort, kind wire.Type, attempts int) *Envelope {
	e := o.freeEnvs
	if e == nil {
		e = new(Envelope)
	} else {
		o.freeEnvs, e.links[inQueue].next = e.links[inQueue].next, nil
	}
	e.peer, e.Kind, e.Attempts = o.peer(to), kind, attempts
	return e
}

// enqueue puts e in the chain of its peer queue where it waits to be sent.
func (o *Outbox) enqueue(e *Envelope) {
	l := e.peer
	o.unchain(e)
	switch {
	case !e.IsData():
		e.chain = &l.control
	case e.Attempt > 0:
		e.chain = &l.retransmit
	default:
		e.chain = &l.data
	}
	e.chain.push(e, inQueue)
	if l.sendable() {
		o.makeReady(l)
	}
}

// await puts e in c, a chain of its peer queue, to wait for an answer until its deadline.
func (o *Outbox) await(c *chain, e *Envelope) {
	o.unchain(e)
	e.chain = c
	c.insert(e, inQueue)
	if e.peer.inFlight(e) {
		e.peer.flight++
	}
}

func (o *Outbox) unchain(e *Envelope) {
	if e.chain == nil {
		return
	}
	if e.peer.inFlight(e) {
		e.peer.flight--
	}
	e.chain.remove(e, inQueue)
	e.chain = nil
}
