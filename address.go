// Addresses as text, and the members at them: how a node learns of members, tells others
// of them and probes them.

package gossip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/addrtext"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// Address is the IP address and UDP port of a node. It is a small value: copy
// it, compare it with ==, use it as a map key.
//
// An IPv4 address has a single representation: the IPv4-mapped IPv6 address
// ::ffff:192.0.2.1 is the Address 192.0.2.1. An IPv6 address may have a zone,
// the name or number of a network interface, which is part of the value.
//
// The zero value is no address; its IsValid reports false.
type Address struct {
	ap netip.AddrPort
}

// ParseAddress reads an IP address and a port, such as "192.0.2.1:7070",
// "[2001:db8::1]:7070" or, with a zone, "[fe80::1%eth0]:7070". The port is a
// number from 0 to 65535 without leading zeros; when binding, 0 lets the system
// choose one. Neither part may be left out.
//
// Host names are not resolved, because a name may stand for many addresses, and for
// others tomorrow: resolve the name, for instance with net.Resolver, and pass the
// result of netip.AddrPort.String.
//
// The error wraps ErrAddress.
func ParseAddress(s string) (Address, error) {
	ap, err := addrtext.ParseHostPort(s)
	if err != nil {
		return Address{}, badAddress(s, err)
	}
	return addressOf(ap), nil
}

// ParseMultiaddr reads an address in one of the forms
//
//	/ip4/127.0.0.1/udp/7070
//	/ip6/::1/udp/7070
//	/ip6zone/eth0/ip6/fe80::1/udp/7070
//	/ip/127.0.0.1/port/7070
//
// of which the last takes IPv4 and IPv6 alike, without a zone, and the others
// are those of the multiaddr specification. It accepts nothing else: no other
// protocol, no host name, no trailing slash. The port is as in ParseAddress.
//
// The error wraps ErrAddress.
func ParseMultiaddr(s string) (Address, error) {
	ap, err := addrtext.ParseMultiaddr(s)
	if err != nil {
		return Address{}, badAddress(s, err)
	}
	return addressOf(ap), nil
}

// addressOf returns the Address of ap, unmapped, which also drops the zone of an
// IPv4-mapped address. Without an IP address the result is the zero value,
// whatever the port, so that there is one invalid Address.
func addressOf(ap netip.AddrPort) Address {
	if !ap.IsValid() {
		return Address{}
	}
	return Address{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
}

// limitedBroadcast addresses every node of the link, not one of them.
var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// reachable reports whether a node could be at ap.
func reachable(ap netip.AddrPort) bool {
	ip := ap.Addr()
	return ap.IsValid() && ap.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != limitedBroadcast
}

// Multiaddr returns a in the standard multiaddr form, such as
// "/ip4/127.0.0.1/udp/7070", "/ip6/::1/udp/7070" or, with a zone,
// "/ip6zone/eth0/ip6/fe80::1/udp/7070". ParseMultiaddr reads it back. The result
// is empty for the zero value.
func (a Address) Multiaddr() string {
	if !a.IsValid() {
		return ""
	}
	return addrtext.FormatMultiaddr(a.ap)
}

// String returns a in the form that ParseAddress reads back, such as
// "192.0.2.1:7070" or "[2001:db8::1]:7070". The result is empty for the zero
// value.
func (a Address) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.ap.String()
}

// AddrPort returns the IP address, never an IPv4-mapped one, and the port of a.
// For the zero value it returns the zero netip.AddrPort.
func (a Address) AddrPort() netip.AddrPort {
	return a.ap
}

// IsValid reports whether a is an address. It is false only for the zero value:
// the unspecified address and port 0 are valid.
func (a Address) IsValid() bool {
	return a.ap.IsValid()
}

