package transport

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// broken is a PacketConn whose reads fail at once.
type broken struct {
	net.PacketConn
	err error
}

func (b broken) ReadFrom([]byte) (int, net.Addr, error) {
	return 0, nil, b.err
}

func TestRepeatedErrorMakesNoBusyLoop(t *testing.T) {
	c := wrap(t, broken{udp4(t), syscall.ENOBUFS})
	for _, maxWait := range []time.Duration{3 * time.Millisecond, long, math.MaxInt64} {
		r := receive(c, maxWait)
		if !errors.Is(r.err, syscall.ENOBUFS) {
			t.Fatalf("a read that failed with ENOBUFS became the error %v", r.err)
		}
		if atLeast := min(maxWait, 10*time.Millisecond); r.took < atLeast || r.took > patience {
			t.Fatalf("Receive(%v) returned the error after %v, which allows a busy loop", maxWait, r.took)
		}
	}
	for range 100 {
		if r := receive(c, 0); !errors.Is(r.err, syscall.ENOBUFS) {
			t.Fatalf("a read that failed with ENOBUFS became the error %v", r.err)
		}
	}
}

func TestTimeoutThatComesTooEarlyMakesNoBusyLoop(t *testing.T) {
	c := wrap(t, broken{udp4(t), os.ErrDeadlineExceeded})
	for _, maxWait := range []time.Duration{pollTime, 3 * time.Millisecond, long, math.MaxInt64} {
		r := receive(c, maxWait)
		wantNothing(t, r, "with a read that times out at once")
		if atLeast := min(maxWait, 10*time.Millisecond); r.took < atLeast || r.took > patience {
			t.Fatalf("Receive(%v) returned after %v, which allows a busy loop", maxWait, r.took)
		}
	}
}

func TestWakeAndCloseEndThePauseAfterAnError(t *testing.T) {
	c := wrap(t, broken{udp4(t), syscall.ENOBUFS})
	// A busy machine may be late once, but not always.
	soonest := long
	for range 20 {
		done := make(chan result, 1)
		go func() { done <- receive(c, long) }()
		c.Wake()
		r := await(t, done, "it was woken")
		if !errors.Is(r.err, syscall.ENOBUFS) {
			t.Fatalf("woken, a read that failed with ENOBUFS became the error %v", r.err)
		}
		soonest = min(soonest, r.took)
	}
	if soonest >= 10*time.Millisecond {
		t.Fatalf("of 20 pauses that were woken the shortest took %v", soonest)
	}

	done := make(chan result, 1)
	go func() {
		r := receive(c, long)
		for start := time.Now(); !errors.Is(r.err, net.ErrClosed) && time.Since(start) < patience; {
			r = receive(c, long)
		}
		done <- r
	}()
	c.Close()
	if r := await(t, done, "the Conn was closed"); !errors.Is(r.err, net.ErrClosed) {
		t.Fatalf("after Close, Receive returned the error %v", r.err)
	}
}

func TestRefusedDatagramIsAPassingError(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Go asks Windows not to report refused datagrams")
	}
	peer := udp4(t)
	dead := peer.LocalAddr().(*net.UDPAddr)
	peer.Close()
	// Only a connected socket gets refusals. It reads like any other, but Wrap would not take it.
	udp, err := net.DialUDP("udp4", nil, dead)
	if err != nil {
		t.Fatal(err)
	}
	c := wrap(t, foreign{udp})
	c.pc, c.udp = udp, udp
	if err := c.useSocket(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := udp.Write([]byte("x")); err != nil {
			t.Fatalf("a datagram to %v could not be sent: %v", dead, err)
		}
		r := receive(c, patience)
		if !errors.Is(r.err, syscall.ECONNREFUSED) {
			t.Fatalf("a refused datagram became the error %v", r.err)
		}
		if r.took < 10*time.Millisecond {
			t.Fatalf("Receive returned the refusal after %v, which allows a busy loop", r.took)
		}
	}
	wantNothing(t, receive(c, 0), "after the refusals")

	// A pause that was woken must not leave a deadline that hides datagrams.
	for range 20 {
		if _, err := udp.Write([]byte("x")); err != nil {
			t.Fatalf("a datagram to %v could not be sent: %v", dead, err)
		}
		done := make(chan result, 1)
		go func() { done <- receive(c, long) }()
		c.Wake()
		if r := await(t, done, "it was woken"); !errors.Is(r.err, syscall.ECONNREFUSED) {
			t.Fatalf("woken, a refused datagram became the error %v", r.err)
		}
	}
	again, err := net.ListenUDP("udp4", dead)
	if err != nil {
		t.Skipf("the port %v was taken in the meantime: %v", dead, err)
	}
	defer again.Close()
	if _, err := again.WriteTo([]byte("hello"), udp.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	wantData(t, receive(c, 0), "hello", "after pauses that were woken")
}

