package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// loopLimit is how long the tests on real sockets wait for what normally takes
// milliseconds: the machine may be busy.
const loopLimit = 60 * time.Second

// brisk makes a node do in tenths of a second what it otherwise does in seconds.
var brisk = Config{TickInterval: 50 * time.Millisecond, RetryInterval: 100 * time.Millisecond}

// thrown is the only panic that the loop of a loopNode survives.
const thrown = "thrown by the receiver"

// loopNode is a node on a real socket, whose loop turns in a goroutine.
type loopNode struct {
	*GossipService
	t     testing.TB
	loop  sync.WaitGroup
	pause func() // ends the loop, without a goodbye, and waits until it has ended

	mu     sync.Mutex
	got    map[string]int // how often each payload was delivered
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

func (n *loopNode) say(text string, spread ...Spread) {
	n.t.Helper()
	if err := n.SendData([]byte(text), spread...); err != nil {
		n.t.Fatalf("node %v cannot say %.80q: %v", n.Address(), text, err)
	}
}

// times returns how often a text was delivered here.
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

// listening waits until the node has taken count more messages, by which time
// anything that was to follow should have come.
func (n *loopNode) listening(count uint64) {
	n.t.Helper()
	goal := n.Stats().MessagesIn + count
	waitUntil(n.t, fmt.Sprintf("%d more messages of any kind come in", count),
		func() bool { return n.Stats().MessagesIn >= goal }, n)
}

// waitUntil waits until cond holds. If it does not for loopLimit, the test ends
// with what the nodes counted.
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

// knowAll reports whether the nodes are CONNECTED and each knows all the others
// and nobody else.
func knowAll(nodes ...*loopNode) bool {
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

// formLoops joins all to the first and waits until all know all.
func formLoops(nodes ...*loopNode) {
	nodes[0].t.Helper()
	nodes[0].join()
	for _, n := range nodes[1:] {
		n.join(nodes[0])
	}
	waitUntil(nodes[0].t, "all know all", func() bool { return knowAll(nodes...) }, nodes...)
}

// wantOnce waits until a text is with every listener and fails if one has it
// more than once.
func wantOnce(t testing.TB, text string, listeners ...*loopNode) {
	t.Helper()
	waitUntil(t, fmt.Sprintf("%.80q is everywhere", text), func() bool {
		return !slices.ContainsFunc(listeners, func(n *loopNode) bool { return n.times(text) == 0 })
	}, listeners...)
	for _, n := range listeners {
		if times := n.times(text); times != 1 {
			t.Fatalf("node %v got %.80q %d times", n.Address(), text, times)
		}
	}
}

func TestLoopbackClusterOf16(t *testing.T) {
	const seed = 16
	rng := rand.New(rand.NewPCG(seed, 0))
	var nodes []*loopNode
	for range 16 {
		nodes = append(nodes, startLoop(t, "127.0.0.1:0", Config{}))
	}
	formLoops(nodes...)

	said := map[string]*loopNode{}
	for i := range 100 {
		n, text := nodes[rng.IntN(len(nodes))], fmt.Sprint("message ", i)
		n.say(text)
		said[text] = n
	}
	waitUntil(t, fmt.Sprintf("every message is everywhere (seed %d)", seed), func() bool {
		for _, n := range nodes {
			for text, from := range said {
				if n != from && n.times(text) == 0 {
					return false
				}
			}
		}
		return true
	}, nodes...)

	// Upkeep goes on, so each queue is empty at some moment, not all at one.
	busy := slices.Clone(nodes)
	waitUntil(t, "every queue has been empty", func() bool {
		busy = slices.DeleteFunc(busy, func(n *loopNode) bool {
			s := n.Stats()
			return s.QueuedControl+s.QueuedData+s.AcksPending+s.Arrived == 0
		})
		return len(busy) == 0
	}, nodes...)
	for _, n := range nodes {
		for text, from := range said {
			want := 1
			if n == from {
				want = 0 // nobody hears himself
			}
			if times := n.times(text); times != want {
				t.Errorf("seed %d: node %v got %q %d times instead of %d", seed, n.Address(), text, times, want)
			}
		}
	}

	victim := 1 + rng.IntN(15)
	addr := nodes[victim].Address()
	nodes[victim].kill()
	nodes[victim] = startLoop(t, addr.String(), Config{})
	nodes[victim].join(nodes[0])
	others := slices.Delete(slices.Clone(nodes), victim, victim+1)
	waitUntil(t, fmt.Sprintf("all know the restarted node %d by its new ID only (seed %d)", victim, seed),
		func() bool { return knowAll(nodes...) }, nodes...)
	nodes[victim].say("I am back")
	wantOnce(t, "I am back", others...)
	others[3].say("welcome back")
	wantOnce(t, "welcome back", nodes[victim])
}

func TestLoopbackIPv6(t *testing.T) {
	a, b := startLoop6(t, "[::1]:0", brisk), startLoop6(t, "[::1]:0", brisk)
	formLoops(a, b)
	a.say("over IPv6")
	wantOnce(t, "over IPv6", b)
	b.say("and back", Direct(a.Address()))
	wantOnce(t, "and back", a)
}

func TestLoopbackWildcardNodeIsReachedWhereItsSeedSeesIt(t *testing.T) {
	for _, self := range []string{"0.0.0.0:0", "[::]:0"} {
		t.Run(self, func(t *testing.T) {
			start := startLoop
			if self[0] == '[' {
				start = func(t testing.TB, self string, c Config) *loopNode { return startLoop6(t.(*testing.T), self, c) }
			}
			node := start(t, self, brisk)
			seed, third := startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk)
			if a := node.Address().AddrPort(); !a.Addr().IsUnspecified() || a.Port() == 0 {
				t.Fatalf("before anybody saw it the node should be at the wildcard address and its port, not at %v", a)
			}
			formLoops(seed, node, third)

			seen := fmt.Sprint("127.0.0.1:", node.Address().AddrPort().Port())
			if got := node.Address().String(); got != seen {
				t.Errorf("the node thinks it is at %v, but its seed sees it at %v", got, seen)
			}
			for _, n := range []*loopNode{seed, third} {
				i := slices.IndexFunc(n.Members(), func(m Member) bool { return m.ID == node.ID() })
				if got := n.Members()[i].Address.String(); got != seen {
					t.Errorf("node %v has the wildcard node at %v instead of %v", n.Address(), got, seen)
				}
			}
			node.say("from the wildcard")
			wantOnce(t, "from the wildcard", seed, third)
			third.say("to the wildcard")
			wantOnce(t, "to the wildcard", seed, node)
			seed.say("straight to the wildcard", Direct(node.Address()))
			wantOnce(t, "straight to the wildcard", node)
		})
	}
}

func TestLoopbackSeedThatComesUpLate(t *testing.T) {
	gone := newLoop(t, "127.0.0.1:0", brisk)
	addr := gone.Address()
	gone.kill()

	node := startLoop(t, "127.0.0.1:0", brisk)
	if err := node.Join(addr); err != nil {
		t.Fatalf("Join with a seed that is down fails: %v", err)
	}
	waitUntil(t, "the node reports DISCONNECTED", func() bool { return node.entered(StateDisconnected) }, node)
	if node.entered(StateConnected) {
		t.Fatal("the node reported CONNECTED to a seed that is down")
	}
	seed := startLoop(t, addr.String(), brisk)
	seed.join()
	waitUntil(t, "the node joined by itself", func() bool { return knowAll(seed, node) && node.entered(StateConnected) }, seed, node)
	node.say("at last")
	wantOnce(t, "at last", seed)
}

func TestLoopbackRunSaysLeave(t *testing.T) {
	peer, node := startLoop(t, "127.0.0.1:0", Config{}), newLoop(t, "127.0.0.1:0", Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	formLoops(peer, node)

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run ended with its context, but returned the error %v", err)
		}
	case <-time.After(loopLimit):
		t.Fatal("Run goes on though its context has ended")
	}
	waitUntil(t, "the peer lost the node", func() bool { return len(peer.Members()) == 0 }, peer)
	if s := peer.Stats(); s.MembersLost != 0 {
		t.Errorf("the peer took the node for lost instead of hearing its goodbye: %+v", s)
	}
	if s := node.State(); s != StateDisconnected {
		t.Errorf("after Run the node is %v instead of DISCONNECTED", s)
	}
	node.Close()
	if err := node.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close returned %v instead of ErrClosed", err)
	}
}
