package gossip

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestServiceAfterCloseReturnsErrClosed(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	n.join()
	id, addr, most := n.ID(), n.Address(), n.MaxPayload()
	err := whileWaiting(t, n, "Close", func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close returned %v", err)
		}
	})
	if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close while Receive waits makes it return %v instead of ErrClosed", err)
	}
	for verb, call := range map[string]func() error{
		"Join":        func() error { return n.Join() },
		"Receive":     func() error { _, err := n.Receive(time.Hour); return err },
		"Send":        func() error { _, err := n.Send(); return err },
		"Tick":        func() error { _, err := n.Tick(); return err },
		"SendData":    func() error { return n.SendData(nil) },
		"Leave":       func() error { return n.Leave() },
		"SetKeys":     func() error { return n.SetKeys(nil) },
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
		t.Error("OnStateChange was not called for DESTROYED")
	}
}

// The socket waits for those who use it, and they may need the lock.
func TestServiceClosesItsSocketWithoutTheLock(t *testing.T) {
	v := newVirtualNet(t, 1)
	n := v.add(Config{})
	closed := 0
	n.sock.closing = func() {
		closed++
		n.want(unlocked(n.GossipService), "the socket is closed with the lock held")
		n.want(n.State() == StateDestroyed, "while the socket is closed the node is %v", n.State())
		n.want(n.Close() == nil, "a second Close meanwhile is an error")
	}
	n.want(n.Close() == nil, "Close is an error")
	_, _, err := n.sock.Receive(make([]byte, 1), 0)
	n.want(closed == 1 && errors.Is(err, net.ErrClosed), "the socket was closed %d times and returns %v", closed, err)
	n.want(slices.Equal(n.states, []State{StateDestroyed}), "the states entered are %v", n.states)
}

func TestServiceCloseBesideAPollerInsideControl(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	n.join()
	raw, err := n.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	polling, over := make(chan bool), make(chan bool)
	go raw.Control(func(uintptr) { // which keeps the descriptor open
		defer close(over)
		close(polling)
		for err := error(nil); err == nil; {
			_, err = n.Receive(0)
		}
	})
	<-polling
	// Not by t: what ends the test would wait for the same lock.
	limit := time.AfterFunc(loopLimit, func() {
		panic("Close, and a poller that calls Receive inside Control, wait for each other")
	})
	defer limit.Stop()
	n.Close()
	<-over
}

// A panic below any verb, here of the clock, leaves the node usable.
func TestServicePanicLeavesNoLockHeld(t *testing.T) {
	for verb, call := range map[string]func(n *virtualNode){
		"Join":     func(n *virtualNode) { n.Join() },
		"Receive":  func(n *virtualNode) { n.Receive(0) },
		"Send":     func(n *virtualNode) { n.Send() },
		"Tick":     func(n *virtualNode) { n.Tick() },
		"SendData": func(n *virtualNode) { n.SendData(nil) },
		"Leave":    func(n *virtualNode) { n.Leave() },
		"Close":    func(n *virtualNode) { n.Close() },
	} {
		v := newVirtualNet(t, 1)
		n, peer := v.add(Config{}), v.add(Config{})
		v.form(n, peer)
		n.held = true
		peer.publish("x")
		v.Run(time.Second)
		n.clockPanics = true
		n.want(n.survive(func() { call(n) }), "%s does not read the clock", verb)
		n.clockPanics = false
		n.release()
		peer.publish("y")
		v.await(10*time.Second, "both messages are delivered after a panic in "+verb, func() bool { return len(n.got) == 2 })
	}
}

func TestServiceTimeNeverGoesBack(t *testing.T) {
	system := []time.Duration{5, 5, 3, 4, 6, 1, 7}
	want := []time.Duration{5, 5, 5, 5, 6, 6, 7}
	clock := monotonic(func() (now time.Duration) {
		now, system = system[0], system[1:]
		return now
	})
	for i, at := range want {
		if now := clock(); now != at {
			t.Errorf("reading %d of the clock is %d instead of %d", i, now, at)
		}
	}

	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	v.Run(time.Minute)
	n.publish("x")
	n.turn()
	n.ahead = -30 * time.Second // while the message is on its way
	v.Run(10 * time.Second)
	wait, err := n.Tick()
	n.want(wait >= 0 && wait <= time.Second && err == nil, "when the clock goes back Tick returns %v, %v", wait, err)
	v.Run(time.Minute)
	peer.publish("y")
	v.await(time.Second, "the node goes on", func() bool { return len(n.got) == 1 && len(peer.got) == 1 })
	n.want(n.Stats().MembersLost+peer.Stats().MembersLost == 0, "a member was lost")
}

func TestServiceStartsNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	n, peer := newLoop(t, "127.0.0.1:0", brisk), newLoop(t, "127.0.0.1:0", brisk)
	n.join()
	peer.join(n)
	published := false
	for start := time.Now(); n.times("hello") == 0 && time.Since(start) < loopLimit; {
		for _, x := range []*loopNode{n, peer} {
			x.Wake()
			if err := x.turn(); err != nil {
				t.Fatal(err)
			}
		}
		if !published && complete(n, peer) {
			published = true
			peer.publish("hello")
		}
	}
	wantOnce(t, "hello", n)
	if after := runtime.NumGoroutine(); after > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines became %d\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
}

// None of the verbs of the loop needs another one before it to have an effect.
func TestServiceVerbsMayComeInAnyOrder(t *testing.T) {
	for _, order := range []string{"TSR", "TRS", "STR", "SRT", "RTS", "RST"} {
		v := newVirtualNet(t, 1)
		nodes := []*virtualNode{v.add(Config{}), v.add(Config{})}
		for _, n := range nodes {
			n.held = true
		}
		turn := func() {
			for _, n := range nodes {
				for _, verb := range order {
					var err error
					switch verb {
					case 'T':
						_, err = n.Tick()
					case 'S':
						_, err = n.Send()
					case 'R':
						_, err = n.Receive(0)
					}
					n.want(err == nil, "in the order %s %c fails: %v", order, verb, err)
				}
			}
		}
		await := func(what string, cond func() bool) {
			for turns := 0; !cond(); turns++ {
				nodes[0].want(turns < 200, "in the order %s %d turns are not enough: %s", order, turns, what)
				turn()
				v.Run(5 * time.Millisecond)
			}
		}
		nodes[0].join()
		nodes[1].join(nodes[0].Address())
		await("the nodes know each other", func() bool { return len(nodes[0].Members()) == 1 && len(nodes[1].Members()) == 1 })
		nodes[0].publish("there")
		nodes[1].publish("and back")
		await("the messages are delivered", func() bool {
			return slices.Equal(nodes[1].got, []string{"there"}) && slices.Equal(nodes[0].got, []string{"and back"})
		})
		await("all is acknowledged", func() bool { return nodes[0].Stats().QueuedData+nodes[1].Stats().QueuedData == 0 })
	}
}

