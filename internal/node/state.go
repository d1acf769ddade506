package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// State is the state of a node in its cluster. gossip.State draws the ways between them.
type State uint8

// The states of a node.
const (
	Initialized  State = iota // has not joined
	Joining                   // sends Hello to its seeds
	Connected                 // a member, or a seed on its own
	Disconnected              // no member answers
	Left                      // said goodbye
	Destroyed                 // closed

	states
)

var stateNames = [states]string{"INITIALIZED", "JOINING", "CONNECTED", "DISCONNECTED", "DISCONNECTED", "DESTROYED"}

// String returns the state's name in capitals.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}

const (
	joining = 1 << Joining
	joined  = 1<<Connected | 1<<Disconnected
)

// messageLegal tells in which states a message is handled. In the others it is counted and
// dropped. After Leave datagrams are dropped unread.
var messageLegal = [wire.Types]uint8{
	wire.TypeHello:      joining | joined,
	wire.TypeWelcome:    joining | joined,
	wire.TypeMemberList: joined,
	wire.TypeAck:        joining | joined,
	wire.TypeData:       joined,
	wire.TypeStatus:     joined,
	wire.TypeLeave:      joined,
	wire.TypeSealed:     0, // opened before dispatch
}

// self is what a node knows of itself.
type self struct {
	id        uint64
	state     State
	bootstrap bool           // it joined without other seeds
	observed  netip.AddrPort // where others see it
	address   netip.AddrPort // where others reach it, as far as that is known

	counter       uint32 // of its last message
	backlog       backlog
	directCounter uint32 // of its last Direct one
	directDone    versions.Window

	forged  bool          // its id is to be renewed once its messages are settled
	owes    bool          // it had a member, and not all said goodbye
	aloneAt time.Duration // when it joined, or lost its last member
}

// active reports whether the node has maintenance to do: it has joined, and neither left nor
// been closed.
func (s *self) active() bool { return 1<<s.state&(joining|joined) != 0 }

// Event is something for the node's owner to act on: a state change, a record for its log,
// or else a message to deliver. The owner must Release it.
type Event struct {
	Change *Change
	Record *Record
	entry  *datalog.Entry
}

// Change is a change of state.
type Change struct{ Old, New State }

// Record is a record for a log.
type Record struct {
	Level   slog.Level
	Message string
	Args    []any
}

// Origin returns the id of the node that sent the message.
func (e Event) Origin() uint64 { return e.entry.Origin }

// Payload returns the payload of the message, which is valid until Release.
func (e Event) Payload() []byte { return e.entry.Payload }

// Event takes the next event; ok is false if there is none.
func (n *Node) Event() (e Event, ok bool) { return n.events.Pop() }

// Release gives back an Event that was acted on.
func (n *Node) Release(e Event) {
	if e.entry != nil {
		n.history.log.Release(e.entry)
	}
}

// Events returns how many events wait. What one datagram and one Tick add is bounded; the
// owner lets the node handle no more datagrams while too many wait.
func (n *Node) Events() int { return n.events.Len() }

// deliver makes a message an event, and takes over the caller's reference.
func (n *Node) deliver(e *datalog.Entry) {
	n.stats.Delivered++
	n.events.Push(Event{entry: e})
}

// record makes a record an event. Values that may be sensitive are never in it.
func (n *Node) record(level slog.Level, message string, args ...any) {
	if n.config.Records {
		n.events.Push(Event{Record: &Record{level, message, args}})
	}
}

// mostLines bounds the records of members that come and go in a minute.
const mostLines = 256

// recordMember records what became of a member.
func (n *Node) recordMember(message string, id uint64, at netip.AddrPort) {
	switch {
	case !n.config.Records:
	case n.lines.take(at.Addr()):
		n.record(slog.LevelInfo, message, "member", idText(id), "address", at)
	default:
		n.leftOut++
	}
}

// refillLines begins another minute of records, and tells how many of the last were left out.
func (n *Node) refillLines(now time.Duration) {
	if now < n.timers.linesAt {
		return
	}
	n.timers.linesAt = now + time.Minute
	n.lines.refill(mostLines)
	if n.leftOut > 0 {
		n.record(slog.LevelWarn, "gossip: records of members left out", "count", n.leftOut)
		n.leftOut = 0
	}
}

// State returns the node's state.
func (n *Node) State() State { return n.self.state }

// ID returns the node's identity, which Join after Leave changes, and forged numbers do.
func (n *Node) ID() uint64 { return n.self.id }

// Address returns where others reach the node, as far as that is known.
func (n *Node) Address() netip.AddrPort { return n.self.address }

// drawID returns a new id.
func (n *Node) drawID() uint64 { return ring.ID(n.config.Zone, n.rng.Uint64()) }

// me is the node as it names itself. If it knows no address that others could use, they
// use the one they see.
func (n *Node) me() wire.Member {
	m := wire.Member{ID: n.self.id}
	if a := n.config.Advertise; Reachable(a) {
		m.Addr = a
	} else if a := n.config.Local; Reachable(a) {
		m.Addr = a
	}
	return m
}

// observe notes where others see the node.
func (n *Node) observe(at netip.AddrPort) {
	n.self.observed = at
	switch a := n.me().Addr; {
	case a.IsValid():
		n.self.address = a
	case at.IsValid():
		n.self.address = at
	default:
		n.self.address = n.config.Local
	}
}

// isSeed reports whether the node stays connected when it is alone: it joined without other
// seeds, or all of them turned out to be itself.
func (n *Node) isSeed() bool { return n.self.bootstrap || n.peers.members.Seeds() == 0 }

// idText is an id as log records show it.
func idText(id uint64) string { return fmt.Sprintf("%016x", id) }
