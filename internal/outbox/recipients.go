package outbox

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"example.com/gossip/internal/wire"
)

// Any returns an envelope of the queue to a recipient, or nil if there is none.
func (o *Outbox) Any(to netip.AddrPort) *Envelope {
	if q := o.peers[to]; q != nil {
		for _, c := range q.chains() {
			if c.head != nil {
				return c.head
			}
		}
	}
	return nil
}

// All yields all envelopes, by recipient. Meanwhile only the one yielded may be dropped, and
// none may be emitted.
func (o *Outbox) All() iter.Seq[*Envelope] {
	return func(yield func(*Envelope) bool) {
		for _, q := range o.sorted() {
			for _, c := range q.chains() {
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

// sorted returns the peer queues in the order of their recipients: what is done to all of them
// leaves each simulation of a seed as it was, which the order of a map does not.
func (o *Outbox) sorted() []*PeerQueue {
	return slices.SortedFunc(maps.Values(o.peers), func(a, b *PeerQueue) int { return a.to.Compare(b.to) })
}

// Load returns how many messages to a recipient wait to be sent or answered, not counting
// control that waits to be sent.
func (o *Outbox) Load(to netip.AddrPort) int {
	if q := o.peers[to]; q != nil {
		return q.load()
	}
	return 0
}

// Oldest returns the Data that has waited longest for an answer of a recipient, or nil.
func (o *Outbox) Oldest(to netip.AddrPort) *Envelope {
	if q := o.peers[to]; q != nil {
		return q.outstanding.head
	}
	return nil
}

// HasHello reports whether a Hello to a recipient is queued or unanswered.
func (o *Outbox) HasHello(to netip.AddrPort) bool {
	q := o.peers[to]
	return q != nil && q.hellos > 0
}

// IsBound reports whether Bind noted anything of a recipient since its queue was made.
func (o *Outbox) IsBound(to netip.AddrPort) bool {
	q := o.peers[to]
	return q != nil && q.binding != wire.ToAny
}
