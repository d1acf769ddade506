package simnet_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/transport"
)

// The methods a node's loop needs of its socket.
var _ interface {
	Receive(buf []byte, maxWait time.Duration) (int, netip.AddrPort, error)
	Send(b []byte, to netip.AddrPort) error
	Wake()
	LocalAddr() netip.AddrPort
	SyscallConn() (syscall.RawConn, error)
	Close() error
} = (*simnet.Endpoint)(nil)

func TestReceiveGivesSenderAndCutsToTheBuffer(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	a, b := listen(t, n, 1), listen(t, n, 2)
	text := []byte("hello")
	if err := a.Send(text, netip.MustParseAddrPort("[::ffff:10.0.0.2]:7070")); err != nil {
		t.Fatalf("seed %d: sending to a mapped address failed: %v", seed, err)
	}
	copy(text, "XXXXX")
	n.Run(0)
	buf := make([]byte, 4)
	size, from, err := b.Receive(buf, time.Hour)
	if err != nil || from != node(1) || string(buf[:size]) != "hell" {
		t.Errorf("seed %d: received %q from %v with error %v, want hell from %v", seed, buf[:size], from, err, node(1))
	}
	if _, _, err := b.Receive(buf, time.Hour); err != transport.ErrNothing {
		t.Errorf("seed %d: an empty inbox gave the error %v, want ErrNothing", seed, err)
	}
}

func TestSendRefusesWhatCannotBeSent(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	a := listen(t, n, 1)
	for what, err := range map[string]error{
		"no address":           a.Send(nil, netip.AddrPort{}),
		"port 0":               a.Send(nil, netip.AddrPortFrom(node(2).Addr(), 0)),
		"a payload of 65508 B": a.Send(make([]byte, 65508), node(2)),
	} {
		if err == nil {
			t.Errorf("seed %d: a datagram to or with %s was sent", seed, what)
		}
	}
	if err := a.Send(make([]byte, 65507), node(2)); err != nil {
		t.Errorf("seed %d: a datagram of 65507 bytes was not sent: %v", seed, err)
	}
	n.Run(0)
	datagrams(t, "unreachable, as nobody listens", n.Count(simnet.Unreachable), 1)
}

func TestListenAddresses(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	listen(t, n, 1)
	if _, err := n.Listen(node(1)); err == nil {
		t.Errorf("seed %d: two endpoints listen on %v", seed, node(1))
	}
	if _, err := n.Listen(netip.AddrPort{}); err == nil {
		t.Errorf("seed %d: an endpoint listens on no address", seed)
	}
	if _, err := n.Listen(netip.AddrPortFrom(node(2).Addr(), 0)); err == nil {
		t.Errorf("seed %d: an endpoint listens on port 0", seed)
	}
}

func TestCrashAndRestartOnTheSameAddress(t *testing.T) {
	const latency = 10 * time.Millisecond
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: latency, LatencyMax: latency})
	a, b := listen(t, n, 1), listen(t, n, 2)
	b.OnReadable(func() {
		if n.Now() > latency {
			t.Errorf("seed %d: a crashed node was told of a datagram", seed)
		}
	})
	send(t, a, 2, "in the inbox")
	n.Run(latency)
	send(t, a, 2, "in flight")
	send(t, b, 1, "last words")

	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("seed %d: closing gave the error %v", seed, err)
		}
	}
	b.Wake()
	_, _, received := b.Receive(make([]byte, 10), 0)
	_, raw := b.SyscallConn()
	for what, err := range map[string]error{"Receive": received, "Send": b.Send(nil, node(1)), "SyscallConn": raw} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("seed %d: %s after Close gave the error %v, want net.ErrClosed", seed, what, err)
		}
	}

	again := listen(t, n, 2)
	if err := b.Close(); err != nil {
		t.Errorf("seed %d: closing the crashed endpoint once more gave the error %v", seed, err)
	}
	n.Run(latency)
	if got := drain(t, again); got != nil {
		t.Errorf("seed %d: the restarted node got %q, sent to the crashed one", seed, got)
	}
	if got := drain(t, a); !slices.Equal(got, []string{"last words"}) {
		t.Errorf("seed %d: of what the crashed node sent before, %q arrived", seed, got)
	}
	datagrams(t, "unreachable", n.Count(simnet.Unreachable), 1)

	send(t, a, 2, "hello again")
	n.Run(latency)
	if got := drain(t, again); !slices.Equal(got, []string{"hello again"}) {
		t.Errorf("seed %d: the restarted node got %q", seed, got)
	}
}

