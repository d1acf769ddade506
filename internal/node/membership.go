package node

import (
	"log/slog"
	"net/netip"
	"time"

	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// A full view takes at least leastNew members from one list, those at its front, which are
	// the nearest to this node; and more, up to mostNew, while the search for those to evict
	// passes mostPassed members in all.
	leastNew   = 2
	mostNew    = 32
	mostPassed = 2048

	skipsFor = 30 * time.Second // after CONNECTED, skipping history ends, whatever pages came
)

// setState changes the state. DISCONNECTED by silence and after Leave are one to the owner.
func (n *Node) setState(now time.Duration, s State) {
	old := n.self.state
	if s == old {
		return
	}
	n.self.state = s
	if old.String() != s.String() {
		n.record(slog.LevelInfo, "gossip: state", "old", old.String(), "new", s.String())
		n.events.Push(Event{Change: &Change{old, s}})
	}
	if s == Connected { // until then no member could tell what is history
		n.history.repair.Joined(now, skipsFor)
		if n.history.repair.Skipping(now) {
			n.timers.compareOften(now, skipsFor, n.rng)
		}
	}
}

// connect makes a node that found a member CONNECTED.
func (n *Node) connect(now time.Duration) {
	if n.self.state == Joining || n.self.state == Disconnected {
		n.setState(now, Connected)
	}
}

func (n *Node) disconnect(now time.Duration) {
	n.timers.Probe.By(now + min(n.config.TickInterval, time.Second))
	n.setState(now, Disconnected)
}

// disconnectIfAlone makes a node without members DISCONNECTED, unless it is a seed itself.
func (n *Node) disconnectIfAlone(now time.Duration) {
	if n.peers.members.Len() > 0 {
		return
	}
	n.self.aloneAt = now
	n.forgetBacklog()
	if n.self.state == Connected && !n.isSeed() {
		n.disconnect(now)
	}
}

// handleMemberList takes hearsay from a validated source. A list from any other source is not
// acknowledged, so that it comes again once the source is validated. But a full view may
// never admit the source: then the list is acknowledged, and those members on it that would
// have a place in the view are probed. A full view takes few members from one list,
// because each costs a search for a member to evict.
func (n *Node) handleMemberList(now time.Duration, in *datagram, seq uint32, list wire.MemberList) {
	members := n.peers.members
	shutOut := in.member == nil && members.Len() >= n.config.MaxMembers
	if !in.validated() {
		n.stats.DropStranger++
		n.challenge(in)
		if !shutOut {
			return
		}
	}
	if e := n.out.queue.Find(seq); e != nil && e.To() == in.from {
		n.probe(in, in.from) // the node sent the list to itself, at another of its addresses, as the Hello will show
		return
	}
	left, told, grew := max(leastNew, min(mostNew, mostPassed/n.config.MaxMembers)), 0, 0
	for x, ok := list.Next(); ok; x, ok = list.Next() {
		if in.member != nil && x.ID == in.member.ID {
			continue
		}
		told++
		if members.Len() >= n.config.MaxMembers && members.Get(x.ID) == nil {
			if left == 0 {
				n.stats.DropMember++
				continue
			}
			left--
		}
		if !x.Addr.IsValid() {
			x.Addr = in.from // its own entry
		}
		if shutOut {
			if members.Wants(x.ID) && members.ByAddr(x.Addr) == nil && n.usable(x) && n.affordProbe(in, x.Addr) {
				n.probe(in, x.Addr)
			}
		} else if learned, added := n.learn(now, in, x); added {
			grew++
			if list.News {
				n.disseminate(now, learned)
			}
			if members.Len() < n.config.MaxMembers && n.peers.eager > 0 && n.peers.mayAsk(in) {
				n.peers.eager--
				n.askSoon(now, learned.Addr, Verify)
			}
		}
	}
	if !list.News { // which many pass on
		n.answer(now, in, seq, grew == 0 && told > exchanged) // a page without news: nor would the rest be new
	}
	if !list.News && 4*grew > told && members.Len() < n.config.MaxMembers { // the view is far from complete
		n.timers.grewAt = now
	}
}

