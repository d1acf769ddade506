package gossip

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/token"
	"example.com/gossip/internal/transport"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// socket is what a node sends and receives by: an internal/transport.Conn, or a
// simulated one.
type socket interface {
	Receive(b []byte, maxWait time.Duration) (n int, from netip.AddrPort, err error)
	Send(b []byte, to netip.AddrPort) error
	Wake()
	LocalAddr() netip.AddrPort
	SyscallConn() (syscall.RawConn, error)
	Close() error
}

// GossipService is one node of a cluster. It is made by New. All its methods may
// be called from any goroutine, and those that say so also from inside a callback;
// none starts a goroutine.
type GossipService struct {
	config   Config
	receiver func(origin NodeID, payload []byte)
	socket   socket
	bound    netip.AddrPort
	clock    func() time.Duration // since the node was made
	tokens   *token.Maker

	receiving sync.Mutex // held by the one Receive
	waiting   atomic.Bool
	arrived   []byte     // for the one Receive
	sending   sync.Mutex // held by the one Send
	leaving   []byte     // for the one Send; messages begin at sealedFront

	mu       sync.Mutex // guards all below; never held while waiting or in a callback
	rng      *rand.Rand
	last     time.Duration
	id       NodeID
	state    State
	left     bool           // of its own will
	founder  bool           // a seed on its own stays connected
	observed netip.AddrPort // where others see this node
	counter  uint32         // of the node's last message
	direct   versions.Window
	directs  uint32 // counter of the last Direct one
	stats    Stats
	rtt      view.RTT // of all members together, for one that is not known yet

	roster  *view.Roster
	origins *versions.Table
	log     *datalog.Log
	repair  *repair.Desk
	outbox  *outbox.Outbox
	upkeep  upkeep
	events  fifo.Queue[event] // at most mostEvents, what one Receive adds, and changes of state
	calling bool              // a callback runs

	in        envelopeIn // being handled; with no source, none is
	warnAt    time.Duration
	newsAt    time.Duration // when a message was last new here, or there
	lookedAt  time.Duration // when gaps were last looked at
	awake     time.Duration // time in which the loop turned: a gap ages by this
	unheard   uint32        // first of the messages that were said before the cluster was found; 0: none
	body      []byte        // space to work in, as are the following
	members   []*view.Member
	delegates []view.Delegate
	contacts  []netip.AddrPort
	list      wire.MemberList
	hints     repair.News
	cluster   []byte // Config.Cluster
	tag       uint16 // made of it, in each header
	room      int    // bytes of messages in a datagram, sealed or not
	full      error  // ErrQueueFull, made once: a busy caller may see it often
	ring      *seal.Ring
	ad        []byte // additional data of a sealed datagram
	push      pusher
}

// New makes a node that is bound to self, whose port may be 0 for one that the
// system chooses. It has not joined yet.
//
// The receiver is called with each message that reaches the node, once, and who
// said it. The payload is valid until it returns. It is called from Receive or Tick
// (or Join, Leave and Close, if these run at the same time on another goroutine),
// one call at a time, in the order of arrival, without any lock held: SendData,
// Leave, Close and everything that only asks are legal inside it; Receive and Run
// are not. While it runs, the node's loop stands still.
//
// Errors: ErrAddress, ErrConfig, or that of the operating system.
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
		config: config, receiver: receiver, socket: s, bound: s.LocalAddr(), clock: clock,
		arrived: make([]byte, config.MaxMessageSize+1), leaving: make([]byte, sealedFront+config.MaxMessageSize),
		cluster: []byte(config.Cluster), room: config.MaxMessageSize - config.sealing(),
		rng: rand.New(rand.NewChaCha8(seed)),
	}
	g.full = fmt.Errorf("%w: MaxOutputMessages is %d", ErrQueueFull, config.MaxOutputMessages)
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
	g.newsAt = -newsLasts
	g.beSomebody()
	return g
}

// beSomebody gives the node a new identity, to which nothing happened yet.
func (g *GossipService) beSomebody() {
	g.id = NodeID(g.rng.Uint64() | 1)
	g.counter, g.directs, g.unheard, g.left, g.founder = 0, 0, 0, false, false
	g.direct.Reset(0, g.origins.Pool())
	g.roster.Reset(uint64(g.id))
	g.origins.Keep(uint64(g.id))
	g.upkeep = upkeep{probes: mostProbes, grewAt: -growing, backAt: -healing}
	g.upkeep.Start(g.now(), g.config.TickInterval, g.rng)
}

// ID returns the node's identity, which Join after Leave changes.
func (g *GossipService) ID() NodeID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.id
}

// State returns the node's state.
func (g *GossipService) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// Address returns where others reach the node: Config.Advertise, or the bound
// address, or, if that is a wildcard, what a seed saw, or else the wildcard.
func (g *GossipService) Address() Address {
	g.mu.Lock()
	defer g.mu.Unlock()
	return addressOf(g.address())
}

// address returns where others reach the node, as far as that is known.
func (g *GossipService) address() netip.AddrPort {
	if a := g.me().Addr; a.IsValid() {
		return a
	}
	if g.observed.IsValid() {
		return g.observed
	}
	return g.bound
}

// me is the node as it names itself. Without an address that others could use
// they take the one they see.
func (g *GossipService) me() wire.Member {
	m := wire.Member{ID: uint64(g.id)}
	if a := g.config.Advertise.ap; reachable(a) {
		m.Addr = a
	} else if reachable(g.bound) {
		m.Addr = g.bound
	}
	return m
}

// Member is what a node knows of another one.
type Member struct {
	ID      NodeID
	Address Address
	// RTT is the smoothed round-trip time, AckDelay included; 0 if nothing was
	// measured yet.
	RTT time.Duration
}

// Members returns the members in the view, in the order of their IDs.
func (g *GossipService) Members() []Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	members := make([]Member, g.roster.Len())
	for i := range members {
		m := g.roster.At(i)
		members[i] = Member{NodeID(m.ID), addressOf(m.Addr), m.RTT.Smoothed()}
	}
	return members
}

// MaxPayload returns the length in bytes of the longest payload that SendData
// accepts. It does not change.
func (g *GossipService) MaxPayload() int { return payloadIn(g.room) }

// Wake makes a Receive that waits, or the next one that would, return at once.
func (g *GossipService) Wake() { g.socket.Wake() }

// SyscallConn returns the socket's raw connection, for a caller that waits by
// its own poller: when it is readable call Receive(0). Only its Control method
// is meant to be used. It fails for a Conn that has none.
func (g *GossipService) SyscallConn() (syscall.RawConn, error) {
	if g.State() == StateDestroyed {
		return nil, fmt.Errorf("%w: SyscallConn", ErrClosed)
	}
	return g.socket.SyscallConn()
}

// active reports whether the node has business of its own.
func (g *GossipService) active() bool {
	return !g.left && g.state != StateInitialized && g.state != StateDestroyed
}

// now reads the clock, which never goes back.
func (g *GossipService) now() time.Duration {
	g.last = max(g.last, g.clock())
	return g.last
}

// wake ends the wait of a Receive that should see new output.
func (g *GossipService) wake() {
	if g.waiting.Load() && g.outbox.Pending() {
		g.socket.Wake()
	}
}

// leave unlocks and makes the calls that became due.
func (g *GossipService) leave() {
	g.mu.Unlock()
	g.drain()
}
