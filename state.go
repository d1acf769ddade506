package gossip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// State says how far a node is with its cluster.
//
//	INITIALIZED --Join--> JOINING --a seed answers--> CONNECTED
//	     |                   |                         |    ^
//	     |               none answers      Leave, or the    a seed or a lost
//	     |                   |             last member      member is heard;
//	     |                   v             falls silent     Join after Leave
//	     |               DISCONNECTED <----------------+    goes by JOINING
//	     |                   |  |                           |
//	     |                   |  '---------------------------'
//	     '---Close, from any of them---> DESTROYED
type State uint8

// The states of a node.
const (
	StateInitialized  State = iota // made by New; has not joined
	StateJoining                   // says Hello to its seeds
	StateConnected                 // a member, or a seed on its own
	StateDisconnected              // no member answers, or it left
	StateDestroyed                 // closed
)

var stateNames = [...]string{"INITIALIZED", "JOINING", "CONNECTED", "DISCONNECTED", "DESTROYED"}

// String returns the state's name in capitals.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}

// column is a State as the tables below know it: a node that left is
// DISCONNECTED, and of its own will.
type column uint8

const (
	columnLeft   = column(StateDestroyed) + 1
	columns      = columnLeft + 1
	initialized  = 1 << StateInitialized
	joining      = 1 << StateJoining
	connected    = 1 << StateConnected
	disconnected = 1 << StateDisconnected
	left         = 1 << columnLeft
	alive        = initialized | joining | connected | disconnected | left
	among        = connected | disconnected
)

// messageLegal says in which states a message is handled. In the others it is
// counted and dropped; after Leave not even that far is it read.
var messageLegal = [...]uint8{
	wire.TypeHello:      joining | among,
	wire.TypeWelcome:    joining | among,
	wire.TypeMemberList: among,
	wire.TypeAck:        joining | among,
	wire.TypeData:       among,
	wire.TypeStatus:     among,
	wire.TypeLeave:      among,
}

type verb uint8

const (
	verbJoin verb = iota
	verbReceive
	verbSend
	verbTick
	verbSendData
	verbLeave
	verbRun
)

var verbNames = [...]string{"Join", "Receive", "Send", "Tick", "SendData", "Leave", "Run"}

// verbLegal says in which states a verb may be called. In DESTROYED all answer
// ErrClosed, in the others that are not named here ErrState.
var verbLegal = [...]uint8{
	verbJoin:     alive,
	verbReceive:  alive,
	verbSend:     alive,
	verbTick:     alive,
	verbSendData: joining | among,
	verbLeave:    joining | among | left,
	verbRun:      alive,
}

// heard notes that a member is alive. One that was lost is back.
func (g *GossipService) heard(now time.Duration, in *envelopeIn) {
	m, again := g.roster.Heard(in.from, now)
	if in.member = m; again {
		g.stats.MembersAgain++
		g.config.Logger.Info("gossip: member is back", "member", NodeID(m.ID), "address", m.Addr)
		g.upkeep.healedAt = now // the net may be whole again: look for the others
		g.upkeep.probe.By(now)
		g.tell(now, m)
		g.connect()
	}
}

// handleHello answers a Hello without a valid token with a token, and takes in
// one that has it: it is reached where it says it is. No state is kept for the
// first.
func (g *GossipService) handleHello(now time.Duration, in *envelopeIn, seq uint32, m wire.Hello) {
	if string(m.Cluster) != g.config.Cluster {
		g.stats.DropCluster++
		if now >= g.warnAt {
			g.warnAt = now + time.Minute
			g.config.Logger.Warn("gossip: Hello of another cluster", "cluster", string(m.Cluster), "address", in.from)
		}
		return
	}
	if m.From.ID == uint64(g.id) {
		g.metMyself(in, seq)
		return
	}
	if !g.tokens.Valid(m.Token, in.from, now) {
		w := wire.Welcome{Hello: seq, Token: g.tokens.Make(in.from, now), From: g.me(), Observed: in.from}
		g.body = w.AppendTo(g.body[:0])
		g.emit(now, in.from, wire.TypeWelcome, 1, false)
		return
	}
	in.proved = true
	g.acknowledge(now, in, seq)
	if at := m.From.Addr; reachable(at) && at != in.from {
		g.claim(now, m.From.ID, at)
	} else if known := g.roster.Get(m.From.ID); known != nil && known.Proven && known.Addr != in.from {
		g.probe(now, known.Addr) // it moved, or somebody lies: who is there?
	} else {
		g.admit(now, in, m.From.ID)
	}
}

