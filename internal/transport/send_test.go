package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// burst is how many datagrams the stories of a full send buffer send at a time.
const burst = 256

// slow is a PacketConn whose send buffer has room for one datagram every so often.
type slow struct {
	net.PacketConn
	every    time.Duration
	stall    time.Duration // from the first deadline that is set to what follows
	deadline time.Time
}

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	if !t.IsZero() {
		time.Sleep(s.stall)
		s.stall = 0
	}
	return nil
}

func (s *slow) WriteTo(b []byte, to net.Addr) (int, error) {
	left := time.Until(s.deadline)
	time.Sleep(min(s.every, left))
	if left < s.every {
		return 0, os.ErrDeadlineExceeded
	}
	return len(b), nil
}

// wantOneWait sends bursts through a Conn that has room for a datagram every so often, with
// the clock of a bubble, and fails the test if one waits for longer than it may.
func wantOneWait(t *testing.T, c *Conn, every, most time.Duration) {
	t.Helper()
	for range 3 {
		c.BeginBurst()
		start, sent := time.Now(), 0
		for range burst {
			switch err := c.Send([]byte("x"), c.LocalAddr()); {
			case err == nil:
				sent++
			case !errors.Is(err, os.ErrDeadlineExceeded):
				t.Fatalf("a datagram without room became the error %v", err)
			}
		}
		if took := time.Since(start); took != most {
			t.Errorf("with room every %v, a burst of %d datagrams took %v, not %v", every, burst, took, most)
		}
		if about := int(most / every); sent < about-1 || sent > about+1 {
			t.Errorf("with room every %v, %d datagrams of a burst were sent in %v", every, sent, most)
		}
	}
}

func TestSendsOfABurstWaitOnce(t *testing.T) {
	for _, every := range []time.Duration{11 * time.Millisecond, 20 * time.Millisecond, long} {
		s := &slow{PacketConn: udp4(t), every: every}
		c := wrap(t, s)
		synctest.Test(t, func(t *testing.T) { wantOneWait(t, c, every, sendWait+secondWait) })
	}
}

func TestSendBeforeTheFirstBurstIsABurstOfItsOwn(t *testing.T) {
	c := wrap(t, &slow{PacketConn: udp4(t), every: 20 * time.Millisecond})
	synctest.Test(t, func(t *testing.T) {
		for range burst {
			send(t, c, []byte("x"), c.LocalAddr())
		}
	})
}

// useUp begins a burst that has nothing left to wait.
func useUp(c *Conn) {
	c.BeginBurst()
	c.waitLeft = 0
}

// A busy machine may not come to the write before its deadline has passed.
func TestDeadlineThatPassesBeforeTheWriteIsNoFailure(t *testing.T) {
	c := wrap(t, &slow{PacketConn: udp4(t), stall: sendWait + 1})
	synctest.Test(t, func(t *testing.T) {
		c.BeginBurst()
		send(t, c, []byte("x"), c.LocalAddr())
	})
}

// Whatever a burst has left to wait, it is not for Receive.
func TestUsedUpBurstDoesNotDisturbReceive(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		other := listen(t, "127.0.0.1:0")
		for range 3 {
			useUp(c)
			if err := c.Send([]byte("x"), other.LocalAddr()); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("after the wait of a burst a datagram became the error %v", err)
			}
			done := receiveAside(t, c, long)
			send(t, other, []byte("hello"), c.LocalAddr())
			wantData(t, await(t, done, "a datagram was sent"), "hello", "after the wait of a burst")
		}
		c.BeginBurst()
		send(t, c, []byte("next"), c.LocalAddr())
		wantData(t, receive(c, patience), "next", "of the next burst")
	})
}

// The net package sends to an address with a zone, with a deadline.
func TestDeadlineOfAZoneIsNotLeftBehind(t *testing.T) {
	c := listen6(t, "[::1]:0")
	zoned := netip.AddrPortFrom(netip.MustParseAddr("fe80::1%lo"), 7946)
	useUp(c)
	if err := c.Send([]byte("x"), zoned); err == nil {
		t.Fatalf("a socket on %v sent a datagram to %v", c.LocalAddr(), zoned)
	}
	c.BeginBurst()
	send(t, c, []byte("hello"), c.LocalAddr())
	wantData(t, receive(c, patience), "hello", "after a datagram to a zone")
}

func TestEarlierDeadlineDoesNotEndSend(t *testing.T) {
	udp := udp4(t)
	if err := udp.SetWriteDeadline(longAgo()); err != nil {
		t.Fatal(err)
	}
	c := wrap(t, udp)
	send(t, c, []byte("hello"), c.LocalAddr())
	wantData(t, receive(c, patience), "hello", "after the wrapping of a socket whose deadline had passed")
}

// limitless is a PacketConn without write deadlines.
type limitless struct{ net.PacketConn }

func (limitless) SetWriteDeadline(time.Time) error { return errors.New("no write deadlines here") }

func TestPacketConnWithoutWriteDeadlinesIsUsed(t *testing.T) {
	c := wrap(t, limitless{udp4(t)})
	send(t, c, []byte("hello"), c.LocalAddr())
	wantData(t, receive(c, patience), "hello", "sent without a deadline")
}
