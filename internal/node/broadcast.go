package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// originFanout is among how many members the origin of a Broadcast divides the ring. It
	// is larger than a relay's fanout, because a node relays the messages of all others but
	// is the origin of its own only.
	originFanout = 16

	// mostHops bounds how far a copy goes, whatever the views of the nodes hold.
	mostHops = 64

	// suspicion is how long a silent member gets no arc to cover.
	suspicion = 500 * time.Millisecond
)

// Spread says how far a message goes.
type Spread struct {
	Kind SpreadKind
	To   netip.AddrPort // of a Direct one
}

// SpreadKind is one of the three ways to spread.
type SpreadKind uint8

// The ways to spread, as gossip.Spread documents them.
const (
	Broadcast SpreadKind = iota
	Random
	Direct
)

// copies returns how many envelopes a message of this node takes at most.
func (n *Node) copies(s SpreadKind) int {
	switch s {
	case Direct:
		return 1
	case Random:
		return min(n.config.RumorFactor, n.config.MaxOutputMessages, n.peers.members.Len())
	default:
		return min(originFanout, n.config.MaxOutputMessages, n.peers.members.Len())
	}
}

// spread sends a message of this node on its way.
func (n *Node) spread(now time.Duration, e *datalog.Entry, s Spread) {
	switch s.Kind {
	case Direct:
		n.nameRecipient(n.emitData(s.To, Data, outbox.Copy{Entry: e, Flags: wire.FlagDirect}))
	case Random:
		n.spreadRumor(now, e, netip.AddrPort{}, 0)
	default:
		n.forward(now, e, ring.AllBut(n.self.id), min(originFanout, n.config.MaxOutputMessages), 0, 0)
	}
}

// nameRecipient names the recipient of a Direct message, if it is known, so that no other
// node accepts a replayed copy.
func (n *Node) nameRecipient(e *outbox.Envelope) {
	if m := n.peers.members.ByAddr(e.To()); e.Flags&wire.FlagDirect != 0 && m != nil && m.Validated {
		e.Recipient = m.ID
	}
}

// publishBacklog spreads the messages sent before the cluster was found, before others'
// messages evict them from the log.
func (n *Node) publishBacklog(now time.Duration) {
	b := &n.self.backlog
	for e := n.history.log.From(n.self.id, b.First); e != nil && e.Counter <= b.Last; e = n.history.log.Next(e) {
		if n.out.queue.Spare() < n.copies(Broadcast) {
			b.First = e.Counter // goes on at the next Tick
			return
		}
		n.spread(now, e, Spread{Kind: Broadcast})
	}
	*b = wire.Run{}
}

// backlogLen returns how many messages wait in the log for publishBacklog. A seed on its own
// counts none, for it may stay alone.
func (n *Node) backlogLen() int {
	b := n.self.backlog
	e := n.history.log.From(n.self.id, b.First)
	if b.First == 0 || e == nil || e.Counter > b.Last || !n.self.active() || n.isSeed() && n.peers.members.Len() == 0 {
		return 0
	}
	return int(b.Last-e.Counter) + 1
}

// spreadRumor sends a message to random members but the one it came from.
func (n *Node) spreadRumor(now time.Duration, e *datalog.Entry, from netip.AddrPort, hops uint8) {
	if hops >= mostHops {
		return
	}
	p := &n.peers
	p.picked = p.members.Random(p.picked[:0], n.rng, n.config.RumorFactor, from, now)
	for _, m := range p.picked {
		n.relay(m, Data, outbox.Copy{Entry: e, Flags: wire.FlagRumor, Hops: hops + 1})
	}
}

// forwardArc forwards the arc that a copy of e asks the node to cover.
func (n *Node) forwardArc(now time.Duration, e *datalog.Entry, d *wire.Data, outside bool) {
	arc := ring.Arc{Lo: d.Lo, Hi: d.Hi}
	n.history.coverage.add(e, arc, outside)
	n.forward(now, e, arc, n.config.BroadcastFactor, d.Flags&wire.FlagNoOut, d.Hops)
}

// forwardDuplicate handles a copy of a message that was here already. It may still carry
// work: its arc is forwarded if none was forwarded for this message yet, or, once, if this
// node lies outside the arc that it is asked to cover.
func (n *Node) forwardDuplicate(now time.Duration, d *wire.Data) {
	if d.Flags&wire.FlagArc == 0 || d.Flags&wire.FlagDirect != 0 {
		return
	}
	e := n.history.log.Get(d.Origin, d.Counter)
	if e == nil {
		return
	}
	c, covered := n.history.coverage.get(e)
	outside := d.Flags&wire.FlagOut != 0 && !c.arc.Has(d.Lo)
	if !covered || outside && !c.outside {
		n.forwardArc(now, e, d, outside)
	}
}

