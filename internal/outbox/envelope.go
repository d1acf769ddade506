package outbox

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// How many times a message is sent at most, where that is not a number of attempts.
const (
	NoAnswer      = 0  // once; no answer is expected
	UntilAnswered = -1 // again and again until it is answered or dropped
)

// Envelope is one message on its way to one recipient. Outside the package its fields are
// only read, except Copy.Arc, Copy.Flags, Recipient, Wait and the Note.
type Envelope struct {
	Kind     wire.Type
	Attempt  uint16 // how many times it was sent, counted up to 65,535
	Attempts int16  // how many times it may be sent, or NoAnswer, or UntilAnswered
	Seq      uint32 // of the last attempt, 0 before the first

	Copy             // Data
	Body      []byte // control: what follows the header
	Recipient uint64 // a Direct message: the member it is for, 0 if that is not known
	Note      Note   // control: of the caller, who reads it when the answer comes

	Wait     time.Duration // control: the least wait for an answer, of the caller
	FirstAt  time.Duration // when it was first sent
	SentAt   time.Duration // when it was last sent
	Deadline time.Duration // for the answer, then for giving up

	peer    *PeerQueue
	chain   *chain // of the peer queue
	flight  int    // Data: what it adds to PeerQueue.flight
	begunAt int    // Data: PeerQueue.begun when it was first sent
	uses    uint32 // how often the memory was used, so that an old number finds no new envelope
	links   [chainKinds]link
}

// Note is what the sender of a control message wants to know when the answer comes.
type Note struct {
	Page     uint64 // MemberList: the id at which the next page begins
	Left     int    // MemberList: the members left for the pages that follow
	Newcomer bool   // Hello: the node that answers is new to the cluster
	Echoes   uint16 // Hello: how many attempts came back, one after the other from the first
}

// Copy is a message, and how its recipient is to pass it on.
type Copy struct {
	Entry *datalog.Entry
	Class Class
	Flags uint8    // wire.FlagArc follows from Arc
	Hops  uint8    // or, with wire.FlagPull, its age: see wire.AgeCode
	Arc   ring.Arc // for the recipient to cover; empty: none
}

// Class says on whose account a copy of a message is queued.
type Class uint8

// The classes of copies. Each has bounds of its own, see Outbox.
const (
	Own     Class = iota // the message is the node's own
	Relayed              // it is another node's
	Repair               // it was asked for
	classes
)

// To returns the recipient's address.
func (e *Envelope) To() netip.AddrPort { return e.peer.to }

// IsData reports whether e carries Data, not control.
func (e *Envelope) IsData() bool { return e.Entry != nil }

// IsLast reports whether e was sent for the last time.
func (e *Envelope) IsLast() bool {
	return e.Attempts != UntilAnswered && int(e.Attempt) >= int(e.Attempts)
}

// Size returns how many bytes of a datagram the message takes.
func (e *Envelope) Size() int {
	switch {
	case e.Recipient != 0:
		return e.largest()
	case e.IsData():
		return wire.DataSize(e.Flags, len(e.Entry.Payload))
	}
	return wire.HeaderSize + len(e.Body)
}

// largest returns how many bytes a copy takes with an arc, or with a recipient, which may be
// added to it while it waits.
func (c *Copy) largest() int { return wire.DataSize(wire.FlagArc, len(c.Entry.Payload)) }

// charge is how many bytes of memory a copy is charged for.
func (c *Copy) charge() int { return envelopeSize + len(c.Entry.Payload) }

// envelopeSize is about the size of an Envelope.
const envelopeSize = 192

func (e *Envelope) appendTo(b []byte, tag uint16) []byte {
	b = wire.Header{Type: e.Kind, Tag: tag, Seq: e.Seq}.AppendTo(b)
	if !e.IsData() {
		return append(b, e.Body...)
	}
	d := wire.Data{
		Origin: e.Entry.Origin, Counter: e.Entry.Counter,
		Flags: e.Flags, Hops: e.Hops, Lo: e.Arc.Lo, Hi: e.Arc.Hi,
		Payload: e.Entry.Payload,
	}
	if e.Recipient != 0 {
		d.SetRecipient(e.Recipient)
	}
	return d.AppendTo(b)
}

// The kinds of chain an envelope can be in at the same time.
const (
	inQueue    = iota // one of the chains of its peer queue
	inOrder           // control: Outbox.age; Data: PeerQueue.outstanding
	chainKinds        // how many kinds there are
)

// chain is a doubly linked list through envelopes.
type chain struct {
	head, tail *Envelope
	len        int
}

type link struct{ prev, next *Envelope }

func (c *chain) push(e *Envelope, kind int) {
	e.links[kind] = link{prev: c.tail}
	if c.tail != nil {
		c.tail.links[kind].next = e
	} else {
		c.head = e
	}
	c.tail = e
	c.len++
}

// insert puts e where its deadline belongs, looking from the end: the chain is in
// order, and timeouts differ little.
func (c *chain) insert(e *Envelope, kind int) {
	after := c.tail
	for after != nil && after.Deadline > e.Deadline {
		after = after.links[kind].prev
	}
	if after == c.tail {
		c.push(e, kind)
		return
	}
	before := c.head
	if after != nil {
		before = after.links[kind].next
		after.links[kind].next = e
	} else {
		c.head = e
	}
	before.links[kind].prev = e
	e.links[kind] = link{prev: after, next: before}
	c.len++
}

func (c *chain) remove(e *Envelope, kind int) {
	l := &e.links[kind]
	if l.prev != nil {
		l.prev.links[kind].next = l.next
	} else {
		c.head = l.next
	}
	if l.next != nil {
		l.next.links[kind].prev = l.prev
	} else {
		c.tail = l.prev
	}
	*l = link{}
	c.len--
}

// take returns an envelope to a recipient, which is in no chain yet.
func (o *Outbox) take(to netip.AddrPort, kind wire.Type, attempts int) *Envelope {
	e := o.freeEnvs
	if e == nil {
		e = new(Envelope)
	} else {
		o.freeEnvs, e.links[inQueue].next = e.links[inQueue].next, nil
	}
	e.peer, e.Kind, e.Attempts = o.peer(to), kind, int16(attempts)
	if !e.peer.laden() {
		o.laden++
	}
	return e
}

// enqueue puts e in the chain of its peer queue where it waits to be sent.
func (o *Outbox) enqueue(e *Envelope) {
	q := e.peer
	o.unchain(e)
	switch {
	case !e.IsData():
		e.chain = &q.control
	case e.Class == Repair:
		e.chain = &q.repairs
	case e.Attempt > 0:
		e.chain = &q.retransmit
	default:
		e.chain = &q.data
	}
	e.chain.push(e, inQueue)
	if q.sendable(o.config.Span) {
		o.makeReady(q)
	}
}

// await puts e in c, a chain of its peer queue with deadlines, to wait for an answer.
func (o *Outbox) await(c *chain, e *Envelope) {
	o.unchain(e)
	e.chain = c
	c.insert(e, inQueue)
	if e.IsData() {
		e.flight = e.Size() // it may change before e is answered
		e.peer.flight += e.flight
	}
}

func (o *Outbox) unchain(e *Envelope) {
	if e.chain == nil {
		return
	}
	e.peer.flight -= e.flight
	e.flight = 0
	e.chain.remove(e, inQueue)
	e.chain = nil
}
