package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
)

// Config holds the settings of a Node, as the documentation of gossip.Config explains them.
// None has a default, and all are within their ranges.
type Config struct {
	Local     netip.AddrPort // the bound address
	Advertise netip.AddrPort // invalid: Local, or what others see
	Cluster   string
	Zone      string
	Keys      [][]byte

	TickInterval, RetryInterval, AckDelay, OrderedWait time.Duration

	RumorFactor, BroadcastFactor      int
	MaxMessageSize, MaxOutputMessages int
	MaxMembers, DataLogSize           int
	SkipHistory, Ordered              bool
	Records                           bool // Events are to hold records for a log
	Attempts                          Attempts
}

// Attempts tells how many times a message of each Kind is sent at most until it is answered.
type Attempts [Kinds]int

// How many times a message is sent, where that is not a number of attempts.
const (
	NoAnswer      = outbox.NoAnswer      // once; no answer is expected
	UntilAnswered = outbox.UntilAnswered // until its recipient answers or is lost
)

// Kind is what a message is for: its type and, where one type has several uses, its use.
type Kind uint8

// The kinds of message.
const (
	Hello      Kind = iota // to a seed, or with a token
	Verify                 // Hello to a silent member
	Probe                  // Hello to an address where a node may be
	Welcome                // answer to a Hello
	MemberList             // members
	News                   // MemberList of members that are new, or do not answer
	Ack                    // sequence numbers
	Data                   // a payload on its way
	Stray                  // Direct Data to an address where no member is
	Repair                 // Data that was asked for
	Status                 // a full comparison
	Offer                  // Status that offers or requests
	Anycast                // Status that any member may answer
	Leave                  // goodbye

	// Kinds is the number of kinds.
	Kinds
)

// types holds the type of each Kind.
var types = [Kinds]wire.Type{
	Hello: wire.TypeHello, Verify: wire.TypeHello, Probe: wire.TypeHello, Welcome: wire.TypeWelcome, MemberList: wire.TypeMemberList, News: wire.TypeMemberList,
	Ack: wire.TypeAck, Data: wire.TypeData, Stray: wire.TypeData, Repair: wire.TypeData,
	Status: wire.TypeStatus, Offer: wire.TypeStatus, Anycast: wire.TypeStatus, Leave: wire.TypeLeave,
}

// SmallestDatagram returns the least MaxMessageSize of a cluster of that name, with seals or
// without.
func SmallestDatagram(cluster string, sealed bool) int {
	return max(wire.HelloSize(cluster), wire.MaxWelcomeSize) + sealing(sealed)
}

// LargestDatagram is the most that UDP carries.
const LargestDatagram = wire.MaxDatagram

// sealing returns how many bytes of a datagram are reserved for its seal.
func sealing(sealed bool) int {
	if sealed {
		return sealedSize
	}
	return 0
}

// room returns how many bytes of messages a datagram holds, sealed or not.
func (c *Config) room() int { return c.MaxMessageSize - sealing(len(c.Keys) > 0) }

// origins returns the bound of the table of origins. It follows the settings, so that a small node
// stays small.
func (c *Config) origins() int { return max(4*c.MaxMembers, min(c.DataLogSize/16, 8192)) }

// payloadIn returns the longest payload that fits in room bytes of messages.
func payloadIn(room int) int { return min(room-wire.DataSize(wire.FlagArc, 0), 1<<16-1) }

// CheckKeys returns an error that says what is wrong with the keys, nil if they are good.
func CheckKeys(keys [][]byte) error {
	_, err := seal.New(keys, func() uint64 { return 0 })
	return err
}

// limitedBroadcast addresses every node of the link, not one of them.
var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Reachable reports whether a node could be at ap.
func Reachable(ap netip.AddrPort) bool {
	ip := ap.Addr()
	return ap.IsValid() && ap.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != limitedBroadcast
}

// HasRoomForSeals reports whether the node was made with Config.Keys.
func (n *Node) HasRoomForSeals() bool { return n.out.room < n.config.MaxMessageSize }

// MaxPayload returns the length in bytes of the longest payload that Publish takes.
func (n *Node) MaxPayload() int { return payloadIn(n.out.room) }