// forward divides an arc of the ring among about k members. A suspect with unacknowledged
// messages gets nothing more: repair will reach it. But a message of the node itself is
// queued, until Publish refuses, when the log turns over so fast that the message will be
// evicted by then: a caller that heeds ErrFull loses nothing when a member stalls briefly.
func (n *Node) forward(now time.Duration, e *datalog.Entry, arc ring.Arc, k int, flags, hops uint8) {
	if hops >= mostHops {
		return
	}
	p := &n.peers
	pressing := e.Origin == n.self.id && n.history.log.Brief(now, askAfter)
	p.delegates = p.members.Split(p.delegates[:0], arc, k, now)
	for n.suspectSilent(now, p.delegates) { // their arcs go to others
		p.delegates = p.members.Split(p.delegates[:0], arc, k, now)
	}
	for _, d := range p.delegates {
		kind := Data
		if d.Suspect(now) {
			kind = Suspected
		}
		if d.Tried && (!d.Validated || !pressing && n.out.queue.Load(d.Addr) > 0) {
			n.stats.DropRelay++ // it may be dead: leave it to repair, and the queue to others
			continue
		}
		n.relay(d.Member, kind, outbox.Copy{Entry: e, Flags: flags, Hops: hops + 1, Arc: d.Arc})
	}
}

// suspectSilent makes suspects of those delegates that get nothing more until they answer,
// and reports whether there were any.
func (n *Node) suspectSilent(now time.Duration, delegates []view.Delegate) (any bool) {
	for _, d := range delegates {
		if !d.Suspect(now) && n.overLimit(d.Member) {
			d.SuspectUntil, any = now+suspicion, true
		}
	}
	return any
}

// overLimit reports whether m gets nothing more until it answers. An unvalidated address may
// be a lie, so it gets no more than a few messages.
func (n *Node) overLimit(m *view.Member) bool {
	return !m.Validated && n.out.queue.Load(m.Addr) >= outbox.LeastWindow
}

// relay queues one copy.
func (n *Node) relay(m *view.Member, kind Kind, c outbox.Copy) {
	if n.overLimit(m) || n.emitData(m.Addr, kind, c) == nil {
		n.stats.DropRelay++
	} else if c.Entry.Origin != n.self.id {
		n.stats.Relayed++
	}
}

// redelegate gives the arc of a silent delegate to another member inside it, or, if none is
// known but the arc is long enough to hold unknown ones, once to the nearest member outside.
// The silent delegate is still sent its copy, without an arc.
func (n *Node) redelegate(now time.Duration, delegate netip.AddrPort, c *outbox.Copy) {
	members := n.peers.members
	arc, silent := c.Arc, members.ByAddr(delegate)
	if silent != nil {
		silent.SuspectUntil = now + suspicion
	}
	c.Arc, c.Flags = ring.Arc{}, c.Flags&^wire.FlagArc
	flags := c.Flags&wire.FlagNoOut | wire.FlagRe
	to := members.Inside(arc, silent, n.rng, now)
	if to == nil && flags&wire.FlagNoOut == 0 && uint64(arc.Len()) >= 2*members.LocalGap() {
		to, flags = members.Outside(arc, silent, now), flags|wire.FlagOut|wire.FlagNoOut
	}
	if to != nil {
		n.relay(to, Data, outbox.Copy{Entry: c.Entry, Flags: flags, Hops: c.Hops, Arc: arc})
	}
}

// clearQueue removes everything queued for an address that no longer belongs to a member. The
// arcs that it should have covered go to others.
func (n *Node) clearQueue(now time.Duration, to netip.AddrPort) {
	for e := n.out.queue.Any(to); e != nil; e = n.out.queue.Any(to) {
		if e.Flags&wire.FlagDirect != 0 {
			n.stats.GivenUp++
		}
		if e.Arc.Empty() {
			n.drop(e)
			continue
		}
		orphan := e.Copy // free its place in the queue first: the copy to another member may need it
		n.history.log.Retain(orphan.Entry)
		n.drop(e)
		n.redelegate(now, to, &orphan)
		n.history.log.Release(orphan.Entry)
	}
}
