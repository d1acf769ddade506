package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

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
	if soonest > loopLimit/10 {
		t.Errorf("Receive(0) took %v at least, though it must not wait", soonest)
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

func TestReceiveEndsEarlyForAReason(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(n *loopNode) error
	}{
		{"Wake", func(n *loopNode) error { n.Wake(); return nil }},
		{"SendData", func(n *loopNode) error { return n.SendData([]byte("hurry")) }},
		{"Join", func(n *loopNode) error { return n.Join(mustParseAddress(t, "127.0.0.1:9")) }},
		{"Leave", func(n *loopNode) error { return n.Leave() }},
	} {
		t.Run(c.what, func(t *testing.T) {
			n, peer := pair(t, Config{})
			quiet(n, peer)
			var failed error
			if err := whileWaiting(t, n, c.what, func() { failed = c.do(n) }); err != nil || failed != nil {
				t.Errorf("%s while Receive waits returned %v, and Receive %v", c.what, failed, err)
			}
		})
	}
	n := newLoop(t, "127.0.0.1:0", Config{})
	n.Wake()
	if handled, err := n.Receive(time.Hour); handled != 0 || err != nil {
		t.Errorf("a Receive after Wake returned %d, %v", handled, err)
	}
}

func TestReceiveDoesNotWaitWithSomethingToDo(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	n.held = true
	waits := func(when string, want time.Duration) {
		t.Helper()
		n.sock.asked = nil
		n.Receive(time.Hour)
		n.want(slices.Equal(n.sock.asked, []time.Duration{want}), "%s Receive waits %v instead of %v", when, n.sock.asked, want)
	}
	waits("idle", time.Hour)
	n.publish("x")
	waits("with output", 0)
	n.Send()
	waits("without output", time.Hour)
	peer.publish("y")
	peer.publish("z")
	v.Run(time.Second)
	n.hook = func(NodeID, []byte) { panic(thrown) }
	n.want(n.survive(func() { n.Receive(0) }) && len(n.got) == 1, "the receiver was not called")
	n.hook = nil
	n.Send() // the acknowledgements
	waits("with a call to make", 0)
}

