package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
)

// out is what a node sends with.
type out struct {
	queue *outbox.Outbox
	tag   uint16 // of the cluster, in each header
	room  int    // bytes for messages in a datagram, sealed or not
	body  []byte // scratch space: the body of the next control message
}

// afford reports whether size bytes may be sent to an address in answer to in, and charges
// them if that is an unvalidated source.
func (n *Node) afford(in *datagram, to netip.AddrPort, size int) bool {
	if !in.unvalidatedAt(to) {
		return true
	}
	if n.seals.keys.Seals() { // it may need a datagram of its own
		size += sealedSize
	}
	if in.credit < size {
		n.stats.DropAmplify++
		return false
	}
	in.credit -= size
	return true
}

// emit queues a control message whose body is in out.body. To an unvalidated source it is sent
// once at most. An offer of repairs goes to no member known by hearsay, where there may be no
// node, or this one at another of its addresses.
func (n *Node) emit(in *datagram, to netip.AddrPort, kind Kind) *outbox.Envelope {
	if m := n.peers.members.ByAddr(to); kind == Anycast && m != nil && !m.Validated {
		return nil
	}
	if !n.afford(in, to, wire.HeaderSize+len(n.out.body)) {
		return nil
	}
	attempts := n.config.Attempts[kind]
	if in.unvalidatedAt(to) {
		attempts = min(attempts, 1)
	}
	return n.out.queue.Emit(to, types[kind], n.out.body, attempts)
}

// emitData queues a copy of a message, and counts it. It returns nil if the copy is too large to
// be sealed: keys were set since the message was taken, or its origin has none.
func (n *Node) emitData(to netip.AddrPort, kind Kind, c outbox.Copy) *outbox.Envelope {
	e := n.out.queue.EmitData(to, c, n.config.Attempts[kind])
	switch {
	case e == nil && c.Class == outbox.Repair:
		n.stats.DropPush++
	case e == nil:
		n.stats.DropRelay++
	case c.Class == outbox.Relayed:
		n.stats.Relayed++
	case c.Class == outbox.Own && c.Flags&wire.FlagDirect == 0:
		n.self.backlog.queued(c.Entry.Counter)
	}
	return e
}

// acknowledge queues an Ack to the source of in.
func (n *Node) acknowledge(now time.Duration, in *datagram, seq uint32) {
	n.answer(now, in, seq, false)
}

// acknowledgeData acknowledges d, unless it came by repair, which expects no Ack.
func (n *Node) acknowledgeData(now time.Duration, in *datagram, seq uint32, d *wire.Data) {
	if d.Flags&wire.FlagPull == 0 {
		n.acknowledge(now, in, seq)
	}
}

// answer queues an Ack or a refusal. That of a page of members asks for no more of them.
func (n *Node) answer(now time.Duration, in *datagram, seq uint32, refused bool) {
	if n.afford(in, in.from, wire.AckOverhead+wire.AckSize) {
		n.out.queue.Acknowledge(now, in.from, seq, refused)
	}
}

// refuse tells the source of in that there is no room for what it sent.
func (n *Node) refuse(now time.Duration, in *datagram, seq uint32) {
	n.stats.DropBusy++
	n.answer(now, in, seq, true)
}

// sendHello sends a Hello; with token 0 it asks for one.
func (n *Node) sendHello(in *datagram, to netip.AddrPort, token uint64, kind Kind) *outbox.Envelope {
	h := wire.Hello{Version: wire.Version, Size: uint16(n.config.MaxMessageSize), Token: token, From: n.me(), Cluster: n.seals.cluster}
	n.out.body = h.AppendTo(n.out.body[:0])
	return n.emit(in, to, kind)
}

// sendDigest sends an offer or a request.
func (n *Node) sendDigest(in *datagram, to netip.AddrPort, mode wire.Mode, digest wire.Digest) {
	n.sendStatus(in, to, Offer, wire.Status{Mode: mode, Digest: digest})
}

func (n *Node) sendStatus(in *datagram, to netip.AddrPort, kind Kind, s wire.Status) {
	n.out.body = s.AppendTo(n.out.body[:0])
	n.emit(in, to, kind)
}

// settle notes that a copy of a message of this node is no longer on its way.
func (n *Node) settle(e *outbox.Envelope, acknowledged bool) {
	switch {
	case !e.IsData() || e.Class != outbox.Own:
	case e.Flags&wire.FlagDirect != 0:
		n.self.directDone.Add(e.Entry.Counter, n.history.origins.Pool())
	default:
		n.self.backlog.settled(e.Entry.Counter, acknowledged, n.history.log)
	}
}

// abandon removes an envelope that was not answered.
func (n *Node) abandon(e *outbox.Envelope) {
	n.settle(e, false)
	n.out.queue.Drop(e)
}
