package node

import (
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// summarize sends a hash of what was seen here: a node that has seen anything else answers with
// the page that follows the origin after, or the first one if that is 0.
func (n *Node) summarize(now time.Duration, in *datagram, to netip.AddrPort, after uint64) {
	hash := n.history.origins.Hash()
	if n.history.repair.Skipping(now) { // pages are needed even if they hold nothing new
		hash = 0
	}
	s := wire.Status{Mode: wire.Summary, Mark: hash, After: after}
	if in != nil { // the next page comes from where this one does
		n.sendStatus(in, to, Status, s)
	} else {
		n.sendAnycast(to, anycastTries, s)
	}
}

// compare asks a member for a page: the first one, which holds what was seen last, while such pages
// show that anything is missing; else that in turn with the one that follows those asked for before, so
// that all have their turn.
func (n *Node) compare(now time.Duration, to netip.AddrPort) {
	h, after := &n.history, uint64(0)
	if h.onward = !h.onward && !h.behind; h.onward {
		after = h.compared
	}
	n.summarize(now, nil, to, after)
}

// offer offers new messages to a random member that is near.
func (n *Node) offer(now time.Duration) {
	n.timers.offeredAt = now
	m := n.peers.nearby(now, n.rng, ring.Zone(n.self.id))
	if m == nil {
		n.history.news.Clear() // others know more of it than a node that is alone
		return
	}
	n.peers.offered = m.RTT.Smoothed()
	n.sendDigest(nil, m.Addr, wire.Offer, n.history.repair.Offer(&n.history.news, n.digestRoom(m.Addr)))
}

// heal offers messages that came by repair, or whose arc had a silent delegate, to the
// successor, the predecessor and about two more of the nearest members.
func (n *Node) heal(now time.Duration) {
	n.timers.healAt = now
	p := &n.peers
	digest := n.history.repair.Offer(&n.history.repaired, n.out.room-wire.StatusOverhead)
	p.picked = p.members.Nearest(p.picked[:0], n.self.id, 2*view.Near)
	p.picked = slices.DeleteFunc(p.picked, func(m *view.Member) bool { return !m.Validated || m.Suspect(now) })
	for i, m := range p.picked {
		if i < 2 || n.rng.IntN(len(p.picked)-2) < 2 {
			n.sendAnycast(m.Addr, anycastTries, wire.Status{Mode: wire.Heal, Digest: digest})
		}
	}
}

// anycastTries is how many members a Status is sent to in turn, until one answers.
const anycastTries = 40

// sendAnycast sends a Status that is to reach a member, whichever.
func (n *Node) sendAnycast(to netip.AddrPort, left int, s wire.Status) {
	n.out.body = s.AppendTo(n.out.body[:0])
	if e := n.emit(nil, to, Anycast); e != nil {
		e.Note.Left = left
		if s.Mode == wire.Summary { // there is no hurry, and a far member answers late
			e.Wait = n.config.RetryInterval
		}
	}
}

// sendElsewhere sends what a silent member did not answer to another one.
func (n *Node) sendElsewhere(now time.Duration, silent *view.Member, e *outbox.Envelope) {
	s, _, _ := wire.ParseStatus(e.Body)
	left := e.Note.Left - 1
	if silent != nil {
		if n.peers.loss < commonLoss {
			silent.SuspectUntil = now + suspicion
		}
		if e.Note.Left == anycastTries { // when nobody answers, few are in doubt
			n.verify(silent)
		}
	}
	if m := n.peers.random(now, n.rng); m != nil && left > 0 {
		n.sendAnycast(m.Addr, left, s)
	}
	n.out.queue.Drop(e)
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
	for o, end := range n.history.origins.StaleGaps(n.timers.awake, patience) {
		n.giveUp(o, end)
	}
}

// handleStatus answers a Summary with a page, a page with what its sender lacks and a request for
// what this node lacks, an offer with a request, and a request with what it asks for. Only a
// validated source is compared with, and once in a datagram by each of the two.
func (n *Node) handleStatus(now time.Duration, in *datagram, seq uint32, s wire.Status) {
	r := n.history.repair
	if !in.validated() {
		n.challenge(in)
		if r.Skipping(now) { // an unvalidated source does not decide what is skipped
			return
		}
	}
	r.Epoch = n.epoch()
	push := &n.push
	*push = pusher{n: n, now: now, in: in}
	switch s.Mode {
	case wire.Full, wire.Summary:
		n.acknowledge(now, in, seq)
		switch {
		case !in.validated():
			n.stats.DropStranger++
			return
		case in.compared&(1<<s.Mode) != 0:
			n.stats.DropPush++
			return
		}
		in.compared |= 1 << s.Mode
		if s.Mode == wire.Full {
			n.takePage(now, in, s)
		} else if s.Mark != n.history.origins.Hash() && !r.Skipping(now) { // two that skip would answer one another for ever
			n.sendSeen(now, in, s.After, s.After)
		}
		return
	}
	if in.digests == 0 {
		n.stats.DropPush++
		return
	}
	in.digests--
	switch s.Mode {
	case wire.Offer, wire.Heal:
		if s.Mode == wire.Heal {
			n.acknowledge(now, in, seq)
		}
		wanted := r.Want(now, s.Digest, n.digestRoom(in.from))
		n.request(now, in, wanted)
		n.sendRequest(in, wanted)
	case wire.Request:
		r.Serve(s.Digest, push)
	}
}

// sendSeen sends the page of what was seen here that follows an origin, in answer to one that says
// which.
func (n *Node) sendSeen(now time.Duration, in *datagram, after, says uint64) {
	digest, last := n.history.repair.Page(now, after, n.digestRoom(in.from))
	n.sendStatus(in, in.from, Status, wire.Status{Mode: wire.Full, Mark: last, After: says, Digest: digest})
}

// takePage compares with a page. If it shows that anything is missing, or is to be skipped, the
// next page follows at once. A first page that names less than this node's is answered with that.
func (n *Node) takePage(now time.Duration, in *datagram, s wire.Status) {
	h, r, source := &n.history, n.history.repair, view.HashAddr(in.from)
	if s.After == h.compared {
		h.compared = s.Mark
	}
	more := r.Skipping(now)
	if more {
		r.Skip(now, s.Digest, s.Mark == 0, source, n.deliverInOrder)
	} else {
		from := uint64(0)
		if in.member != nil {
			from = in.member.ID
		}
		r.Heard(now, s.Digest, source, from, n.peers.members.Len() == 1)
		wanted := r.Compare(now, s.Digest, n.digestRoom(in.from), &n.push)
		n.sendRequest(in, wanted)
		more = wanted.Len() > 0
		if s.After == 0 {
			h.behind = more
			if r.Unnamed(now) {
				n.sendSeen(now, in, 0, wire.InReturn)
			}
		}
	}
	if more && s.Mark != 0 {
		n.summarize(now, in, in.from, s.Mark)
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
	p.in.repairs -= max(size, repairBudget/mostRepairs)
	c := outbox.Copy{Entry: e, Class: outbox.Repair, Flags: wire.FlagPull, Hops: wire.AgeCode(p.now - e.Born)}
	n.emitData(p.in.from, Repair, c)
	return true
}
