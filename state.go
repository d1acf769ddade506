package gossip

import (
	"context"
	"fmt"
	"log/slog"
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
	wire.TypeSealed:     0, // seals are opened before
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

// verbLegal says in which states a verb may be called. In DESTROYED all answer
// ErrClosed, in the others that are not named here ErrState.
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

// heard notes that a member is alive. One that was lost is back.
func (g *GossipService) heard(now time.Duration, in *envelopeIn) {
	m, again := g.roster.Heard(in.from, now)
	if in.member = m; again {
		g.stats.MembersAgain++
		g.inform(slog.LevelInfo, "gossip: member is back", "member", NodeID(m.ID), "address", m.Addr)
		g.upkeep.backAt = now // the net may be whole again: look for the others
		g.upkeep.Probe.By(now)
		g.compareOften(now) // and for what they said
		g.tell(now, m)
		g.connect()
	}
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

// inform queues a record for the Logger, which is called like the other
// callbacks: a handler may ask the node.
func (g *GossipService) inform(level slog.Level, message string, args ...any) {
	if logger := g.config.Logger; logger != nil {
		g.events.Push(event{call: func() { logger.Log(context.Background(), level, message, args...) }})
	}
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
