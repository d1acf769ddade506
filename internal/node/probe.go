package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// mostProbes bounds the Hellos that others cause in a TickInterval, by what they say of nodes
// elsewhere or by datagrams from where none is known.
const mostProbes = 64

// addressPause is the time between two Hellos of a node that asks for its own address.
const addressPause = 2 * time.Second

// mostEager is how many members known by hearsay are verified at once. When the view is calm
// they become more again; in a large cluster, of which some members always come and go, the
// others are verified in turn, or when they are needed.
const mostEager = 128

// mayAsk takes a question of those that are left until the next TickInterval. Unvalidated
// sources cause only half of them: their hosts may be forged.
func (p *peers) mayAsk(in *datagram) bool {
	if in == nil {
		return p.questions.take(netip.Addr{})
	}
	return (in.validated() || p.questions.left > mostProbes/2) && p.questions.take(in.from.Addr())
}

// probe asks which node is at a doubtful address.
func (n *Node) probe(in *datagram, to netip.AddrPort) *outbox.Envelope {
	if n.out.queue.HasHello(to) || !n.peers.mayAsk(in) {
		return nil
	}
	return n.sendHello(in, to, 0, Probe)
}

// challenge probes an unvalidated source, if that could make it a member.
func (n *Node) challenge(in *datagram) {
	if in.member != nil || n.peers.members.Len() < n.config.MaxMembers {
		n.probe(in, in.from)
	}
}

// askForAddress sends a Hello to a validated source, whose Welcome will tell where it sees the
// node, if the node is not told its address otherwise.
func (n *Node) askForAddress(now time.Duration, in *datagram) {
	if n.me().Addr.IsValid() || now < n.timers.addressAt {
		return
	}
	if n.probe(in, in.from) != nil {
		n.timers.addressAt = now + addressPause
	}
}

// ask is a Hello that hearsay causes.
type ask struct {
	to   netip.AddrPort
	kind Kind
}

// mostAsks is how many of them are sent in a turn: a list, which names many nodes, costs little.
const mostAsks = 8

// askSoon sends a Hello in one of the next turns. There are no more than mayAsk allows in each
// TickInterval, and no more than three times that.
func (n *Node) askSoon(now time.Duration, to netip.AddrPort, kind Kind) {
	if q := &n.peers.asks; q.Len() < 3*mostProbes {
		q.Push(ask{to, kind})
		n.timers.Ask.By(now)
	}
}

// sendAsks sends the next Hellos that hearsay caused, to those not asked meanwhile.
func (n *Node) sendAsks(now time.Duration) {
	for range mostAsks {
		a, ok := n.peers.asks.Pop()
		if !ok {
			return
		}
		if !n.out.queue.HasHello(a.to) && (a.kind == Probe || n.peers.members.ByAddr(a.to) != nil) {
			n.sendHello(nil, a.to, 0, a.kind)
		}
	}
	n.timers.Ask.By(now)
}

// affordProbe is afford for a Hello to an address that in names: it is charged to the source
// of in, which is its cause.
func (n *Node) affordProbe(in *datagram, to netip.AddrPort) bool {
	return to == in.from || n.afford(in, in.from, wire.HelloSize(n.config.Cluster)) // for in.from itself emit charges it
}

// verifyNeighbours verifies the nearest members on the ring that are not validated: they must
// know this node, for arcs end at neighbours.
func (n *Node) verifyNeighbours() {
	p := &n.peers
	p.picked = p.members.Nearest(p.picked[:0], n.self.id, 2*view.Near)
	for _, m := range p.picked {
		if !m.Validated {
			n.verify(m)
		}
	}
}

// probeCandidates sends a Hello to seeds and lost members, to no more at once than the queue
// holds: a candidate whose Hello is displaced before it is sent loses its turn, and as turns
// come round regularly it could be the same candidate every time.
func (n *Node) probeCandidates(now time.Duration) {
	p := &n.peers
	p.due = p.members.Probes(p.due[:0], n.config.MaxOutputMessages, now, n.rng)
	for _, to := range p.due {
		n.ask(to, Probe)
	}
}

const (
	mostLate = 64              // Hellos whose late answers count, and no more than MaxMembers
	lateFor  = 6 * time.Second // a far node may answer that late
)

// hello is what is remembered of a Hello when its answer comes.
type hello struct {
	to       netip.AddrPort
	seq      uint32
	asked    bool          // it asked for a token
	newcomer bool          // see outbox.Note
	took     time.Duration // the round trip, 0 if that is not known
	at       time.Duration // when it was given up
}

// giveUpHello drops a Hello that was not answered in time, and remembers it for a late answer.
func (n *Node) giveUpHello(now time.Duration, e *outbox.Envelope) {
	late := &n.peers.late
	if late.Len() >= min(mostLate, n.config.MaxMembers) {
		late.Pop()
	}
	h := helloOf(e)
	h.at = now
	late.Push(h)
	n.out.queue.Drop(e)
}

func helloOf(e *outbox.Envelope) hello {
	return hello{to: e.To(), seq: e.Seq, asked: wire.AsksForToken(e.Body), newcomer: e.Note.Newcomer}
}

// takeHello takes the Hello with a sequence number that is answered. ok is false if there is
// none that waits for an answer.
func (n *Node) takeHello(now time.Duration, seq uint32) (h hello, ok bool) {
	if e := n.out.queue.Find(seq); e != nil && e.Kind == wire.TypeHello {
		h = helloOf(e)
		if e.Attempt == 1 && e.Attempts != 1 { // a probe may have been held up until the path was open again
			h.took = now - e.SentAt
		}
		n.out.queue.Drop(e) // before anything is queued, which may displace it
		return h, true
	}
	for i := range n.peers.late.Len() {
		if late := n.peers.late.At(i); late.seq == seq && seq != 0 && now-late.at < lateFor {
			late.seq = 0
			return *late, true
		}
	}
	return hello{}, false
}

// verify asks a member whether it is alive, unless it is being asked.
func (n *Node) verify(m *view.Member) { n.ask(m.Addr, Verify) }

// ask sends a Hello to an address, unless one is unanswered.
func (n *Node) ask(to netip.AddrPort, kind Kind) {
	if !n.out.queue.HasHello(to) {
		n.sendHello(nil, to, 0, kind)
	}
}

// verifyHearsay verifies a random member that is known only by hearsay.
func (n *Node) verifyHearsay() {
	p := &n.peers
	p.picked = p.members.Sample(p.picked[:0], n.rng, 1, func(m *view.Member) bool { return !m.Validated })
	for _, m := range p.picked {
		n.verify(m)
	}
}