// MarshalText implements encoding.TextMarshaler. The text is that of String,
// empty for the zero value. The error is always nil.
func (a Address) MarshalText() ([]byte, error) {
	return []byte(a.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. It reads text that begins
// with a slash as ParseMultiaddr does, and any other as ParseAddress does; empty
// text gives the zero value. On error, which wraps ErrAddress, a keeps its
// value.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parse := ParseAddress
	if text[0] == '/' {
		parse = ParseMultiaddr
	}
	parsed, err := parse(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// maxQuoted is how many bytes of a refused text an error repeats: enough to
// recognise it, and no more, for the text may come from anywhere.
const maxQuoted = 64

// badAddress returns the error for the refused text s.
func badAddress(s string, reason error) error {
	if len(s) > maxQuoted {
		return fmt.Errorf("%w %q...: %v", ErrAddress, s[:maxQuoted], reason)
	}
	return fmt.Errorf("%w %q: %v", ErrAddress, s, reason)
}

// Address returns the address at which others reach the node: Config.Advertise, or
// the bound address, or, if that is a wildcard, the one that a seed saw, or else the
// wildcard.
func (g *GossipService) Address() Address {
	g.mu.Lock()
	defer g.mu.Unlock()
	return addressOf(g.address())
}

// address returns where others reach the node, as far as it is known.
func (g *GossipService) address() netip.AddrPort {
	if a := g.me().Addr; a.IsValid() {
		return a
	}
	if g.observed.IsValid() {
		return g.observed
	}
	return g.socket.LocalAddr()
}

// me is the node as it names itself. If it knows no address that others could use, they
// use the one they see.
func (g *GossipService) me() wire.Member {
	m := wire.Member{ID: uint64(g.id)}
	if a := g.config.Advertise.ap; reachable(a) {
		m.Addr = a
	} else if bound := g.socket.LocalAddr(); reachable(bound) {
		m.Addr = bound
	}
	return m
}

// sameNode reports whether a member is reached at one address and sends from
// the other.
func (g *GossipService) sameNode(a, b netip.AddrPort) bool {
	m := g.roster.ByAddr(a)
	return m != nil && m == g.roster.ByAddr(b)
}

// Member is what a node knows of another one.
type Member struct {
	ID      NodeID
	Address Address
	// RTT is the smoothed round-trip time, including AckDelay. It is 0 until one is
	// measured, and again after round trips to all members have become longer.
	RTT time.Duration
}

// Members returns the members in the view, ordered by ID.
func (g *GossipService) Members() []Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	members := make([]Member, g.roster.Len())
	for i := range members {
		m := g.roster.At(i)
		members[i] = Member{NodeID(m.ID), addressOf(m.Addr), m.RTT.Smoothed()}
	}
	return members
}

const (
	// exchanged is how many members there are in one exchange.
	exchanged = 16

	// mostNewMembers bounds the new members that one list brings to a full view.
	mostNewMembers = 32
)

// checkSeeds returns nil if the seeds may be joined, or else the error of Join.
func (g *GossipService) checkSeeds(seeds []Address) error {
	count := g.roster.Seeds()
	for _, s := range seeds {
		if !reachable(s.ap) {
			return fmt.Errorf("%w: seed %q, which is not the address of one node", ErrAddress, s)
		}
		if !g.roster.IsSeed(s.ap) {
			count++
		}
	}
	if count > g.config.MaxMembers {
		return fmt.Errorf("%w: %d seeds are more than MaxMembers, %d", ErrAddress, count, g.config.MaxMembers)
	}
	return nil
}

// learn takes one piece of hearsay. If it contradicts what is known, its address is probed.
func (g *GossipService) learn(now time.Duration, x wire.Member) (m *view.Member, added bool) {
	if !g.usable(x) {
		g.stats.DropMember++
		return nil, false
	}
	m, verdict := g.roster.Learn(x.ID, x.Addr, now)
	switch verdict {
	case view.Doubted:
		g.probe(x.Addr)
	case view.Refused:
		g.stats.DropMember++
	case view.Added:
		if g.roster.Len() < g.config.MaxMembers { // a full view keeps changing: that is not growth
			g.upkeep.grewAt = now
		}
	}
	return m, verdict == view.Added
}

// usable reports whether x could be another node.
func (g *GossipService) usable(x wire.Member) bool {
	return reachable(x.Addr) && x.Addr != g.address() && x.ID != uint64(g.id)
}

// admit makes a member of a node that has proved to be where its datagrams come from.
func (g *GossipService) admit(now time.Duration, in *envelopeIn, id uint64) {
	var added bool
	if in.member, added = g.roster.Admit(id, in.from, now); in.member != nil {
		in.member.Proven = true
	}
	if added {
		g.inform(slog.LevelInfo, "gossip: member joined", "member", NodeID(id), "address", in.from)
		g.connect()
		g.introduce(now, in.member)
	}
}

// introduce tells a newcomer of the members, and others of it. If the view is full the
// newcomer is told only of the members near it, and finds the rest itself.
func (g *GossipService) introduce(now time.Duration, m *view.Member) {
	if g.roster.Len() < g.config.MaxMembers {
		g.tell(now, m)
		g.emitPage(m.Addr, m.ID, g.roster.Len())
	} else {
		g.emitPage(m.Addr, m.ID, exchanged)
	}
}

// claim handles a node that gives an address other than the one its datagrams come from.
// It is probed at that address, where it will answer and so prove it.
func (g *GossipService) claim(id uint64, at netip.AddrPort) {
	if m := g.roster.Get(id); at == g.address() || m != nil && m.Proven {
		return
	}
	if e := g.probe(at); e != nil {
		e.Newcomer = true
	}
}

// exchange tells m of members, at most that many: the node itself, some near m on the ring,
// and random ones.
func (g *GossipService) exchange(m *view.Member, most int) {
	g.members = g.roster.Nearest(g.members[:0], m.ID, exchanged/2)
	near := len(g.members)
	g.members = g.roster.Sample(g.members, g.rng, most-near, func(x *view.Member) bool {
		return x != m && !slices.Contains(g.members[:near], x)
	})
	list := wire.WriteList(g.body, false)
	list.Add(g.me(), g.room)
	g.emitMembers(m.Addr, list, g.members)
}

// meetNeighbours probes the nearest members on the ring that are not proven: they must
// know this node, for arcs end at neighbours.
func (g *GossipService) meetNeighbours() {
	g.members = g.roster.Nearest(g.members[:0], uint64(g.id), 2*view.Near)
	for _, m := range g.members {
		if !m.Proven {
			g.probe(m.Addr)
		}
	}
}

// announce passes on the arrival of new members.
func (g *GossipService) announce(now time.Duration) {
	if m := g.anybody(now); m != nil {
		g.members = g.roster.News(g.members[:0], exchanged)
		g.emitMembers(m.Addr, wire.WriteList(g.body, true), g.members)
	}
	if !g.roster.HasNews() {
		g.upkeep.Announce.Stop()
	}
}

// tell schedules the arrival of m to be announced soon.
func (g *GossipService) tell(now time.Duration, m *view.Member) {
	g.roster.Tell(m)
	g.upkeep.Announce.By(now + announcePause/2)
}

// probeContacts sends a Hello to seeds and lost members, to no more at once than the queue
// holds: a contact whose Hello is displaced before it is sent loses its turn, and as turns
// come round regularly it could be the same contact every time.
func (g *GossipService) probeContacts(now time.Duration) {
	g.contacts = g.roster.Probes(g.contacts[:0], g.config.MaxOutputMessages, g.state == StateConnected, now)
	for _, to := range g.contacts {
		g.greet(to, 0, 1)
	}
}

// greet sends a Hello; with token 0 it asks for one.
func (g *GossipService) greet(to netip.AddrPort, token uint64, attempts int) *outbox.Envelope {
	h := wire.Hello{Version: wire.Version, Token: token, From: g.me(), Cluster: g.cluster}
	g.body = h.AppendTo(g.body[:0])
	return g.emit(to, wire.TypeHello, attempts)
}

// probe asks who is at a doubtful address. The number of probes is bounded, and unproven
// sources can cause only half of them: else a few of their datagrams would keep out nodes
// that have to be probed to join.
func (g *GossipService) probe(to netip.AddrPort) *outbox.Envelope {
	kept := 0
	if g.in.from.IsValid() && !g.in.proven() {
		kept = mostProbes / 2
	}
	if g.upkeep.probes <= kept || g.outbox.Greets(to) {
		return nil
	}
	g.upkeep.probes--
	return g.greet(to, 0, 1)
}

// challenge asks an unproven source who it is, if that could make it a member.
func (g *GossipService) challenge(in *envelopeIn) {
	if in.member != nil || g.roster.Len() < g.config.MaxMembers {
		g.probe(in.from)
	}
}

// emitMembers sends the list, which is written in g.body, with as many of the members as
// fit added to it, and returns how many it took.
func (g *GossipService) emitMembers(to netip.AddrPort, list wire.ListWriter, members []*view.Member) (taken int, e *outbox.Envelope) {
	for _, m := range members {
		if m.Addr != to && !list.Add(wire.Member{ID: m.ID, Addr: m.Addr}, g.room) {
			break
		}
		taken++
	}
	g.body = list.Body()
	if taken == 0 || list.Len() == 0 {
		return taken, nil
	}
	return taken, g.emit(to, wire.TypeMemberList, g.config.RetryAttempts)
}

// emitPage sends a newcomer as many of the next left members as fit in one list, clockwise
// from an id on. The list's Ack causes the next page.
func (g *GossipService) emitPage(to netip.AddrPort, from uint64, left int) {
	size := g.roster.Len()
	first := g.roster.Search(from)
	g.members = g.members[:0]
	for i := range min(left, size, g.room/wire.MinMemberSize) {
		g.members = append(g.members, g.roster.At((first+i)%size))
	}
	taken, e := g.emitMembers(to, wire.WriteList(g.body, false), g.members)
	if e != nil && taken < left {
		e.Page, e.Left = g.roster.At((first+taken)%size).ID, left-taken
	}
}
