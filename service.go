// The node, and the methods that its loop and other goroutines call.

package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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

const (
	receiveBurst = 64   // datagrams handled by one Receive
	sendBurst    = 256  // datagrams sent by one Send
	mostEvents   = 4096 // calls of the receiver that may wait before Receive stops reading

	fullPause = 10 * time.Millisecond // of a Receive that must not read
	skipsFor  = 30 * time.Second      // after CONNECTED, skipping history ends, whatever pages came
)

// socket sends and receives for a node: an internal/transport.Conn, or a simulated one.
type socket interface {
	Receive(b []byte, maxWait time.Duration) (n int, from netip.AddrPort, err error)
	Send(b []byte, to netip.AddrPort) error
	Wake()
	LocalAddr() netip.AddrPort
	SyscallConn() (syscall.RawConn, error)
	Close() error
}

// GossipService is one node of a cluster, made by New. All its methods may be called
// from any goroutine, and all but Receive and Run from inside a callback. None starts
// a goroutine, except that the end of its context wakes Run from one.
type GossipService struct {
	config   Config
	receiver func(origin NodeID, payload []byte)
	socket   socket
	clock    func() time.Duration // since the node was made
	tokens   *token.Maker

	receiving sync.Mutex // held by the one Receive
	waiting   atomic.Bool
	incoming  []byte     // for the one Receive
	sending   sync.Mutex // held by the one Send
	outgoing  []byte     // for the one Send; messages begin at sealedFront

	mu    sync.Mutex // guards all below; never held while waiting or in a callback
	rng   *rand.Rand
	last  time.Duration // of the clock
	stats Stats

	id            NodeID
	state         State
	left          bool           // Leave was called, and Join not since
	founder       bool           // joined without other seeds
	observed      netip.AddrPort // where others see this node
	counter       uint32         // of the node's last message
	saidAlone     versions.Run   // messages sent before the cluster was found; First 0: none
	directCounter uint32         // of the last Direct one
	directDone    versions.Window

	roster  *view.Roster
	origins *versions.Table
	log     *datalog.Log
	repair  *repair.Desk
	outbox  *outbox.Outbox
	rtt     view.RTT // of all members together, for one whose own is not known yet
	upkeep  upkeep
	events  fifo.Queue[event] // at most mostEvents, and what one Receive and changes of state add
	calling bool              // a callback runs

	// Made once, from Config; only the ring changes.
	cluster []byte
	tag     uint16 // in each header
	room    int    // bytes for messages in a datagram, sealed or not
	errFull error  // ErrQueueFull: a busy caller may see it often
	ring    *seal.Ring

	in envelopeIn // the datagram being handled; from is the zero value while none is

	// Scratch space, kept so that a message needs no allocation.
	body       []byte
	additional []byte
	members    []*view.Member
	delegates  []view.Delegate
	contacts   []netip.AddrPort
	hints      repair.News
	push       pusher
}

// Join makes the node a member of the cluster that the seeds belong to. It returns
// at once: the node sends a Hello to all of them, and becomes CONNECTED when one
// answers, or DISCONNECTED when none does in RetryAttempts rounds; it keeps asking
// even then. Seeds are remembered: whenever members are missing they are asked
// again. Join may be called again at any time, to add seeds, or after Leave, which
// makes it a new node with a new ID. Without seeds the node is a seed itself: it is
// CONNECTED at once and stays so when it is alone. Its own address among the seeds is
// ignored.
//
// Errors: ErrAddress if a seed cannot be sent to or there would be more than
// MaxMembers, in which case nothing is changed; ErrClosed.
func (g *GossipService) Join(seeds ...Address) error {
	g.mu.Lock()
	defer g.unlock()
	if err := g.checkVerb(verbJoin); err != nil {
		return err
	}
	if err := g.checkSeeds(seeds); err != nil {
		return err
	}
	active := g.active()
	if g.left {
		g.newIdentity()
	}
	others := 0
	for _, s := range seeds {
		if s.ap != g.address() {
			others++
			g.roster.AddSeed(s.ap)
			if g.roster.ByAddr(s.ap) == nil {
				g.greet(s.ap, 0, g.config.RetryAttempts)
			}
		}
	}
	if g.config.SkipHistory && !active && others > 0 { // a founder has no history to skip
		g.repair.SkipHistory()
	}
	if others == 0 {
		g.founder = true
		g.setState(StateConnected)
	} else if g.state != StateConnected || g.roster.Len() == 0 && !g.isSeed() { // it was one, with no seed but itself
		g.setState(StateJoining)
	}
	g.wake()
	return nil
}

