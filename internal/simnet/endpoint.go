package simnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/transport"
)

const (
	defaultInbox = 1024  // datagrams
	maxPayload   = 65507 // bytes that fit in a UDP datagram over IPv4
)

// Endpoint is the simulated socket of a node. Net.Listen makes one.
type Endpoint struct {
	net  *Net
	addr netip.AddrPort

	inbox fifo.Queue[*datagram]
	size  int // bound of the inbox, in datagrams

	readable func()
	refuse   func(to netip.AddrPort) error

	frozen bool
	woken  bool // Wake was called while frozen
	closed bool
}

// Listen opens an endpoint at addr. It is an error if the address is invalid, or its port 0, or
// an open endpoint has it.
func (n *Net) Listen(addr netip.AddrPort) (*Endpoint, error) {
	addr = unmap(addr)
	if !addr.IsValid() || addr.Port() == 0 || n.endpoints[addr] != nil {
		return nil, fmt.Errorf("simnet: listen on %v: invalid address, or in use", addr)
	}
	e := &Endpoint{net: n, addr: addr, size: defaultInbox}
	n.endpoints[addr] = e
	return e, nil
}

// Receive copies the next datagram of the inbox to buf and returns its length and the address of
// its sender; one longer than buf is cut to len(buf). It never waits, whatever maxWait says: with
// an empty inbox it returns transport.ErrNothing. After Close it returns an error that is
// net.ErrClosed.
func (e *Endpoint) Receive(buf []byte, maxWait time.Duration) (n int, from netip.AddrPort, err error) {
	if e.closed {
		return 0, netip.AddrPort{}, e.errClosed("receive")
	}
	d, ok := e.inbox.Pop()
	if !ok {
		return 0, netip.AddrPort{}, transport.ErrNothing
	}
	n, from = copy(buf, d.payload), d.from
	e.net.release(d)
	return n, from, nil
}

// BeginBurst does nothing: a simulated socket always has room.
func (e *Endpoint) BeginBurst() {}

// Send sends a copy of b to an address. Nothing tells the sender that a datagram did not arrive.
// It is an error if the address is invalid or its port is 0, if b is longer than the 65507 bytes
// that fit in a datagram, or if the function set by FailSends says so. After Close the error is
// net.ErrClosed.
func (e *Endpoint) Send(b []byte, to netip.AddrPort) error {
	if e.closed {
		return e.errClosed("send")
	}
	if !to.IsValid() || to.Port() == 0 {
		return fmt.Errorf("simnet: send to %v: invalid address", to)
	}
	if len(b) > maxPayload {
		return fmt.Errorf("simnet: send to %v: %d bytes do not fit in a datagram", to, len(b))
	}
	to = unmap(to)
	if e.refuse != nil {
		if err := e.refuse(to); err != nil {
			return err
		}
	}
	e.net.transmit(e.addr, to, b)
	return nil
}

// Wake calls the function set by OnReadable, so that the driver of the node runs its loop. While
// the endpoint is frozen the call is put off until Thaw; after Close Wake does nothing.
func (e *Endpoint) Wake() {
	if e.frozen {
		e.woken = true
		return
	}
	e.signal()
}

// LocalAddr returns the address of the endpoint.
func (e *Endpoint) LocalAddr() netip.AddrPort { return e.addr }

// SyscallConn returns an error: there is no file behind the endpoint. The error is
// errors.ErrUnsupported, and net.ErrClosed after Close.
func (e *Endpoint) SyscallConn() (syscall.RawConn, error) {
	if e.closed {
		return nil, e.errClosed("raw connection")
	}
	return nil, fmt.Errorf("simnet: raw connection of %v: %w", e.addr, errors.ErrUnsupported)
}

// Close takes the node off the network as a crash does, without telling anyone. Its inbox and the
// datagrams in flight to it vanish, those it sent continue, and its address may be listened on
// again. Closing again does nothing; the error is always nil.
func (e *Endpoint) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	delete(e.net.endpoints, e.addr)
	for d, ok := e.inbox.Pop(); ok; d, ok = e.inbox.Pop() {
		e.net.release(d)
	}
	e.readable, e.refuse = nil, nil
	return nil
}

func (e *Endpoint) errClosed(op string) error {
	return fmt.Errorf("simnet: %s at %v: %w", op, e.addr, net.ErrClosed)
}

// OnReadable sets the function called whenever a datagram was placed in the inbox, at its virtual
// time, and by Wake. It is not called for what is in the inbox already. It replaces the function
// before it; nil is none. It may do anything but run the network.
func (e *Endpoint) OnReadable(f func()) { e.readable = f }

// signal tells the driver that the node has something to do, unless the node is stopped.
func (e *Endpoint) signal() {
	if e.readable != nil && !e.frozen && !e.closed {
		e.readable()
	}
}

// SetInbox bounds the inbox to n datagrams; what arrives beyond it is dropped and counted as
// overflowed. The default is 1024; 0 drops everything. What is in the inbox stays there. It
// panics if n is negative.
func (e *Endpoint) SetInbox(n int) {
	if n < 0 {
		panic(fmt.Sprintf("simnet: inbox of %d datagrams", n))
	}
	e.size = n
}

// FailSends makes Send return what f returns for the destination, unless that is nil; a datagram
// that fails so goes nowhere and is not counted. It replaces the function before it; nil is none.
func (e *Endpoint) FailSends(f func(to netip.AddrPort) error) { e.refuse = f }

// Freeze stops the node as a stopped process is: datagrams collect in the inbox, up to its bound,
// and the function set by OnReadable is not called. The timers of the node belong to its driver,
// which asks Frozen before it runs them.
func (e *Endpoint) Freeze() { e.frozen = true }

// Thaw ends Freeze. If datagrams wait in the inbox, or Wake was called meanwhile, it calls the
// function set by OnReadable once.
func (e *Endpoint) Thaw() {
	if !e.frozen {
		return
	}
	waits := e.inbox.Len() > 0 || e.woken
	e.frozen, e.woken = false, false
	if waits {
		e.signal()
	}
}

// Frozen reports whether Freeze was called, and Thaw not since.
func (e *Endpoint) Frozen() bool { return e.frozen }
