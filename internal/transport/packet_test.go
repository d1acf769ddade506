package transport

import (
	"errors"
	"math"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
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

// forgetful is a PacketConn whose read deadlines cannot be set any more.
type forgetful struct {
	net.PacketConn
	broken bool
}

func (f *forgetful) SetReadDeadline(t time.Time) error {
	if f.broken {
		return syscall.EIO
	}
	return f.PacketConn.SetReadDeadline(t)
}

func TestReceiveDoesNotWaitWithoutADeadline(t *testing.T) {
	f := &forgetful{PacketConn: udp4(t)}
	c := wrap(t, f)
	f.broken = true
	for _, maxWait := range []time.Duration{0, pollTime / 2, long} {
		done := make(chan result, 1)
		go func() { done <- receive(c, maxWait) }()
		if r := await(t, done, "its deadline cannot be set"); !errors.Is(r.err, syscall.EIO) {
			t.Errorf("a deadline that failed with EIO became the error %v", r.err)
		}
	}
	f.broken = false
	wantSound(t, c)
}

// silent is a PacketConn to which nothing comes.
type silent struct {
	net.PacketConn
	deadline time.Time
}

func (s *silent) SetReadDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *silent) ReadFrom([]byte) (int, net.Addr, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, nil, os.ErrDeadlineExceeded
}

func TestReceiveOfAPacketConnWaitsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wrap(t, &silent{PacketConn: udp4(t)})
		for _, maxWait := range []time.Duration{0, 1, pollTime - 1, pollTime, pollTime + 1, long} {
			r := receive(c, maxWait)
			wantNothing(t, r, "with nothing there")
			if want := max(maxWait, pollTime); r.took != want {
				t.Errorf("Receive(%v) took %v, not %v", maxWait, r.took, want)
			}
		}
	})
}
