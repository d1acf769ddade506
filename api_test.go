package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pair returns two nodes that know each other and whose loops turn.
func pair(t testing.TB, config Config) (a, b *loopNode) {
	t.Helper()
	a, b = startLoop(t, "127.0.0.1:0", config), startLoop(t, "127.0.0.1:0", config)
	formLoops(a, b)
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

// whileWaiting starts a Receive of an hour, does something once it waits, and
// returns what Receive returned.
func whileWaiting(t *testing.T, n *loopNode, what string, do func()) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := n.Receive(time.Hour)
		ended <- err
	}()
	waitUntil(t, "Receive waits", n.waiting.Load, n)
	do()
	select {
	case err := <-ended:
		return err
	case <-time.After(loopLimit):
		t.Fatalf("%s does not end the wait of Receive", what)
		return nil
	}
}

func TestReceiveWaitsAsLongAsItIsTold(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	soonest := time.Hour
	for _, wait := range []time.Duration{0, -time.Hour, 0} {
		start := time.Now()
		if handled, err := n.Receive(wait); handled != 0 || err != nil {
			t.Fatalf("Receive(%v) without a datagram returned %d, %v", wait, handled, err)
		}
		soonest = min(soonest, time.Since(start))
	}
	if soonest > 20*time.Millisecond { // a busy machine may be late once, not always
		t.Errorf("Receive(0) took %v at least, though it should never wait", soonest)
	}
	const wait = 100 * time.Millisecond
	start := time.Now()
	if handled, err := n.Receive(wait); handled != 0 || err != nil {
		t.Fatalf("Receive(%v) without a datagram returned %d, %v", wait, handled, err)
	}
	if took := time.Since(start); took < wait-5*time.Millisecond || took > wait+loopLimit/2 {
		t.Errorf("Receive(%v) took %v", wait, took)
	}
}

func TestReceiveEndsEarlyWhenThereIsAReason(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(n, peer *loopNode) error
	}{
		{"Wake", func(n, _ *loopNode) error { n.Wake(); return nil }},
		{"SendData", func(n, _ *loopNode) error { return n.SendData([]byte("hurry")) }},
		{"Join", func(n, _ *loopNode) error { return n.Join(Address{netip.MustParseAddrPort("127.0.0.1:9")}) }},
		{"Leave", func(n, _ *loopNode) error { return n.Leave() }},
	} {
		t.Run(c.what, func(t *testing.T) {
			n, peer := pair(t, Config{})
			quiet(n, peer)
			var failed error
			if err := whileWaiting(t, n, c.what, func() { failed = c.do(n, peer) }); err != nil || failed != nil {
				t.Errorf("%s while Receive waits returned %v, and Receive %v", c.what, failed, err)
			}
		})
	}
	n := newLoop(t, "127.0.0.1:0", Config{})
	n.Wake()
	if handled, err := n.Receive(time.Hour); handled != 0 || err != nil {
		t.Errorf("a Receive that was woken before returned %d, %v", handled, err)
	}
}

func TestOneReceiveAtATime(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	err := whileWaiting(t, n, "Wake", func() {
		if _, err := n.Receive(0); !errors.Is(err, ErrState) {
			t.Errorf("a second Receive at the same time returned %v instead of ErrState", err)
		}
		n.Wake()
	})
	if err != nil {
		t.Errorf("the first Receive returned %v", err)
	}
}

func TestAfterCloseEverythingIsErrClosed(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	n.join()
	id, addr, most := n.ID(), n.Address(), n.MaxPayload()
	err := whileWaiting(t, n, "Close", func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close returned %v", err)
		}
	})
	if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close while Receive waits makes that return %v instead of ErrClosed", err)
	}
	for verb, call := range map[string]func() error{
		"Join":        func() error { return n.Join() },
		"Receive":     func() error { _, err := n.Receive(time.Hour); return err },
		"Send":        func() error { _, err := n.Send(); return err },
		"Tick":        func() error { _, err := n.Tick(); return err },
		"SendData":    func() error { return n.SendData(nil) },
		"Leave":       func() error { return n.Leave() },
		"Run":         func() error { return n.Run(context.Background()) },
		"SyscallConn": func() error { _, err := n.SyscallConn(); return err },
	} {
		if err := call(); !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close returned %v instead of ErrClosed", verb, err)
		}
	}
	if err := n.Close(); err != nil {
		t.Errorf("a second Close returned %v", err)
	}
	n.Wake()
	if n.State() != StateDestroyed || n.ID() != id || n.Address() != addr || n.MaxPayload() != most || len(n.Members()) != 0 {
		t.Errorf("after Close the node is %v %v at %v with the members %v", n.State(), n.ID(), n.Address(), n.Members())
	}
	if s := n.Stats(); s.QueuedControl+s.QueuedData+s.Arrived != 0 {
		t.Errorf("after Close something is still queued: %+v", s)
	}
	if !n.entered(StateDestroyed) {
		t.Error("OnStateChange was not told of DESTROYED")
	}
}

