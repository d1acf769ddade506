package gossip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// newsreader is a slog.Handler that tells of each record.
type newsreader struct {
	slog.Handler
	tell func(r slog.Record)
}

func (newsreader) Enabled(context.Context, slog.Level) bool { return true }

func (h newsreader) Handle(_ context.Context, r slog.Record) error {
	h.tell(r)
	return nil
}

// unlocked reports whether no lock of the node is held, but by the verb that
// made the call.
func (s *soloist) unlocked() bool {
	if !s.mu.TryLock() {
		return false
	}
	s.mu.Unlock()
	return true
}

// lifeWith makes a node live through all that its Logger is told of: it joins, is
// joined, meets a foreign cluster and loses a member by its word and by its silence.
func lifeWith(t *testing.T, config Config, tell func(s *soloist, message string)) (s *soloist, verbs []func()) {
	t.Helper()
	config.Logger = slog.New(newsreader{slog.DiscardHandler, func(r slog.Record) { tell(s, r.Message) }})
	s = newSoloist(t, config)
	from := peerAddr(10)
	said := func(make func() []byte) func() {
		return func() {
			s.fake.feed(from, make())
			s.Receive(0)
		}
	}
	token := func() uint64 { return s.tokens.Make(from, s.at) }
	foreign := wire.Hello{Version: wire.Version, From: wire.Member{ID: 1}, Cluster: []byte("another")}
	return s, []func(){
		func() { s.Join() },
		said(func() []byte { return s.hello(s.peerID(10), from, token()) }),
		said(func() []byte { return s.message(wire.TypeHello, foreign.AppendTo(nil)) }),
		said(func() []byte { return s.goodbye(s.peerID(10)) }),
		said(func() []byte { return s.hello(s.peerID(11), from, token()) }),
		func() {
			for end := s.at + time.Minute; s.at < end && s.Stats().MembersLost == 0; s.at += 100 * time.Millisecond {
				s.Tick()
				s.Send()
				s.fake.out = s.fake.out[:0]
			}
		},
		func() { s.Leave() },
		func() { s.Close() },
	}
}

func TestALoggerMayAskTheNode(t *testing.T) {
	var told []string
	s, verbs := lifeWith(t, Config{}, func(s *soloist, message string) {
		told = append(told, message)
		if !s.unlocked() {
			t.Errorf("seed %d: %q is told with a lock held, a Logger that asks the node would wait for ever", soloSeed, message)
			return
		}
		s.State()
		s.Stats()
		s.Members()
		if err := s.SendData([]byte(message)); err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrClosed) {
			t.Errorf("seed %d: a Logger that is told of %q cannot send it: %v", soloSeed, message, err)
		}
	})
	for _, verb := range verbs {
		verb()
	}
	for _, message := range []string{"state", "member joined", "Hello of another cluster", "member left", "member lost"} {
		s.want(slices.Contains(told, "gossip: "+message), "the Logger was not told of %q: %q", message, told)
	}
	s.want(s.Stats().Sent > 4, "the Logger sent %d messages", s.Stats().Sent)
}

func TestACallbackThatPanicsLeavesNoLockHeld(t *testing.T) {
	panics := 0
	thrower := func(s *soloist, what string) {
		if !s.unlocked() {
			t.Errorf("seed %d: %q is called with a lock held, its panic would leave it so", soloSeed, what)
			return
		}
		panics++
		panic(thrown)
	}
	var s *soloist
	config := Config{OnStateChange: func(_, _ State) { thrower(s, "OnStateChange") }}
	s, verbs := lifeWith(t, config, thrower)
	s.receiver = func(NodeID, []byte) { thrower(s, "the receiver") }
	caught := func(verb func()) (is bool) {
		defer func() {
			p := recover()
			if is = p != nil; is && p != thrown {
				panic(p)
			}
		}()
		verb()
		return false
	}
	hearing := func() {
		s.fake.feed(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: uint32(panics + 1)}))
		s.Receive(0)
	}
	verbs = slices.Insert(verbs, 2, hearing)
	for i, verb := range verbs {
		for caught(verb) { // one call after another, until all have thrown
			verb = func() { s.Receive(0) }
			s.want(s.unlocked() && s.receiving.TryLock() && s.sending.TryLock() && !s.calling,
				"a panic in a callback of step %d left a lock held", i)
			s.receiving.Unlock()
			s.sending.Unlock()
		}
	}
	s.want(panics >= 10, "there were %d panics", panics)
	s.want(s.State() == StateDestroyed && s.Stats().MembersLost == 1 && s.Stats().Delivered == 1, "the node did not live on: %v, %+v", s.State(), s.Stats())
}

func TestAPanicOfTheNodeItselfLeavesNoLockHeld(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	clock := s.clock
	s.clock = func() time.Duration { panic(thrown) }
	s.fake.feed(peerAddr(10), s.ack())
	caught := make(chan any, 1)
	go func() {
		defer func() { caught <- recover() }()
		s.Receive(0)
	}()
	select {
	case p := <-caught:
		s.want(p == thrown, "Receive ended with %v", p)
	case <-time.After(loopLimit / 6):
		t.Fatalf("seed %d: a panic inside Receive waits for a lock that it holds itself", soloSeed)
	}
	s.clock = clock
	s.want(s.unlocked(), "a panic inside Receive left a lock held")
	s.run(10 * time.Second)
}