func TestSendRejectsWhatIsNoDestination(t *testing.T) {
	eachKind(t, func(t *testing.T, c *Conn) {
		for _, to := range []netip.AddrPort{
			{},
			netip.AddrPortFrom(netip.Addr{}, 7946),
			netip.MustParseAddrPort("127.0.0.1:0"),
			netip.MustParseAddrPort("[::1]:7946"),
		} {
			if err := c.Send([]byte("x"), to); err == nil {
				t.Errorf("an IPv4 socket sent a datagram to %v", to)
			}
		}
	})
}

func TestImpossibleConnIsAnError(t *testing.T) {
	if _, err := Listen(netip.AddrPort{}, 0); err == nil {
		t.Error("Listen took the zero AddrPort")
	}
	c := listen(t, "127.0.0.1:0")
	if _, err := Listen(c.LocalAddr(), 0); !errors.Is(err, syscall.EADDRINUSE) && runtime.GOOS != "windows" {
		t.Errorf("Listen on an address in use returned the error %v", err)
	}
	for _, pc := range []net.PacketConn{nil, (*net.UDPConn)(nil), new(net.UnixConn), new(net.IPConn)} {
		if _, err := Wrap(pc, 0); !errors.Is(err, ErrUnusable) {
			t.Errorf("Wrap of a PacketConn of type %T returned the error %v", pc, err)
		}
	}
	udp := udp4(t)
	udp.Close()
	if _, err := Wrap(udp, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wrap of a closed socket returned the error %v", err)
	}
}

// peered is a PacketConn that says to whom it is connected.
type peered struct {
	net.PacketConn
	remote net.Addr
}

func (p peered) RemoteAddr() net.Addr { return p.remote }

func TestConnectedSocketIsAnError(t *testing.T) {
	to := udp4(t).LocalAddr()
	dialed, err := net.DialUDP("udp4", nil, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	type embedded struct{ *net.UDPConn } // a wrapper that inherits RemoteAddr
	for _, pc := range []net.PacketConn{dialed, embedded{dialed}, peered{udp4(t), to}, peered{udp4(t), address("a peer")}} {
		if _, err := Wrap(pc, 0); !errors.Is(err, ErrUnusable) {
			t.Errorf("Wrap of a connected %T returned the error %v", pc, err)
		}
	}
	if _, err := dialed.Write([]byte("x")); err != nil {
		t.Errorf("a socket that Wrap refused is no longer the caller's: %v", err)
	}
	for _, pc := range []net.PacketConn{udp4(t), embedded{udp4(t)}, peered{udp4(t), nil}, peered{udp4(t), (*net.UDPAddr)(nil)}} {
		if _, err := Wrap(pc, 0); err != nil {
			t.Errorf("Wrap of an unconnected %T returned the error %v", pc, err)
		}
	}
}

func TestSyscallConnReachesTheSocket(t *testing.T) {
	raw, err := listen(t, "127.0.0.1:0").SyscallConn()
	if err != nil {
		t.Fatalf("a UDP socket has no SyscallConn: %v", err)
	}
	called := false
	if err := raw.Control(func(uintptr) { called = true }); err != nil || !called {
		t.Fatalf("Control of the socket failed: %v", err)
	}
	if _, err := wrap(t, foreign{udp4(t)}).SyscallConn(); err == nil {
		t.Fatal("a PacketConn without SyscallConn gave one")
	}
}
