package node

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// compare sends m the next page of what was seen here. If one page does not hold all
// origins, every other call offers recent messages instead.
func (n *Node) compare(now time.Duration, m *view.Member) {
	r := n.history.repair
	if r.Skipping(now) {
		return // it would bring messages that are to be skipped
	}
	if n.timers.recent = !n.timers.recent; n.timers.recent {
		if digest := r.Recent(now, n.out.digestRoom()); digest.Len() > 0 {
			n.sendDigest(nil, m.Addr, wire.Offer, digest)
			return
		}
	}
	digest, first, last := r.Page(now, n.out.digestRoom())
	n.sendStatus(nil, m.Addr, Status, wire.Status{Mode: wire.Full, First: first, Last: last, Digest: digest})
}

// offer offers new messages to a random member.
func (n *Node) offer(now time.Duration) {
	n.timers.offeredAt = now
	digest := n.history.repair.Offer(&n.history.news, n.out.digestRoom())
	if m := n.peers.random(now, n.rng); m != nil {
		n.sendDigest(nil, m.Addr, wire.Offer, digest)
	}
}

// heal offers messages that came by repair to the successor, the predecessor and about two
// more of the nearest members.
func (n *Node) heal(now time.Duration) {
	n.timers.healAt = now
	p := &n.peers
	digest := n.history.repair.Offer(&n.history.repaired, n.out.digestRoom())
	p.picked = p.members.Nearest(p.picked[:0], n.self.id, 2*view.Near)
	for i, m := range p.picked {
		if i < 2 || n.rng.IntN(len(p.picked)-2) < 2 {
			n.sendDigest(nil, m.Addr, wire.Offer, digest)
		}
	}
}

// askForMissing asks a random member for messages that have been missing for a while: it
// may take long until a page covers them.
func (n *Node) askForMissing(now time.Duration) {
	missing := n.history.repair.Missing(n.timers.awake, askAfter, n.out.digestRoom())
	if missing.Len() == 0 {
		return
	}
	if m := n.peers.random(now, n.rng); m != nil {
		n.sendDigest(nil, m.Addr, wire.Request, missing)
	}
}

// giveUpStale gives up messages that have been missing for so long that probably no node
// retains them.
func (n *Node) giveUpStale() {
	if n.self.state != Connected {
		return
	}
	patience := staleAfter
	if n.config.Ordered {
		patience = n.config.OrderedWait
	}
	for o := range n.history.repair.StaleGap(n.timers.awake, patience) {
		n.giveUp(o, o.GapEnd())
	}
}

// handleStatus answers a full Status with what its sender lacks and a request for what
// this node lacks, an offer with a request, and a request with what it asks for.
func (n *Node) handleStatus(now time.Duration, in *datagram, seq uint32, s wire.Status) {
	r := n.history.repair
	if !in.validated() {
		n.challenge(in)
		if r.Skipping(now) { // an unvalidated source does not decide what is skipped
			return
		}
	}
	room := n.out.digestRoom()
	push := &n.push
	*push = pusher{n: n, now: now, in: in}
	var wanted wire.Digest
	switch s.Mode {
	case wire.Full:
		n.acknowledge(now, in, seq)
		if r.Skipping(now) {
			r.Skip(now, s.Digest, s.First, s.Last, view.HashAddr(in.from), n.deliverSkipped)
			return
		}
		if in.compared { // comparing visits all origins, and an honest node sends only one
			n.stats.DropPush++
			return
		}
		in.compared = true
		wanted = r.Compare(now, s.Digest, s.First, s.Last, room, push)
	case wire.Offer:
		wanted = r.Want(now, s.Digest, room)
	case wire.Request:
		r.Serve(s.Digest, push)
	}
	if wanted.Len() > 0 {
		n.sendDigest(in, in.from, wire.Request, wanted)
	}
}

// pusher sends repairs to the node being answered, until the budget of its datagram is
// used up, and leaves half of the data queue free for other messages.
type pusher struct {
	n   *Node
	now time.Duration
	in  *datagram
}

func (p *pusher) Push(e *datalog.Entry) bool {
	n, q := p.n, p.n.out.queue
	size := wire.DataSize(0, len(e.Payload))
	if p.in.repairs <= 0 || q.Spare() <= n.config.MaxOutputMessages/2 ||
		q.Load(p.in.from) >= q.Share() || !n.afford(p.in, p.in.from, size) {
		n.stats.DropPush++
		return false
	}
	p.in.repairs -= size
	c := outbox.Copy{Entry: e, Flags: wire.FlagPull, Hops: wire.AgeCode(p.now - e.Born)}
	if n.emitData(p.in.from, Repair, c) == nil {
		n.stats.DropPush++
	}
	return true
}
