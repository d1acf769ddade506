package transport

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// pollTime is how long a read waits that should not block, because there is no
// non-blocking one. A deadline in the past would not do: the read fails even when a
// datagram is waiting.
const pollTime = time.Millisecond

// readPacket reads one datagram through the methods of the connection.
func (c *Conn) readPacket(buf []byte) (n int, from netip.AddrPort, err error) {
	entered := false
	if c.maxWait >= pollTime { // a shorter wait might be over before the read begins
		entered, err = c.enterWait()
	}
	if !entered && err == nil {
		err = c.pc.SetReadDeadline(time.Now().Add(pollTime))
	}
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	if c.udp != nil {
		n, from, err = c.udp.ReadFromUDPAddrPort(buf)
		from = unmap(from)
	} else {
		n, from, err = c.readFrom(buf)
	}
	if isCut(err) {
		return len(buf), from, nil
	}
	return n, from, err
}

// readFrom is ReadFrom with a netip address.
func (c *Conn) readFrom(buf []byte) (int, netip.AddrPort, error) {
	n, from, err := c.pc.ReadFrom(buf)
	if err == nil && (n < 0 || n > len(buf)) {
		err = fmt.Errorf("ReadFrom of %T returned %d bytes for a buffer of %d", c.pc, n, len(buf))
	}
	return n, addrPortOf(from), err
}

// writePacket sends one datagram through the methods of the connection. All the time that
// takes counts as waiting, for it may be.
func (c *Conn) writePacket(b []byte, to netip.AddrPort) (err error) {
	start := time.Now()
	// A connection without write deadlines is used all the same.
	_ = c.pc.SetWriteDeadline(start.Add(c.waitLeft))
	if c.udp != nil {
		_, err = c.udp.WriteToUDPAddrPort(b, to)
	} else {
		_, err = c.pc.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	c.waitLeft -= time.Since(start)
	return err
}