// admit takes in who has proved to be where its datagrams come from.
func (g *GossipService) admit(now time.Duration, in *envelopeIn, id uint64) {
	var added bool
	if in.member, added = g.roster.Admit(id, in.from, now); in.member != nil {
		in.member.Proven = true
	}
	if added {
		g.config.Logger.Info("gossip: member joined", "member", NodeID(id), "address", in.from)
		g.tell(now, in.member)
		g.connect()
		g.emitPage(now, in.from, 0)
	}
}

// claim handles a node that is to be reached at another address than its
// datagrams come from. Asked there it will answer, and prove it.
func (g *GossipService) claim(now time.Duration, id uint64, at netip.AddrPort) {
	if m := g.roster.Get(id); at == g.address() || m != nil && m.Proven {
		return
	}
	if e := g.probe(now, at); e != nil {
		e.newcomer = true
	}
}

// metMyself handles the node's own Hello: one of its seeds is itself.
func (g *GossipService) metMyself(in *envelopeIn, seq uint32) {
	e := g.queue.bySeq[seq]
	if e == nil || e.kind != wire.TypeHello {
		g.stats.DropMember++
		return
	}
	g.roster.RemoveSeed(e.lane.to)
	g.queue.drop(e)
	if g.roster.Seeds() == 0 {
		g.founder = true
		g.connect()
	}
}

// handleWelcome takes in who answered a Hello. After one that asked for a token
// the node says Hello again, with it.
func (g *GossipService) handleWelcome(now time.Duration, in *envelopeIn, w wire.Welcome) {
	e := g.queue.bySeq[w.Hello]
	if e == nil || e.kind != wire.TypeHello || w.From.ID == uint64(g.id) {
		g.stats.DropWelcome++
		return
	}
	in.proved = true // it names what was sent to lane.to, wherever it comes from
	at, asked, newcomer := e.lane.to, binary.BigEndian.Uint64(e.body[2:]) == 0, e.newcomer
	if m := g.roster.Get(w.From.ID); m != nil && m.Proven && m.Addr != at && m.Says != at {
		// One node at two addresses, one that moved, or a liar: the member stays
		// where it is until it is lost there, or says itself that it is here.
		g.roster.Answered(at, m.ID)
		g.queue.drop(e)
		g.probe(now, m.Addr)
		return
	}
	m, added := g.roster.Admit(w.From.ID, at, now)
	if in.member = m; m != nil {
		m.Proven, m.Says = true, w.From.Addr
		g.roster.SendsFrom(m, in.from)
		g.measure(now, m, e)
	}
	if reachable(w.Observed) {
		g.observed = w.Observed
	}
	g.queue.drop(e)
	g.connect()
	if added {
		g.config.Logger.Info("gossip: member found", "member", NodeID(w.From.ID), "address", at)
	}
	if added && newcomer {
		g.tell(now, m)
		g.emitPage(now, at, 0)
	}
	if asked {
		g.greet(now, at, w.Token, g.config.RetryAttempts)
	}
}

// handleMemberList takes hearsay, from members only.
func (g *GossipService) handleMemberList(now time.Duration, in *envelopeIn, seq uint32, m wire.MemberList) {
	if in.member == nil { // not acknowledged: it comes again when we have met
		g.stats.DropStranger++
		g.prove(now, in)
		return
	}
	g.acknowledge(now, in, seq)
	for x, ok := m.Next(); ok; x, ok = m.Next() {
		if !x.Addr.IsValid() && x.ID == in.member.ID {
			continue
		}
		if learned, added := g.learn(now, x.ID, x.Addr); added && m.News {
			g.tell(now, learned)
		}
	}
}

// learn takes one piece of hearsay. What contradicts is asked about.
func (g *GossipService) learn(now time.Duration, id uint64, addr netip.AddrPort) (m *view.Member, added bool) {
	if !reachable(addr) || addr == g.address() || id == uint64(g.id) {
		g.stats.DropMember++
		return nil, false
	}
	m, verdict := g.roster.Learn(id, addr, now)
	switch verdict {
	case view.Doubted:
		g.probe(now, addr)
	case view.Refused:
		g.stats.DropMember++
	case view.Added:
		g.upkeep.grewAt = now
	}
	return m, verdict == view.Added
}

// handleAck takes the acknowledged envelopes out of the queue.
func (g *GossipService) handleAck(now time.Duration, in *envelopeIn, m wire.Ack) {
	for i := range m.Len() {
		e := g.queue.acknowledged(in.from, m.Seq(i), g.sameNode)
		if e == nil {
			g.stats.DropAck++
			continue
		}
		if in.member != nil {
			in.member.Proven = true
			g.measure(now, in.member, e)
		}
		page, to := e.page, e.lane.to
		g.finish(e)
		if page != 0 {
			g.emitPage(now, to, page)
		}
	}
}

