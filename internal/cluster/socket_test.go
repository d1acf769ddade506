package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

var errUnreachable = errors.New("network is unreachable")

// publications is how many messages there are in unsendable.
const publications = 60

// unsendable lets nodes publish for a minute in which some of them, if any, cannot send to the
// last one, and returns how long each message took to each of the others, ascending.
func unsendable(t *testing.T, size int, seed uint64, cannot []int) (took []time.Duration) {
	t.Helper()
	c := newCluster(t, size, lan(seed), node.Config{})
	c.form()
	c.net.Run(10 * time.Second)
	last, refused := c.nodes[size-1], 0
	for _, i := range cannot {
		c.nodes[i].end.FailSends(func(to netip.AddrPort) error {
			if to != last.addr {
				return nil
			}
			refused++
			return errUnreachable
		})
	}
	var at time.Duration
	for _, n := range c.nodes[:size-1] {
		n.onDeliver = func(uint64, []byte) { took = append(took, c.net.Now()-at) }
	}
	sent := map[string]*simNode{}
	for range publications {
		n := c.nodes[c.net.Rand().IntN(size-1)]
		at = c.net.Now()
		sent[n.publish()] = n
		c.net.Run(time.Minute / publications)
	}
	if (refused > 0) != (len(cannot) > 0) {
		t.Fatalf("seed %d: %d datagrams could not be sent, of %d nodes", seed, refused, len(cannot))
	}
	for _, n := range c.nodes {
		n.end.FailSends(nil)
		n.onDeliver = nil
	}
	c.converge(5*time.Second, sent)
	slices.Sort(took)
	return took
}

// In one hop no node depends on another one. In two, the few behind the silent one on the ring
// wait until their part of it is given to another node.
func TestSocketWhoseSendFailsDelaysNoOther(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, x := range []struct {
		size, senders int           // of these some cannot send
		usual         float64       // of the deliveries that are as quick as without errors
		worst         time.Duration // of the others
	}{
		{8, 1, 1, 50 * time.Millisecond},
		{16, 15, 1, 50 * time.Millisecond},
		{36, 35, 0.9, 500 * time.Millisecond},
	} {
		for seed := range uint64(2) {
			cannot := make([]int, x.senders)
			for i := range cannot {
				cannot[i] = i
			}
			without, with := unsendable(t, x.size, seed, nil), unsendable(t, x.size, seed, cannot)
			if len(with) != publications*(x.size-2) || len(with) != len(without) {
				t.Fatalf("seed %d: of %d deliveries to the others there were %d", seed, len(without), len(with))
			}
			for _, share := range []float64{0.5, x.usual} {
				i := int(share*float64(len(with))) - 1
				if with[i] > without[i]+10*time.Millisecond {
					t.Errorf("seed %d: when %d of %d nodes cannot send to one, %.0f %% of the deliveries to the others take %v instead of %v",
						seed, x.senders, x.size, 100*share, with[i], without[i])
				}
			}
			if most := with[len(with)-1]; most > x.worst {
				t.Errorf("seed %d: when %d of %d nodes cannot send to one, a delivery to another takes %v", seed, x.senders, x.size, most)
			}
		}
	}
}

// faultyReads is a socket whose reads fail at times. Like a real one it then takes 10 ms of
// the wait for a datagram.
type faultyReads struct {
	socket
	n      *simNode
	fails  func() bool
	failed int
}

func (f *faultyReads) Receive(b []byte, maxWait time.Duration) (int, netip.AddrPort, error) {
	if !f.n.down && f.fails() {
		f.failed++
		f.n.wakeAt(f.n.c.net.Now() + 10*time.Millisecond)
		return 0, netip.AddrPort{}, fmt.Errorf("receive: %w", errUnreachable)
	}
	return f.socket.Receive(b, maxWait)
}

func TestSocketWhoseReceiveFailsCostsNothingButTime(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(4) {
		c := newCluster(t, 16, lan(seed), node.Config{})
		c.form()
		now, rng := c.net.Now, c.net.Rand()
		patterns := []func() bool{
			func() bool { return rng.IntN(10) == 0 },                                          // now and then
			func() bool { return now()%time.Second < 200*time.Millisecond },                   // many in a row
			func() bool { return rng.IntN(2) == 0 && now()%(20*time.Second) < 2*time.Second }, // a bad time
			func() bool { return now()%(10*time.Second) < 1500*time.Millisecond },             // long silence
			func() bool { return rng.IntN(20) == 0 || now()%time.Second < time.Second/4 },     // all of it
		}
		var sockets []*faultyReads
		for i, n := range c.nodes[:10] {
			s := &faultyReads{socket: n.socket, n: n, fails: patterns[i%len(patterns)]}
			n.socket, sockets = s, append(sockets, s)
		}
		sent := map[string]*simNode{}
		c.traffic(20*time.Second, 50*time.Millisecond, sent)
		c.awaitDeliveries(5*time.Second, sent)
		for _, s := range sockets {
			s.fails = func() bool { return false }
		}
		c.converge(5*time.Second, sent)
		for _, s := range sockets {
			if s.failed == 0 {
				t.Fatalf("seed %d: no read of %v failed", seed, s.n.addr)
			}
		}
		for _, n := range c.nodes {
			if lost := n.Stats().MembersLost; lost > 0 {
				t.Fatalf("seed %d: %v considered %d living members lost", seed, n.addr, lost)
			}
		}
	}
}
