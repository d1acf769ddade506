package transport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// sendWait is how long all Sends of a burst together wait for room in the send buffer. A
// loop that waits in Send does not receive. Packets to hosts that do not answer ARP fill
// the buffer for seconds.
const sendWait = 50 * time.Millisecond

// errNoRoom is the error of a Send that found the send buffer full and may not wait.
var errNoRoom = fmt.Errorf("the send buffer is full: %w", os.ErrDeadlineExceeded)

// BeginBurst begins a burst: the Sends from here to the next BeginBurst. All of them
// together wait at most 50 ms for room in the send buffer of the socket. Call it once before
// the datagrams that the loop sends in one turn. It costs no system call. Before the first
// BeginBurst each Send is a burst of its own.
func (c *Conn) BeginBurst() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.inBurst, c.waitLeft = true, sendWait
}

// Send sends b as one datagram. It does not wait for the receiver, only for
// room in the send buffer of the socket, which the system drains at the speed
// of the network. A nil error does not mean that the datagram will arrive.
//
// When the burst has waited for 50 ms, Send does not wait. A datagram for which there is no
// room is dropped, with an error that wraps os.ErrDeadlineExceeded. Windows, and a wrapped
// PacketConn, may drop it without looking for room.
//
// An invalid address, port 0, and an IPv6 address on an IPv4 socket are errors,
// found before any system call. An IPv4 address may be mapped into IPv6 or not,
// whatever the socket. After Close the error wraps net.ErrClosed.
func (c *Conn) Send(b []byte, to netip.AddrPort) error {
	if !to.IsValid() || to.Port() == 0 {
		return fmt.Errorf("transport: send to %v: not an address with a port", to)
	}
	to = unmap(to)
	c.sending.Lock()
	defer c.sending.Unlock()
	if !c.inBurst {
		c.waitLeft = sendWait
	}
	err := net.ErrClosed
	if !c.closed.Load() {
		err = c.write(b, to)
	}
	if err == nil {
		return nil
	}
	if c.isClosed(err) {
		err = net.ErrClosed
	}
	return fmt.Errorf("transport: send to %v: %w", to, err)
}
