package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// Takes reports whether there is room for a message of this node. It may have to wait in the
// backlog: for a member, or until those that are to get it are validated.
func (n *Node) Takes(now time.Duration, size int, s Spread) bool {
	b, members := &n.self.backlog, n.peers.members
	n.peers.delegates = n.peers.delegates[:0]
	switch {
	case n.self.forged && members.Len() > 0:
		return false
	case s.Kind == Direct:
		return n.out.queue.Takes(s.To, outbox.Own, 1, members.Len() == 1 && members.ByAddr(s.To) != nil)
	case members.Len() == 0:
		return n.takesAlone(now, size)
	case b.full(n.self.counter + 1):
		return false
	case b.waiting == 0:
		switch n.delegate(now, n.own(nil, s.Kind), netip.AddrPort{}) {
		case ready:
			return n.out.queue.Spare() >= min(len(n.peers.delegates), n.config.MaxOutputMessages)
		case full:
			return false
		}
		n.peers.delegates = n.peers.delegates[:0]
	}
	return b.waiting == 0 || n.logHolds(size)
}

// logHolds reports whether the log could hold all that waits in the backlog and a message more.
func (n *Node) logHolds(size int) bool {
	return n.self.backlog.bytes+datalog.Overhead+size <= n.config.DataLogSize
}

// takesAlone is Takes for a node without members. A node that expects none takes anything.
// Others keep their messages, until the wait for a member has been too long.
func (n *Node) takesAlone(now time.Duration, size int) bool {
	return !n.keepsOwn() || n.backlogHolds(size) || now-n.self.aloneAt >= owesFor
}

// backlogHolds reports whether there is room in the backlog of a node without members.
func (n *Node) backlogHolds(size int) bool {
	b := &n.self.backlog
	return b.own.Len() == 0 || n.logHolds(size) && !b.full(n.self.counter+1)
}

// giveUpOldest makes room in the backlog of a node that was without members for too long.
func (n *Node) giveUpOldest(size int) {
	for b := &n.self.backlog; n.peers.members.Len() == 0 && !n.backlogHolds(size); {
		n.stats.Unheard++
		b.release(b.own.At(0), n.history.log)
	}
}

// HasRoom reports whether there is room for many messages: half of what makes Publish refuse
// is free, or, of what does not become free bit by bit, as much as one message takes.
func (n *Node) HasRoom(now time.Duration) bool {
	b, members := &n.self.backlog, n.peers.members
	var only netip.AddrPort
	if members.Len() == 1 {
		only = members.At(0).Addr
	}
	v := n.delegate(now, n.own(nil, Broadcast), netip.AddrPort{})
	copies := max(len(n.peers.delegates), n.config.RumorFactor)
	switch {
	case n.self.forged && members.Len() > 0:
		return false
	case v == full || !n.out.queue.HalfFree(copies, only):
		return false
	case n.self.directDone.Check(n.self.directCounter+1, nil) == versions.Ahead:
		return false
	case members.Len() == 0:
		return n.takesAlone(now, n.MaxPayload())
	}
	return !b.full(n.self.counter+mostOwn/2) && (b.waiting == 0 || n.logHolds(n.MaxPayload()))
}

// Settled reports whether all messages of this node were acknowledged by each member they went
// to, or given up and counted.
func (n *Node) Settled() bool { return n.self.backlog.own.Len() == 0 && !n.out.queue.HasOwn() }

// keepsOwn reports whether messages of this node are kept until another node has them. A seed
// on its own that never had a member, or whose members all said goodbye, may stay alone.
func (n *Node) keepsOwn() bool { return n.peers.members.Len() > 0 || n.self.owes || !n.isSeed() }

// forgetBacklog releases the backlog of a node that may stay alone.
func (n *Node) forgetBacklog() {
	if !n.keepsOwn() {
		n.self.backlog.clear(n.history.log)
	}
}

// spread sends a message of this node on its way; Takes has chosen the members.
func (n *Node) spread(now time.Duration, e *datalog.Entry, s Spread) {
	if s.Kind == Direct {
		n.sendDirect(now, e, s.To)
	} else {
		n.hand(n.own(e, s.Kind)) // no delegates: it waits in the backlog
	}
}

// askFor is how long a message waits until it is known for which node to seal it.
const askFor = 3 * time.Second

// sendDirect queues a Direct message. If it is to be sealed for a node that is not known yet it
// waits for the answer to a Hello.
func (n *Node) sendDirect(now time.Duration, e *datalog.Entry, to netip.AddrPort) {
	kind := Stray
	if m := n.peers.members.ByAddr(to); m != nil && m.Validated && !m.Deaf {
		kind = Data
	}
	copied := n.emitData(to, kind, outbox.Copy{Entry: e, Class: outbox.Own, Flags: wire.FlagDirect})
	if !n.nameRecipient(copied) {
		n.out.queue.Hold(now, copied)
	}
}

// nameRecipient names the member that a Direct message is for, so that no other node accepts a
// replayed copy. If a seal needs to know which node is there, but that is not known, it sends a
// Hello and returns false.
func (n *Node) nameRecipient(e *outbox.Envelope) (known bool) {
	to := e.To()
	switch m := n.peers.members.ByAddr(to); {
	case e.Flags&wire.FlagDirect == 0:
	case m != nil && m.Validated:
		e.Recipient = m.ID
	case n.seals.keys.Seals() && !n.out.queue.IsBound(to):
		n.ask(to, Hello)
		return false
	}
	return true
}

// publishBacklog spreads what waits in the backlog, as far as there is room.
func (n *Node) publishBacklog(now time.Duration) {
	b := &n.self.backlog
	for i := 0; b.waiting > 0 && i < b.own.Len(); i++ {
		m := b.own.At(i)
		if m.entry == nil || m.copies > 0 {
			continue
		}
		p := n.own(m.entry, m.kind)
		if n.delegate(now, p, netip.AddrPort{}) != ready || n.out.queue.Spare() < min(len(n.peers.delegates), n.config.MaxOutputMessages) {
			return
		}
		n.hand(p)
		if m.copies == 0 {
			return // all members are deaf
		}
	}
}
