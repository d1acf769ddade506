package outbox

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// NoAnswer, as the number of attempts, is for messages that are not answered: they are sent
// once and then dropped.
const NoAnswer = 0

// Envelope is one message on its way to one recipient. Outside the package its fields are
// only read, except Copy.Arc, Copy.Flags and the notes of the caller.
type Envelope struct {
	Kind wire.Type
	Body []byte // control: what follows the header
	Copy        // Data

	Seq      uint32        // 0 until it is first sent, the same at every attempt
	Attempt  int           // how many times it was sent
	Attempts int           // how many times it may be sent, or NoAnswer
	FirstAt  time.Duration // when it was first sent
	SentAt   time.Duration // when it was last sent
	Deadline time.Duration // for the answer, then for giving up

	// Notes of the caller, of which the Outbox uses only Recipient.

	Recipient uint64 // Direct: the member it is for, 0 if that is not known
	Page      uint64 // MemberList: the id at which the next page begins
	Left      int    // MemberList: the members left for the pages that follow
	Newcomer  bool   // Hello: the node that answers is new to the cluster

	peer    *PeerQueue
	begunAt int              // PeerQueue.begins when it began; 0: it is not in PeerQueue.outstanding
	chain   *chain           // the chain of the peer queue that holds it
	links   [chainKinds]link // by kind of chain
}

// Copy is a message, and how its recipient is to pass it on.
type Copy struct {
	Entry *datalog.Entry
	Flags uint8    // wire.FlagArc follows from Arc
	Hops  uint8    // or, with wire.FlagPull, its age: see wire.AgeCode
	Arc   ring.Arc // for the recipient to cover; empty: none
}

// To returns the recipient's address.
func (e *Envelope) To() netip.AddrPort { return e.peer.to }

// IsData reports whether e carries Data, not control.
func (e *Envelope) IsData() bool { return e.Entry != nil }

// Lingering reports whether e was passed to Grace.
func (e *Envelope) InGrace() bool { return e.chain == &e.peer.grace }

// Size returns how many bytes of a datagram the message takes.
func (e *Envelope) Size() int {
	if e.Recipient != 0 {
		return wire.DataSize(wire.FlagArc, len(e.Entry.Payload))
	}
	if e.IsData() {
		return wire.DataSize(e.Flags, len(e.Entry.Payload))
	}
	return wire.HeaderSize + len(e.Body)
}

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
	inQueue       = iota // one of the chains of its peer queue
	inAge                // all control envelopes, the oldest first
	inOutstanding        // PeerQueue.outstanding
	chainKinds           // how many kinds there are
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
