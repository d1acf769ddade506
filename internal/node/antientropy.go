package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// compare sends the next page of what was seen here. If one page does not hold all origins,
// every other call offers recent messages instead.
func (n *Node) compare(now time.Duration, to netip.AddrPort) {
	r := n.history.repair
	if r.Skipping(now) { // a page would bring messages that are to be skipped: ask what they are
		n.summarize(now, to)
		return
	}
	if n.timers.recent = !n.timers.recent; n.timers.recent {
		if digest := r.Recent(now, n.out.digestRoom()); digest.Len() > 0 {
			n.sendDigest(nil, to, wire.Offer, digest)
			return
		}
	}
	digest, first, last := r.Page(now, n.out.digestRoom())
	n.sendStatus(nil, to, Status, wire.Status{Mode: wire.Full, First: first, Last: last, Digest: digest})
}

// summarize sends a hash of what was seen here: a node that has seen anything else answers with
// a page.
func (n *Node) summarize(now time.Duration, to netip.AddrPort) {
	n.sendStatus(nil, to, Status, wire.Status{Mode: wire.Summary, First: n.history.origins.Hash(now)})
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
	for o, end := range n.history.repair.StaleGaps(n.timers.awake, patience) {
		n.giveUp(o, end)
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
			r.Skip(now, s.Digest, s.First, s.Last, view.HashAddr(in.from), n.deliverInOrder)
			return
		}
		if in.compared { // comparing visits all origins, and an honest node sends only one
			n.stats.DropPush++
			return
		}
		in.compared = true
		if in.validated() {
			r.Heard(now, s.Digest, view.HashAddr(in.from))
		}
		wanted = r.Compare(now, s.Digest, s.First, s.Last, room, push)
	case wire.Summary:
		n.acknowledge(now, in, seq)
		// Two nodes that skip history would answer one another for ever.
		if in.validated() && s.First != n.history.origins.Hash(now) && !in.compared && !r.Skipping(now) {
			in.compared = true
			n.compare(now, in.from)
		}
	case wire.Offer:
		wanted = r.Want(now, s.Digest, room)
		n.request(now, in, wanted)
	case wire.Request:
		r.Serve(s.Digest, push)
	}
	if wanted.Len() > 0 {
		n.sendDigest(in, in.from, wire.Request, wanted)
	}
}

// pusher sends repairs to the node being answered, until the budget of its datagram is
// used up.
type pusher struct {
	n   *Node
	now time.Duration
	in  *datagram
}

func (p *pusher) Push(e *datalog.Entry) bool {
	n, q := p.n, p.n.out.queue
	size := wire.DataSize(0, len(e.Payload))
	if p.in.repairs <= 0 || !q.TakesRepair(p.in.from) || !n.afford(p.in, p.in.from, size) {
		n.stats.DropPush++
		return false
	}
	p.in.repairs -= size
	c := outbox.Copy{Entry: e, Class: outbox.Repair, Flags: wire.FlagPull, Hops: wire.AgeCode(p.now - e.Born)}
	n.emitData(p.in.from, Repair, c)
	return true
}

// wanted is what offers showed to be missing here, and was requested: a request or its answer
// may be lost.
//
// Bound: mostWanted runs of numbers; beyond that, what is missing is left to comparisons.
type wanted struct{ runs []wantedRun }

type wantedRun struct {
	origin uint64
	run    wire.Run
	from   netip.AddrPort // of the member that offered
	due    time.Duration
	tries  int
}

const (
	mostWanted = 64
	mostTries  = 4 // further requests for the same
)

// request notes what is requested of the source of in, if it is validated: another one is sent
// the request only once.
func (n *Node) request(now time.Duration, in *datagram, digest wire.Digest) {
	if !in.validated() {
		return
	}
	w := &n.history.wanted
	for origin, runs := range digest.All(n.runs) {
		for _, r := range runs {
			if len(w.runs) == mostWanted {
				return
			}
			due := now + n.timeout(now, in.from)
			w.runs = append(w.runs, wantedRun{origin, r, in.from, due, 0})
			n.timers.Again.By(due)
		}
	}
}

// requestAgain requests again what is still missing and due.
func (n *Node) requestAgain(now time.Duration) {
	w := &n.history.wanted
	kept := w.runs[:0]
	for _, x := range w.runs {
		switch missing := n.history.repair.Lacks(x.origin, x.run); {
		case !missing || x.tries == mostTries && x.due <= now:
			continue
		case x.due <= now:
			n.sendDigest(nil, x.from, wire.Request, n.history.repair.One(x.origin, x.run, n.out.digestRoom()))
			x.tries++
			x.due = now + n.timeout(now, x.from)
		}
		kept = append(kept, x)
		n.timers.Again.By(x.due)
	}
	w.runs = kept
}
