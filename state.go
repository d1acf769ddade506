package gossip

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
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
)

var verbNames = [...]string{"Join", "Receive", "Send", "Tick", "SendData", "Leave"}

// verbLegal says in which states a verb may be called. In DESTROYED all answer
// ErrClosed, in the others that are not named here ErrState.
var verbLegal = [...]uint8{
	verbJoin:     alive,
	verbReceive:  alive,
	verbSend:     alive,
	verbTick:     alive,
	verbSendData: joining | among,
	verbLeave:    joining | among | left,
}

// heard notes that a member is alive. One that was lost is back.
func (g *GossipService) heard(now time.Duration, in *envelopeIn) {
	m, again := g.roster.Heard(in.from, now)
	if in.member = m; again {
		g.stats.MembersAgain++
		g.inform(slog.LevelInfo, "gossip: member is back", "member", NodeID(m.ID), "address", m.Addr)
		g.upkeep.backAt = now // the net may be whole again: look for the others
		g.upkeep.Probe.By(now)
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
		g.emitPage(now, m.Addr, m.ID, g.roster.Len())
	} else {
		g.emitPage(now, m.Addr, m.ID, exchanged)
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
		g.inform(slog.LevelInfo, "gossip: member found", "member", NodeID(w.From.ID), "address", at)
	}
	if added && newcomer {
		g.introduce(now, m)
	}
	if asked {
		g.greet(now, at, w.Token, g.config.RetryAttempts)
	}
}

// handleMemberList takes hearsay from who is where it seems to be. From anybody
// else it is not acknowledged, to come again when they have met; but if the view
// is full they never will, and then those are asked who would have a place in it.
func (g *GossipService) handleMemberList(now time.Duration, in *envelopeIn, seq uint32, m wire.MemberList) {
	full := in.member == nil && g.roster.Len() >= g.config.MaxMembers
	if !in.proven() {
		g.stats.DropStranger++
		g.prove(now, in)
		if !full {
			return
		}
	}
	g.acknowledge(now, in, seq)
	for x, ok := m.Next(); ok; x, ok = m.Next() {
		if in.member != nil && x.ID == in.member.ID {
			continue
		}
		if !x.Addr.IsValid() {
			x.Addr = in.from // its own entry
		}
		if full {
			if g.roster.Wants(x.ID) && g.roster.ByAddr(x.Addr) == nil && g.usable(x) {
				g.probe(now, x.Addr)
			}
		} else if learned, added := g.learn(now, x); added && m.News {
			g.tell(now, learned)
		}
	}
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
		g.probe(now, x.Addr)
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
		page, left, to := e.page, e.left, e.lane.to
		g.finish(e)
		if left > 0 {
			g.emitPage(now, to, page, left)
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

// lose takes a member that does not answer out of the view.
func (g *GossipService) lose(now time.Duration, m *view.Member) {
	g.stats.MembersLost++
	g.inform(slog.LevelInfo, "gossip: member lost", "member", NodeID(m.ID), "address", m.Addr)
	g.roster.Lose(m, now)
	g.clearLane(now, m.Addr)
	g.alone(now)
}

// alone makes a node without members DISCONNECTED, unless it is a seed on its own.
func (g *GossipService) alone(now time.Duration) {
	if g.roster.Len() == 0 && g.state == StateConnected && !g.founder {
		g.disconnect(now)
	}
}

func (g *GossipService) disconnect(now time.Duration) {
	g.upkeep.round = 0
	g.upkeep.Probe.By(now + min(g.config.TickInterval, time.Second))
	g.setState(StateDisconnected)
}

// connect makes a node that found a member CONNECTED.
func (g *GossipService) connect() {
	if g.state == StateJoining || g.state == StateDisconnected {
		g.setState(StateConnected)
	}
}

// inform queues a record for the Logger, which is called like the other
// callbacks: a handler may ask the node.
func (g *GossipService) inform(level slog.Level, message string, args ...any) {
	if logger := g.config.Logger; logger != nil {
		g.events.Push(event{call: func() { logger.Log(context.Background(), level, message, args...) }})
	}
}

func (g *GossipService) setState(s State) {
	if s == g.state {
		return
	}
	g.inform(slog.LevelInfo, "gossip: state", "old", g.state, "new", s)
	if old, report := g.state, g.config.OnStateChange; report != nil {
		g.events.Push(event{call: func() { report(old, s) }})
	}
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

// event is a callback that is due: of the receiver if there is an entry, else
// call.
type event struct {
	entry *datalog.Entry
	call  func()
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
		if g.events.Len() > 0 && g.waiting.Load() {
			g.socket.Wake() // a Receive that could not make these calls meanwhile
		}
	}()
	if ev.entry != nil {
		g.receiver(NodeID(ev.entry.Origin), ev.entry.Payload)
	} else {
		ev.call()
	}
	return true
}
