// The states of a node and what is legal in each, the handlers of messages that change
// members, and the callbacks.

package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// State is the state of a node in its cluster.
//
//	     .------- Join as a seed itself, from any ----.
//	     |                                             v
//	INITIALIZED --Join--> JOINING --a seed answers--> CONNECTED
//	     |                   |                         |    ^
//	     |               none answers,     Leave, or the    a seed or a lost
//	     |               or Leave          last member      member is heard;
//	     |                   v             leaves or is     Join after Leave
//	     |               DISCONNECTED <----silent------+    goes by JOINING
//	     |                   |  |                           |
//	     |                   |  '---------------------------'
//	     '---Close, from any of them---> DESTROYED
type State uint8

// The states of a node.
const (
	StateInitialized  State = iota // made by New; has not joined
	StateJoining                   // sends Hello to its seeds
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

// column is a State as an index into the tables below, with one more for a node that is
// DISCONNECTED because of Leave.
type column uint8

const (
	columnLeft   = column(StateDestroyed) + 1
	initialized  = 1 << StateInitialized
	joining      = 1 << StateJoining
	connected    = 1 << StateConnected
	disconnected = 1 << StateDisconnected
	left         = 1 << columnLeft
	alive        = initialized | joining | connected | disconnected | left
	among        = connected | disconnected
)

// messageLegal tells in which states a message is handled. In the others it is counted and
// dropped. After Leave datagrams are dropped unread.
var messageLegal = [...]uint8{
	wire.TypeHello:      joining | among,
	wire.TypeWelcome:    joining | among,
	wire.TypeMemberList: among,
	wire.TypeAck:        joining | among,
	wire.TypeData:       among,
	wire.TypeStatus:     among,
	wire.TypeLeave:      among,
	wire.TypeSealed:     0, // opened before dispatch
}

type verb uint8

const (
	verbJoin verb = iota
	verbReceive
	verbSend
	verbTick
	verbSendData
	verbLeave
	verbSetKeys
)

var verbNames = [...]string{"Join", "Receive", "Send", "Tick", "SendData", "Leave", "SetKeys"}

// verbLegal tells in which states a verb may be called. In DESTROYED all return ErrClosed,
// in other states not listed here ErrState.
var verbLegal = [...]uint8{
	verbJoin:     alive,
	verbReceive:  alive,
	verbSend:     alive,
	verbTick:     alive,
	verbSendData: joining | among,
	verbLeave:    joining | among | left,
	verbSetKeys:  alive,
}

func (g *GossipService) column() column {
	if g.left && g.state != StateDestroyed {
		return columnLeft
	}
	return column(g.state)
}

// checkVerb returns nil if the verb may be called now, or else its error.
func (g *GossipService) checkVerb(v verb) error {
	switch {
	case g.state == StateDestroyed:
		return fmt.Errorf("%w: %s", ErrClosed, verbNames[v])
	case verbLegal[v]&(1<<g.column()) == 0:
		when := g.state.String()
		if g.left {
			when += ", after Leave"
		}
		return fmt.Errorf("%w: %s in %s", ErrState, verbNames[v], when)
	}
	return nil
}

// State returns the node's state.
func (g *GossipService) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// lose removes a member that does not answer from the view.
func (g *GossipService) lose(now time.Duration, m *view.Member) {
	g.stats.MembersLost++
	g.inform(slog.LevelInfo, "gossip: member lost", "member", NodeID(m.ID), "address", m.Addr)
	g.roster.Lose(m, now)
	g.clearLane(now, m.Addr)
	g.disconnectIfAlone(now)
}

// isSeed reports whether the node stays connected when it is alone: it joined without other
// seeds, or all of them turned out to be itself.
func (g *GossipService) isSeed() bool { return g.founder || g.roster.Seeds() == 0 }

// disconnectIfAlone makes a node without members DISCONNECTED, unless it is a seed itself.
func (g *GossipService) disconnectIfAlone(now time.Duration) {
	if g.roster.Len() == 0 && g.state == StateConnected && !g.isSeed() {
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

func (g *GossipService) setState(s State) {
	if s == g.state {
		return
	}
	g.inform(slog.LevelInfo, "gossip: state", "old", g.state, "new", s)
	if old, report := g.state, g.config.OnStateChange; report != nil {
		g.events.Push(event{call: func() { report(old, s) }})
	}
	g.state = s
	if s == StateConnected { // until then no member could tell what is history
		g.repair.Joined(g.now(), skipsFor)
	}
}

// handleHello answers a Hello without a valid token with a token, for which it keeps no
// state. A valid token proves the source, and the node becomes a member.
func (g *GossipService) handleHello(now time.Duration, in *envelopeIn, seq uint32, m wire.Hello) {
	if string(m.Cluster) != g.config.Cluster {
		g.stats.DropCluster++
		g.warnOfCluster(now, in.from, m.Cluster)
		return
	}
	if m.From.ID == uint64(g.id) {
		g.handleOwnHello(now, seq)
		return
	}
	known := g.roster.Get(m.From.ID)
	if !g.tokens.Valid(m.Token, in.from, now) {
		if known != nil && in.member != nil && in.member != known {
			g.probe(in.from) // it replaced that member: its host may have two addresses
		}
		w := wire.Welcome{Hello: seq, Token: g.tokens.Make(in.from, now), From: g.me(), Observed: in.from}
		g.body = w.AppendTo(g.body[:0])
		g.emit(in.from, wire.TypeWelcome, outbox.NoAnswer)
		return
	}
	in.proved = true
	g.acknowledge(now, in, seq)
	if at := m.From.Addr; reachable(at) && at != in.from {
		g.claim(m.From.ID, at)
	} else if known != nil && known.Proven && known.Addr != in.from {
		if now-known.Heard > g.config.TickInterval/2 {
			g.probe(known.Addr) // it moved, or this is a lie: see who is there
		}
	} else {
		g.admit(now, in, m.From.ID)
	}
}

// handleOwnHello handles a Hello of the node itself: one of its seeds is the node, or
// somebody reflects its datagrams, which takes no key.
func (g *GossipService) handleOwnHello(now time.Duration, seq uint32) {
	e := g.outbox.Find(seq)
	if e == nil || e.Kind != wire.TypeHello {
		g.stats.DropMember++
		return
	}
	at := e.To()
	g.outbox.Drop(e)
	g.observed = at
	if m := g.roster.ByAddr(at); m != nil { // others told the node of itself
		g.roster.Depart(m, now)
		g.clearLane(now, at)
	}
	g.roster.Echo(at, now)
	if g.isSeed() {
		g.connect()
	}
	g.disconnectIfAlone(now)
}

// handleWelcome makes a member of a node that answered a Hello. If the Hello asked for a
// token, another one with the token follows.
func (g *GossipService) handleWelcome(now time.Duration, in *envelopeIn, w wire.Welcome) {
	e := g.outbox.Find(w.Hello)
	if e == nil || e.Kind != wire.TypeHello || w.From.ID == uint64(g.id) {
		g.stats.DropWelcome++
		return
	}
	at, asked, newcomer := e.To(), wire.AsksForToken(e.Body), e.Newcomer
	in.proved = in.from == at // it names a Hello that was sent there; another source is not proved by that
	if m := g.roster.Get(w.From.ID); m != nil && m.Proven && m.Addr != at && !m.Says(at) {
		// A node with two addresses, one that moved, or a liar: the member stays where
		// it is until it is lost there, or has itself given this address.
		g.outbox.Drop(e)
		if old := g.roster.ByAddr(at); old != nil && old.Addr == at { // it is no longer there
			g.roster.Depart(old, now)
			g.clearLane(now, at)
		}
		g.roster.Answered(at, m.ID, now)
		m.Answers(at)
		g.probe(m.Addr)
		return
	}
	m, added := g.roster.Admit(w.From.ID, at, now)
	if in.member = m; m != nil {
		m.Proven = true
		m.Said(w.From.Addr)
		g.roster.SendsFrom(m, in.from)
		if other := g.roster.ByAddr(in.from); other != nil && other != m {
			g.probe(in.from) // a former life of m may be listed there
		}
		if e.Attempts > 1 { // a probe may have been held up until the path was open again
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

// handleMemberList takes hearsay from a proven source. A list from any other source is not
// acknowledged, so that it comes again once the source is proven. But a full view may never
// admit a stranger: then the list is acknowledged, and those members on it that would have a
// place in the view are probed. A full view takes at most mostNewMembers from one list,
// because each costs a search for a member to evict.
func (g *GossipService) handleMemberList(now time.Duration, in *envelopeIn, seq uint32, m wire.MemberList) {
	shutOut := in.member == nil && g.roster.Len() >= g.config.MaxMembers
	if !in.proven() {
		g.stats.DropStranger++
		g.challenge(in)
		if !shutOut {
			return
		}
	}
	if e := g.outbox.Find(seq); e != nil && e.To() == in.from {
		g.probe(in.from) // the node sent the list to itself, at another of its addresses, as the Hello will show
		return
	}
	g.acknowledge(now, in, seq)
	left := mostNewMembers
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
		if shutOut {
			if g.roster.Wants(x.ID) && g.roster.ByAddr(x.Addr) == nil && g.usable(x) && g.affordProbe(in, x.Addr) {
				g.probe(x.Addr)
			}
		} else if learned, added := g.learn(now, x); added && m.News {
			g.tell(now, learned)
		}
	}
}

// handleLeave removes a member from the view at its own request.
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
	g.disconnectIfAlone(now)
}

// inform queues a record for the Logger, which is called like the other callbacks, so that
// its handler may call the node.
func (g *GossipService) inform(level slog.Level, message string, args ...any) {
	if logger := g.config.Logger; logger != nil {
		g.events.Push(event{call: func() { logger.Log(context.Background(), level, message, args...) }})
	}
}

// event is a callback that is due: of the receiver if there is an entry, or else call.
type event struct {
	entry *datalog.Entry
	call  func()
}

// deliver queues a message for the receiver, and takes over the caller's reference.
func (g *GossipService) deliver(e *datalog.Entry) {
	g.stats.Delivered++
	g.events.Push(event{entry: e})
}

// drain makes the calls that are due, one at a time and in order, without the lock. If one
// is running already, on this goroutine or another, its drain makes the rest.
func (g *GossipService) drain() {
	for g.callNext() {
	}
}

// unlock releases the lock and makes the calls that became due.
func (g *GossipService) unlock() {
	g.mu.Unlock()
	g.drain()
}

// callNext makes the next call that is due, and reports whether it made one.
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
			g.socket.Wake() // wake a Receive that could not make these calls meanwhile
		}
	}()
	if ev.entry != nil {
		g.receiver(NodeID(ev.entry.Origin), ev.entry.Payload)
	} else {
		ev.call()
	}
	return true
}