// closing is a socket that does what a test wants while it is closed.
type closing struct {
	*fakeSocket
	while func()
}

func (c *closing) Close() error {
	c.while()
	return c.fakeSocket.Close()
}

func TestTheSocketIsClosedWithoutALockHeld(t *testing.T) {
	s := newSoloist(t, Config{})
	closed := 0
	s.socket = &closing{s.fake, func() {
		closed++
		s.want(s.unlocked(), "the socket is closed with a lock held, and waits for ever for who uses it and asks the node")
		s.want(s.State() == StateDestroyed, "while the socket is closed the node is %v", s.State())
		s.want(s.Close() == nil, "a second Close meanwhile is an error")
	}}
	s.want(s.Close() == nil, "Close is an error")
	s.want(closed == 1 && s.fake.closed, "the socket was closed %d times", closed)
	s.want(slices.Equal(s.states, []State{StateDestroyed}), "the states told are %v", s.states)
}

func TestCloseBesideAPollerInsideControl(t *testing.T) {
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
	limit := time.AfterFunc(loopLimit/6, func() {
		panic("Close, and a poller that calls Receive inside Control, wait for each other")
	})
	defer limit.Stop()
	n.Close()
	<-over
}

// waits is a socket that counts what it is asked to wait for, and meanwhile does
// what a test wants.
type waits struct {
	*fakeSocket
	asked []time.Duration
	while func()
}

func (w *waits) Receive(b []byte, d time.Duration) (int, netip.AddrPort, error) {
	w.asked = append(w.asked, d)
	if w.while != nil {
		w.while()
	}
	return w.fakeSocket.Receive(b, d)
}

// busyElsewhere gives the node more messages to deliver, and returns when
// another goroutine is stuck in the callback of the first. end ends that, by a
// panic if it is told to.
func busyElsewhere(s *soloist, more int) (end func(panics bool)) {
	entered, leave, over := make(chan bool), make(chan bool), make(chan bool)
	first := true
	s.receiver = func(NodeID, []byte) {
		if first {
			first = false
			entered <- true
			if <-leave {
				panic(thrown)
			}
		}
	}
	s.mu.Lock()
	for i := range more + 1 {
		d := wire.Data{Origin: uint64(77 + i/1000), Counter: uint32(1 + i%1000), Flags: wire.FlagPull}
		s.handle(s.now(), peerAddr(10), s.data(d))
	}
	s.mu.Unlock()
	go func() {
		defer close(over)
		defer func() { recover() }()
		s.Tick()
	}()
	<-entered
	return func(panics bool) {
		leave <- panics
		<-over
	}
}

func TestReceiveWaitsThoughACallbackIsBusyElsewhere(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	end := busyElsewhere(s, 2)
	s.speak()
	w := &waits{fakeSocket: s.fake}
	s.socket = w
	for range 5 {
		if _, err := s.Receive(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	s.want(len(w.asked) == 5 && slices.Min(w.asked) == time.Hour, "beside a slow callback Receive turns round, with waits of %v", w.asked)

	// What the other goroutine leaves behind must not wait for the next datagram.
	wakes := 0
	w.while = func() {
		before := s.fake.wakes
		end(true)
		wakes = s.fake.wakes - before
	}
	s.Receive(time.Hour)
	s.want(wakes == 1, "Receive was woken %d times when the callback ended and left calls to make", wakes)
	s.want(s.Stats().Arrived == 0, "%d messages wait for the receiver still", s.Stats().Arrived)
}

func TestReceiveBesideAFullBacklogDoesNotTurnRound(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	end := busyElsewhere(s, mostEvents)
	s.speak()
	w := &waits{fakeSocket: s.fake}
	s.socket = w
	start := time.Now()
	for range 3 {
		if _, err := s.Receive(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	s.want(len(w.asked) == 0, "with %d messages undelivered the socket is read", s.Stats().Arrived)
	s.want(took >= 3*fullPause, "three Receives that may not read took %v together", took)
	end(false)
	s.want(s.Stats().Arrived == 0, "%d messages wait for the receiver still", s.Stats().Arrived)
}

func TestATickElsewhereEndsTheWaitWhenItHasSomethingToSend(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	s.want(s.SendData([]byte("unanswered")) == nil, "SendData is an error")
	s.speak()
	w := &waits{fakeSocket: s.fake}
	s.socket = w
	idle, busy := 0, 0
	w.while = func() {
		s.Tick()
		idle = s.fake.wakes
		s.at += time.Second
		s.Tick()
		busy = s.fake.wakes
	}
	s.fake.wakes = 0
	s.Receive(time.Hour)
	s.want(len(w.asked) == 1 && w.asked[0] == time.Hour, "Receive asks for waits of %v", w.asked)
	s.want(idle == 0, "a Tick with nothing to send ends the wait")
	s.want(busy > 0 && s.outbox.Pending(), "a Tick that sends again while Receive waits woke it %d times", busy)
	s.Tick()
	s.want(s.fake.wakes == busy, "a Tick while nobody waits wakes somebody")
}