func TestReceiverMayCallTheNode(t *testing.T) {
	n, peer := pair(t, brisk)
	n.mu.Lock()
	n.hook = func(origin NodeID, payload []byte) {
		switch string(payload) {
		case "answer":
			if origin != peer.ID() || len(n.Members()) != 1 || n.State() != StateConnected || n.Stats().Delivered == 0 {
				t.Errorf("in the receiver the node is %v, has the members %v, and %v spoke", n.State(), n.Members(), origin)
			}
			if _, err := n.Receive(0); !errors.Is(err, ErrState) {
				t.Errorf("Receive in the receiver returned %v instead of ErrState", err)
			}
			if err := n.Run(context.Background()); !errors.Is(err, ErrState) {
				t.Errorf("Run in the receiver returned %v instead of ErrState", err)
			}
			if err := n.SendData([]byte("the answer")); err != nil {
				t.Errorf("SendData in the receiver returned %v", err)
			}
		case "throw":
			panic(thrown)
		case "leave":
			if err := n.Leave(); err != nil {
				t.Errorf("Leave in the receiver returned %v", err)
			}
		case "close":
			if err := n.Close(); err != nil {
				t.Errorf("Close in the receiver returned %v", err)
			}
		}
	}
	n.mu.Unlock()

	peer.say("answer")
	wantOnce(t, "the answer", peer)
	peer.say("throw")
	wantOnce(t, "throw", n)
	peer.say("after the panic")
	wantOnce(t, "after the panic", n)
	n.say("I am well")
	wantOnce(t, "I am well", peer)

	peer.say("leave")
	waitUntil(t, "the peer hears the goodbye that the receiver said", func() bool { return len(peer.Members()) == 0 }, n, peer)
	n.join(peer)
	waitUntil(t, "they know each other again", func() bool { return knowAll(n, peer) }, n, peer)
	peer.say("close")
	waitUntil(t, "the receiver has closed the node", func() bool { return n.State() == StateDestroyed }, n)
	n.loop.Wait()
}

func TestNoGoroutineIsStarted(t *testing.T) {
	before := runtime.NumGoroutine()
	n, peer := newLoop(t, "127.0.0.1:0", brisk), newLoop(t, "127.0.0.1:0", brisk)
	n.join()
	peer.join(n)
	said := false
	for start := time.Now(); n.times("hello") == 0 && time.Since(start) < loopLimit; {
		for _, x := range []*loopNode{n, peer} {
			x.Wake()
			if err := x.turn(); err != nil {
				t.Fatal(err)
			}
		}
		if !said && knowAll(n, peer) {
			said = true
			peer.say("hello")
		}
	}
	wantOnce(t, "hello", n)
	if now := runtime.NumGoroutine(); now > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines became %d\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
	}
}

// wrapped is a PacketConn that is not a *net.UDPConn.
type wrapped struct{ net.PacketConn }

func TestOwnConn(t *testing.T) {
	listen := func() net.PacketConn {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	udp, other := listen(), net.PacketConn(wrapped{listen()})
	config := brisk
	config.Conn = udp
	a := startLoop(t, "", config)
	config.Conn = other
	b := startLoop(t, "", config)
	if a.Address().String() != udp.LocalAddr().String() || b.Address().String() != other.LocalAddr().String() {
		t.Errorf("the nodes on own sockets are at %v and %v, the sockets at %v and %v", a.Address(), b.Address(), udp.LocalAddr(), other.LocalAddr())
	}
	formLoops(a, b)
	a.say("from a UDPConn")
	wantOnce(t, "from a UDPConn", b)
	b.say("from another PacketConn")
	wantOnce(t, "from another PacketConn", a)

	if _, err := a.SyscallConn(); err != nil {
		t.Errorf("SyscallConn of a node on a UDPConn: %v", err)
	}
	if _, err := b.SyscallConn(); err == nil {
		t.Error("SyscallConn of a node on a PacketConn that has none returned no error")
	}
	a.kill()
	b.kill()
	for _, conn := range []net.PacketConn{udp, other} {
		if err := conn.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close left the socket %v of type %T open", conn.LocalAddr(), conn)
		}
	}
}

