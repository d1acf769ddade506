package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// pollTime is how long a read waits that should not block, because there is no non-blocking one. A
// deadline in the past would not do: the read fails even when a datagram is waiting.
const pollTime = time.Millisecond

// secondWait is how long a write may take after one that timed out. On a busy machine a
// deadline may pass before the write begins, which then fails without an attempt.
const secondWait = 10 * time.Millisecond

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
func (c *Conn) writePacket(b []byte, to netip.AddrPort) error {
	start := time.Now()
	err := c.writeBy(start.Add(c.waitLeft), b, to)
	if c.waitLeft > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.writeBy(time.Now().Add(secondWait), b, to)
	}
	c.waitLeft -= time.Since(start)
	return err
}

// writeBy sends one datagram before a deadline, if the connection has write deadlines.
func (c *Conn) writeBy(deadline time.Time, b []byte, to netip.AddrPort) (err error) {
	_ = c.pc.SetWriteDeadline(deadline)
	if c.udp != nil {
		_, err = c.udp.WriteToUDPAddrPort(b, to)
	} else {
		_, err = c.pc.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	return err
}
