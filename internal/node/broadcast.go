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

	// mostSuspects is with how many suspects at most an arc in another zone goes to another member:
	// with more of them the zone is probably cut off.
	mostSuspects = 3

	// patience is how many Hellos a member known only by hearsay may leave unanswered before no
	// message waits for it.
	patience = 2

	// mostForDeaf bounds the messages that wait for a member that acknowledges none.
	mostForDeaf = 8
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

// part is a copy of a message for a member, and the members that it is to go to.
type part struct {
	outbox.Copy
	k int // about how many members to divide Copy.Arc among
}

// own returns the whole of a message of this node, which is not Direct.
func (n *Node) own(e *datalog.Entry, s SpreadKind) part {
	if s == Random {
		return part{outbox.Copy{Entry: e, Class: outbox.Own, Flags: wire.FlagRumor, Hops: 1}, 0}
	}
	return part{
		outbox.Copy{Entry: e, Class: outbox.Own, Hops: 1, Arc: ring.AllBut(n.self.id)},
		min(originFanout, n.config.MaxOutputMessages),
	}
}

// relayed returns what a relay is to do with a copy that came to it.
func (n *Node) relayed(e *datalog.Entry, d *wire.Data) part {
	return part{outbox.Copy{
		Entry: e, Class: outbox.Relayed, Flags: d.Flags & (wire.FlagNoOut | wire.FlagRumor),
		Hops: min(d.Hops, mostHops) + 1, Arc: ring.Arc{Lo: d.Lo, Hi: d.Hi},
	}, n.config.BroadcastFactor}
}

// verdict says whether a message can go on its way now.
type verdict uint8

const (
	ready  verdict = iota
	full           // a member has no room for another copy
	asking         // the only members known there are not validated: they are asked
)

// delegate chooses the members to which a part goes, into peers.delegates: random ones but the
// one that it came from, for a rumor, or else those that are to cover its arc.
func (n *Node) delegate(now time.Duration, p part, from netip.AddrPort) verdict {
	n.peers.delegates = n.peers.delegates[:0]
	switch {
	case p.Hops > mostHops:
		return ready
	case p.Flags&wire.FlagRumor != 0:
		n.peers.picked = n.peers.members.Random(n.peers.picked[:0], n.rng, n.config.RumorFactor, func(m *view.Member) bool { return m.Addr != from }, now)
		for _, m := range n.peers.picked {
			n.peers.delegates = append(n.peers.delegates, view.Delegate{Member: m})
		}
	default:
		n.peers.delegates = n.peers.members.Split(n.peers.delegates, p.Arc, p.k, now)
	}
	if len(n.peers.delegates) == 0 {
		if m := n.peers.members.Hearsay(p.Arc, patience); m != nil {
			n.verify(m)
			return asking
		}
	}
	for _, d := range n.peers.delegates {
		if !d.Deaf && !n.out.queue.Takes(d.Addr, p.Class, p.Hops, n.peers.members.Len() == 1) {
			return full // every member gets its copy; only those that took none before hold up nobody
		}
	}
	return ready
}

// hand queues a part for the members that delegate chose.
func (n *Node) hand(p part) {
	for _, d := range n.peers.delegates {
		if d.Deaf && n.out.queue.Load(d.Addr) >= mostForDeaf {
			n.stats.DropRelay++
			continue
		}
		c := p.Copy
		c.Arc = d.Arc
		if d.Standby {
			c.Flags |= wire.FlagStandby
		}
		n.emitData(d.Addr, Data, c)
	}
}

// redelegate gives the arc of a silent delegate to another member inside it, or, if none is
// known but the arc is long enough to hold unknown ones, once to the nearest member outside. If
// there is none that is not suspect the arc stays where it is, as long as the delegate is a member.
// The silent delegate is still sent its copy, without an arc. The others near this node may
// have lacked a delegate too: they are offered the message.
func (n *Node) redelegate(now time.Duration, delegate netip.AddrPort, c *outbox.Copy) {
	members := n.peers.members
	arc, silent := c.Arc, members.ByAddr(delegate)
	if silent != nil {
		silent.SuspectUntil = now + suspicion
	}
	abroad := members.Abroad(arc)
	if c.Flags&wire.FlagStandby != 0 || abroad && members.Suspects(arc, now) > mostSuspects {
		return
	}
	flags := c.Flags & wire.FlagNoOut
	to := members.Inside(arc, silent, n.rng, now)
	if to == nil && !abroad && flags&wire.FlagNoOut == 0 && uint64(arc.Len()) >= 2*members.LocalGap() {
		to, flags = members.Outside(arc, silent, now), flags|wire.FlagNoOut
	}
	n.healSoon(now, c.Entry)
	if to == nil {
		return
	}
	c.Arc, c.Flags = ring.Arc{}, c.Flags&^wire.FlagArc
	n.emitData(to.Addr, Data, outbox.Copy{Entry: c.Entry, Class: c.Class, Flags: flags, Hops: c.Hops, Arc: arc})
}

// clearQueue removes everything queued for an address that no longer belongs to a member. The
// arcs that it should have covered go to others.
func (n *Node) clearQueue(now time.Duration, to netip.AddrPort) {
	for e := n.out.queue.Any(to); e != nil; e = n.out.queue.Any(to) {
		if e.Flags&wire.FlagDirect != 0 {
			n.stats.GivenUp++
		}
		if e.Arc.Empty() {
			n.abandon(e)
			continue
		}
		orphan := e.Copy // free its place in the queue first: the copy to another member may need it
		n.history.log.Retain(orphan.Entry)
		n.redelegate(now, to, &orphan)
		n.abandon(e)
		n.history.log.Release(orphan.Entry)
	}
}
