// Package outbox holds what a node has to say until it is said, and answered: for each
// recipient a lane of messages, and of acknowledgements owed to it.
//
// A message travels in an Envelope, which moves from chain to chain of its lane, and
// leaves it by Drop from any of them:
//
//	Emit     → control ─┐      ┌─→ sent ── Overdue, Resend ─→ control or again, before data
//	                    ├ Pack ┤
//	EmitData → data ────┘      └─→ spent ── Overdue, Linger ─→ lingering ── Overdue, Drop
//
// It is sent and waits for the answer to this attempt, is spent when it was sent for the
// last time, and lingers when nothing is expected any more but an answer would still do.
// What nobody answers is free once it is packed.
//
// Data to one recipient is sent as far as its window goes: FirstWindow envelopes
// in flight at the start, one more with each that is acknowledged, and half of them when
// one is not; and no more than MostSpan begin after one that may be sent again. Control is
// not held up by either.
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
	AckDelay time.Duration // how long an acknowledgement waits for company
}

// Stats counts what an Outbox has done since New, and says how things are now.
type Stats struct {
	Messages uint64 // packed, acknowledgements too
	Retries  uint64 // of these, sent again
	Dropped  uint64 // control and acknowledgements refused, and control displaced

	Control, Data int // envelopes that wait to be sent or answered
	Hellos        int // of control
	Acks          int // acknowledgements that wait to be sent
	Recipients    int // of all of these
}

// Outbox is two bounded queues, of control and of Data, sorted by recipient into
// lanes. At the bound of control the oldest envelope makes room (but for goodbyes, one for
// each member, which nothing follows), at the bound of Data the new one is refused. To one
// recipient there is at most a Share of control: what is more is refused. There is at most
// one lane for each envelope, and for each recipient that is only owed acknowledgements up
// to the two bounds together, with MostAcks in each; beyond that acknowledgements are not
// made, and the other side tries again. The memory of envelopes and lanes is used again,
// until Trim.
//
// Finding an envelope by its sequence number, a lane by its recipient and the
// next lane to send is O(1); the next one to do something by time O(log lanes).
type Outbox struct {
	config Config
	log    *datalog.Log
	rng    *rand.Rand
	stats  Stats // but for Control and Recipients, which are counted below

	bySeq  map[uint32]*Envelope
	lanes  map[netip.AddrPort]*Lane
	timers timers
	ready  fifo.Queue[*Lane] // to send from, in turn
	age    chain             // control, the oldest first

	freeEnvs  *Envelope
	freeLanes []*Lane
}

// New returns an empty Outbox. It holds references to entries of the log, and draws
// sequence numbers from rng.
func New(c Config, log *datalog.Log, rng *rand.Rand) *Outbox {
	return &Outbox{
		config: c, log: log, rng: rng,
		bySeq: map[uint32]*Envelope{}, lanes: map[netip.AddrPort]*Lane{},
	}
}

// Stats returns what was counted so far.
func (o *Outbox) Stats() Stats {
	s := o.stats
	s.Control, s.Recipients = o.age.len, len(o.lanes)
	return s
}

// Share is the most of a queue that one recipient may have, where the recipient itself
// decides how much it is sent: of control, to which Emit sees, and of repairs, to which
// the caller does.
func (o *Outbox) Share() int { return max(o.config.Limit/4, min(o.config.Limit, 16)) }

// Spare returns how many more Data envelopes there is room for.
func (o *Outbox) Spare() int { return o.config.Limit - o.stats.Data }

// Emit queues a control message; body is what follows its header, and is copied. The two
// must fit in a datagram. The message is sent as often as attempts says until it is
// answered, or once for NoAnswer. Emit returns nil if the recipient has its Share.
func (o *Outbox) Emit(to netip.AddrPort, kind wire.Type, body []byte, attempts int) *Envelope {
	if l := o.lanes[to]; l != nil && l.controls >= o.Share() && kind != wire.TypeLeave {
		o.stats.Dropped++
		return nil
	}
	if o.age.len >= o.config.Limit && kind != wire.TypeLeave {
		o.stats.Dropped++
		o.Drop(o.age.head)
	}
	e := o.take(to, kind, attempts)
	e.Body = append(e.Body[:0], body...)
	e.lane.controls++
	o.age.push(e, inAge)
	if kind == wire.TypeHello {
		o.stats.Hellos++
		e.lane.hellos++
	}
	o.enqueue(e)
	return e
}

// EmitData queues a copy of a message, to whose Entry it takes a reference. Without
// room, in the queue or in a datagram, it returns nil.
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

