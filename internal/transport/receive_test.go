package transport

import (
	"bytes"
	"errors"
	"math"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// long is a wait no test should ever see the end of.
	long = time.Minute
	// patience is how late what happens "at once" may be on a busy machine.
	patience = 20 * time.Second
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// foreign hides that a PacketConn is a UDP socket.
type foreign struct{ net.PacketConn }

func listen(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := Listen(netip.MustParseAddrPort(addr), 1<<18)
	if err != nil {
		t.Fatalf("a socket on %s could not be opened: %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func wrap(t testing.TB, pc net.PacketConn) *Conn {
	t.Helper()
	c, err := Wrap(pc, 1<<18)
	if err != nil {
		t.Fatalf("a %T could not be wrapped: %v", pc, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func udp4(t testing.TB) *net.UDPConn {
	t.Helper()
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatalf("a socket on %v could not be opened: %v", loopback, err)
	}
	t.Cleanup(func() { udp.Close() })
	return udp
}

// eachKind runs story with every way to read and write: a UDP socket used as this system
// allows, one used as on Windows, and a PacketConn of another type.
func eachKind(t *testing.T, story func(t *testing.T, c *Conn)) {
	t.Run("socket", func(t *testing.T) { story(t, listen(t, "127.0.0.1:0")) })
	t.Run("portable", func(t *testing.T) {
		c := listen(t, "127.0.0.1:0")
		c.read, c.write = c.readPacket, c.writePacket
		story(t, c)
	})
	t.Run("foreign", func(t *testing.T) { story(t, wrap(t, foreign{udp4(t)})) })
}

func send(t testing.TB, from *Conn, b []byte, to netip.AddrPort) {
	t.Helper()
	if err := from.Send(b, to); err != nil {
		t.Fatalf("%d bytes to %v could not be sent: %v", len(b), to, err)
	}
}

// result is what one Receive returned.
type result struct {
	data string
	from netip.AddrPort
	err  error
	took time.Duration
}

func receive(c *Conn, maxWait time.Duration) result {
	buf := make([]byte, 100)
	start := time.Now()
	n, from, err := c.Receive(buf, maxWait)
	return result{string(buf[:n]), from, err, time.Since(start)}
}

// receiveThere takes the datagram that is there, without waiting for it. The
// portable read may see its millisecond pass on a busy machine before it has
// looked, so there is more than one attempt.
func receiveThere(c *Conn) (r result) {
	for range 10 {
		if r = receive(c, 0); r.err != ErrNothing {
			break
		}
	}
	return r
}

// receiveAside starts a Receive in another goroutine and returns once it waits.
func receiveAside(t *testing.T, c *Conn, maxWait time.Duration) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	go func() { done <- receive(c, maxWait) }()
	for start := time.Now(); c.state.Load() != waiting; runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatal("Receive never began to wait")
		}
	}
	return done
}

func await(t *testing.T, done <-chan result, what string) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(patience):
		t.Fatalf("Receive still waits although %s", what)
		return result{}
	}
}

func wantNothing(t *testing.T, r result, when string) {
	t.Helper()
	if r.err != ErrNothing {
		t.Fatalf("%s Receive returned %q and the error %v, not ErrNothing", when, r.data, r.err)
	}
}

func wantData(t *testing.T, r result, data, when string) {
	t.Helper()
	if r.err != nil || r.data != data {
		t.Fatalf("%s Receive returned %q and the error %v, not the datagram %q", when, r.data, r.err, data)
	}
}

func TestReceiveWithoutWaitTakesOnlyWhatIsThere(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		for _, maxWait := range []time.Duration{0, -1, -long} {
			r := receive(c, maxWait)
			wantNothing(t, r, "with nothing there")
			if r.took > patience {
				t.Fatalf("Receive(%v) took %v, so it waited", maxWait, r.took)
			}
		}
		for _, data := range []string{"one", "two", "three"} {
			send(t, c, []byte(data), c.LocalAddr())
		}
		for _, data := range []string{"one", "two", "three"} {
			r := receiveThere(c)
			wantData(t, r, data, "with datagrams there, not waiting,")
			if r.from != c.LocalAddr() {
				t.Fatalf("the sender is said to be %v, but it was %v", r.from, c.LocalAddr())
			}
		}
		wantNothing(t, receive(c, 0), "after the last datagram")
	})
}

func TestReceiveWaitsAtMostAsLongAsItMay(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		for _, maxWait := range []time.Duration{time.Nanosecond, time.Millisecond, 30 * time.Millisecond} {
			r := receive(c, maxWait)
			wantNothing(t, r, "with nothing there")
			if r.took < maxWait || r.took > maxWait+patience {
				t.Fatalf("Receive(%v) took %v", maxWait, r.took)
			}
		}
	})
}

func TestDatagramEndsWait(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		done := receiveAside(t, c, math.MaxInt64)
		send(t, c, []byte("hello"), c.LocalAddr())
		wantData(t, await(t, done, "a datagram was sent"), "hello", "while waiting")
	})
}

