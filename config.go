// How a node is configured and made, and what it counts.

package gossip

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"
	"unicode/utf8"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/token"
	"example.com/gossip/internal/transport"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// Config holds the settings of a GossipService. The zero value of each field, and so
// of Config, means the default; New refuses negative numbers. New takes a copy.
type Config struct {
	// Advertise is the address at which other members are told to reach this
	// node, where it differs from the one it is bound to (NAT, containers). It must
	// be the address of a single node, neither a wildcard nor multicast, and have a
	// port. Default: the bound address or, if that is a wildcard, the address that
	// each seed sees the node's datagrams come from.
	Advertise Address

	// Cluster names the cluster, in at most 255 bytes of UTF-8. Nodes of
	// different clusters ignore one another. Default: no name, which is a
	// cluster like any other.
	Cluster string

	// Logger is told of state changes, joins, losses and refusals, never of single
	// messages. The rules for the receiver of New apply to its handler. Default: no
	// logging.
	Logger *slog.Logger

	// OnStateChange is called after each change of state, in order, from the call
	// that caused it or one that runs at the same time. The rules for the receiver
	// of New apply to it.
	OnStateChange func(old, new State)

	// Keys encrypt and authenticate all traffic, with AES-256-GCM. There are at
	// most 8, of 32 bytes each; an empty one stands for clear text. The first seals
	// what is sent; any of them opens what comes in, and what none opens is dropped
	// unanswered. Keys take 36 bytes of each datagram, which reduces MaxPayload, and
	// must be the same throughout the cluster except during a change, see SetKeys.
	// Default: none, everything in clear.
	Keys [][]byte

	// Conn is a socket to use instead of one bound to self, which may then be the
	// zero value. The node closes it, unless New fails. A *net.UDPConn is fast. Any
	// other, and every socket on Windows, is polled with deadlines, so Receive(0) may
	// take a millisecond.
	Conn net.PacketConn

	// Spread is used by SendData when it is given none. Default: Broadcast.
	Spread Spread

	// TickInterval is the pace of upkeep: in each interval members are exchanged
	// once and, while there is news, seen messages are compared RumorFactor times.
	// A shorter one repairs faster and costs more idle traffic. Default: 1 s; 10 ms
	// to 1 h.
	TickInterval time.Duration

	// RetryAttempts is how many times at most a message that needs an
	// acknowledgement is sent. A member that acknowledges none of them is probed
	// twice, with as many attempts each time, and then considered lost. A larger
	// number tolerates more loss, a smaller one notices a crash sooner. Default: 3;
	// 1 to 255.
	RetryAttempts int

	// RetryInterval is the first estimate of how long an acknowledgement takes,
	// used until a round-trip time is known, of the member or else of others.
	// Default: 250 ms; 1 ms to 1 min.
	RetryInterval time.Duration

	// AckDelay is how long an acknowledgement may wait so that many travel in one
	// datagram. The sender's timeout allows for it. Default: 10 ms; at most 1 s. As
	// 0 means the default, use a nanosecond for no delay.
	AckDelay time.Duration

	// RumorFactor is to how many members each node passes on a Random message, how
	// many times it passes on the arrival of a member, and how many comparisons it
	// starts in a TickInterval. Default: 3; 1 to 64.
	RumorFactor int

	// BroadcastFactor is among how many members each node that relays a Broadcast
	// divides its part of the ring. A larger one makes fewer hops and busier nodes.
	// The origin always divides the whole ring among 16. Default: 8; 1 to 64.
	BroadcastFactor int

	// MaxMessageSize is the largest datagram, in bytes without IP and UDP
	// headers, that is sent or accepted; it must be the same throughout the
	// cluster. 1400 suits a LAN and carries many small messages per datagram.
	// Default: 512, which every path on the Internet carries unfragmented; at least
	// 66, or 46 plus the length of Cluster if that is more, and another 36 with Keys;
	// at most 65507.
	MaxMessageSize int

	// MaxOutputMessages bounds each of the two outbound queues, for control and for
	// data, in messages. When the data queue is full SendData returns ErrQueueFull;
	// a full control queue drops its oldest. Default: 1024; 1 to 2^24.
	MaxOutputMessages int

	// MaxMembers bounds the members in the node's view, which include four
	// neighbours on each side of the ring. In a larger cluster a view of about 96 is
	// enough. Four times as many nodes, and at least 8192, may send messages within
	// an hour; those of further nodes are refused and counted in Stats.DropOrigin.
	// Default: 1024; 9 to 2^20.
	MaxMembers int

	// DataLogSize bounds the messages that are retained for others to catch up
	// with, in bytes: their payloads, and 224 bytes for each. The oldest go first. A
	// message is repaired for as long as some peer retains it. Default: 256 KiB; 1 to
	// 2^30.
	DataLogSize int

	// SkipHistory makes a node that joins others skip the messages that they retain:
	// what they have seen by their first comparisons with it, about a second later,
	// counts as received. Messages sent in that second may be skipped too. Where more
	// than about sixty nodes have sent messages, fewer with a small MaxMessageSize,
	// skipping lasts for up to 30 s. By default a node receives what is retained.
	SkipHistory bool

	// Ordered delivers the messages of each origin, except Direct ones, in the order
	// in which they were sent; there is no order between origins. What arrives early
	// waits in the log; if it is evicted meanwhile it is counted in
	// Stats.GaveUpUnseen. By default a message is delivered when it arrives.
	Ordered bool

	// OrderedWait is, with Ordered, how long a missing message holds up later ones
	// before it is given up, which happens one or two TickIntervals after that.
	// Default: 5 s; 1 ms to 1 h.
	OrderedWait time.Duration

	// ReadBuffer is the requested size of the socket's receive buffer, in bytes.
	// Default: that of the operating system; at most 2^30.
	ReadBuffer int
}