// Receive waits at most maxWait for a datagram, not at all if that is 0 or less, then
// handles it and any others that are there already, at most 64, and calls the receiver
// with the messages they brought. It returns how many datagrams it handled. It returns
// early after Wake, when output waits to be sent, and when the socket reports a
// transient error, which is counted. While a callback on another goroutine keeps 4096
// messages waiting, it reads nothing and sleeps for at most 10 ms.
//
// One goroutine at a time may be in Receive: a second call meanwhile, even from one of
// its own callbacks, returns ErrState. Close makes a waiting Receive, and every later
// one, return ErrClosed.
func (g *GossipService) Receive(maxWait time.Duration) (handled int, err error) {
	if !g.receiving.TryLock() {
		return 0, fmt.Errorf("%w: Receive inside Receive", ErrState)
	}
	defer g.receiving.Unlock()
	defer g.drain()
	g.waiting.Store(true)
	g.mu.Lock()
	err = g.checkVerb(verbReceive)
	if g.outbox.Pending() || g.events.Len() > 0 && !g.calling {
		maxWait = 0
	}
	full := g.events.Len() >= mostEvents
	g.mu.Unlock()
	if err != nil || full {
		g.waiting.Store(false)
		if full { // while a callback runs on another goroutine, do not spin here
			time.Sleep(min(max(maxWait, 0), fullPause))
		}
		return 0, err
	}
	for handled < receiveBurst {
		n, from, err := g.socket.Receive(g.incoming, maxWait)
		g.waiting.Store(false)
		if errors.Is(err, net.ErrClosed) {
			return handled, fmt.Errorf("%w: Receive", ErrClosed)
		}
		if err == transport.ErrNothing {
			break
		}
		if !g.handleReceived(from, g.incoming[:n], err) {
			break
		}
		handled++
		maxWait = 0
	}
	return handled, nil
}

// handleReceived handles the result of a read, and reports whether it was a datagram.
func (g *GossipService) handleReceived(from netip.AddrPort, b []byte, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.stats.ReceiveErrors++
		return false
	}
	g.handle(g.now(), from, b)
	return true
}

// Send sends what is due in as few datagrams as possible, at most 256; Tick returns 0
// while there is more. It returns how many datagrams it sent. An error of the operating
// system is counted, and the messages wait for their retry. Errors: ErrClosed.
func (g *GossipService) Send() (datagrams int, err error) {
	g.sending.Lock()
	defer g.sending.Unlock()
	for datagrams < sendBurst {
		g.mu.Lock()
		if err = g.checkVerb(verbSend); err != nil {
			g.mu.Unlock()
			return datagrams, err
		}
		l := g.outbox.Next()
		if l == nil {
			g.mu.Unlock()
			break
		}
		to := l.To()
		datagram := g.pack(l)
		g.mu.Unlock()
		if len(datagram) == 0 {
			continue
		}
		datagrams++
		if err := g.socket.Send(datagram, to); err != nil {
			g.mu.Lock()
			g.stats.SendErrors++
			g.mu.Unlock()
		}
	}
	return datagrams, nil
}

// Tick does what is due by the clock: retries, repair and upkeep. It returns how long
// the loop may wait before calling it again, 0 while output waits to be sent. It may be
// called late. Errors: ErrClosed.
func (g *GossipService) Tick() (next time.Duration, err error) {
	g.mu.Lock()
	if err := g.checkVerb(verbTick); err != nil {
		g.mu.Unlock()
		return 0, err
	}
	now := g.now()
	for e := g.outbox.Overdue(now); e != nil; e = g.outbox.Overdue(now) {
		g.unanswered(now, e)
	}
	if g.active() {
		g.keepUp(now)
	}
	g.mu.Unlock()
	g.drain()

	g.mu.Lock()
	defer g.mu.Unlock()
	now = g.now()
	at := now + g.config.TickInterval
	if g.active() {
		at = min(at, g.upkeep.Next())
	}
	if g.outbox.Pending() {
		at = now
		g.wake()
	}
	if due, any := g.outbox.Deadline(); any {
		at = min(at, due)
	}
	return max(0, at-now), nil
}

