package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// mostProbes bounds the Hellos to doubtful addresses in a TickInterval.
const mostProbes = 64

// addressPause is the time between two Hellos of a node that asks for its own address.
const addressPause = 2 * time.Second

// probe asks which node is at a doubtful address. The number of probes is bounded, and
// unvalidated sources can cause only half of them: else a few of their datagrams would keep
// out nodes that have to be probed to join.
func (n *Node) probe(in *datagram, to netip.AddrPort) *outbox.Envelope {
	kept := 0
	if in != nil && !in.validated() {
		kept = mostProbes / 2
	}
	if n.peers.probes <= kept || n.out.queue.HasHello(to) {
		return nil
	}
	n.peers.probes--
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

// affordProbe is afford for a Hello to an address that in names: it is charged to the source
// of in, which is its cause.
func (n *Node) affordProbe(in *datagram, to netip.AddrPort) bool {
	return to == in.from || n.afford(in, in.from, wire.HelloSize(n.config.Cluster)) // for in.from itself emit charges it
}

// probeNeighbours probes the nearest members on the ring that are not validated: they must
// know this node, for arcs end at neighbours.
func (n *Node) probeNeighbours() {
	p := &n.peers
	p.picked = p.members.Nearest(p.picked[:0], n.self.id, 2*view.Near)
	for _, m := range p.picked {
		if !m.Validated {
			n.probe(nil, m.Addr)
		}
	}
}

// probeCandidates sends a Hello to seeds and lost members, to no more at once than the queue
// holds: a candidate whose Hello is displaced before it is sent loses its turn, and as turns
// come round regularly it could be the same candidate every time.
func (n *Node) probeCandidates(now time.Duration) {
	p := &n.peers
	p.due = p.members.Probes(p.due[:0], n.config.MaxOutputMessages, n.self.state == Connected, now)
	for _, to := range p.due {
		if !n.out.queue.HasHello(to) {
			n.sendHello(nil, to, 0, Probe)
		}
	}
}
