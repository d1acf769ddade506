package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestLoopbackClusterDeliversEachMessageOnce(t *testing.T) {
	const seed = 16
	rng := rand.New(rand.NewPCG(seed, 0))
	var nodes []*loopNode
	for range 16 {
		nodes = append(nodes, startLoop(t, "127.0.0.1:0", Config{}))
	}
	form(nodes...)

	sent := map[string]*loopNode{}
	for i := range 100 {
		n, text := nodes[rng.IntN(len(nodes))], fmt.Sprint("message ", i)
		n.publish(text)
		sent[text] = n
	}
	waitUntil(t, fmt.Sprintf("every message is everywhere (seed %d)", seed), func() bool {
		for _, n := range nodes {
			for text, from := range sent {
				if n != from && n.times(text) == 0 {
					return false
				}
			}
		}
		return true
	}, nodes...)

	// Maintenance goes on, so each queue is empty at some moment, but not all at the same.
	busy := slices.Clone(nodes)
	waitUntil(t, "every queue has been empty", func() bool {
		busy = slices.DeleteFunc(busy, func(n *loopNode) bool {
			s := n.Stats()
			return s.QueuedControl+s.QueuedData+s.AcksPending+s.Arrived == 0
		})
		return len(busy) == 0
	}, nodes...)
	for _, n := range nodes {
		for text, from := range sent {
			want := 1
			if n == from {
				want = 0 // a node does not receive its own messages
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
		func() bool { return complete(nodes...) }, nodes...)
	nodes[victim].publish("I am back")
	wantOnce(t, "I am back", others...)
	others[3].publish("welcome back")
	wantOnce(t, "welcome back", nodes[victim])
}

func TestLoopbackIPv6Delivers(t *testing.T) {
	a, b := startLoop6(t, "[::1]:0", brisk), startLoop6(t, "[::1]:0", brisk)
	form(a, b)
	a.publish("over IPv6")
	wantOnce(t, "over IPv6", b)
	b.publish("and back", Direct(a.Address()))
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
				t.Fatalf("before it has joined the node should be at the wildcard address and its port, not at %v", a)
			}
			form(seed, node, third)

			seen := fmt.Sprint("127.0.0.1:", node.Address().AddrPort().Port())
			if got := node.Address().String(); got != seen {
				t.Errorf("the node takes itself to be at %v, but its seed sees it at %v", got, seen)
			}
			for _, n := range []*loopNode{seed, third} {
				i := slices.IndexFunc(n.Members(), func(m Member) bool { return m.ID == node.ID() })
				if got := n.Members()[i].Address.String(); got != seen {
					t.Errorf("node %v has the wildcard node at %v instead of %v", n.Address(), got, seen)
				}
			}
			node.publish("from the wildcard")
			wantOnce(t, "from the wildcard", seed, third)
			third.publish("to the wildcard")
			wantOnce(t, "to the wildcard", seed, node)
			seed.publish("straight to the wildcard", Direct(node.Address()))
			wantOnce(t, "straight to the wildcard", node)
		})
	}
}

func TestLoopbackSeedThatStartsLateIsJoined(t *testing.T) {
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
	waitUntil(t, "the node joined by itself", func() bool { return complete(seed, node) && node.entered(StateConnected) }, seed, node)
	node.publish("at last")
	wantOnce(t, "at last", seed)
}

func TestJoinOfABadAddressChangesNothing(t *testing.T) {
	n, seed := newLoop(t, "127.0.0.1:0", Config{}), newLoop(t, "127.0.0.1:0", Config{})
	seed.join()
	good := seed.Address()
	for _, bad := range []string{"", "127.0.0.1:0", "0.0.0.0:7070", "[::]:7070", "224.0.0.1:7070"} {
		var a Address
		if err := a.UnmarshalText([]byte(bad)); err != nil {
			t.Fatal(err)
		}
		before := n.Stats()
		if err := n.Join(good, a); !errors.Is(err, ErrAddress) {
			t.Errorf("Join with the seed %q returned %v instead of ErrAddress", bad, err)
		}
		if s := n.State(); s != StateInitialized || n.Stats() != before {
			t.Errorf("Join with the seed %q failed, but the node is %v: %+v", bad, s, n.Stats())
		}
		if err := seed.SendData(nil, Direct(a)); !errors.Is(err, ErrAddress) || seed.Stats().Sent != 0 {
			t.Errorf("a Direct message to %q returned %v instead of ErrAddress", bad, err)
		}
	}
	if err := n.SendData(nil); !errors.Is(err, ErrState) {
		t.Errorf("SendData before Join returned %v instead of ErrState", err)
	}
	if err := n.Leave(); !errors.Is(err, ErrState) {
		t.Errorf("Leave before Join returned %v instead of ErrState", err)
	}
}