// Acknowledge owes to an acknowledgement of its envelope seq.
func (o *Outbox) Acknowledge(now time.Duration, to netip.AddrPort, seq uint32) {
	l := o.lanes[to]
	if l == nil && len(o.lanes) >= 2*o.config.Limit || l != nil && len(l.acks) >= MostAcks {
		o.stats.Dropped++
		return
	}
	if l == nil {
		l = o.lane(to)
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

// Acknowledged returns the envelope that from says it has received, or nil if
// none waits for that; the caller drops it. The window of its lane grows. sameNode tells
// whether two addresses are known to be of one node.
func (o *Outbox) Acknowledged(from netip.AddrPort, seq uint32, sameNode func(a, b netip.AddrPort) bool) *Envelope {
	e := o.bySeq[seq]
	if e == nil || e.lane.to != from && !sameNode(e.lane.to, from) {
		return nil
	}
	if e.IsData() && e.lane.window < MostWindow {
		e.lane.window++
	}
	return e
}

// Find returns the envelope that was sent under a sequence number and waits for an
// answer, or nil if there is none.
func (o *Outbox) Find(seq uint32) *Envelope { return o.bySeq[seq] }

// Drop takes e out of everything and frees it: it is not to be used any more.
func (o *Outbox) Drop(e *Envelope) {
	l := e.lane
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
	e.links[inLane].next, o.freeEnvs = o.freeEnvs, e
	if l.sendable() {
		o.makeReady(l)
	}
	o.settle(l)
}

// Any returns an envelope of the lane to a recipient, or nil if there is none.
func (o *Outbox) Any(to netip.AddrPort) *Envelope {
	if l := o.lanes[to]; l != nil {
		for _, c := range l.chains() {
			if c.head != nil {
				return c.head
			}
		}
	}
	return nil
}

// All yields all envelopes, in no order between recipients. The one it yields may be
// dropped meanwhile, no other, and none be emitted.
func (o *Outbox) All() iter.Seq[*Envelope] {
	return func(yield func(*Envelope) bool) {
		for _, l := range o.lanes {
			for _, c := range l.chains() {
				for e := c.head; e != nil; {
					next := e.links[inLane].next
					if !yield(e) {
						return
					}
					e = next
				}
			}
		}
	}
}

// Load returns how many messages for that recipient wait to be sent or answered,
// without control that waits to be sent.
func (o *Outbox) Load(to netip.AddrPort) int {
	if l := o.lanes[to]; l != nil {
		return l.load()
	}
	return 0
}

// Greets reports whether a Hello to that recipient is on its way.
func (o *Outbox) Greets(to netip.AddrPort) bool {
	l := o.lanes[to]
	return l != nil && l.hellos > 0
}

// SetRoom changes Config.Room. It calls drop, which is to Drop it, with each envelope that
// does not fit any more.
func (o *Outbox) SetRoom(room int, drop func(*Envelope)) {
	o.config.Room = room
	for e := range o.All() {
		if e.Size() > room {
			drop(e)
		}
	}
}

// Clear drops everything, acknowledgements too.
func (o *Outbox) Clear() {
	for _, l := range o.lanes {
		o.stats.Acks -= len(l.acks)
		l.acks = l.acks[:0]
		for _, c := range l.chains() {
			for c.head != nil {
				o.Drop(c.head)
			}
		}
		o.settle(l)
	}
	for l := o.Next(); l != nil; l = o.Next() {
		o.settle(l)
	}
}

// Trim lets an empty Outbox forget the memory that a busy time has needed.
func (o *Outbox) Trim() {
	if len(o.lanes) > 0 || o.Pending() {
		return
	}
	o.bySeq, o.lanes = map[uint32]*Envelope{}, map[netip.AddrPort]*Lane{}
	o.ready, o.timers = fifo.Queue[*Lane]{}, nil
	o.freeEnvs, o.freeLanes = nil, nil
}

func (o *Outbox) take(to netip.AddrPort, kind wire.Type, attempts int) *Envelope {
	e := o.freeEnvs
	if e == nil {
		e = new(Envelope)
	} else {
		o.freeEnvs, e.links[inLane].next = e.links[inLane].next, nil
	}
	e.lane, e.Kind, e.Attempts = o.lane(to), kind, attempts
	return e
}

// enqueue puts e among those of its lane that wait to be sent.
func (o *Outbox) enqueue(e *Envelope) {
	l := e.lane
	o.unchain(e)
	switch {
	case !e.IsData():
		e.chain = &l.control
	case e.Attempt > 0:
		e.chain = &l.again
	default:
		e.chain = &l.data
	}
	e.chain.push(e, inLane)
	if l.sendable() {
		o.makeReady(l)
	}
}

// await puts e among those of its lane that wait for an answer until their deadline.
func (o *Outbox) await(c *chain, e *Envelope) {
	o.unchain(e)
	e.chain = c
	c.insert(e, inLane)
	if e.lane.flies(e) {
		e.lane.flying++
	}
}

func (o *Outbox) unchain(e *Envelope) {
	if e.chain == nil {
		return
	}
	if e.lane.flies(e) {
		e.lane.flying--
	}
	e.chain.remove(e, inLane)
	e.chain = nil
}
