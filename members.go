package gossip

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// exchanged is how many members there are in one exchange.
	exchanged = 16

	// mostNew bounds the new members that one list brings to a full view.
	mostNew = 32
)

// handleHello answers a Hello without a valid token with a token, and takes in
// one that has it: it is reached where it says it is. No state is kept for the
// first.
func (g *GossipService) handleHello(now time.Duration, in *envelopeIn, seq uint32, m wire.Hello) {
	if string(m.Cluster) != g.config.Cluster {
		g.stats.DropCluster++
		if now >= g.warnAt {
			g.warnAt = now + time.Minute
			g.inform(slog.LevelWarn, "gossip: Hello of another cluster", "cluster", string(m.Cluster), "address", in.from)
		}
		return
	}
	if m.From.ID == uint64(g.id) {
		g.metMyself(now, seq)
		return
	}
	if !g.tokens.Valid(m.Token, in.from, now) {
		w := wire.Welcome{Hello: seq, Token: g.tokens.Make(in.from, now), From: g.me(), Observed: in.from}
		g.body = w.AppendTo(g.body[:0])
		g.emit(in.from, wire.TypeWelcome, outbox.NoAnswer)
		return
	}
	in.proved = true
	g.acknowledge(now, in, seq)
	if at := m.From.Addr; reachable(at) && at != in.from {
		g.claim(m.From.ID, at)
	} else if known := g.roster.Get(m.From.ID); known != nil && known.Proven && known.Addr != in.from {
		g.probe(known.Addr) // it moved, or somebody lies: who is there?
	} else {
		g.admit(now, in, m.From.ID)
	}
}

// metMyself handles the node's own Hello: one of its seeds is itself.
func (g *GossipService) metMyself(now time.Duration, seq uint32) {
	e := g.outbox.Find(seq)
	if e == nil || e.Kind != wire.TypeHello {
		g.stats.DropMember++
		return
	}
	at := e.To()
	g.roster.RemoveSeed(at)
	if m := g.roster.ByAddr(at); m != nil { // somebody told the node of itself
		g.roster.Depart(m, now)
	}
	g.observed = at
	g.outbox.Drop(e)
	if g.roster.Seeds() == 0 {
		g.founder = true
		g.connect()
	}
}

// handleWelcome takes in who answered a Hello. After one that asked for a token
// the node says Hello again, with it.
func (g *GossipService) handleWelcome(now time.Duration, in *envelopeIn, w wire.Welcome) {
	e := g.outbox.Find(w.Hello)
	if e == nil || e.Kind != wire.TypeHello || w.From.ID == uint64(g.id) {
		g.stats.DropWelcome++
		return
	}
	in.proved = true // it names what was sent to e.To(), wherever it comes from
	at, asked, newcomer := e.To(), binary.BigEndian.Uint64(e.Body[2:]) == 0, e.Newcomer
	if m := g.roster.Get(w.From.ID); m != nil && m.Proven && m.Addr != at && !m.Says(at) {
		// One node at two addresses, one that moved, or a liar: the member stays
		// where it is until it is lost there, or says itself that it is here.
		g.roster.Answered(at, m.ID)
		g.outbox.Drop(e)
		g.probe(m.Addr)
		return
	}
	m, added := g.roster.Admit(w.From.ID, at, now)
	if in.member = m; m != nil {
		m.Proven = true
		m.Said(w.From.Addr)
		g.roster.SendsFrom(m, in.from)
		if e.Attempts > 1 { // a probe may have waited for the way there to open again
			g.measure(now, m, e)
		}
	}
	if reachable(w.Observed) {
		g.observed = w.Observed
	}
	g.outbox.Drop(e)
	g.connect()
	if added {
		g.inform(slog.LevelInfo, "gossip: member found", "member", NodeID(w.From.ID), "address", at)
	}
	if added && newcomer {
		g.introduce(now, m)
	}
	if asked {
		g.greet(at, w.Token, g.config.RetryAttempts)
	}
}

// handleMemberList takes hearsay from who is where it seems to be. From anybody
// else it is not acknowledged, to come again when they have met; but if the view
// is full they never will, and then those are asked who would have a place in it.
// Of those that are new to a full view, where each costs a search for one to go, it
// takes no more than mostNew of a list.
func (g *GossipService) handleMemberList(now time.Duration, in *envelopeIn, seq uint32, m wire.MemberList) {
	full := in.member == nil && g.roster.Len() >= g.config.MaxMembers
	if !in.proven() {
		g.stats.DropStranger++
		g.prove(in)
		if !full {
			return
		}
	}
	g.acknowledge(now, in, seq)
	left := mostNew
	for x, ok := m.Next(); ok; x, ok = m.Next() {
		if in.member != nil && x.ID == in.member.ID {
			continue
		}
		if g.roster.Len() >= g.config.MaxMembers && g.roster.Get(x.ID) == nil {
			if left == 0 {
				g.stats.DropMember++
				continue
			}
			left--
		}
		if !x.Addr.IsValid() {
			x.Addr = in.from // its own entry
		}
		if full {
			if g.roster.Wants(x.ID) && g.roster.ByAddr(x.Addr) == nil && g.usable(x) {
				g.probe(x.Addr)
			}
		} else if learned, added := g.learn(now, x); added && m.News {
			g.tell(now, learned)
		}
	}
}