// SendData spreads a payload, which is copied, through the cluster as the Spread says,
// by default Config.Spread. It only queues the message. The node's own receiver is not
// called.
//
// Until the first member is found all but Direct messages are only retained, within
// DataLogSize; then they are spread as Broadcasts, or, if the node is a seed on its own,
// left to repair. Beyond that bound the oldest are lost without an error: before starting
// a stream, wait until Members is not empty.
//
// After an error nothing has changed: ErrTooLarge; ErrQueueFull, also while the Direct
// message 1024 before this one is still on its way; ErrAddress for Direct to the node
// itself or to an address that cannot be sent to; ErrConfig for more than one Spread;
// ErrState before Join, after Leave, and when the 2^32 numbers of this ID are used up;
// ErrClosed.
func (g *GossipService) SendData(payload []byte, spread ...Spread) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.checkVerb(verbSendData); err != nil {
		return err
	}
	s, err := g.config.choose(spread)
	if err != nil {
		return err
	}
	if s.kind == spreadDirect && s.to.ap == g.address() {
		return fmt.Errorf("%w: Direct to %v, the node itself", ErrAddress, s.to)
	}
	if len(payload) > g.MaxPayload() {
		return fmt.Errorf("%w: %d bytes, MaxPayload is %d", ErrTooLarge, len(payload), g.MaxPayload())
	}
	if n := g.copies(s); g.outbox.Spare() < n {
		return g.errFull
	}
	now := g.now()
	e, err := g.number(now, payload, s)
	if err != nil {
		return err
	}
	g.publish(now, e, s)
	g.log.Release(e)
	g.stats.Sent++
	g.wake()
	return nil
}

// Leave says goodbye to all members and forgets them and the seeds. Nothing goes out
// after it but the goodbyes, which the next Send sends, and what comes in is dropped.
// What was queued is dropped too: to have it sent and acknowledged first, let the loop
// turn until Stats().QueuedData is 0. The node is DISCONNECTED; Join makes it a new
// one. Errors: ErrState before Join; ErrClosed.
func (g *GossipService) Leave() error {
	g.mu.Lock()
	defer g.unlock()
	if err := g.checkVerb(verbLeave); err != nil || g.left {
		return err
	}
	g.outbox.Clear()
	for i := range g.roster.Len() {
		g.body = wire.AppendLeave(g.body[:0], uint64(g.id))
		g.emit(g.roster.At(i).Addr, wire.TypeLeave, outbox.NoAnswer)
	}
	g.roster.Reset(0)
	g.left = true
	g.setState(StateDisconnected)
	g.wake()
	return nil
}

// Close ends the node at once, without a goodbye, and closes its socket. The state is
// DESTROYED, and all other methods that return an error, including a waiting Receive,
// return ErrClosed. Messages not yet handed to the receiver are dropped. A second Close
// returns nil.
func (g *GossipService) Close() error {
	g.mu.Lock()
	defer g.drain()
	if g.state == StateDestroyed {
		g.mu.Unlock()
		return nil
	}
	g.outbox.Clear()
	for range g.events.Len() {
		if ev, _ := g.events.Pop(); ev.entry != nil {
			g.log.Release(ev.entry)
		} else {
			g.events.Push(ev)
		}
	}
	g.setState(StateDestroyed)
	g.mu.Unlock()
	return g.socket.Close() // unlocked: it waits for users of the socket, who may need the lock
}

// ID returns the node's identity. Join after Leave changes it.
func (g *GossipService) ID() NodeID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.id
}

// Wake makes a waiting Receive, or else the next one that would wait, return at once.
func (g *GossipService) Wake() { g.socket.Wake() }

// SyscallConn returns the socket's raw connection, for a caller that waits with its own
// poller: when it is readable, call Receive(0). Only its Control method is meant to be
// used. Wake and SendData do not wake such a poller: unless the caller does, messages
// from another goroutine go out at the next turn of the loop. SyscallConn fails for a
// Conn without a raw connection.
func (g *GossipService) SyscallConn() (syscall.RawConn, error) {
	if g.State() == StateDestroyed {
		return nil, fmt.Errorf("%w: SyscallConn", ErrClosed)
	}
	return g.socket.SyscallConn()
}

// active reports whether the node has upkeep to do: it has joined, and neither left nor
// been closed.
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
