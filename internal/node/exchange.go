package node

import (
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// exchanged is how many members there are in one exchange.
const exchanged = 16

// The least and the longest time between two announcements. While there is always something to
// announce it grows, so that more is told at once.
const (
	announcePause     = 100 * time.Millisecond
	mostAnnouncePause = 400 * time.Millisecond
)

// exchange tells m of members, at most that many: the node itself, some near m on the ring,
// and random ones; and of those that said goodbye.
func (n *Node) exchange(now time.Duration, m *view.Member, most int) {
	p := &n.peers
	p.picked = p.members.Nearest(p.picked[:0], m.ID, exchanged/2)
	near := len(p.picked)
	p.picked = p.members.Sample(p.picked, n.rng, most-near, func(x *view.Member) bool {
		return x != m && x.Validated && !slices.Contains(p.picked[:near], x)
	})
	list := wire.WriteList(n.out.body, 0)
	list.Add(n.me(), n.out.room)
	n.sendMembers(nil, m.Addr, list, p.picked, MemberList)
	p.partings = p.members.Goodbyes(p.partings[:0], exchanged, now)
	for _, x := range p.partings {
		n.out.body = wire.AppendLeave(n.out.body[:0], x.ID)
		n.emit(nil, m.Addr, Leave)
	}
}

// announce passes on the arrival of new members, and the end of others.
func (n *Node) announce(now time.Duration) {
	p := &n.peers
	if m := p.random(now, n.rng); m != nil {
		most := n.listed(m)
		p.picked = p.members.News(p.picked[:0], most)
		n.sendMembers(nil, m.Addr, wire.WriteList(n.out.body, wire.News), p.picked, News)
		n.announceLost(now, m)
		n.timers.hurries = max(len(p.picked), len(p.partings)) == most
	}
	if p.members.CountNews() == 0 {
		n.timers.Announce.Stop()
	}
}

// listed returns how many members an announcement to m names: no more than fit, because each counts as
// passed on.
func (n *Node) listed(m *view.Member) int {
	return min(exchanged, wire.MembersIn(n.controlRoom(m.Addr)))
}

// announceLost passes on that members were lost.
func (n *Node) announceLost(now time.Duration, m *view.Member) {
	p := &n.peers
	p.partings = p.members.Partings(p.partings[:0], n.listed(m), now)
	list := wire.WriteList(n.out.body, wire.Lost)
	for _, x := range p.partings {
		if x.ID != m.ID {
			list.Add(wire.Member{ID: x.ID, Addr: x.Addr}, n.controlRoom(m.Addr))
		}
	}
	if n.out.body = list.Body(); list.Len() > 0 {
		n.emit(nil, m.Addr, News)
	}
}

// disseminate schedules the arrival of m to be announced soon.
func (n *Node) disseminate(now time.Duration, m *view.Member) {
	n.peers.members.Disseminate(m)
	n.announceSoon(now)
}

func (n *Node) announceSoon(now time.Duration) {
	if n.timers.Announce.Next() == pace.Never {
		n.timers.newsSince = now
		n.timers.Announce.By(now + announcePause/2)
	}
}

// announcePause returns the time between two announcements. One that named all that it could is
// followed by the next one soon.
func (n *Node) announcePause(now time.Duration) time.Duration {
	if n.timers.hurries {
		return announcePause
	}
	return min(max((now-n.timers.newsSince)/8, announcePause), mostAnnouncePause)
}

// sendMembers sends the list, which is written in out.body, with as many of the members as
// fit added to it, and returns how many it took. Those not validated are passed over: whether
// there is a node is first found out, then told.
func (n *Node) sendMembers(in *datagram, to netip.AddrPort, list wire.ListWriter, members []*view.Member, kind Kind) (taken int, e *outbox.Envelope) {
	room := n.controlRoom(to)
	for _, m := range members {
		if m.Addr != to && m.Validated && !list.Add(wire.Member{ID: m.ID, Addr: m.Addr}, room) {
			break
		}
		taken++
	}
	n.out.body = list.Body()
	if taken == 0 || list.Len() == 0 {
		return taken, nil
	}
	return taken, n.emit(in, to, kind)
}

// sendPage sends a newcomer as many of the next left members as fit in one list, clockwise
// from an id on. The list's Ack causes the next page.
func (n *Node) sendPage(in *datagram, to netip.AddrPort, from uint64, left int) {
	p := &n.peers
	size := p.members.Len()
	first := p.members.Search(from)
	p.picked = p.picked[:0]
	for i := range min(left, size, n.out.room/wire.MinMemberSize) {
		p.picked = append(p.picked, p.members.At((first+i)%size))
	}
	taken, e := n.sendMembers(in, to, wire.WriteList(n.out.body, 0), p.picked, MemberList)
	if e != nil && taken < left {
		e.Note = outbox.Note{Page: p.members.At((first + taken) % size).ID, Left: left - taken}
	}
}
