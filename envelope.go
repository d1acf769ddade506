// Datagrams between the socket and the node.

package gossip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/gossip/internal/transport"
)

const (
	receiveBurst = 64  // datagrams handled by one Receive
	sendBurst    = 256 // datagrams sent by one Send
)

// socket sends and receives for a node: an internal/transport.Conn, or a simulated one.
type socket interface {
	Receive(b []byte, maxWait time.Duration) (n int, from netip.AddrPort, err error)
	BeginBurst()
	Send(b []byte, to netip.AddrPort) error
	Wake()
	LocalAddr() netip.AddrPort
	SyscallConn() (syscall.RawConn, error)
	Close() error
}

// inbound is the receiving side of a service.
type inbound struct {
	one     sync.Mutex    // held by the one Receive
	waiting atomic.Bool   // it waits for a datagram, or is about to
	buf     []byte        // of the one Receive
	errors  atomic.Uint64 // of the socket
}

// outbound is the sending side of a service.
type outbound struct {
	one    sync.Mutex    // held by the one Send
	buf    []byte        // of the one Send
	errors atomic.Uint64 // of the socket
}

// Receive waits at most maxWait for a datagram, not at all if that is 0 or less, then handles it
// and any others that are there already, at most 64, and calls the receiver with the messages they
// brought. It returns how many datagrams it handled. It returns early after Wake, when output waits
// to be sent, and when the socket reports a transient error, which is counted. While a callback on
// another goroutine keeps 4096 messages waiting, it reads nothing and sleeps for at most 10 ms.
//
// One goroutine at a time may be in Receive: a second call meanwhile, even from one of
// its own callbacks, returns ErrState. Close makes a waiting Receive, and every later
// one, return ErrClosed.
func (g *GossipService) Receive(maxWait time.Duration) (handled int, err error) {
	if !g.in.one.TryLock() {
		return 0, fmt.Errorf("%w: Receive, while another Receive or Run is in progress: a node has one loop, on one goroutine", ErrState)
	}
	defer g.in.one.Unlock()
	defer g.drain()
	g.in.waiting.Store(true) // before it looks: what comes after that wakes it
	maxWait, full, err := g.mayWait(maxWait)
	if err != nil || full {
		g.in.waiting.Store(false)
		if full { // while a callback runs on another goroutine, do not spin here
			time.Sleep(min(max(maxWait, 0), fullPause))
		}
		return 0, err
	}
	for handled < receiveBurst {
		n, from, err := g.socket.Receive(g.in.buf, maxWait)
		g.in.waiting.Store(false)
		switch {
		case err == nil:
			err = g.handle(from, g.in.buf[:n])
		case errors.Is(err, net.ErrClosed):
			err = fmt.Errorf("%w: Receive", ErrClosed)
		case err == transport.ErrNothing:
			return handled, nil
		default:
			g.in.errors.Add(1)
			return handled, nil
		}
		if err != nil {
			return handled, err
		}
		handled++
		maxWait = 0
	}
	return handled, nil
}

// mayWait returns how long Receive may wait for a datagram: not while there is something to
// send or to call. It reports whether too many calls wait for Receive to read at all.
func (g *GossipService) mayWait(maxWait time.Duration) (d time.Duration, full bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check("Receive", alive); err != nil {
		return 0, false, err
	}
	full = g.node.Events() >= mostEvents
	if g.node.Pending() || g.node.Events() > 0 && !g.calling {
		maxWait = 0
	}
	return maxWait, full, nil
}

// handle hands a datagram to the node, unless it was closed since the datagram was read.
func (g *GossipService) handle(from netip.AddrPort, datagram []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check("Receive", alive); err != nil {
		return err
	}
	now := g.clock()
	g.node.Handle(now, from, datagram)
	g.endWaits(now)
	return nil
}

// Send sends what is due in as few datagrams as possible, at most 256; Tick returns 0
// while there is more. It returns how many datagrams it sent. An error of the operating
// system is counted, and the messages wait for their retry; so it is when the socket has no
// room for datagrams, for which Send waits some tens of milliseconds in all. Errors: ErrClosed.
func (g *GossipService) Send() (datagrams int, err error) {
	g.out.one.Lock()
	defer g.out.one.Unlock()
	if g.socket != nil {
		g.socket.BeginBurst()
	}
	for datagrams < sendBurst {
		datagram, to, err := g.next()
		if len(datagram) == 0 || err != nil {
			return datagrams, err
		}
		datagrams++
		if err := g.socket.Send(datagram, to); err != nil {
			g.out.errors.Add(1)
			g.sendFailed(to, err)
			if errors.Is(err, os.ErrDeadlineExceeded) { // no room: the rest waits for the next turn
				break
			}
		}
	}
	return datagrams, nil
}

// sendFailed tells the node of an error of the socket.
func (g *GossipService) sendFailed(to netip.AddrPort, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.node.SendFailed(g.clock(), to, err)
}

// next returns the next datagram that is due; it is empty if none is.
func (g *GossipService) next() (datagram []byte, to netip.AddrPort, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check("Send", alive); err != nil {
		return nil, to, err
	}
	now := g.clock()
	if datagram, to = g.node.Next(now, g.out.buf); len(datagram) == 0 {
		g.endWaits(now)
	}
	return datagram, to, nil
}

// wakeForOutput ends the wait of a Receive on another goroutine when there is output, so that
// its loop sends that. The lock is held.
func (g *GossipService) wakeForOutput() {
	if g.in.waiting.Load() && g.node.Pending() {
		g.socket.Wake()
	}
}

// Wake makes a waiting Receive, or else the next one that would wait, return at once.
func (g *GossipService) Wake() {
	if g.socket != nil {
		g.socket.Wake()
	}
}

// SyscallConn returns the socket's raw connection, for a caller that waits with its own poller:
// when it is readable, call Receive(0). Only its Control method is meant to be used. Wake and
// SendData do not wake such a poller: unless the caller does, messages from another goroutine go
// out at the next turn of the loop. SyscallConn fails for a Conn without a raw connection.
func (g *GossipService) SyscallConn() (syscall.RawConn, error) {
	g.mu.Lock()
	err := g.check("SyscallConn", alive)
	g.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return g.socket.SyscallConn()
}
