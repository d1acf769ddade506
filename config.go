package gossip

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
	"unicode/utf8"

	"example.com/gossip/internal/node"
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

	// Zone names the region, rack or availability zone of the node, in at most 255 bytes of
	// UTF-8; it need not be known before. Nodes that give the same name are near one another,
	// and far from others: a Broadcast crosses to another zone once or twice, whatever the number
	// of nodes there, and repair mostly stays in the zone. It pays off where round trips between
	// zones are longer by 10 ms or more, or their bytes are charged for. Nodes with and without
	// a Zone may mix; a wrong one makes messages later and dearer, never lost. Default: none.
	Zone string

	// Logger is told of state changes, joins and losses and, once a minute at most for each
	// kind, of likely mistakes in settings, with the address and what to check; never of
	// single messages. The rules for the receiver of New apply to its handler. Default: no
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

	// Conn is a socket to use instead of one bound to self, which is then ignored. The
	// node closes it, unless New fails. A *net.UDPConn is fast. Any other, and every
	// socket on Windows, is polled with deadlines, so Receive(0) may take a millisecond.
	// It must take datagrams from and to *net.UDPAddr. SetReadDeadline on another goroutine must
	// end a ReadFrom that waits, with os.ErrDeadlineExceeded; Close must end ReadFrom and WriteTo;
	// SetWriteDeadline, where it works, bounds a WriteTo. examples/memnet has one.
	Conn net.PacketConn

	// Spread is used by SendData when it is given none. Default: Broadcast.
	Spread Spread

	// TickInterval is the pace of maintenance: in each interval members are exchanged
	// once and, while there is news, seen messages are compared RumorFactor times.
	// A shorter one repairs faster and costs more idle traffic. Default: 1 s; 10 ms
	// to 1 h.
	TickInterval time.Duration

	// RetryAttempts is how many times at most a message about members, or a Direct one to
	// an address where no member is known, is sent. Data to a member is sent until it is
	// acknowledged or the member is lost: a silent member is sent a Hello eight times, in
	// about 3 s. Default: 3; 1 to 255.
	RetryAttempts int

	// RetryInterval is the first estimate of how long an acknowledgement takes,
	// used until a round-trip time is known, of the member or else of others.
	// Default: 250 ms; 1 ms to 1 min.
	RetryInterval time.Duration

	// AckDelay is how long this node may keep an acknowledgement, so that many travel in one
	// datagram. Delivery and relaying do not wait for it. Other nodes feel it: they measure longer
	// round trips, send a lost message again later, and wait longer in WaitForAcks. Default:
	// 10 ms; at most 1 s. As 0 means the default, use a nanosecond for no delay.
	AckDelay time.Duration

	// RumorFactor is to how many members each node passes on a Random message, how
	// many times it passes on the arrival of a member, and how many comparisons it
	// starts in a TickInterval. Default: 3; 1 to 64.
	RumorFactor int

	// BroadcastFactor is the fanout of a Broadcast: among how many members each node that
	// relays it divides its part of the ring. A larger one makes fewer hops and busier nodes:
	// among 1000 nodes, from 8 to 16, the last one has a message after 43 ms instead of 54, and
	// the busiest sends 18 datagrams instead of 17. The origin always divides the whole ring
	// among 16. Default: 16; 1 to 64.
	BroadcastFactor int

	// MaxMessageSize is the largest datagram, in bytes without IP and UDP
	// headers, that is sent or accepted. 1400 suits a LAN and carries many small messages per
	// datagram. It should be the same throughout the cluster: a payload that does not fit in
	// that of a member is never sent to it, which is counted in Stats.DropRelay and warned of;
	// a Direct one is refused with ErrTooLarge.
	// Default: 512, which every path on the Internet carries unfragmented; at least
	// 68, or 48 plus the length of Cluster if that is more, and another 36 with Keys;
	// at most 65507.
	MaxMessageSize int

	// MaxOutputMessages bounds, in messages, the control messages queued and the copies of
	// the node's own messages that were never sent, of which one recipient has at most a
	// quarter; SendData returns ErrQueueFull beyond. 4 KiB for each, so 4 MiB by default,
	// bound the memory of the node's own copies on their way, and as many that of those
	// relayed. Default: 1024; 1 to 2^24.
	MaxOutputMessages int

	// MaxMembers bounds the members in the node's view, which include four
	// neighbours on each side of the ring. In a larger cluster a view of about 96 is
	// enough. Within an hour, messages of at most max(4 × MaxMembers, min(DataLogSize/16,
	// 8192)) nodes are taken; those of others are dropped and counted in Stats.DropOrigin.
	// Default: 1024; 9 to 2^20.
	MaxMembers int

	// DataLogSize bounds the messages that are retained for others to catch up
	// with, in bytes: their payloads, and 224 bytes for each. The oldest go first. A
	// message is repaired for as long as some peer retains it. Default: 256 KiB; 1 to
	// 2^30.
	DataLogSize int

	// SkipHistory makes a node that joins others skip the messages that they retain.
	// About a second after joining, the node takes what its peers have seen as
	// received. Messages sent in that second may be skipped too. Where more than about
	// sixty nodes have sent messages, fewer with a small MaxMessageSize, skipping lasts
	// for up to 30 s. By default a node receives what is retained.
	SkipHistory bool

	// Ordered delivers the messages of each origin, except Direct ones, in the order
	// in which they were sent; there is no order between origins. What arrives early
	// waits, in 4 KiB × MaxOutputMessages at most; beyond that its sender waits. By default
	// a message is delivered when it arrives.
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
	if len(c.Zone) > 255 || !utf8.ValidString(c.Zone) {
		return c, fmt.Errorf("%w: Zone %.40q is longer than 255 bytes or not UTF-8", ErrConfig, c.Zone)
	}
	if c.Advertise.IsValid() && !node.Reachable(c.Advertise.ap) {
		return c, fmt.Errorf("%w: Advertise %q %s", ErrConfig, c.Advertise, c.Advertise.unreachable())
	}
	if err := c.Spread.check(); err != nil {
		return c, fmt.Errorf("%w: Spread: %w", ErrConfig, err)
	}
	if !c.Spread.chosen {
		c.Spread = Broadcast
	}
	if err := node.CheckKeys(c.Keys); err != nil {
		return c, fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	smallest := node.SmallestDatagram(c.Cluster, len(c.Keys) > 0)
	for _, err := range []error{
		bound("RetryAttempts", &c.RetryAttempts, 3, 1, 255),
		bound("RumorFactor", &c.RumorFactor, 3, 1, 64),
		bound("BroadcastFactor", &c.BroadcastFactor, 16, 1, 64),
		bound("MaxMessageSize", &c.MaxMessageSize, 512, smallest, node.LargestDatagram),
		bound("MaxOutputMessages", &c.MaxOutputMessages, 1024, 1, 1<<24),
		bound("MaxMembers", &c.MaxMembers, 1024, 9, 1<<20),
		bound("DataLogSize", &c.DataLogSize, 256<<10, 1, 1<<30),
		bound("ReadBuffer", &c.ReadBuffer, 0, 0, 1<<30),
		bound("TickInterval", &c.TickInterval, time.Second, 10*time.Millisecond, time.Hour),
		bound("RetryInterval", &c.RetryInterval, 250*time.Millisecond, time.Millisecond, time.Minute),
		bound("OrderedWait", &c.OrderedWait, 5*time.Second, time.Millisecond, time.Hour),
		bound("AckDelay", &c.AckDelay, 10*time.Millisecond, 0, time.Second),
	} {
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// bound gives a setting that is 0 its default, and returns an error if it is out of its range.
func bound[T int | time.Duration](name string, value *T, preset, least, top T) error {
	if *value == 0 {
		*value = preset
	}
	if *value < least || *value > top {
		return fmt.Errorf("%w: %s %v is not between %v and %v", ErrConfig, name, *value, least, top)
	}
	return nil
}

// SetKeys replaces Config.Keys while the node runs, for what is sent and handled
// from then on. A cluster changes its keys in three steps, each done at all nodes
// before the next begins, and loses no message:
//
//	replace key a by b   introduce key k
//	{a}                  {nil}             before
//	{a, b}               {nil, k}          all can open it
//	{b, a}               {k, nil}          all seal with it
//	{b}                  {k}               all drop the old one
//
// Replace a key before it has been put first 92,000 times, by New or SetKeys at any
// node: each time the random part of the nonces of the next 2^32 datagrams is drawn,
// and up to that number the chance that two are the same is below 1 in 2^32.
//
// Errors: ErrConfig for invalid keys or none, or if the node was made without
// Config.Keys and so has no room for seals ({nil} reserves it); ErrClosed.
func (g *GossipService) SetKeys(keys ...[]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check("SetKeys", alive); err != nil {
		return err
	}
	switch {
	case !g.node.HasRoomForSeals():
		return fmt.Errorf("%w: SetKeys of a node that was made without Keys", ErrConfig)
	case len(keys) == 0: // a list that came out empty must not open the cluster to everyone
		return fmt.Errorf("%w: SetKeys of no key: nil is the key that stands for clear text", ErrConfig)
	}
	if err := g.node.SetKeys(keys, g.random()); err != nil {
		return fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	return nil
}

// node returns the settings of the node behind a socket with that address.
func (c *Config) node(local netip.AddrPort) node.Config {
	return node.Config{
		Local: local, Advertise: c.Advertise.ap, Cluster: c.Cluster, Zone: c.Zone, Keys: c.Keys,
		TickInterval: c.TickInterval, RetryInterval: c.RetryInterval, AckDelay: c.AckDelay, OrderedWait: c.OrderedWait,
		RumorFactor: c.RumorFactor, BroadcastFactor: c.BroadcastFactor,
		MaxMessageSize: c.MaxMessageSize, MaxOutputMessages: c.MaxOutputMessages,
		MaxMembers: c.MaxMembers, DataLogSize: c.DataLogSize,
		SkipHistory: c.SkipHistory, Ordered: c.Ordered,
		Records: c.Logger != nil, Attempts: c.attempts(),
	}
}
