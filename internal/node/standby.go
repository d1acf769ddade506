package node

import (
	"net/netip"
	"time"
)

const (
	// standsBy is how long a node waits for another one to cover the arc that it stands by for:
	// both got their copies at about the same time.
	standsBy = 25 * time.Millisecond

	// mostStanding bounds the messages for which a node stands by. For others it does not.
	mostStanding = 64
)

// standing is a part of the ring to cover if no other node does.
type standing struct {
	part
	due time.Duration
}

// standBy notes a message whose arc this node is to cover if no other node does.
func (n *Node) standBy(now time.Duration, p part) {
	q := &n.history.standby
	if q.Len() == mostStanding {
		n.stats.DropRelay++
		return
	}
	n.history.log.Retain(p.Entry)
	q.Push(standing{p, now + standsBy})
	n.timers.Cover.By(now + standsBy)
}

// coverStandby covers the arcs that are due, of messages of which this node got no other arc. One
// for which there is no room is left to repair, and counted.
func (n *Node) coverStandby(now time.Duration) {
	q := &n.history.standby
	for q.Len() > 0 && q.At(0).due <= now {
		s, _ := q.Pop()
		switch {
		case n.history.coverage.covers(s.Entry.Origin, s.Entry.Counter, inside):
		case n.delegate(now, s.part, netip.AddrPort{}) == ready:
			n.hand(s.part)
			n.history.coverage.note(s.Entry.Origin, s.Entry.Counter, inside)
		default:
			n.stats.DropRelay++
		}
		n.history.log.Release(s.Entry)
	}
	if q.Len() > 0 {
		n.timers.Cover.By(q.At(0).due)
	}
}

// forgetStandby ends all waiting.
func (n *Node) forgetStandby() {
	for s, ok := n.history.standby.Pop(); ok; s, ok = n.history.standby.Pop() {
		n.history.log.Release(s.Entry)
	}
}
