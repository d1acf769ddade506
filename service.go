// The service: a node, its lock, its clock and its socket.

package gossip

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/transport"
)

// GossipService is one node of a cluster, made by New: the methods of the zero value return
// ErrState or zero values. All its methods may be called from any goroutine, and all but
// Receive, Run and those that wait from inside a callback. None starts a goroutine, except that
// the end of its context wakes Run from one.
type GossipService struct {
	config   Config
	receiver func(origin NodeID, payload []byte)
	random   func() [32]byte
	errFull  error // ErrQueueFull: a busy caller may get it often
	socket   socket
	in       inbound
	out      outbound

	mu      sync.Mutex // guards all below; never held while waiting or in a callback
	clock   func() time.Duration
	node    *node.Node
	calling bool   // a callback runs
	turns   uint64 // of the loop
	waits   waits
}

// New makes a node bound to self; with port 0 the system chooses the port. The node has
// not joined a cluster yet.
//
// The receiver is called once with each message that reaches the node, and the ID of its origin.
// The payload is valid until it returns. It is called from Receive or Tick (or from Join, Leave or
// Close, if these run at the same time on another goroutine), one call at a time, in the order of
// arrival and without a lock held. It may call all methods except Receive, Run and those that wait:
// declare the variable before, and assign what New returns to it. It does not tell how a message
// was spread; where that matters the payload says so. While it runs the node's loop stands still,
// and after some seconds other nodes consider the node lost until it goes on.
//
// Errors: ErrAddress if self has no IP address; ErrConfig for a setting out of its
// range, a Conn that is connected or has no IP address and port, or a nil receiver; or an error of the
// operating system.
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
	switch {
	case errors.Is(err, transport.ErrUnusable):
		return nil, fmt.Errorf("%w: Conn: %w", ErrConfig, err)
	case err != nil:
		return nil, fmt.Errorf("gossip: no socket: %w", err)
	}
	start := time.Now()
	return newService(conn, receiver, config, func() time.Duration { return time.Since(start) }, systemRandom), nil
}

// systemRandom returns random bytes of the operating system.
func systemRandom() (b [32]byte) {
	crand.Read(b[:])
	return b
}

// newService makes a node whose socket, time and randomness are given.
func newService(s socket, receiver func(NodeID, []byte), config Config, clock func() time.Duration, random func() [32]byte) *GossipService {
	g := &GossipService{
		config: config, receiver: receiver, socket: s, clock: monotonic(clock), random: random,
		errFull: fmt.Errorf("%w: MaxOutputMessages is %d", ErrQueueFull, config.MaxOutputMessages),
		in:      inbound{buf: make([]byte, config.MaxMessageSize+1)}, // a byte more shows what is too long
		out:     outbound{buf: make([]byte, node.BufferSize(config.MaxMessageSize))},
	}
	g.node = node.New(g.clock(), config.node(s.LocalAddr()), random())
	g.config.Keys = nil
	return g
}

// monotonic returns a clock that stands still when the one it reads goes back.
func monotonic(clock func() time.Duration) func() time.Duration {
	var last time.Duration
	return func() time.Duration {
		last = max(last, clock())
		return last
	}
}

// Join makes the node a member of the cluster that the seeds belong to. It returns at once: the
// node sends a Hello to all of them, and becomes CONNECTED when one answers, or DISCONNECTED when
// none does in RetryAttempts rounds; it keeps asking even then. Seeds are remembered: whenever
// members are missing they are asked again. Join may be called again at any time, to add seeds, or
// after Leave, which makes it a new node with a new ID. Without seeds the node is a seed itself: it
// is CONNECTED at once and stays so when it is alone. Its own address among the seeds is ignored.
//
// Errors: ErrAddress if a seed cannot be sent to or there would be more than
// MaxMembers, in which case nothing is changed; ErrClosed.
func (g *GossipService) Join(seeds ...Address) error {
	g.mu.Lock()
	defer g.unlock()
	if err := g.check("Join", alive); err != nil {
		return err
	}
	addrs := make([]netip.AddrPort, len(seeds))
	for i, s := range seeds {
		if addrs[i] = s.ap; !node.Reachable(s.ap) {
			return fmt.Errorf("%w: seed %q %s", ErrAddress, s, s.unreachable())
		}
	}
	now := g.clock()
	if err := g.node.Join(now, addrs); err != nil {
		return fmt.Errorf("%w: %w", ErrAddress, err)
	}
	g.endWaits(now)
	g.wakeForOutput()
	return nil
}

