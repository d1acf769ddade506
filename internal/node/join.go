package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/wire"
)

// handleHello answers a Hello without a valid token with a token, for which it keeps no
// state. A valid token validates the source, and the node becomes a member.
func (n *Node) handleHello(now time.Duration, in *datagram, seq uint32, m wire.Hello) {
	if string(m.Cluster) != n.config.Cluster {
		n.stats.DropCluster++
		n.warnOfCluster(now, in.from, m.Cluster)
		return
	}
	if m.From.ID == n.self.id {
		n.handleOwnHello(seq)
		return
	}
	if in.hellos == 0 {
		n.stats.DropMember++
		return
	}
	in.hellos--
	n.compareSize(now, in.from, m.Size)
	members := n.peers.members
	known := members.Get(m.From.ID)
	if !n.tokens.Valid(m.Token, in.from, now) {
		w := wire.Welcome{Hello: seq, Token: n.tokens.Make(in.from, now), Size: uint16(n.config.MaxMessageSize), From: n.me(), Observed: in.from}
		n.out.body = w.AppendTo(n.out.body[:0])
		n.emit(in, in.from, Welcome)
		if in.member != nil && in.member.ValidatedAt(in.from) {
			n.askForAddress(now, in) // it may ask because the node has moved
		}
		return
	}
	in.token = true
	n.acknowledge(now, in, seq)
	if at := m.From.Addr; Reachable(at) && at != in.from {
		n.claim(in, m.From.ID, at)
	} else if known != nil && known.Validated && known.Addr != in.from {
		if in.member != nil && in.member != known {
			n.probe(in, in.from) // it replaced that member: its host may have two addresses
		}
		if now-known.LastSeen > n.config.TickInterval/2 {
			n.probe(in, known.Addr) // it moved, or this is a lie: find out which node is there
		}
	} else {
		n.admit(now, in, m.From.ID, in.from, m.Size, "gossip: member joined", true)
		if !n.self.observed.IsValid() {
			n.askForAddress(now, in)
		}
	}
}

// claim handles a node that gives an address other than the one its datagrams come from. It
// is probed at that address, where it will answer and so validate it.
func (n *Node) claim(in *datagram, id uint64, at netip.AddrPort) {
	if m := n.peers.members.Get(id); at == n.self.address || m != nil && m.Validated {
		return
	}
	if e := n.probe(in, at); e != nil {
		e.Note.Newcomer = true
	}
}

// handleOwnHello notes that a Hello of the node itself came back. One of its seeds is the node, or
// another node reflects its datagrams, which takes no key: so the true answer is waited for.
func (n *Node) handleOwnHello(seq uint32) {
	e := n.out.queue.Find(seq)
	if e == nil || e.Kind != wire.TypeHello {
		n.stats.DropMember++
	} else if e.Note.Echoes == e.Attempt-1 {
		e.Note.Echoes = e.Attempt
	}
}

// unansweredHello deals with Hellos to an address that no node answered. Where all came back, and
// those before them, is the node itself. If that is so of all its seeds, it is its own seed.
func (n *Node) unansweredHello(now time.Duration, at netip.AddrPort, attempts, echoes int) {
	if echoes < attempts {
		echoes = 0
	}
	if !n.peers.members.Echo(at, echoes, n.config.Attempts[Hello], now) {
		return
	}
	if n.peers.members.IsSeed(at) {
		n.observe(at)
	}
	if n.isSeed() {
		n.connect(now)
	}
}

// handleWelcome makes a member of a node that answered a Hello. If the Hello asked for a
// token, another one with the token follows.
func (n *Node) handleWelcome(now time.Duration, in *datagram, w wire.Welcome) {
	var h hello
	ok := w.From.ID != n.self.id && in.hellos > 0
	if ok {
		h, ok = n.takeHello(now, w.Hello)
	}
	if !ok {
		n.stats.DropWelcome++
		return
	}
	in.hellos--
	n.compareSize(now, in.from, w.Size)
	members, at := n.peers.members, h.to
	in.token = in.from == at // it names a Hello that was sent there; another source is not validated by that
	known := members.Get(w.From.ID)
	validated := known != nil && known.Validated
	if validated && known.Addr != at && !known.Says(at) {
		// A node with two addresses, one that moved, or a liar: the member stays where
		// it is until it is lost there, or has itself given this address.
		if old := members.ByAddr(at); old != nil && old.Addr == at { // it is no longer there
			n.remove(now, old, members.Depart)
		}
		members.Answered(at, known.ID, now)
		known.Answers(at)
		n.out.queue.Bind(at, wire.ToID, known.ID)
		n.out.queue.Resume(at)
		n.probe(in, known.Addr)
		return
	}
	witness := validated || members.IsSeed(at) // of the node's address: others might name any
	m := n.admit(now, in, w.From.ID, at, w.Size, "gossip: member found", h.newcomer)
	m.Said(w.From.Addr)
	members.SendsFrom(m, in.from)
	if h.took > 0 {
		members.Measure(m, h.took, now)
	}
	if witness && Reachable(w.Observed) {
		n.observe(w.Observed)
	}
	if other := members.ByAddr(in.from); other != nil && other != m {
		n.probe(in, in.from) // a former life of m may be listed there
	}
	if h.asked {
		n.sendHello(in, at, w.Token, Hello)
	}
	if said := w.From.Addr; Reachable(said) && said != at && members.IsSeed(at) {
		n.probe(in, said) // the seed's address may lead to many nodes: this one is to be known by its own
	}
}
