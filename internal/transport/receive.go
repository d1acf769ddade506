package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// errorPause is the least time in which a Receive that may wait returns an error, or for a
// read that times out too early, so that neither, repeated, keeps a processor busy.
const errorPause = 10 * time.Millisecond

// The states of a Conn. Receive moves it from idle to waiting and back, Wake from either to
// woken, and the Receive whose wait that ends back to idle. A Wake that finds it waiting
// also ends the wait and rings the bell once. Receive takes that ring before it goes on, so
// that a Wake in progress cannot disturb the next wait.
const (
	idle    uint32 = iota
	waiting        // Receive waits or is about to
	woken          // the wait in progress, or else the next one, is to end at once
)

// longAgo is a deadline that has passed.
func longAgo() time.Time {
	return time.Unix(1, 0)
}

// Receive puts one datagram into buf and returns its length and sender.
//
// With maxWait zero or less it never waits: it returns a datagram that is
// already there, or ErrNothing. Otherwise it waits at most maxWait for a
// datagram, and returns ErrNothing when none came or Wake ended the wait.
//
// A datagram longer than buf is cut to len(buf) without notice; a caller with a limit passes one
// byte more and drops what fills it. (On Windows the sender of a cut datagram is not known and from
// is the zero AddrPort.) An empty datagram is n == 0 with a nil error. buf must not be empty and is
// not used after the return. from is never an IPv4 address mapped into IPv6, and a link-local IPv6
// address has its zone. It is the zero AddrPort if a wrapped PacketConn names a sender that is not
// an IP address and port.
//
// Once the Conn is closed every error wraps net.ErrClosed. Any other error wraps what the
// system or the wrapped PacketConn reported and is transient: the caller may count it and go
// on. So that a repeated error makes no busy loop, Receive then takes at least the lesser of
// maxWait and 10 ms, unless Wake ends it.
func (c *Conn) Receive(buf []byte, maxWait time.Duration) (n int, from netip.AddrPort, err error) {
	c.maxWait, c.until, c.wasWoken = max(maxWait, 0), time.Time{}, false
	n, from, err = c.attempt(buf)
	if err == nil {
		return n, from, nil
	}
	if err != ErrNothing {
		err = c.afterError(err)
	}
	if c.isClosed(err) {
		return 0, netip.AddrPort{}, fmt.Errorf("transport: receive on %v: %w", c.local, net.ErrClosed)
	}
	if err != ErrNothing {
		err = fmt.Errorf("transport: receive on %v: %w", c.local, err)
	}
	return 0, netip.AddrPort{}, err
}

// Wake makes a waiting Receive return at once, with ErrNothing unless a datagram came first. If
// none is waiting, the next Receive with maxWait above zero returns without waiting; if that one
// finds a datagram, it may leave the wake-up to the one after it. A Wake ends one wait, and any
// number of them before a wait count as one. It costs an atomic operation when nothing waits.
func (c *Conn) Wake() {
	if c.state.Swap(woken) == waiting {
		// It never blocks: one ring for each wait, which takes it. It is deferred because
		// the wait takes it even if the PacketConn panics here.
		defer func() { c.bell <- struct{}{} }()
		_ = c.pc.SetReadDeadline(longAgo()) // fails only if closed, which ends the wait too
	}
}

// attempt reads one datagram and leaves the state idle, or woken for the next wait, even if
// the PacketConn panics or ends the goroutine.
func (c *Conn) attempt(buf []byte) (n int, from netip.AddrPort, err error) {
	if c.closed.Load() {
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	defer c.leaveWait()
	return c.read(buf)
}

// afterError pauses after an error of a read, and turns a timeout into ErrNothing. The pause
// is over at once if the read has waited for as long as it should.
func (c *Conn) afterError(err error) error {
	timedOut := errors.Is(err, os.ErrDeadlineExceeded)
	polled := timedOut && c.until.IsZero()
	if !polled && !c.wasWoken && !c.isClosed(err) {
		c.pause()
	}
	if timedOut {
		return ErrNothing
	}
	return err
}

// isClosed reports whether the Conn, or the connection below it, is closed.
func (c *Conn) isClosed(err error) bool {
	return c.closed.Load() || errors.Is(err, net.ErrClosed)
}

// enterWait prepares the one wait for a datagram in a Receive. It returns false if a Wake has
// already ended that wait, and with an error, for without a deadline the wait might have no end.
func (c *Conn) enterWait() (entered bool, err error) {
	c.until = time.Now().Add(c.maxWait)
	// The deadline must be set before a Wake can move it into the past, or else the
	// wake-up would be lost.
	if err := c.pc.SetReadDeadline(c.until); err != nil {
		return false, err
	}
	return c.beginWait(), nil
}

// beginWait marks a wait as begun, or consumes a Wake that came before it.
func (c *Conn) beginWait() bool {
	c.entered = c.state.CompareAndSwap(idle, waiting)
	if !c.entered {
		c.state.Store(idle)
		c.wasWoken = true
	}
	return c.entered
}

// leaveWait undoes enterWait, if it was called.
func (c *Conn) leaveWait() {
	if c.entered && c.state.Swap(idle) == woken {
		<-c.bell
		c.wasWoken = true
	}
	c.entered = false
	if !c.until.IsZero() {
		// After it has passed, the deadline would hide datagrams from the next read.
		_ = c.pc.SetReadDeadline(time.Time{})
	}
}

// pause waits for what is left of errorPause, or until Wake or Close.
func (c *Conn) pause() {
	if c.until.IsZero() {
		c.until = time.Now().Add(c.maxWait)
	}
	waited := c.maxWait - time.Until(c.until)
	left := min(c.maxWait, errorPause) - waited
	if left <= 0 || !c.beginWait() {
		return
	}
	select {
	case <-c.bell:
		c.bell <- struct{}{} // for leaveWait
	case <-time.After(left):
	}
	c.leaveWait()
}