// learn takes one piece of hearsay. If it contradicts what is known, its address is probed.
func (n *Node) learn(now time.Duration, in *datagram, x wire.Member) (m *view.Member, added bool) {
	if !n.usable(x) {
		n.stats.DropMember++
		return nil, false
	}
	m, verdict := n.peers.members.Learn(x.ID, x.Addr, in.from, now)
	switch verdict {
	case view.Doubted:
		if in.doubts > 0 && !n.out.queue.HasHello(x.Addr) && n.peers.mayAsk(in) {
			in.doubts--
			n.peers.members.Doubt(x.Addr, now)
			n.askSoon(now, x.Addr, Probe)
		}
	case view.Refused:
		n.stats.DropMember++
	}
	return m, verdict == view.Added
}

// usable reports whether x could be another node.
func (n *Node) usable(x wire.Member) bool {
	return Reachable(x.Addr) && x.Addr != n.self.address && x.ID != n.self.id
}

// admit makes a member of a node that has shown that it receives what is sent to addr, and takes
// datagrams of that size. One that is new to the cluster is introduced.
func (n *Node) admit(now time.Duration, in *datagram, id uint64, addr netip.AddrPort, size uint16, found string, newcomer bool) *view.Member {
	m, added, back := n.peers.members.Admit(id, addr, now)
	m.Size = size
	in.member, n.self.owes = m, true
	n.resume(m)
	n.connect(now)
	if added {
		n.changed(now)
	}
	if back {
		n.welcomeBack(now, m)
	} else if added {
		n.recordMember(found, id, addr)
	}
	if added && newcomer {
		n.introduce(now, in, m)
	}
	return m
}

// welcomeBack deals with a lost member that is in the view again. A partition may have healed:
// the others are looked for, and their messages.
func (n *Node) welcomeBack(now time.Duration, m *view.Member) {
	n.stats.MembersAgain++
	n.recordMember("gossip: member is back", m.ID, m.Addr)
	n.timers.backAt = now
	n.peers.members.LookAgain(now)
	n.timers.Probe.By(now)
	if !n.timers.comparesOften(now) {
		n.compare(now, m.Addr) // the first one back shows at once what was missed
	}
	n.timers.compareOften(now, comparesAfterReturn, n.rng)
	n.disseminate(now, m)
}

// changed notes that the view has changed. A full one keeps changing.
func (n *Node) changed(now time.Duration) {
	if n.peers.members.Len() < n.config.MaxMembers {
		n.timers.changedAt = now
	}
}

// resume sends again what was held for a silent member.
func (n *Node) resume(m *view.Member) { n.out.queue.Resume(m.Addr) }

// introduce tells a newcomer of the members, and others of it. If the view is full the
// newcomer is told only of the members near it, and finds the rest itself.
func (n *Node) introduce(now time.Duration, in *datagram, m *view.Member) {
	if n.peers.members.Len() < n.config.MaxMembers {
		n.disseminate(now, m)
		n.sendPage(in, m.Addr, m.ID, n.peers.members.Len())
	} else {
		n.sendPage(in, m.Addr, m.ID, exchanged)
	}
}

// Acquaint makes a validated member, as an exchange of Hellos does. It is for simulations that
// begin with nodes that have known one another for long.
func (n *Node) Acquaint(now time.Duration, id uint64, addr netip.AddrPort) {
	if id == n.self.id || n.peers.members.Get(id) != nil {
		return
	}
	n.peers.members.Admit(id, addr, now)
	n.self.owes = true
}

// Member is what a node knows of another one.
type Member struct {
	ID   uint64
	Addr netip.AddrPort
	RTT  time.Duration // smoothed, 0 while unknown
}

// Members returns how many members there are in the view.
func (n *Node) Members() int { return n.peers.members.Len() }

// Member returns the i-th member of the view, in the order of ids.
func (n *Node) Member(i int) Member {
	return public(n.peers.members.At(i))
}

// Find returns the member with an id.
func (n *Node) Find(id uint64) (m Member, ok bool) {
	if m := n.peers.members.Get(id); m != nil {
		return public(m), true
	}
	return Member{}, false
}

func public(m *view.Member) Member { return Member{m.ID, m.Addr, m.RTT.Smoothed()} }