// handleLeave takes a member out of the view at its own word.
func (g *GossipService) handleLeave(now time.Duration, in *envelopeIn, id uint64) {
	if in.member == nil || in.member.ID != id {
		g.stats.DropLeave++
		return
	}
	g.config.Logger.Info("gossip: member left", "member", NodeID(id), "address", in.member.Addr)
	g.roster.Depart(in.member, now)
	to := in.member.Addr
	in.member = nil
	g.clearLane(now, to)
	g.alone()
}

// lose takes a member that does not answer out of the view.
func (g *GossipService) lose(now time.Duration, m *view.Member) {
	g.stats.MembersLost++
	g.config.Logger.Info("gossip: member lost", "member", NodeID(m.ID), "address", m.Addr)
	g.roster.Lose(m, now)
	g.clearLane(now, m.Addr)
	g.alone()
}

// measure takes the round trip of an answered envelope. Of one that was sent
// again it is not known which attempt is answered (Karn's rule).
func (g *GossipService) measure(now time.Duration, m *view.Member, e *envelopeOut) {
	if e.attempt == 1 {
		m.RTT.Sample(now - e.sentAt)
		g.rtt.Sample(now - e.sentAt)
	} else {
		m.RTT.Ambiguous(now - e.firstAt)
	}
}

// finish drops an envelope that was answered or given up.
func (g *GossipService) finish(e *envelopeOut) {
	if e.isData() && e.flags&wire.FlagDirect != 0 {
		g.direct.Add(e.entry.Counter, g.origins.Pool())
	}
	g.queue.drop(e)
}

// clearLane takes everything to an address that is not a member's any more out
// of the queue. The arcs it should have covered go to others.
func (g *GossipService) clearLane(now time.Duration, to netip.AddrPort) {
	for e := g.queue.oldest(to); e != nil; e = g.queue.oldest(to) {
		if e.flags&wire.FlagDirect != 0 {
			g.stats.GivenUp++
		}
		if e.arc.Empty() {
			g.finish(e)
			continue
		}
		orphan := *e // its place in the queue may be needed for the copy that goes on
		g.log.Retain(orphan.entry)
		g.finish(e)
		g.handOver(now, &orphan)
		g.log.Release(orphan.entry)
	}
}

// alone makes a node without members DISCONNECTED, unless it is a seed on its own.
func (g *GossipService) alone() {
	if g.roster.Len() == 0 && g.state == StateConnected && !g.founder {
		g.upkeep.round = 0
		g.setState(StateDisconnected)
	}
}

// connect makes a node that found a member CONNECTED.
func (g *GossipService) connect() {
	if g.state == StateJoining || g.state == StateDisconnected {
		g.setState(StateConnected)
	}
}

func (g *GossipService) setState(s State) {
	if s == g.state {
		return
	}
	g.config.Logger.Info("gossip: state", "old", g.state, "new", s)
	g.events.Push(event{old: g.state, new: s})
	g.state = s
}

func (g *GossipService) column() column {
	if g.left && g.state != StateDestroyed {
		return columnLeft
	}
	return column(g.state)
}

// may returns the error of calling a verb now, if it is one.
func (g *GossipService) may(v verb) error {
	switch {
	case g.state == StateDestroyed:
		return fmt.Errorf("%w: %s", ErrClosed, verbNames[v])
	case verbLegal[v]&(1<<g.column()) == 0:
		return fmt.Errorf("%w: %s in %v", ErrState, verbNames[v], g.state)
	}
	return nil
}

// event is a callback that is due: of the receiver if there is an entry, else of
// OnStateChange.
type event struct {
	entry    *datalog.Entry
	old, new State
}

// deliver hands a message, and a reference to it, to the receiver.
func (g *GossipService) deliver(e *datalog.Entry) {
	g.stats.Delivered++
	g.events.Push(event{entry: e})
}

// drain makes the calls that are due, one at a time and in order, without the
// lock. If one runs already, on this goroutine or another, that one's drain goes
// on with them.
func (g *GossipService) drain() {
	for g.callNext() {
	}
}

func (g *GossipService) callNext() bool {
	g.mu.Lock()
	if g.calling || g.events.Len() == 0 {
		g.mu.Unlock()
		return false
	}
	ev, _ := g.events.Pop()
	g.calling = true
	g.mu.Unlock()
	defer func() { // also if the callback panics
		g.mu.Lock()
		defer g.mu.Unlock()
		g.calling = false
		if ev.entry != nil {
			g.log.Release(ev.entry)
		}
	}()
	if ev.entry != nil {
		g.receiver(NodeID(ev.entry.Origin), ev.entry.Payload)
	} else if g.config.OnStateChange != nil {
		g.config.OnStateChange(ev.old, ev.new)
	}
	return true
}
