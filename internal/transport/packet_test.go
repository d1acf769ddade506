package transport

import (
	"errors"
	"math"
	"net"
	"syscall"
	"testing"
	"time"
)

// made is a PacketConn whose reads return what the test says.
type made struct {
	net.PacketConn
	n    int
	from net.Addr
	err  error
}

func (m *made) ReadFrom([]byte) (int, net.Addr, error) {
	return m.n, m.from, m.err
}

func TestLengthOutsideTheBufferIsAnError(t *testing.T) {
	m := &made{PacketConn: udp4(t), from: net.UDPAddrFromAddrPort(loopback)}
	c, buf := wrap(t, m), make([]byte, 100)
	for _, maxWait := range []time.Duration{0, 2 * pollTime} {
		for _, m.n = range []int{math.MinInt, -1, len(buf) + 1, math.MaxInt} {
			n, from, err := c.Receive(buf, maxWait)
			if err == nil || err == ErrNothing || errors.Is(err, net.ErrClosed) || n != 0 || from.IsValid() {
				t.Errorf("of %d bytes in a buffer of %d Receive returned %d from %v, and the error %v", m.n, len(buf), n, from, err)
			}
		}
		for _, m.n = range []int{0, 1, len(buf)} {
			if n, _, err := c.Receive(buf, maxWait); n != m.n || err != nil {
				t.Errorf("of %d bytes in a buffer of %d Receive returned %d, and the error %v", m.n, len(buf), n, err)
			}
		}
		// With an error the length means nothing.
		for _, m.n = range []int{-1, len(buf) + 1} {
			m.err = syscall.EIO
			if n, _, err := c.Receive(buf, maxWait); n != 0 || !errors.Is(err, m.err) {
				t.Errorf("of an error Receive returned %d bytes, and the error %v", n, err)
			}
			m.err = nil
		}
	}
}

func TestSenderWithoutAddressIsTheZeroAddrPort(t *testing.T) {
	m := &made{PacketConn: udp4(t), n: 1}
	c := wrap(t, m)
	for _, m.from = range []net.Addr{nil, (*net.UDPAddr)(nil), (*net.IPAddr)(nil), (*net.UnixAddr)(nil), &net.UDPAddr{}, address("")} {
		n, from, err := c.Receive(make([]byte, 1), 0)
		if n != 1 || from.Addr().IsValid() || err != nil {
			t.Errorf("of a sender %#v Receive made %v, %d bytes and the error %v", m.from, from, n, err)
		}
	}
}
