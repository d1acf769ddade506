package simnet

import (
	"fmt"
	"net/netip"
	"time"
)

// Kind says what happened to a datagram.
type Kind uint8

// What happens to a datagram: it is Sent and then, possibly Duplicated, each copy ends as one of
// the others.
const (
	Sent        Kind = iota // an endpoint sent it
	Duplicated              // a second copy of it was made
	Delivered               // it was placed in an inbox
	Lost                    // it was lost by chance
	Blocked                 // a partition or the filter stopped it
	Unreachable             // no open endpoint has the address
	Overflowed              // the inbox was full

	kinds = iota // how many there are
)

// String returns the name of k in lower case.
func (k Kind) String() string {
	names := [kinds]string{"sent", "duplicated", "delivered", "lost", "blocked", "unreachable", "overflowed"}
	if k < kinds {
		return names[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Event is something that happened to a datagram.
type Event struct {
	Time     time.Duration  // virtual time since the start
	Kind     Kind           // what happened
	From, To netip.AddrPort // as peers see them
	Payload  []byte         // valid during the call only, and not to be changed
}

// SetTap calls f with everything that happens to a datagram, at its virtual time. It replaces the
// tap before it; nil is none.
func (n *Net) SetTap(f func(Event)) { n.tap = f }

// Count is a number of datagrams and the bytes of their payloads.
type Count struct {
	Datagrams, Bytes uint64
}

// Count counts what happened to datagrams since the start. Those Sent and Duplicated together are
// the sum of the others and of what is in flight.
func (n *Net) Count(k Kind) Count { return n.counts[k] }

// record counts what happened to a datagram and shows it to the tap.
func (n *Net) record(k Kind, from, to netip.AddrPort, payload []byte) {
	c := &n.counts[k]
	c.Datagrams++
	c.Bytes += uint64(len(payload))
	if n.tap != nil {
		n.tap(Event{Time: n.now, Kind: k, From: from, To: to, Payload: payload})
	}
}
