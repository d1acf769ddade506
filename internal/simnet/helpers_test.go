package simnet_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/transport"
)

const seed = 20260117

// node returns the address of node i, 0 to 65535.
func node(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7070)
}

// listen opens the endpoint of node i.
func listen(t testing.TB, n *simnet.Net, i int) *simnet.Endpoint {
	t.Helper()
	e, err := n.Listen(node(i))
	if err != nil {
		t.Fatalf("seed %d: node %d could not listen: %v", seed, i, err)
	}
	return e
}

// send sends text from e to node i.
func send(t testing.TB, e *simnet.Endpoint, i int, text string) {
	t.Helper()
	if err := e.Send([]byte(text), node(i)); err != nil {
		t.Fatalf("seed %d: sending %q from %v to node %d failed: %v", seed, text, e.LocalAddr(), i, err)
	}
}

// drain receives what waits in the inbox of e.
func drain(t testing.TB, e *simnet.Endpoint) []string {
	t.Helper()
	var texts []string
	buf := make([]byte, 2048)
	for {
		size, _, err := e.Receive(buf, time.Second)
		if errors.Is(err, transport.ErrNothing) {
			return texts
		}
		if err != nil {
			t.Fatalf("seed %d: receiving at %v failed: %v", seed, e.LocalAddr(), err)
		}
		texts = append(texts, string(buf[:size]))
	}
}

// datagrams fails the test unless a count is as wanted.
func datagrams(t testing.TB, what string, c simnet.Count, want uint64) {
	t.Helper()
	if c.Datagrams != want {
		t.Errorf("seed %d: %d datagrams were %s, want %d", seed, c.Datagrams, what, want)
	}
}
