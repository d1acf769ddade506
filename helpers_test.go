package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loopLimit is how long the tests on real sockets wait for what normally takes
// milliseconds: the machine may be busy.
const loopLimit = 60 * time.Second

// brisk makes a node do in tenths of a second what takes seconds by default.
var brisk = Config{TickInterval: 50 * time.Millisecond, RetryInterval: 100 * time.Millisecond}

// thrown is the only panic that the loops of the tests survive.
const thrown = "thrown by a test"

// loopNode is a node on a real socket, whose loop turns in a goroutine.
type loopNode struct {
	*GossipService
	t     testing.TB
	loop  sync.WaitGroup
	pause func() // ends the loop, without a goodbye, and waits until it has ended

	mu     sync.Mutex
	got    map[string]int // how many times each payload was delivered
	states []State        // entered
	hook   func(origin NodeID, payload []byte)
}

// newLoop makes a node whose loop does not turn yet. Without an address it is
// the one of config.Conn.
func newLoop(t testing.TB, self string, config Config) *loopNode {
	t.Helper()
	n := &loopNode{t: t, pause: func() {}, got: map[string]int{}}
	config.OnStateChange = func(_, new State) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.states = append(n.states, new)
	}
	var addr Address
	err := addr.UnmarshalText([]byte(self))
	if err == nil {
		n.GossipService, err = New(addr, n.receive, config)
	}
	if err != nil {
		t.Fatalf("a node on %q cannot be made: %v", self, err)
	}
	t.Cleanup(n.kill)
	return n
}

// startLoop makes a node whose loop turns until the test ends.
func startLoop(t testing.TB, self string, config Config) *loopNode {
	t.Helper()
	n := newLoop(t, self, config)
	n.run()
	return n
}

// startLoop6 is startLoop, but skips the test where there is no IPv6.
func startLoop6(t *testing.T, self string, config Config) *loopNode {
	t.Helper()
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	probe.Close()
	return startLoop(t, self, config)
}

func (n *loopNode) receive(origin NodeID, payload []byte) {
	n.mu.Lock()
	n.got[string(payload)]++
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		hook(origin, payload)
	}
}

// run starts the loop.
func (n *loopNode) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.pause = func() {
		cancel()
		n.Wake()
		n.loop.Wait()
	}
	n.loop.Go(func() {
		for ctx.Err() == nil {
			if err := n.turn(); err != nil {
				if !errors.Is(err, ErrClosed) {
					n.t.Errorf("the loop of node %v ended with the error %v", n.Address(), err)
				}
				return
			}
		}
	})
}

func (n *loopNode) turn() error {
	defer func() {
		if p := recover(); p != nil && p != thrown {
			panic(p)
		}
	}()
	wait, err := n.Tick()
	if err == nil {
		_, err = n.Send()
	}
	if err == nil {
		_, err = n.Receive(wait)
	}
	return err
}

// kill ends the node without a goodbye.
func (n *loopNode) kill() {
	n.Close()
	n.loop.Wait()
	n.pause()
}

func (n *loopNode) join(seeds ...*loopNode) {
	n.t.Helper()
	var addrs []Address
	for _, s := range seeds {
		addrs = append(addrs, s.Address())
	}
	if err := n.Join(addrs...); err != nil {
		n.t.Fatalf("node %v cannot join %v: %v", n.Address(), addrs, err)
	}
}

func (n *loopNode) publish(text string, spread ...Spread) {
	n.t.Helper()
	if err := n.SendData([]byte(text), spread...); err != nil {
		n.t.Fatalf("node %v cannot send %.80q: %v", n.Address(), text, err)
	}
}

// times returns how many times a text was delivered to the node.
func (n *loopNode) times(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got[text]
}

func (n *loopNode) entered(s State) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.states, s)
}

// receiveMore waits until the node has handled count more messages. Whatever was under way
// before has arrived by then.
func (n *loopNode) receiveMore(count uint64) {
	n.t.Helper()
	goal := n.Stats().MessagesIn + count
	waitUntil(n.t, fmt.Sprintf("%d more messages of any kind come in", count),
		func() bool { return n.Stats().MessagesIn >= goal }, n)
}

// waitUntil waits until cond holds. If it does not within loopLimit, the test fails with
// the Stats of the nodes.
func waitUntil(t testing.TB, what string, cond func() bool, nodes ...*loopNode) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	limit := time.After(loopLimit)
	for !cond() {
		select {
		case <-look.C:
		case <-limit:
			var all strings.Builder
			for _, n := range nodes {
				fmt.Fprintf(&all, "%v %v %v: %+v\n", n.ID(), n.Address(), n.State(), n.Stats())
			}
			t.Fatalf("after %v it does not hold that %s\n%s", loopLimit, what, all.String())
		}
	}
}

// complete reports whether the nodes are CONNECTED and the members of each are all the
// others.
func complete(nodes ...*loopNode) bool {
	for _, n := range nodes {
		members := n.Members()
		if n.State() != StateConnected || len(members) != len(nodes)-1 {
			return false
		}
		for _, other := range nodes {
			if other != n && !slices.ContainsFunc(members, func(m Member) bool { return m.ID == other.ID() }) {
				return false
			}
		}
	}
	return true
}

// form joins all nodes to the first and waits until they are complete.
func form(nodes ...*loopNode) {
	nodes[0].t.Helper()
	nodes[0].join()
	for _, n := range nodes[1:] {
		n.join(nodes[0])
	}
	waitUntil(nodes[0].t, "all nodes know one another", func() bool { return complete(nodes...) }, nodes...)
}

// wantOnce waits until a text was delivered to each node, and fails if it was delivered to
// one of them more than once.
func wantOnce(t testing.TB, text string, nodes ...*loopNode) {
	t.Helper()
	waitUntil(t, fmt.Sprintf("%.80q is delivered", text), func() bool {
		return !slices.ContainsFunc(nodes, func(n *loopNode) bool { return n.times(text) == 0 })
	}, nodes...)
	for _, n := range nodes {
		if times := n.times(text); times != 1 {
			t.Fatalf("node %v got %.80q %d times", n.Address(), text, times)
		}
	}
}

// pair returns two nodes that know each other and whose loops turn.
func pair(t testing.TB, config Config) (a, b *loopNode) {
	t.Helper()
	a, b = startLoop(t, "127.0.0.1:0", config), startLoop(t, "127.0.0.1:0", config)
	form(a, b)
	return a, b
}

// quiet ends the loops of a and b and leaves nothing for a to receive or send.
func quiet(a, b *loopNode) {
	b.pause()
	a.pause()
	for handled := 1; handled > 0; {
		a.Tick()
		a.Send()
		handled, _ = a.Receive(0)
	}
	a.Send()
}

// whileWaiting starts a Receive of an hour, calls do once it waits, and returns what Receive
// returned. A Receive that an earlier Wake ends is started again.
func whileWaiting(t *testing.T, n *loopNode, what string, do func()) error {
	t.Helper()
	var done atomic.Bool
	ended := make(chan error, 1)
	go func() {
		for {
			_, err := n.Receive(time.Hour)
			if done.Load() || err != nil {
				ended <- err
				return
			}
		}
	}()
	waitUntil(t, "Receive waits", func() bool { return waiting(n.GossipService) }, n)
	done.Store(true)
	do()
	select {
	case err := <-ended:
		return err
	case <-time.After(loopLimit):
		t.Fatalf("%s does not end the wait of Receive", what)
		return nil
	}
}

// testKey returns a key that is made of one byte.
func testKey(of byte) []byte { return bytes.Repeat([]byte{of}, 32) }