func TestReceiveIsForOneGoroutineAtATime(t *testing.T) {
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

func TestReceiveHandlesAtMost64Datagrams(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, stranger := v.add(Config{}), v.listen(99)
	n.held = true
	for range 2*64 + 5 {
		if err := stranger.Send([]byte("x"), n.sock.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	v.Run(time.Second)
	for _, want := range []int{64, 64, 5, 0} {
		handled, err := n.Receive(time.Hour)
		n.want(handled == want && err == nil, "Receive handled %d datagrams instead of %d, error %v", handled, want, err)
	}
	n.want(n.Stats().DatagramsIn == 2*64+5, "%d datagrams are counted", n.Stats().DatagramsIn)
}

func TestReceiveTakesDatagramsOfMaxMessageSize(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, stranger := v.add(Config{MaxMessageSize: 100}), v.listen(99)
	for _, size := range []int{100, 101, 1000} {
		if err := stranger.Send(make([]byte, size), n.sock.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	v.Run(time.Second)
	s := n.Stats()
	n.want(s.DatagramsIn == 3 && s.DropOversize == 2, "of 3 datagrams 2 are longer than 100 bytes, but counted are %+v", s)
}

// Close may come between the read of a datagram and its turn.
func TestReceiveHandlesNothingAfterClose(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	n.held = true
	peer.publish("too late")
	v.Run(time.Second)
	before := n.Stats()
	n.sock.during = func() { n.Close() }
	handled, err := n.Receive(0)
	n.want(handled == 0 && errors.Is(err, ErrClosed), "Receive of a node that is closed meanwhile returned %d, %v", handled, err)
	n.want(n.Stats().DatagramsIn == before.DatagramsIn && len(n.got) == 0, "a closed node handled a datagram: %q", n.got)
}

// The socket fails to read now and then, or many times in a row. Nothing is lost but time.
func TestReceiveCountsErrorsOfTheSocket(t *testing.T) {
	for seed := range uint64(2) {
		v := newVirtualNet(t, seed)
		for range 8 {
			v.add(Config{})
		}
		v.form(v.nodes...)
		failed := make([]uint64, 4)
		for i, n := range v.nodes[:4] {
			often := []func() bool{
				func() bool { return v.Rand().IntN(10) == 0 },
				func() bool { return v.Now()%time.Second < 200*time.Millisecond },
				func() bool { return v.Rand().IntN(2) == 0 },
				func() bool { return v.Now()%(10*time.Second) < 1500*time.Millisecond },
			}[i]
			n.sock.fails = func() error {
				if !often() {
					return nil
				}
				failed[i]++
				n.turnAt(v.Now() + 10*time.Millisecond) // what such a Receive takes
				return errors.New("network is unreachable")
			}
		}
		for i := range 200 {
			v.nodes[i%8].publish(fmt.Sprint("message ", i))
			v.Run(50 * time.Millisecond)
		}
		v.await(10*time.Second, "every message is everywhere", func() bool {
			return !slices.ContainsFunc(v.nodes, func(n *virtualNode) bool { return len(n.got) < 200-200/8 })
		})
		for i, n := range v.nodes {
			s, want := n.Stats(), uint64(0)
			if i < 4 {
				want = failed[i]
			}
			n.want(s.ReceiveErrors == want && (want > 0) == (i < 4), "%d reads failed, and %d are counted", want, s.ReceiveErrors)
			n.want(s.MembersLost == 0 && len(n.got) == 200-200/8, "it lost %d members and got %d messages", s.MembersLost, len(n.got))
		}
	}
}

// A recipient that the system refuses to send to holds up no other.
func TestSendCountsErrorsOfTheSocket(t *testing.T) {
	v := newVirtualNet(t, 1)
	n := v.add(Config{})
	for range 3 {
		v.add(Config{})
	}
	v.form(v.nodes...)
	n.held = true
	refused := uint64(0)
	n.sock.FailSends(func(to netip.AddrPort) error {
		if to != v.nodes[1].sock.LocalAddr() {
			return nil
		}
		refused++
		return errors.New("operation not permitted")
	})
	data := map[netip.AddrPort]int{}
	v.SetTap(func(e simnet.Event) {
		all, err := wiretest.Read(e.Payload, e.To, e.Time)
		n.want(err == nil, "%v", err)
		data[e.To] += len(wiretest.Only(all, wire.TypeData, e.To))
	})
	for i := range 50 {
		n.publish(fmt.Sprint("message ", i))
	}
	for sent := 1; sent > 0; {
		var err error
		if sent, err = n.Send(); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range v.nodes[2:] {
		n.want(data[x.sock.LocalAddr()] == 50, "of 50 messages %d were sent to %v", data[x.sock.LocalAddr()], x.Address())
	}
	n.want(refused > 0 && n.Stats().SendErrors == refused, "%d datagrams could not be sent, and %d are counted", refused, n.Stats().SendErrors)
}

func TestSendSendsAtMost256Datagrams(t *testing.T) {
	v := newVirtualNet(t, 1)
	n := v.add(Config{})
	n.held = true
	n.join()
	for i := range 256 + 44 {
		n.publish("x", Direct(virtualAddr(1000+i)))
	}
	for _, want := range []int{256, 44, 0} {
		wait, err := n.Tick()
		n.want(err == nil && (wait == 0) == (want > 0), "with %d datagrams to send Tick returned %v, %v", want, wait, err)
		sent, err := n.Send()
		n.want(sent == want && err == nil, "Send sent %d datagrams instead of %d, error %v", sent, want, err)
	}
}

// Each read and write is a call of the system: one for each datagram, and one for the wait.
func TestTurnOfTheLoopCostsTheSocketNoMoreThanItsDatagrams(t *testing.T) {
	v := newVirtualNet(t, 1)
	n := v.add(Config{})
	for range 8 {
		v.add(Config{})
	}
	v.form(v.nodes...)
	n.held = true
	turn := func() (in, out, reads, writes int) {
		n.sock.asked, n.sock.sends = nil, 0
		n.Tick()
		out, _ = n.Send()
		in, _ = n.Receive(time.Second)
		return in, out, len(n.sock.asked), n.sock.sends
	}
	for in, out := 1, 1; in+out > 0; {
		in, out, _, _ = turn()
	}
	in, out, reads, writes := turn()
	n.want(in == 0 && out == 0 && reads == 1 && writes == 0, "an idle turn reads %d times and writes %d times", reads, writes)
	n.publish("x")
	in, out, reads, writes = turn()
	n.want(in == 0 && out == 8 && reads == 1 && writes == 8, "a turn with %d datagrams to send reads %d times and writes %d times", out, reads, writes)
	v.Run(500 * time.Millisecond) // in which the acknowledgements arrive
	in, out, reads, writes = turn()
	n.want(in >= 8 && reads == in+1 && writes == out, "a turn with %d datagrams in and %d out reads %d times and writes %d times", in, out, reads, writes)
}

// callbackElsewhere makes a node deliver messages of a peer, and returns when another goroutine
// is inside the callback of the second, with more to call. end ends that callback, by a panic if
// it is told to, and returns when the other goroutine has made the calls that it can.
func callbackElsewhere(n, peer *virtualNode) (end func(panics bool)) {
	n.net.t.Helper()
	n.held = true
	for i := range 4 {
		peer.publish(fmt.Sprint("message ", i))
	}
	n.net.Run(time.Second)
	n.hook = func(NodeID, []byte) { panic(thrown) } // which leaves the calls after it to make
	n.want(n.survive(func() { n.Receive(0) }), "the receiver was not called")
	n.want(n.Stats().Arrived == 3, "after the panic of the first callback %d calls wait", n.Stats().Arrived)
	entered, leave, over := make(chan bool), make(chan bool), make(chan bool)
	first := true
	n.hook = func(NodeID, []byte) {
		if first {
			first = false
			entered <- true
			if <-leave {
				panic(thrown)
			}
		}
	}
	go func() {
		defer close(over)
		defer func() { recover() }()
		n.Tick()
	}()
	<-entered
	return func(panics bool) {
		leave <- panics
		<-over
	}
}

func TestReceiveWaitsWhileACallbackRunsElsewhere(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	end := callbackElsewhere(n, peer)
	for sent := 1; sent > 0; {
		sent, _ = n.Send()
	}
	n.sock.asked = nil
	for range 5 {
		if _, err := n.Receive(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	n.want(len(n.sock.asked) == 5 && slices.Min(n.sock.asked) == time.Hour, "beside a slow callback Receive asks for waits of %v", n.sock.asked)

	// What the other goroutine leaves behind must not wait for the next datagram.
	wakes := 0
	n.sock.during = func() {
		before := n.sock.wakes
		end(true)
		wakes = n.sock.wakes - before
	}
	n.Receive(time.Hour)
	n.want(wakes == 1, "Receive was woken %d times when the callback ended and left calls to make", wakes)
	n.want(n.Stats().Arrived == 0 && len(n.got) == 4, "%d calls wait, and of 4 messages %d were delivered", n.Stats().Arrived, len(n.got))
}

func TestReceiveReadsNothingBesideAFullQueueOfCalls(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{Ordered: true}), v.add(Config{})
	v.form(n, peer)
	end := callbackElsewhere(n, peer)
	said := 4
	for turns := 0; n.Stats().Arrived < mostEvents; turns++ {
		n.want(turns < 10_000, "only %d calls wait", n.Stats().Arrived)
		for peer.SendData(fmt.Appendf(nil, "message %d", said)) == nil {
			said++
		}
		peer.turnAt(v.Now())
		n.Tick()
		n.Send()
		n.Receive(0)
		v.Run(5 * time.Millisecond)
	}
	for sent := 1; sent > 0; {
		sent, _ = n.Send()
	}
	n.sock.asked = nil
	start := time.Now()
	for range 3 {
		if _, err := n.Receive(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	n.want(len(n.sock.asked) == 0, "with %d calls to make the socket is read", n.Stats().Arrived)
	n.want(took >= 3*fullPause, "three Receives that must not read took %v together", took)
	n.want(n.Stats().Arrived <= mostEvents+receiveBurst*512/wire.DataSize(0, 0), "%d calls wait", n.Stats().Arrived)

	end(false)
	n.want(n.Stats().Arrived == 0, "%d calls wait", n.Stats().Arrived)
	n.release()
	v.await(10*time.Second, "every message was delivered", func() bool { return len(n.got) == said })
	for i, text := range n.got {
		n.want(text == fmt.Sprint("message ", i), "after message %d came %q", i-1, text)
	}
}

func TestTickElsewhereEndsTheWaitForOutput(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	n.held = true
	peer.crash()
	n.publish("unanswered")
	for sent := 1; sent > 0; {
		sent, _ = n.Send()
	}
	idle, busy := 0, 0
	n.sock.during = func() {
		n.Tick()
		idle = n.sock.wakes
		v.Run(time.Second)
		n.Tick()
		busy = n.sock.wakes
	}
	n.sock.wakes, n.sock.asked = 0, nil
	n.Receive(time.Hour)
	n.want(len(n.sock.asked) == 1 && n.sock.asked[0] == time.Hour, "Receive asks for waits of %v", n.sock.asked)
	n.want(idle == 0, "a Tick with nothing to send ends the wait")
	n.want(busy > 0, "a Tick that has something to send again does not end the wait")
	n.Tick()
	n.want(n.sock.wakes == busy, "a Tick while nothing waits wakes the socket")
}

// All of the way, through real sockets: sent by one node, received by another, and
// acknowledged.
func TestDatagramsAllocateNothing(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("this system reads through functions that allocate")
	}
	for name, keys := range map[string][][]byte{"in clear": nil, "sealed": {testKey('k')}} {
		t.Run(name, func(t *testing.T) {
			received := 0
			var nodes [2]*GossipService
			for i := range nodes {
				n, err := New(mustParseAddress(t, "127.0.0.1:0"), func(NodeID, []byte) { received++ }, Config{Keys: keys, DataLogSize: 8 << 10})
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				nodes[i] = n
			}
			turn := func() {
				for _, n := range nodes {
					n.Tick()
					n.Send()
					n.Receive(0)
				}
			}
			nodes[0].Join()
			nodes[1].Join(nodes[0].Address())
			deadline := time.Now().Add(loopLimit)
			for nodes[0].Stats().Members+nodes[1].Stats().Members < 2 && time.Now().Before(deadline) {
				turn()
			}
			payload, sent := make([]byte, 100), 0
			step := func() {
				for range 50 {
					if err := nodes[0].SendData(payload); err != nil {
						t.Fatal(err)
					}
				}
				sent += 50
				for (received < sent || nodes[0].Stats().QueuedData > 0) && time.Now().Before(deadline) {
					turn()
				}
			}
			for range 30 {
				step()
			}
			if n := testing.AllocsPerRun(50, step); n != 0 {
				t.Errorf("50 messages allocate %v times", n)
			}
			if received != sent {
				t.Errorf("of %d messages %d were received", sent, received)
			}
		})
	}
}

// A loop of a fixed pace answers in the turn in which it received, if it receives first and sends
// last: a question and its answer take one period then, and two in the order in which a loop
// waits.
func TestReceiveFirstAndSendLastHalvesARoundTrip(t *testing.T) {
	const period = 16 * time.Millisecond
	for order, want := range map[string]int{"RTS": 2, "TSR": 4} { // half periods
		v := newVirtualNet(t, 1)
		v.SetLatency(0, 0)
		a, b := v.add(Config{}), v.add(Config{})
		v.form(a, b)
		b.hook = func(NodeID, []byte) { b.SendData([]byte("answer"), Direct(a.Address())) }
		a.held, b.held = true, true
		a.publish("question", Direct(b.Address()))
		halves := 0
		for ; len(a.got) == 0 && halves < 20; halves++ {
			n := v.nodes[halves%2]
			for _, verb := range order {
				switch verb {
				case 'R':
					n.Receive(0)
				case 'T':
					n.Tick()
				case 'S':
					n.Send()
				}
			}
			v.Run(period / 2)
		}
		a.want(halves-1 == want, "in the order %s an answer takes %d half periods, not %d", order, halves-1, want)
	}
}

// A member whose MaxMessageSize is smaller gets what fits there: datagrams are made for it.
func TestSendFillsNoDatagramBeyondWhatAMemberTakes(t *testing.T) {
	for _, keys := range [][][]byte{nil, {testKey('k')}} {
		v := newVirtualNet(t, 1)
		config := Config{MaxMessageSize: 1400, Keys: keys}
		large, other, small := v.add(config), v.add(config), v.add(Config{Keys: keys})
		v.form(large, other, small)
		before := small.Stats().DropOversize
		for i := range 200 {
			large.publish(fmt.Sprintf("%0200d", i))
			small.publish(fmt.Sprintf("%0200d from the small one", i))
		}
		v.Run(5 * time.Second)
		small.want(len(small.got) == 200 && len(large.got) == 200 && len(other.got) == 400, "%d, %d and %d messages are delivered", len(small.got), len(large.got), len(other.got))
		small.want(small.Stats().DropOversize == before, "%d datagrams are too long for it", small.Stats().DropOversize-before)
		small.want(large.Stats().DatagramsOut < 2*200, "messages do not share datagrams: %d were sent", large.Stats().DatagramsOut)
	}
}