// withDefaults checks c and returns it with the defaults filled in.
func (c Config) withDefaults() (Config, error) {
	if len(c.Cluster) > 255 || !utf8.ValidString(c.Cluster) {
		return c, fmt.Errorf("%w: Cluster %.40q is longer than 255 bytes or not UTF-8", ErrConfig, c.Cluster)
	}
	if c.Advertise.IsValid() && !reachable(c.Advertise.ap) {
		return c, fmt.Errorf("%w: Advertise %v is an address that nobody can reach", ErrConfig, c.Advertise)
	}
	if err := c.Spread.check(); err != nil {
		return c, fmt.Errorf("%w: Spread: %w", ErrConfig, err)
	}
	if c.Spread.kind == spreadDefault {
		c.Spread = Broadcast
	}
	if _, err := seal.New(c.Keys, func() uint64 { return 0 }); err != nil {
		return c, fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	smallest := max(wire.HelloSize(c.Cluster), wire.MaxWelcomeSize) + c.sealing()
	for _, f := range []struct {
		name               string
		value              *int
		preset, least, top int
	}{
		{"RetryAttempts", &c.RetryAttempts, 3, 1, 255},
		{"RumorFactor", &c.RumorFactor, 3, 1, 64},
		{"BroadcastFactor", &c.BroadcastFactor, 8, 1, 64},
		{"MaxMessageSize", &c.MaxMessageSize, 512, smallest, wire.MaxDatagram},
		{"MaxOutputMessages", &c.MaxOutputMessages, 1024, 1, 1 << 24},
		{"MaxMembers", &c.MaxMembers, 1024, 9, 1 << 20},
		{"DataLogSize", &c.DataLogSize, 256 << 10, 1, 1 << 30},
		{"ReadBuffer", &c.ReadBuffer, 0, 0, 1 << 30},
	} {
		if *f.value == 0 {
			*f.value = f.preset
		}
		if *f.value < f.least || *f.value > f.top {
			return c, fmt.Errorf("%w: %s %d is not between %d and %d", ErrConfig, f.name, *f.value, f.least, f.top)
		}
	}
	for _, f := range []struct {
		name       string
		value      *time.Duration
		preset     time.Duration
		least, top time.Duration
	}{
		{"TickInterval", &c.TickInterval, time.Second, 10 * time.Millisecond, time.Hour},
		{"RetryInterval", &c.RetryInterval, 250 * time.Millisecond, time.Millisecond, time.Minute},
		{"OrderedWait", &c.OrderedWait, 5 * time.Second, time.Millisecond, time.Hour},
		{"AckDelay", &c.AckDelay, 10 * time.Millisecond, 0, time.Second},
	} {
		if *f.value == 0 {
			*f.value = f.preset
		}
		if *f.value < f.least || *f.value > f.top {
			return c, fmt.Errorf("%w: %s %v is not between %v and %v", ErrConfig, f.name, *f.value, f.least, f.top)
		}
	}
	return c, nil
}

// choose returns the Spread that SendData was given, or the one in c.
func (c *Config) choose(given []Spread) (Spread, error) {
	switch {
	case len(given) > 1:
		return Spread{}, fmt.Errorf("%w: SendData takes one Spread, not %d", ErrConfig, len(given))
	case len(given) == 0 || given[0].kind == spreadDefault:
		return c.Spread, nil
	}
	return given[0], given[0].check()
}

// originsOf returns the bound of the table of origins.
func originsOf(c *Config) int { return max(4*c.MaxMembers, 8192) }

// sealing returns how many bytes of a datagram are reserved for its seal.
func (c *Config) sealing() int {
	if len(c.Keys) > 0 {
		return sealedSize
	}
	return 0
}

// payloadIn returns the longest payload that fits in room bytes of messages.
func payloadIn(room int) int {
	return min(room-wire.DataSize(wire.FlagArc, 0), 1<<16-1)
}

// New makes a node bound to self; with port 0 the system chooses the port. The node has
// not joined a cluster yet.
//
// The receiver is called once with each message that reaches the node, and the ID of
// its origin. The payload is valid until it returns. It is called from Receive or Tick
// (or from Join, Leave or Close, if these run at the same time on another goroutine),
// one call at a time, in the order of arrival and without a lock held; it may call all
// methods except Receive and Run. While it runs the node's loop stands still, and after
// some seconds other nodes consider the node lost until it goes on.
//
// Errors: ErrAddress if self has no IP address; ErrConfig for a setting out of its
// range or a nil receiver; or an error of the operating system.
func New(self Address, receiver func(origin NodeID, payload []byte), config Config) (*GossipService, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if receiver == nil {
		return nil, fmt.Errorf("%w: the receiver is nil", ErrConfig)
	}
	var conn *transport.Conn
	switch {
	case config.Conn != nil:
		conn, err = transport.Wrap(config.Conn, config.ReadBuffer)
	case !self.IsValid():
		return nil, fmt.Errorf("%w: self has no IP address", ErrAddress)
	default:
		conn, err = transport.Listen(self.ap, config.ReadBuffer)
	}
	if err != nil {
		return nil, fmt.Errorf("gossip: no socket: %w", err)
	}
	var seed [32]byte
	crand.Read(seed[:])
	start := time.Now()
	return newService(conn, receiver, config, func() time.Duration { return time.Since(start) }, seed), nil
}

// newService makes a node whose socket, time and randomness are given.
func newService(s socket, receiver func(NodeID, []byte), config Config, clock func() time.Duration, seed [32]byte) *GossipService {
	g := &GossipService{
		config: config, receiver: receiver, socket: s, clock: clock,
		incoming: make([]byte, config.MaxMessageSize+1), outgoing: make([]byte, sealedFront+config.MaxMessageSize),
		cluster: []byte(config.Cluster), room: config.MaxMessageSize - config.sealing(),
		rng: rand.New(rand.NewChaCha8(seed)),
	}
	g.errFull = fmt.Errorf("%w: MaxOutputMessages is %d", ErrQueueFull, config.MaxOutputMessages)
	var secret [32]byte
	for i := range 4 {
		binary.BigEndian.PutUint64(secret[8*i:], g.rng.Uint64())
	}
	g.tokens = token.NewMaker(secret)
	g.roster = view.NewRoster(0, config.MaxMembers, config.RumorFactor)
	g.origins = versions.NewTable(originsOf(&g.config))
	g.log = datalog.New(config.DataLogSize)
	g.repair = repair.NewDesk(g.log, g.origins)
	g.tag = wire.ClusterTag(config.Cluster)
	g.outbox = outbox.New(outbox.Config{
		Limit: config.MaxOutputMessages, Room: config.MaxMessageSize, Tag: g.tag, AckDelay: config.AckDelay,
	}, g.log, g.rng)
	g.useKeys(config.Keys) // checked by withDefaults
	g.config.Keys = nil
	g.newIdentity()
	return g
}

// newIdentity gives the node a new identity, without a past.
func (g *GossipService) newIdentity() {
	g.id = NodeID(g.rng.Uint64() | 1)
	g.counter, g.directCounter, g.saidAlone, g.left, g.founder = 0, 0, versions.Run{}, false, false
	g.directDone.Reset(0, g.origins.Pool())
	g.roster.Reset(uint64(g.id))
	g.origins.Keep(uint64(g.id))
	g.upkeep = upkeep{
		probes: mostProbes, newsAt: -newsLasts, grewAt: -growing, backAt: -healing,
		// The age of gaps is counted by these, and known origins outlive the identity.
		awake: g.upkeep.awake, lookedAt: g.upkeep.lookedAt,
	}
	g.upkeep.Start(g.now(), g.config.TickInterval, g.rng)
}

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
	DropMalformed   uint64 // truncated or invalid
	DropUnknownType uint64 // of a message type that this version does not know
	DropTag         uint64 // of another cluster, by the tag in the header
	DropSealed      uint64 // sealed, and not opened by any of Keys
	DropClear       uint64 // in clear, which Keys do not accept
	DropLeft        uint64 // arrived after Leave

	// Messages dropped on arrival.
	DropCluster   uint64 // Hello of another cluster, by name
	DropIllegal   uint64 // not legal in the state the node was in
	DropAck       uint64 // sequence numbers acknowledged that nothing waits for, or by the wrong sender
	DropWelcome   uint64 // Welcome that answers no Hello
	DropLeave     uint64 // Leave of a member that it did not come from
	DropMember    uint64 // hearsay not taken: own, unusable, lost or gone within 60 s, or no place in a full view
	DropStranger  uint64 // MemberList of a node that has not proved its address
	DropRecipient uint64 // Direct messages for another node
	DropOrigin    uint64 // Data of a new origin when the table, or for unproven sources half of it, is full
	DropAhead     uint64 // Data far ahead of its origin's known messages, from an unproven source

	// Output not made.
	DropAmplify   uint64 // answers that would exceed three times what an unproven source sent
	DropRelay     uint64 // copies not queued: no room, or the member silent or not proven; or too large to seal after SetKeys
	DropControl   uint64 // control messages and acknowledgements refused or displaced, in a full queue or share
	DropPush      uint64 // repairs left for later: beyond the bytes, or page, for one datagram, half of the queue, or a share of it
	GivenUp       uint64 // messages, Hellos among them, unanswered after the last attempt
	GaveUpUnseen  uint64 // messages of others given up because nobody retains them, or too many followed
	SendErrors    uint64 // errors of the operating system on sending
	ReceiveErrors uint64 // and on receiving

	MembersLost  uint64 // members considered lost
	MembersAgain uint64 // lost members that were heard again

	Members, Lost        int // in the view; lost and probed
	QueuedControl        int // control messages waiting to be sent or answered
	QueuedData           int // the same of data, including what was sent before the first member was found
	Origins              int // nodes whose messages are known
	Retained             int // messages in the log
	RetainedBytes        int
	AcksPending, Arrived int // acknowledgements to send; calls of the receiver and other callbacks to make
}

// Stats returns the counts so far.
func (g *GossipService) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, out := g.stats, g.outbox.Stats()
	s.MessagesOut, s.Retries, s.DropControl = out.Messages, out.Retries, out.Dropped
	s.Members, s.Lost = g.roster.Len(), g.roster.Lost()
	s.QueuedControl, s.QueuedData = out.Control, out.Data+g.unspread()
	s.Origins, s.Retained, s.RetainedBytes, s.Evicted = g.origins.Len(), g.log.Len(), g.log.Bytes(), g.log.Evicted()+g.log.Refused()
	s.AcksPending, s.Arrived = out.Acks, g.events.Len()
	return s
}
