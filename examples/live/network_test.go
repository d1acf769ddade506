package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// testNetwork is a network with two sockets, whose time stands still.
func testNetwork(t *testing.T, now *time.Duration) (n *network, a, b *socket, woken *time.Duration) {
	t.Helper()
	n = newNetwork(func() time.Duration { return *now }, 1, 100*time.Millisecond)
	woken = new(time.Duration)
	a, err := n.listen(netip.MustParseAddrPort("10.0.0.1:7070"), func(time.Duration) {})
	must(t, err)
	b, err = n.listen(netip.MustParseAddrPort("10.0.0.2:7070"), func(at time.Duration) { *woken = at })
	must(t, err)
	return n, a, b, woken
}

func TestADatagramArrivesAtItsTime(t *testing.T) {
	now := time.Second
	_, a, b, woken := testNetwork(t, &now)
	if _, err := a.WriteTo([]byte("hello"), b.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if *woken < 1075*time.Millisecond || *woken > 1125*time.Millisecond {
		t.Errorf("sent at 1 s with a latency of 100 ms it arrives at %v", *woken)
	}
	buf := make([]byte, 100)
	now = *woken - 1
	if _, _, err := b.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("before its time a read says %v", err)
	}
	now = *woken
	n, from, err := b.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hello" || from.String() != "10.0.0.1:7070" {
		t.Errorf("at its time a read gives %q from %v, %v", buf[:n], from, err)
	}
	if _, _, err := b.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("of an empty socket a read says %v", err)
	}
}

func TestFates(t *testing.T) {
	now := time.Second
	n, a, b, _ := testNetwork(t, &now)
	var last fate
	n.tap = func(p passage) { last = p.fate }
	send := func(want fate, why string) {
		t.Helper()
		if _, err := a.WriteTo([]byte("x"), b.LocalAddr()); err != nil || last != want {
			t.Errorf("%s a datagram has the fate %q, %v", why, last, err)
		}
	}
	for range mostWaiting {
		send(carried, "with room in the inbox")
	}
	send(crowded, "with a full inbox")
	if len(b.inbox) != mostWaiting {
		t.Errorf("%d datagrams wait", len(b.inbox))
	}
	n.apart = func(_, _ netip.AddrPort) bool { return true }
	send(cut, "in a partition")
	n.apart, n.loss = nil, 1
	send(lost, "with all lost")
	n.loss = 0
	b.Close()
	send(nobody, "with nobody there")
	if _, err := b.WriteTo(nil, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket sends, and says %v", err)
	}
	if _, _, err := b.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket reads, and says %v", err)
	}
}