func TestPassedDeadlineHidesNoDatagram(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		wantNothing(t, receive(c, time.Millisecond), "with nothing there")
		send(t, c, []byte("after timeout"), c.LocalAddr())
		wantData(t, receiveThere(c), "after timeout", "after a wait that timed out")

		done := receiveAside(t, c, long)
		c.Wake()
		wantNothing(t, await(t, done, "it was woken"), "woken")
		send(t, c, []byte("after wake"), c.LocalAddr())
		wantData(t, receiveThere(c), "after wake", "after a wait that was woken")
	})
	t.Run("left by the former owner", func(t *testing.T) {
		udp := udp4(t)
		if err := udp.SetReadDeadline(longAgo()); err != nil {
			t.Fatal(err)
		}
		c := wrap(t, udp)
		send(t, c, []byte("hello"), c.LocalAddr())
		wantData(t, receiveThere(c), "hello", "after the wrapping of a socket whose deadline had passed")
	})
}

func TestWakeEndsTheWaitInProgress(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		done := receiveAside(t, c, long)
		c.Wake()
		wantNothing(t, await(t, done, "it was woken"), "woken")

		r := receive(c, 20*time.Millisecond)
		wantNothing(t, r, "with nothing there")
		if r.took < 20*time.Millisecond {
			t.Fatalf("one wake ended two waits: the second took %v of 20ms", r.took)
		}
	})
}

func TestWakeBeforeTheWaitEndsItOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		for range 3 {
			c.Wake()
		}
		wantNothing(t, receive(c, 0), "with nothing there, not waiting,")
		r := receive(c, long)
		wantNothing(t, r, "woken before")
		if r.took > patience {
			t.Fatalf("the wake before the wait was lost: it took %v", r.took)
		}
		r = receive(c, 20*time.Millisecond)
		wantNothing(t, r, "with nothing there")
		if r.took < 20*time.Millisecond {
			t.Fatalf("wakes accumulate: a second wait took %v of 20ms", r.took)
		}
	})
}

func TestWakeDoesNotHideDatagrams(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		send(t, c, []byte("hello"), c.LocalAddr())
		c.Wake()
		r := receive(c, long)
		if r.err == ErrNothing { // where reads are by deadline the wake may win
			r = receive(c, long)
		}
		wantData(t, r, "hello", "woken with a datagram there")
	})
}

// One goroutine wakes as fast as the loop returns, another sends datagrams that
// end waits at the same moments. Every wake must be followed by a return.
func TestNoWakeIsLost(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		const wakes = 3000
		var sent, seen atomic.Uint64
		progress := make(chan struct{}, 1)
		stop := make(chan struct{})
		stopped := make(chan struct{}, 2)
		go func() { // the loop
			defer func() { stopped <- struct{}{} }()
			buf := make([]byte, 10)
			for {
				_, _, err := c.Receive(buf, long)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				seen.Store(sent.Load())
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		}()
		go func() { // the disturbance
			defer func() { stopped <- struct{}{} }()
			for range time.Tick(50 * time.Microsecond) {
				select {
				case <-stop:
					return
				default:
					c.Send([]byte("x"), c.LocalAddr())
				}
			}
		}()
		for i := uint64(1); i <= wakes; i++ {
			sent.Store(i)
			c.Wake()
			if i == wakes/2 {
				close(stop) // from here on only wakes end waits
			}
			for late := time.After(patience); seen.Load() < i; {
				select {
				case <-progress:
				case <-late:
					t.Fatalf("wake %d of %d was lost: the loop still waits", i, wakes)
				}
			}
		}
		c.Close()
		<-stopped
		<-stopped
	})
}

func TestCloseEndsTheWait(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		done := receiveAside(t, c, long)
		if err := c.Close(); err != nil {
			t.Fatalf("Close failed: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Fatalf("a second Close failed: %v", err)
		}
		c.Wake() // must do no harm
		results := []result{await(t, done, "the Conn was closed"), receive(c, 0), receive(c, long)}
		for _, r := range results {
			if !errors.Is(r.err, net.ErrClosed) {
				t.Fatalf("after Close, Receive returned the error %v", r.err)
			}
		}
		if err := c.Send([]byte("x"), c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("after Close, Send returned the error %v", err)
		}
	})
}

func TestLongDatagramIsCut(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		send(t, c, bytes.Repeat([]byte("x"), 100), c.LocalAddr())
		send(t, c, []byte("next"), c.LocalAddr())
		buf := make([]byte, 20)
		n, from, err := c.Receive(buf, patience)
		if n != 20 || err != nil {
			t.Fatalf("of 100 bytes into 20 Receive returned %d and the error %v", n, err)
		}
		if from != c.LocalAddr() && runtime.GOOS != "windows" {
			t.Fatalf("the sender of a cut datagram is said to be %v, but it was %v", from, c.LocalAddr())
		}
		wantData(t, receive(c, patience), "next", "after a cut datagram")
	})
}

func TestEmptyDatagramIsNoError(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		send(t, c, nil, c.LocalAddr())
		r := receive(c, patience)
		wantData(t, r, "", "sent an empty datagram")
		if r.from != c.LocalAddr() {
			t.Fatalf("the sender of an empty datagram is said to be %v, but it was %v", r.from, c.LocalAddr())
		}
	})
}