func TestJoinTakesAsManySeedsAsMembers(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{MaxMembers: 9})
	var seeds []Address
	for i := range 10 {
		a, err := ParseAddress(fmt.Sprint("127.0.0.1:", 1+i))
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, a)
	}
	if err := n.Join(seeds...); !errors.Is(err, ErrAddress) || n.State() != StateInitialized {
		t.Errorf("Join with 10 seeds where MaxMembers is 9 returned %v and the node is %v", err, n.State())
	}
	for range 3 {
		if err := n.Join(seeds[:9]...); err != nil {
			t.Errorf("Join with 9 seeds where MaxMembers is 9 returned %v", err)
		}
	}
}

func TestJoinIgnoresTheNodesOwnAddress(t *testing.T) {
	for _, self := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		n, peer := startLoop(t, self, brisk), startLoop(t, "127.0.0.1:0", brisk)
		own := Address{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), n.Address().AddrPort().Port())}
		if err := n.Join(own); err != nil {
			t.Fatalf("a node on %v cannot have itself as the seed: %v", self, err)
		}
		waitUntil(t, "a node on "+self+" that is its only seed is CONNECTED", func() bool { return n.State() == StateConnected }, n)
		if err := peer.Join(peer.Address(), own); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "they know each other, and not themselves", func() bool { return complete(n, peer) }, n, peer)
		if n.entered(StateDisconnected) || peer.entered(StateDisconnected) {
			t.Error("a node with itself among its seeds was DISCONNECTED for a while")
		}
	}
}

func TestJoinOfEachOtherConnectsBoth(t *testing.T) {
	a, b := startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk)
	a.join(b)
	b.join(a)
	waitUntil(t, "both are CONNECTED", func() bool { return complete(a, b) }, a, b)
}

func TestJoinOfMoreSeedsMergesClusters(t *testing.T) {
	a, b := pair(t, brisk)
	c, d := pair(t, brisk)
	b.join(c)
	if s := b.State(); s != StateConnected {
		t.Errorf("more seeds make a CONNECTED node %v", s)
	}
	waitUntil(t, "the two clusters are one", func() bool { return complete(a, b, c, d) }, a, b, c, d)
	a.publish("to all")
	wantOnce(t, "to all", b, c, d)
}

func TestJoinAfterLeaveMakesANewNode(t *testing.T) {
	a, b := pair(t, brisk)
	a.publish("before")
	b.publish("mine")
	wantOnce(t, "before", b)
	wantOnce(t, "mine", a)
	old := b.ID()
	if err := b.Leave(); err != nil {
		t.Fatalf("Leave returned %v", err)
	}
	if err := b.SendData(nil); !errors.Is(err, ErrState) {
		t.Errorf("SendData after Leave returned %v instead of ErrState", err)
	}
	if err := b.Leave(); err != nil {
		t.Errorf("a second Leave returned %v", err)
	}
	waitUntil(t, "the other node has the goodbye", func() bool { return len(a.Members()) == 0 }, a, b)
	b.join(a)
	waitUntil(t, "they know each other again", func() bool { return complete(a, b) }, a, b)
	if b.ID() == old {
		t.Error("a node that left came back under its old ID")
	}
	a.publish("after")
	b.publish("new")
	wantOnce(t, "after", b)
	wantOnce(t, "new", a)
	b.receiveMore(30)
	wantOnce(t, "before", b)
	wantOnce(t, "mine", a)
	if b.times("mine") != 0 {
		t.Error("a node that came back received its own message of before")
	}
}

// An IPv4 socket reaches no IPv6 seed: the log says so, and names the seed and the error.
func TestLoopbackSeedOfAnotherFamilyIsExplained(t *testing.T) {
	lines := make(chan string, 100)
	config := brisk
	config.Logger = slog.New(slog.NewTextHandler(writerTo(lines), nil))
	n := startLoop(t, "127.0.0.1:0", config)
	if err := n.Join(mustParseAddress(t, "[2001:db8::1]:7070")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gossip: cannot send", "gossip: no seed answers"} {
		for line := range lines {
			if !strings.Contains(line, want) {
				continue
			}
			for _, word := range []string{"level=WARN", "[2001:db8::1]:7070", "error=", "check="} {
				if !strings.Contains(line, word) {
					t.Errorf("the line %q does not say %q", line, word)
				}
			}
			break
		}
	}
}

// writerTo is a Writer to a channel, which must have room.
type writerTo chan<- string

func (w writerTo) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}