func TestDirectReachesOnlyItsRecipient(t *testing.T) {
	a, b, c := startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk)
	formLoops(a, b, c)
	stranger := startLoop(t, "127.0.0.1:0", brisk)
	stranger.join()

	a.say("to a stranger", Direct(stranger.Address()))
	a.say("to a member", Direct(b.Address()))
	wantOnce(t, "to a stranger", stranger)
	wantOnce(t, "to a member", b)
	a.say("to everybody")
	a.say("by rumor", Random)
	for _, text := range []string{"to everybody", "by rumor"} {
		wantOnce(t, text, b, c)
	}
	c.listening(30)
	b.listening(30)
	for n, text := range map[*loopNode]string{a: "to a member", b: "to a stranger", c: "to a member"} {
		if n.times(text) != 0 {
			t.Errorf("node %v got %q, which was not for it", n.Address(), text)
		}
	}
	if c.times("to a stranger") != 0 || stranger.times("to everybody") != 0 {
		t.Error("a message went to a node that it was not for")
	}
	wantOnce(t, "to a stranger", stranger)
	wantOnce(t, "to a member", b)
	waitUntil(t, "the stranger has acknowledged", func() bool { return a.Stats().QueuedData == 0 }, a)
	if s := a.Stats(); s.GivenUp != 0 {
		t.Errorf("a message to somebody who answers was given up: %+v", s)
	}
	if len(stranger.Members()) != 0 || len(a.Members()) != 2 {
		t.Errorf("a Direct message made members of strangers: %v, %v", stranger.Members(), a.Members())
	}
}

func TestPayloadsOfEverySize(t *testing.T) {
	sizes := []int{0, 1400, 9000} // of the datagram; 0 is the default
	if runtime.GOOS == "linux" {
		sizes = append(sizes, 65507) // others send no datagram that long unless told to
	}
	for _, size := range sizes {
		config := brisk
		config.MaxMessageSize = size
		a, b := pair(t, config)
		for _, spread := range []Spread{Broadcast, Random, Direct(b.Address())} {
			longest := strings.Repeat(fmt.Sprint(spread.kind), a.MaxPayload())
			a.say(longest, spread)
			wantOnce(t, longest, b)
			before := a.Stats()
			if err := a.SendData([]byte(longest+"+"), spread); !errors.Is(err, ErrTooLarge) {
				t.Errorf("MaxMessageSize %d: one byte more than MaxPayload is %v instead of ErrTooLarge", size, err)
			}
			if after := a.Stats(); after.Sent != before.Sent {
				t.Errorf("a message that was refused is counted as sent: %+v", after)
			}
		}
		a.say("")
		wantOnce(t, "", b)
	}
}

func TestOwnAddressAmongTheSeeds(t *testing.T) {
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
		waitUntil(t, "they know each other, and not themselves", func() bool { return knowAll(n, peer) }, n, peer)
		if n.entered(StateDisconnected) || peer.entered(StateDisconnected) {
			t.Error("a node with itself among its seeds was DISCONNECTED for a while")
		}
	}
}

func TestTwoSeedsOfEachOther(t *testing.T) {
	a, b := startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk)
	a.join(b)
	b.join(a)
	waitUntil(t, "both are CONNECTED", func() bool { return knowAll(a, b) }, a, b)
}

func TestSeedsAddedLaterMergeClusters(t *testing.T) {
	a, b := pair(t, brisk)
	c, d := pair(t, brisk)
	b.join(c)
	if s := b.State(); s != StateConnected {
		t.Errorf("more seeds make a CONNECTED node %v", s)
	}
	waitUntil(t, "the two clusters are one", func() bool { return knowAll(a, b, c, d) }, a, b, c, d)
	a.say("to all of us")
	wantOnce(t, "to all of us", b, c, d)
}

func TestANodeThatLeftComesBackAsANewOne(t *testing.T) {
	a, b := pair(t, brisk)
	a.say("before")
	b.say("mine")
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
	waitUntil(t, "the other one heard the goodbye", func() bool { return len(a.Members()) == 0 }, a, b)
	b.join(a)
	waitUntil(t, "they know each other again", func() bool { return knowAll(a, b) }, a, b)
	if b.ID() == old {
		t.Error("a node that left came back under its old ID")
	}
	a.say("after")
	b.say("new")
	wantOnce(t, "after", b)
	wantOnce(t, "new", a)
	b.listening(30)
	wantOnce(t, "before", b)
	wantOnce(t, "mine", a)
	if b.times("mine") != 0 {
		t.Error("a node that came back was told what it had said itself")
	}
}