// The race detector looks on.
func TestServiceMethodsMayBeCalledAtOnce(t *testing.T) {
	config := brisk
	config.Keys = [][]byte{nil}
	n, peer := pair(t, config)
	for _, x := range []*loopNode{n, peer} {
		x.mu.Lock()
		x.hook = func(NodeID, []byte) { x.Members(); x.Stats() }
		x.mu.Unlock()
	}
	n.pause()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var all sync.WaitGroup
	for _, call := range []func() error{
		func() error { return n.SendData([]byte("x")) },
		func() error { return n.SendData([]byte("x"), Direct(peer.Address())) },
		func() error { return n.Join(peer.Address()) },
		func() error { return n.SetKeys(nil) },
		func() error { return n.SetKeys() },
		func() error { _, err := n.Tick(); return err },
		func() error { _, err := n.Send(); return err },
		func() error { _, err := n.Receive(0); return err },
		func() error { _, err := n.SyscallConn(); return err },
		func() error { n.Wake(); return nil },
		func() error { clear(n.Members()); return nil }, // a copy, the caller's own
		func() error {
			if n.ID() == 0 || n.MaxPayload() == 0 || n.Stats().DatagramsIn == math.MaxUint64 {
				return errors.New("the accessors make no sense")
			}
			n.State()
			n.Address()
			n.Member(peer.ID())
			return nil
		},
		func() error {
			if n.GossipService.String() == "" {
				return errors.New("a node prints as nothing")
			}
			return nil
		},
		func() error { return n.WaitForRoom(over) },
		func() error { return n.WaitForAcks(over) },
		func() error { return n.WaitForMember(over) },
		func() error { return n.Leave() },
		func() error { return n.Run(over) },
	} {
		all.Go(func() {
			for range 300 {
				switch err := call(); {
				case err == nil, errors.Is(err, ErrState), errors.Is(err, ErrQueueFull), errors.Is(err, ErrConfig), err == context.Canceled:
				default:
					t.Errorf("a call beside others returned %v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestServiceRunEndsWithAGoodbye(t *testing.T) {
	peer, node := startLoop(t, "127.0.0.1:0", Config{}), newLoop(t, "127.0.0.1:0", Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	form(peer, node)

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run ended with its context, but returned the error %v", err)
		}
	case <-time.After(loopLimit):
		t.Fatal("Run goes on though its context has ended")
	}
	waitUntil(t, "the peer has no member", func() bool { return len(peer.Members()) == 0 }, peer)
	if s := peer.Stats(); s.MembersLost != 0 {
		t.Errorf("the peer lost the node without its goodbye: %+v", s)
	}
	if s := node.State(); s != StateDisconnected {
		t.Errorf("after Run the node is %v instead of DISCONNECTED", s)
	}
	node.Close()
	if err := node.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close returned %v instead of ErrClosed", err)
	}
}

// Run waits for nothing but its context.
func TestServiceRunEndsAtOnce(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{TickInterval: time.Hour})
	n.join()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	waitUntil(t, "Receive waits", func() bool { return waiting(n.GossipService) }, n)
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run ended with its context, but returned the error %v", err)
		}
	case <-time.After(loopLimit):
		t.Fatal("Run goes on though its context has ended")
	}
}

func TestServiceSetKeysTakesEffectAtOnce(t *testing.T) {
	v := newVirtualNet(t, 1)
	old, next := testKey('a'), testKey('b')
	n, peer := v.add(Config{Keys: [][]byte{old}}), v.add(Config{Keys: [][]byte{old}})
	v.form(n, peer)
	for i, keys := range [][][]byte{{old, next}, {next, old}, {next}} {
		for _, x := range v.nodes {
			x.want(x.SetKeys(keys...) == nil, "SetKeys failed")
			n.publish(fmt.Sprint("step ", i))
			v.Run(time.Second)
		}
	}
	peer.want(len(peer.got) == 6 && peer.Stats().DropSealed == 0, "of 6 messages in a change of keys %d were delivered", len(peer.got))
	n.want(n.SetKeys(testKey('c')) == nil, "SetKeys failed")
	n.publish("with a key that the peer lacks")
	v.Run(time.Second)
	peer.want(len(peer.got) == 6 && peer.Stats().DropSealed > 0, "a message sealed with an unknown key was delivered: %q", peer.got)
}

// Nonces begin with random bytes that the system gives at New and at each SetKeys.
func TestServiceDrawsRandomBytesAtEachSetKeys(t *testing.T) {
	v := newVirtualNet(t, 1)
	n := v.add(Config{Keys: [][]byte{testKey('a')}})
	drawn, random := 0, n.random
	n.random = func() [32]byte { drawn++; return random() }
	for i := range 3 {
		n.want(n.SetKeys(testKey('a')) == nil && drawn == i+1, "at %d calls of SetKeys random bytes were drawn %d times", i+1, drawn)
	}
	if first, second := systemRandom(), systemRandom(); first == second {
		t.Error("the system gave the same bytes twice")
	}
}

func TestServiceSetKeysRefusesInvalidKeys(t *testing.T) {
	k := testKey('k')
	refused := invalidKeys()
	refused["none"] = nil
	for what, keys := range refused {
		v := newVirtualNet(t, 1)
		n, peer := v.add(Config{Keys: [][]byte{k}}), v.add(Config{Keys: [][]byte{k}})
		v.form(n, peer)
		if err := n.SetKeys(keys...); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: SetKeys returned %v", what, err)
		}
		peer.publish("sealed")
		v.Run(time.Second)
		n.want(len(n.got) == 1, "after a SetKeys that failed, %s, the old key does not open a message", what)
	}
	if err := newVirtualNet(t, 1).add(Config{}).SetKeys(k); !errors.Is(err, ErrConfig) {
		t.Errorf("SetKeys of a node without Keys returned %v", err)
	}
}