func TestDatagramFindsWhoListensWhenItArrives(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: 10, LatencyMax: 10})
	a := listen(t, n, 1)
	send(t, a, 2, "early")
	n.Run(5)
	b := listen(t, n, 2)
	n.Run(5)
	if got := drain(t, b); !slices.Equal(got, []string{"early"}) {
		t.Errorf("seed %d: the node that started while a datagram was under way got %q", seed, got)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	a, b := listen(t, n, 1), listen(t, n, 2)
	calls := 0
	b.OnReadable(func() { calls++ })
	expect := func(when string, want int) {
		t.Helper()
		if calls != want {
			t.Errorf("seed %d: %s, the node was called %d times, want %d", seed, when, calls, want)
		}
		calls = 0
	}

	b.Wake()
	expect("woken", 1)
	b.SetInbox(3)
	b.Freeze()
	for range 5 {
		send(t, a, 2, "hello")
	}
	n.Run(0)
	expect("frozen", 0)
	datagrams(t, "too many for the inbox of a frozen node", n.Count(simnet.Overflowed), 2)
	if !b.Frozen() {
		t.Errorf("seed %d: a frozen endpoint says it is not", seed)
	}
	b.Thaw()
	expect("thawed with datagrams waiting", 1)
	if got := drain(t, b); len(got) != 3 || b.Frozen() {
		t.Errorf("seed %d: the thawed node got %q (frozen: %v), want three datagrams", seed, got, b.Frozen())
	}
	b.Thaw()
	expect("thawed without being frozen", 0)
	b.Freeze()
	b.Thaw()
	expect("thawed with nothing waiting", 0)
	b.Freeze()
	b.Wake()
	expect("woken while frozen", 0)
	b.Thaw()
	expect("thawed after it was woken", 1)
	send(t, a, 2, "hello")
	n.Run(0)
	expect("running again", 1)
}

func TestFullInboxOverflows(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	a, b := listen(t, n, 1), listen(t, n, 2)
	for range 1030 {
		send(t, a, 2, "12345678")
	}
	n.Run(0)
	datagrams(t, "delivered to an inbox of the default size", n.Count(simnet.Delivered), 1024)
	datagrams(t, "too many for it", n.Count(simnet.Overflowed), 6)
	if n.Count(simnet.Sent).Bytes != 8*1030 || n.Count(simnet.Delivered).Bytes != 8*1024 || n.Count(simnet.Overflowed).Bytes != 8*6 {
		t.Errorf("seed %d: the bytes counted do not fit 8 a datagram", seed)
	}
	drain(t, b)
	b.SetInbox(1)
	send(t, a, 2, "kept")
	send(t, a, 2, "dropped")
	n.Run(0)
	if got := drain(t, b); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("seed %d: an inbox of one datagram held %q", seed, got)
	}
}

func TestFailSends(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	a, b := listen(t, n, 1), listen(t, n, 2)
	broken := errors.New("network is down")
	a.FailSends(func(to netip.AddrPort) error {
		if to == node(3) {
			return broken
		}
		return nil
	})
	if err := a.Send([]byte("hello"), node(3)); !errors.Is(err, broken) {
		t.Errorf("seed %d: a send that should fail gave the error %v", seed, err)
	}
	send(t, a, 2, "hello")
	a.FailSends(nil)
	send(t, a, 3, "hello")
	n.Run(0)
	if got := drain(t, b); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("seed %d: the destination whose sends do not fail got %q", seed, got)
	}
	datagrams(t, "sent, without the failed one", n.Count(simnet.Sent), 2)
}