// Tick does what is due by the clock: retries, repair and maintenance. It returns how long
// the loop may wait before calling it again, 0 while output waits to be sent. It may be
// called late. Errors: ErrClosed.
func (g *GossipService) Tick() (next time.Duration, err error) {
	if err := g.doDue(); err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wakeForOutput()
	now := g.clock() // callbacks may have taken long
	return g.node.Deadline(now) - now, nil
}

// doDue is Tick without the result.
func (g *GossipService) doDue() error {
	g.mu.Lock()
	defer g.unlock()
	if err := g.check("Tick", alive); err != nil {
		return err
	}
	g.turns++
	now := g.clock()
	g.node.Tick(now)
	g.endWaits(now)
	return nil
}

// Leave says goodbye to all members and forgets them and the seeds. Nothing goes out
// after it but the goodbyes, which the next Send sends, and what comes in is dropped.
// What was queued is dropped too: WaitForAcks, with a limit, before it. The node is
// DISCONNECTED; Join makes it a new one. Errors: ErrState before Join; ErrClosed.
func (g *GossipService) Leave() error {
	g.mu.Lock()
	defer g.unlock()
	if err := g.check("Leave", started|1<<node.Left); err != nil {
		return err
	}
	now := g.clock()
	g.node.Leave(now)
	g.endWaits(now)
	g.wakeForOutput()
	return nil
}

// Close ends the node at once, without a goodbye, and closes its socket. The state is DESTROYED,
// and all other methods that return an error, including a waiting Receive, return ErrClosed.
// Messages not yet handed to the receiver are dropped. A second Close returns nil.
func (g *GossipService) Close() error {
	if g.node == nil {
		return g.check("Close", alive)
	}
	defer g.drain()
	if !g.destroy() {
		return nil
	}
	return g.socket.Close() // without the lock: it waits for users of the socket, who may need that
}

// destroy ends the node, and reports whether it had not ended before.
func (g *GossipService) destroy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.node.State() == node.Destroyed {
		return false
	}
	now := g.clock()
	g.node.Close(now)
	g.endWaits(now)
	return true
}

// Run is the loop for programs that do not need their own: Tick, Send and Receive until
// ctx ends. Then it waits for acknowledgements, as WaitForAcks does, for a second at most, calls
// Leave, which drops what is still queued, sends the goodbye and returns nil; the node is not
// closed. If Tick, Send or Receive fails, Run returns its error: ErrClosed after Close. Leave
// does not end it, and it may be called before Join.
func (g *GossipService) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, g.Wake)()
	for ctx.Err() == nil {
		if err := g.turn(forever); err != nil {
			return err
		}
	}
	for end := time.Now().Add(handover); read(g, func(n *node.Node) bool { return !n.Settled() }) && time.Until(end) > 0; {
		if err := g.turn(time.Until(end)); err != nil {
			return err
		}
	}
	if err := g.Leave(); err != nil && !errors.Is(err, ErrState) {
		return err
	}
	for {
		if n, err := g.Send(); n == 0 || err != nil {
			return err
		}
	}
}

const (
	handover = time.Second // how long Run waits for acknowledgements before it leaves
	forever  = time.Duration(math.MaxInt64)
)

// turn is one turn of the loop, which waits no longer than most.
func (g *GossipService) turn(most time.Duration) error {
	wait, err := g.Tick()
	if err == nil {
		_, err = g.Send()
	}
	if err == nil {
		_, err = g.Receive(min(wait, most))
	}
	return err
}
