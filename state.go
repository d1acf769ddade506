// The states of a node, which verb is legal when, and what a node reports about itself.

package gossip

import (
	"cmp"
	"fmt"
	"time"

	"example.com/gossip/internal/node"
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

// String returns the state's name in capitals.
func (s State) String() string {
	for known, public := range publicStates {
		if public == s {
			return node.State(known).String()
		}
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// publicStates holds the State that callers see for each state of the node.
var publicStates = [...]State{
	node.Initialized:  StateInitialized,
	node.Joining:      StateJoining,
	node.Connected:    StateConnected,
	node.Disconnected: StateDisconnected,
	node.Left:         StateDisconnected,
	node.Destroyed:    StateDestroyed,
}

// The states of the node in which a method may be called, as sets.
const (
	started = 1<<node.Joining | 1<<node.Connected | 1<<node.Disconnected
	alive   = 1<<node.Initialized | started | 1<<node.Left
)

// check returns nil if a method that is legal in some states may be called now, or else its
// error: ErrClosed in DESTROYED, ErrState in the others.
func (g *GossipService) check(method string, legal uint8) error {
	if g.node == nil {
		return fmt.Errorf("%w: %s of a GossipService that New did not make", ErrState, method)
	}
	switch state := g.node.State(); {
	case state == node.Destroyed:
		return fmt.Errorf("%w: %s", ErrClosed, method)
	case legal&(1<<state) != 0:
		return nil
	case state == node.Left:
		return fmt.Errorf("%w: %s in %v, after Leave: call Join, which makes a new node", ErrState, method, state)
	default:
		return fmt.Errorf("%w: %s in %v: call Join first", ErrState, method, state)
	}
}

// read returns what f tells of the node, zero if New did not make the service.
func read[T any](g *GossipService, f func(*node.Node) T) (value T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.node != nil {
		value = f(g.node)
	}
	return value
}

// String returns the node's ID, address and state, such as
// "18fb7ba5772079bb at 192.0.2.1:7070, CONNECTED"; "no node" for the zero value.
func (g *GossipService) String() string {
	return cmp.Or(read(g, func(n *node.Node) string {
		return fmt.Sprintf("%v at %v, %v", NodeID(n.ID()), addressOf(n.Address()), n.State())
	}), "no node")
}

// State returns the node's state.
func (g *GossipService) State() State {
	return read(g, func(n *node.Node) State { return publicStates[n.State()] })
}

// ID returns the node's identity. Join after Leave changes it, and so does the node itself when
// another one has sent messages in its name with numbers that it cannot reach.
func (g *GossipService) ID() NodeID {
	return read(g, func(n *node.Node) NodeID { return NodeID(n.ID()) })
}

// Address returns the address at which others reach the node: Config.Advertise, or the bound
// address, or, if that is a wildcard, the one that a seed saw, or else the wildcard.
func (g *GossipService) Address() Address {
	return read(g, func(n *node.Node) Address { return addressOf(n.Address()) })
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
	return read(g, func(n *node.Node) []Member {
		members := make([]Member, n.Members())
		for i := range members {
			members[i] = publicMember(n.Member(i))
		}
		return members
	})
}

// Member returns the member with an ID, such as the origin of a message. In a large cluster the
// view does not hold every node.
func (g *GossipService) Member(id NodeID) (m Member, ok bool) {
	m = read(g, func(n *node.Node) Member {
		found, _ := n.Find(uint64(id))
		return publicMember(found)
	})
	return m, m.ID != 0
}

func publicMember(m node.Member) Member { return Member{NodeID(m.ID), addressOf(m.Addr), m.RTT} }

// Stats counts what a node has done and refused since New. Counters only grow; the
// last group holds current values.
type Stats struct {
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64 // without IP and UDP headers
	MessagesIn, MessagesOut   uint64 // several travel in one datagram
	Retries                   uint64 // messages sent again

	Sent      uint64 // messages accepted by SendData
	Delivered uint64 // messages given to the receiver
	Repaired  uint64 // of these, received by repair rather than by their spread
	Duplicate uint64 // copies of messages that were already here, or are the node's own
	Relayed   uint64 // copies passed on for others
	Evicted   uint64 // messages evicted from the log to make room, or too large or old to enter it

	// Datagrams, or the rest of them, dropped on arrival.
	DropOversize    uint64 // longer than MaxMessageSize, or Data longer than could be passed on
	DropMalformed   uint64 // truncated or invalid, or from where no node can be
	DropUnknownType uint64 // of a message type that this version does not know
	DropTag         uint64 // of another cluster, by the tag in the header
	DropSealed      uint64 // sealed, and not opened by any of Keys, or for another node or a former life
	DropClear       uint64 // in clear, which Keys do not accept
	DropLeft        uint64 // arrived after Leave

	// Messages dropped on arrival.
	DropCluster   uint64 // Hello of another cluster, by name
	DropIllegal   uint64 // not legal in the state the node was in
	DropAck       uint64 // sequence numbers acknowledged that nothing waits for, by the wrong sender, or too many in a datagram
	DropWelcome   uint64 // Welcome that answers no Hello, or too many in a datagram
	DropLeave     uint64 // Leave of a member that it did not come from
	DropMember    uint64 // members in a list not taken: the node itself, unusable, said goodbye, did not answer when asked, or no place in a full view; and Hellos beyond 3 in a datagram
	DropStranger  uint64 // MemberList, or Status to compare with, from an unvalidated source; Direct Data of a member, from elsewhere
	DropRecipient uint64 // Direct messages for another node
	DropOrigin    uint64 // Data of a new origin when the table, or for unvalidated sources half of it, is full
	DropAhead     uint64 // Data far ahead of its origin's known messages, from an unvalidated source
	DropForged    uint64 // Data in this node's own name, with a number far beyond its last

	// Output not made.
	DropAmplify   uint64 // answers that would exceed three times what an unvalidated source sent
	DropRelay     uint64 // copies not sent: the member acknowledges none, or has a smaller MaxMessageSize; too large to seal after SetKeys; or no room to stand by for another node
	DropBusy      uint64 // Data refused for want of room to pass it on; it is sent again
	DropControl   uint64 // control messages and acknowledgements refused or displaced, in a full queue or share
	DropPush      uint64 // repairs postponed because a limit was reached: 16 KiB, 96 messages or one page per datagram, half of the queue, a quarter of it per member
	GivenUp       uint64 // messages, Hellos among them, unanswered after the last attempt
	Unheard       uint64 // own messages given up because the node was without members for too long
	GaveUpUnseen  uint64 // messages of others given up because nobody retains them, or too many followed
	SendErrors    uint64 // errors of the operating system on sending
	ReceiveErrors uint64 // and on receiving

	MembersLost  uint64 // members considered lost; one that said goodbye is not
	MembersAgain uint64 // lost members that sent a datagram again

	Members, Lost        int    // in the view; lost within an hour, and looked for
	QueuedControl        int    // control messages waiting to be sent or answered
	QueuedData           int    // the same of data, including what was sent before the first member was found
	Origins              int    // nodes whose messages are known
	HistoryMissed        uint64 // messages sent before the node was connected that it does not have, as far as they are known of
	Retained             int    // messages in the log
	RetainedBytes        int
	AcksPending, Arrived int // acknowledgements to send; calls of the receiver and other callbacks to make
}

// Stats returns the counts so far.
func (g *GossipService) Stats() Stats {
	return read(g, func(n *node.Node) Stats {
		s := Stats(n.Stats())
		s.SendErrors, s.ReceiveErrors = g.out.errors.Load(), g.in.errors.Load()
		return s
	})
}
