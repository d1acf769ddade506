package memnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	defaultReadBuffer = 208 << 10 // bytes, as on Linux
	overhead          = 768       // bytes for each datagram in a receive queue, as on Linux
	mostPayload       = 65507     // bytes that fit in a UDP datagram over IPv4
)

// Conn is a net.PacketConn, made by Net.Listen, that behaves as an unconnected UDP socket:
//
//   - ReadFrom waits for a datagram. One that is longer than the buffer is cut without notice.
//   - A read deadline may be set while ReadFrom waits. Once it has passed, ReadFrom returns
//     os.ErrDeadlineExceeded, even if a datagram is there.
//   - WriteTo sends a copy and never waits, so only a write deadline in the past matters. No
//     error tells that a datagram does not arrive.
//   - Close ends a ReadFrom that waits. After it all methods return net.ErrClosed.
//   - Errors are *net.OpError, and addresses *net.UDPAddr.
//
// The receive queue takes a datagram while it holds less than 208 KiB, or the bound set by
// SetReadBuffer; others are dropped. Each datagram counts with its length and 768 bytes, so that
// 171 of 480 bytes fit.
//
// All methods may be called from any goroutine.
type Conn struct {
	net    *Net
	host   *host
	local  *net.UDPAddr
	reader chan struct{} // has a token while a ReadFrom is in progress
	alarm  *time.Timer   // ends its wait

	// The rest is guarded by net.mu.
	queue                       []*datagram
	queued, limit               int // bytes
	readDeadline, writeDeadline time.Time
	closed                      bool
}

var _ net.PacketConn = (*Conn)(nil)

func newConn(n *Net, h *host) *Conn {
	return &Conn{
		net: n, host: h, local: net.UDPAddrFromAddrPort(h.addr), limit: defaultReadBuffer,
		reader: make(chan struct{}, 1), alarm: time.NewTimer(0),
	}
}

// ReadFrom waits for a datagram and copies it to b.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.reader <- struct{}{}
	defer func() { <-c.reader }()
	for {
		d, err := c.receive()
		if err != nil {
			return 0, nil, c.failed("read", nil, err)
		}
		if d != nil {
			return copy(b, d.payload), net.UDPAddrFromAddrPort(d.from), nil
		}
		<-c.alarm.C
	}
}

// receive takes a datagram from the receive queue. If there is none it returns nil, and the
// alarm tells when to call again.
func (c *Conn) receive() (*datagram, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if err := c.unusable(c.readDeadline); err != nil {
		return nil, err
	}
	c.net.settle(c.host)
	if len(c.queue) == 0 {
		c.arm()
		return nil, nil
	}
	d := c.queue[0]
	c.queue = c.queue[1:]
	c.queued -= len(d.payload) + overhead
	return d, nil
}

// arm sets the alarm, which must be done whenever receive would return something sooner or
// later than before.
func (c *Conn) arm() {
	next := c.readDeadline
	switch {
	case c.closed || len(c.queue) > 0:
		next = time.Now()
	case len(c.host.inFlight) > 0:
		if first := c.host.inFlight[0].arrival; next.IsZero() || first.Before(next) {
			next = first
		}
	}
	if next.IsZero() {
		c.alarm.Stop()
	} else {
		c.alarm.Reset(time.Until(next))
	}
}

// WriteTo sends b to addr, a *net.UDPAddr with a port and of the family of the Conn's own
// address. At most 65507 bytes fit in a datagram.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, err := c.destination(addr)
	if err == nil && len(b) > mostPayload {
		err = fmt.Errorf("%d bytes do not fit in a datagram: send at most %d", len(b), mostPayload)
	}
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if e := c.unusable(c.writeDeadline); e != nil {
		err = e
	}
	if err != nil {
		return 0, c.failed("write", addr, err)
	}
	c.net.send(c.host, c.net.host(to), b)
	return len(b), nil
}

func (c *Conn) destination(addr net.Addr) (to netip.AddrPort, err error) {
	if udp, ok := addr.(*net.UDPAddr); ok { // maybe nil
		to = unmap(udp.AddrPort())
	}
	if !to.IsValid() || to.Port() == 0 || to.Addr().Is4() != c.host.addr.Addr().Is4() {
		err = fmt.Errorf("give a *net.UDPAddr with a port and of the family of %v", c.local)
	}
	return to, err
}

// Close frees the address. What is in the receive queue is lost, and what is in flight arrives
// at the next Conn of the address.
func (c *Conn) Close() error {
	return c.set("close", func() {
		c.closed, c.queue, c.host.conn = true, nil, nil
	})
}

// LocalAddr returns the address given to Listen.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// SetDeadline sets the deadlines of reads and writes. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.set("set", func() { c.readDeadline, c.writeDeadline = t, t })
}

// SetReadDeadline sets the deadline of reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.set("set", func() { c.readDeadline = t })
}

// SetWriteDeadline sets the deadline of writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.set("set", func() { c.writeDeadline = t })
}

// SetReadBuffer sets the bound of the receive queue, which holds one datagram at least. Gossip
// calls it with Config.ReadBuffer.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.set("set", func() { c.limit = max(bytes, 1) })
}

// set changes c unless it is closed.
func (c *Conn) set(op string, change func()) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.failed(op, nil, net.ErrClosed)
	}
	c.net.settle(c.host)
	change()
	c.arm()
	return nil
}

// enqueue puts d into the receive queue, if that has room.
func (c *Conn) enqueue(d *datagram) bool {
	if c.queued >= c.limit {
		return false
	}
	c.queue = append(c.queue, d)
	c.queued += len(d.payload) + overhead
	return true
}

// unusable returns the error of a call under a deadline, or nil.
func (c *Conn) unusable(deadline time.Time) error {
	if c.closed {
		return net.ErrClosed
	}
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *Conn) failed(op string, to net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.local, Addr: to, Err: err}
}
