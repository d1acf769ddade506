package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
)

// Pending reports whether Next has a datagram to return, or might have.
func (n *Node) Pending() bool { return n.out.queue.Pending() }

// BufferSize returns how many bytes Next needs for datagrams of that many.
func BufferSize(maxMessageSize int) int { return sealedFront + maxMessageSize }

// Next writes the next datagram that is due in buf, which has BufferSize bytes, and returns
// it and its recipient; it is empty if none is due.
func (n *Node) Next(now time.Duration, buf []byte) (datagram []byte, to netip.AddrPort) {
	for q := n.out.queue.Next(); q != nil; q = n.out.queue.Next() {
		to := q.To()
		q.Limit(n.roomAt(to))
		n.dropTooLong(now, q)
		messages := n.out.queue.Pack(buf[sealedFront:sealedFront], q, now, n.timeout(now, to))
		if len(messages) == 0 {
			continue
		}
		datagram := messages
		if n.seals.keys.Seals() {
			first, _ := wire.ParseHeader(messages)
			contact := first.Type.IsContact()
			binding, node := n.recipient(q, contact)
			if binding == wire.ToAny && !contact {
				continue // as if it were lost: which node is there is not known
			}
			datagram = n.seals.close(buf[:sealedFront+len(messages)], n.out.tag, binding, node)
		}
		n.stats.DatagramsOut++
		n.stats.BytesOut += uint64(len(datagram))
		return datagram, to
	}
	return nil, netip.AddrPort{}
}

// dropTooLong drops what the member that q goes to does not take, because its MaxMessageSize is
// smaller. Arcs go to others, at most mostHops times. A message of this node is given up when it
// has no other copies.
func (n *Node) dropTooLong(now time.Duration, q *outbox.PeerQueue) {
	for e := n.out.queue.TooLong(q); e != nil; e = n.out.queue.TooLong(q) {
		n.stats.DropRelay++
		n.warnOfTooLong(now, q.To(), e.Size())
		if e.Hops++; !e.Arc.Empty() && e.Hops <= mostHops {
			n.redelegate(now, q.To(), &e.Copy)
		}
		own, counter := e.IsData() && e.Class == outbox.Own && e.Flags&wire.FlagDirect == 0, uint32(0)
		if own {
			counter = e.Entry.Counter
		}
		if n.abandon(e); own {
			n.self.backlog.giveUp(counter, n.history.log)
		}
	}
}