// handleLeave takes a member out of the view at its own word.
func (g *GossipService) handleLeave(now time.Duration, in *envelopeIn, id uint64) {
	if in.member == nil || in.member.ID != id {
		g.stats.DropLeave++
		return
	}
	g.inform(slog.LevelInfo, "gossip: member left", "member", NodeID(id), "address", in.member.Addr)
	g.roster.Depart(in.member, now)
	to := in.member.Addr
	in.member = nil
	g.clearLane(now, to)
	g.alone(now)
}

// learn takes one piece of hearsay. What contradicts is asked about.
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
		if g.roster.Len() < g.config.MaxMembers { // in a full view some always come and go
			g.upkeep.grewAt = now
		}
	}
	return m, verdict == view.Added
}

// usable reports whether x could be another node.
func (g *GossipService) usable(x wire.Member) bool {
	return reachable(x.Addr) && x.Addr != g.address() && x.ID != uint64(g.id)
}

// admit takes in who has proved to be where its datagrams come from.
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

// introduce tells a newcomer of the members, and others of it. In a cluster that
// is larger than a view it is told of those near it, and sees to the rest itself.
func (g *GossipService) introduce(now time.Duration, m *view.Member) {
	if g.roster.Len() < g.config.MaxMembers {
		g.tell(now, m)
		g.emitPage(m.Addr, m.ID, g.roster.Len())
	} else {
		g.emitPage(m.Addr, m.ID, exchanged)
	}
}

// claim handles a node that is to be reached at another address than its
// datagrams come from. Asked there it will answer, and prove it.
func (g *GossipService) claim(id uint64, at netip.AddrPort) {
	if m := g.roster.Get(id); at == g.address() || m != nil && m.Proven {
		return
	}
	if e := g.probe(at); e != nil {
		e.Newcomer = true
	}
}

// exchange tells m of members: the node itself, some near m on the ring, and
// random ones.
func (g *GossipService) exchange(m *view.Member, most int) {
	g.members = g.roster.Nearest(g.members[:0], m.ID, exchanged/2)
	near := len(g.members)
	g.members = g.roster.Sample(g.members, g.rng, most-near, func(x *view.Member) bool {
		return x != m && !slices.Contains(g.members[:near], x)
	})
	g.list.Reset(false)
	g.list.Add(g.me(), g.room)
	g.emitMembers(m.Addr, g.members)
}

// meetNeighbours asks those that are nearest on the ring and never showed
// themselves: they must know this node, for arcs go from neighbour to neighbour.
func (g *GossipService) meetNeighbours() {
	g.members = g.roster.Nearest(g.members[:0], uint64(g.id), 2*view.Near)
	for _, m := range g.members {
		if !m.Proven {
			g.probe(m.Addr)
		}
	}
}

// announce passes on who is new.
func (g *GossipService) announce(now time.Duration) {
	if m := g.anybody(now); m != nil {
		g.members = g.roster.News(g.members[:0], exchanged)
		g.list.Reset(true)
		g.emitMembers(m.Addr, g.members)
	}
	if !g.roster.HasNews() {
		g.upkeep.Announce.Stop()
	}
}

func (g *GossipService) tell(now time.Duration, m *view.Member) {
	g.roster.Tell(m)
	g.upkeep.Announce.By(now + newsPause/2)
}

// probeContacts says Hello to seeds and lost members.
func (g *GossipService) probeContacts(now time.Duration) {
	g.contacts = g.roster.Probes(g.contacts[:0], g.state == StateConnected, now)
	for _, to := range g.contacts {
		g.greet(to, 0, 1)
	}
}

// greet says Hello; with token 0 it asks for one.
func (g *GossipService) greet(to netip.AddrPort, token uint64, attempts int) *outbox.Envelope {
	h := wire.Hello{Version: wire.Version, Token: token, From: g.me(), Cluster: g.cluster}
	g.body = h.AppendTo(g.body[:0])
	return g.emit(to, wire.TypeHello, attempts)
}

// probe asks who is at a doubtful address, a bounded number of times.
func (g *GossipService) probe(to netip.AddrPort) *outbox.Envelope {
	if g.upkeep.probes == 0 || g.outbox.Greets(to) {
		return nil
	}
	g.upkeep.probes--
	return g.greet(to, 0, 1)
}

// prove asks a source that is not proven to say who it is, if that could make
// a member of it.
func (g *GossipService) prove(in *envelopeIn) {
	if in.member != nil || g.roster.Len() < g.config.MaxMembers {
		g.probe(in.from)
	}
}

// emitMembers sends what is on the list and as many of the members as fit beside
// it, and returns how many it took.
func (g *GossipService) emitMembers(to netip.AddrPort, members []*view.Member) (taken int, e *outbox.Envelope) {
	for _, m := range members {
		if m.Addr != to && !g.list.Add(wire.Member{ID: m.ID, Addr: m.Addr}, g.room) {
			break
		}
		taken++
	}
	if taken == 0 || g.list.Len() == 0 {
		return taken, nil
	}
	g.body = g.list.AppendTo(g.body[:0])
	return taken, g.emit(to, wire.TypeMemberList, g.config.RetryAttempts)
}

// emitPage sends a newcomer that many of the members, from an id on and round
// the ring: first those behind itself. Its Ack asks for more.
func (g *GossipService) emitPage(to netip.AddrPort, from uint64, left int) {
	size := g.roster.Len()
	first := g.roster.Search(from)
	g.members = g.members[:0]
	for i := range min(left, size, g.room/wire.MinMemberSize) {
		g.members = append(g.members, g.roster.At((first+i)%size))
	}
	g.list.Reset(false)
	taken, e := g.emitMembers(to, g.members)
	if e != nil && taken < left {
		e.Page, e.Left = g.roster.At((first+taken)%size).ID, left-taken
	}
}
