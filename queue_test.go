package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// attempts counts how many times a node sends each message.
type attempts struct {
	times map[envelope]int
	kinds map[envelope]string
	first map[envelope]time.Duration
}

// envelope tells the messages of a node apart.
type envelope struct {
	to  netip.AddrPort
	seq uint32
}

// countAttempts counts from now on.
func countAttempts(n *virtualNode) attempts {
	a := attempts{map[envelope]int{}, map[envelope]string{}, map[envelope]time.Duration{}}
	n.net.SetTap(func(e simnet.Event) {
		if e.From != n.sock.LocalAddr() || e.Kind != simnet.Sent {
			return
		}
		all, err := wiretest.Read(e.Payload, e.To, e.Time)
		n.want(err == nil, "%v", err)
		for _, m := range all {
			id := envelope{m.To, m.Seq}
			if a.times[id] == 0 {
				a.kinds[id], a.first[id] = kindOf(m), e.Time
			}
			a.times[id]++
		}
	})
	return a
}

// want fails unless each message of a kind, of those first sent in a period, was sent a number
// of times, and there was one. What is queued for a member that is lost meanwhile is dropped, so
// one may have been sent fewer times, but not all.
func (a attempts) want(n *virtualNode, kind string, begin, end time.Duration, times int) {
	n.net.t.Helper()
	any := false
	most := 0
	for id, count := range a.times {
		if a.kinds[id] == kind && a.first[id] >= begin && a.first[id] < end {
			any = true
			most = max(most, count)
			n.want(count <= times, "a %s to %v, first sent at %v, is sent %d times, not %d", kind, id.to, a.first[id], count, times)
		}
	}
	n.want(!any || most == times, "a %s is sent %d times at most, not %d", kind, most, times)
	n.want(any, "no %s was sent from %v to %v", kind, begin, end)
}

// A message that asks for an answer and gets none is sent RetryAttempts times, any other once.
// Nothing that the node sends reaches its peers, but what they send reaches the node.
func TestQueueSendsEachMessageAsOftenAsItsKindSays(t *testing.T) {
	for _, retry := range []int{1, 3, 5} {
		v := newVirtualNet(t, uint64(retry))
		n := v.add(Config{RetryAttempts: retry})
		for range 8 {
			v.add(Config{})
		}
		a := countAttempts(n)
		v.form(v.nodes...)
		self := n.sock.LocalAddr()
		v.SetFilter(func(from, _ netip.AddrPort) bool { return from != self })
		begin := v.Now()
		n.publish("to all")
		n.publish("to one", Direct(virtualAddr(77)))
		v.add(Config{}).join(n.Address())
		request := wire.Status{Mode: wire.Request}
		request.Digest.Add(uint64(n.ID()), 0, []wire.Run{{First: 1, Last: 1}}, 100)
		v.nodes[1].sock.Send(request.AppendTo(wire.Header{Type: wire.TypeStatus, Seq: 1}.AppendTo(nil)), self)
		for i := range 20 { // to be acknowledged and offered
			v.nodes[1+i%8].publish(fmt.Sprint("message ", i))
			v.Run(100 * time.Millisecond)
		}
		v.Run(20 * time.Second)
		n.want(n.Leave() == nil, "Leave failed")
		n.turnAt(v.Now())
		v.Run(10 * time.Second)
		end := v.Now() - 20*time.Second // what is first sent later may be left out by Leave
		for kind, times := range map[string]int{
			"Welcome": 1, "MemberList": retry, "Ack": 1, "Status": retry, "Offer": 1, "Repair": 1,
		} {
			a.want(n, kind, begin, end, times)
		}
	}
}

func TestQueueSendsAGoodbyeOnce(t *testing.T) {
	v := newVirtualNet(t, 7)
	n := v.add(Config{})
	v.add(Config{})
	a := countAttempts(n)
	v.form(v.nodes...)
	begin := v.Now()
	n.want(n.Leave() == nil, "Leave failed")
	n.turnAt(v.Now())
	v.Run(10 * time.Second)
	a.want(n, "Leave", begin, v.Now(), 1)
}

// The Hellos of Join are sent RetryAttempts times. Then the clock repeats probes.
func TestQueueSendsHellosAsOftenAsTheirUseSays(t *testing.T) {
	for _, retry := range []int{1, 3, 5} {
		v := newVirtualNet(t, uint64(retry))
		n := v.add(Config{RetryAttempts: retry})
		a := countAttempts(n)
		n.join(virtualAddr(77), virtualAddr(78))
		v.await(time.Minute, "a node whose seeds are down is DISCONNECTED", func() bool { return n.State() == StateDisconnected })
		disconnected := v.Now() - 10*time.Millisecond
		v.Run(time.Minute)
		a.want(n, "Hello", 0, disconnected, retry)
		a.want(n, "Hello", disconnected, v.Now(), 1)
	}
}

// kindOf returns the name of the type of a message, or of its use.
func kindOf(m wiretest.Message) string {
	switch {
	case m.Kind == wire.TypeStatus && m.Status.Mode != wire.Full && m.Status.Mode != wire.Summary:
		return "Offer"
	case m.Kind == wire.TypeData && m.Data.Flags&wire.FlagPull != 0:
		return "Repair"
	}
	return m.Kind.String()
}

// logged is a slog.Handler that calls a function with each message.
type logged struct {
	slog.Handler
	call func(message string)
}

func (logged) Enabled(context.Context, slog.Level) bool { return true }

func (h logged) Handle(_ context.Context, r slog.Record) error {
	h.call(r.Message)
	return nil
}

// eventful lets a node live through all that its Logger records: it joins, is joined, gets a
// message and a datagram of another cluster, and loses a member by its goodbye and another by its
// silence. It leaves and is closed.
func eventful(t *testing.T, config Config, log func(n *virtualNode, message string)) *virtualNode {
	t.Helper()
	v := newVirtualNet(t, 1)
	var n *virtualNode
	config.Logger = slog.New(logged{slog.DiscardHandler, func(message string) { log(n, message) }})
	n = v.add(config)
	a, b, foreign := v.add(Config{}), v.add(Config{}), v.add(Config{Cluster: "another"})
	verb := func(f func() error) {
		t.Helper()
		n.survive(func() { n.want(f() == nil, "a verb fails") })
		for n.survive(func() { n.Receive(0) }) { // the calls that are left
		}
	}
	verb(func() error { return n.Join() })
	a.join(n.Address())
	v.await(10*time.Second, "a node has joined", func() bool { return len(n.Members()) == 1 })
	a.publish("message")
	v.await(10*time.Second, "a message was delivered", func() bool { return len(n.got) == 1 })
	foreign.join(n.Address())
	v.Run(2 * time.Second)
	a.want(a.Leave() == nil, "Leave fails")
	a.turnAt(v.Now())
	b.join(n.Address())
	v.await(10*time.Second, "one member has left and another joined", func() bool { return len(n.Members()) == 1 && n.Members()[0].ID == b.ID() })
	b.crash()
	v.await(time.Minute, "a member is lost", func() bool { return n.Stats().MembersLost == 1 })
	verb(func() error { return n.Leave() })
	verb(func() error { return n.Close() })
	n.want(n.State() == StateDestroyed && n.Stats().Delivered == 1, "in the end it is %v: %+v", n.State(), n.Stats())
	return n
}

func TestQueueLoggerMayCallTheNode(t *testing.T) {
	var records []string
	n := eventful(t, Config{}, func(n *virtualNode, message string) {
		records = append(records, message)
		n.want(unlocked(n.GossipService), "%q is logged with the lock held: a Logger that calls the node would wait for ever", message)
		n.State()
		n.Stats()
		n.Members()
		err := n.SendData([]byte(message))
		n.want(err == nil || errors.Is(err, ErrState) || errors.Is(err, ErrClosed), "a Logger cannot send %q: %v", message, err)
	})
	for _, message := range []string{"state", "member joined", "datagram of another cluster", "member left", "member lost"} {
		n.want(slices.Contains(records, "gossip: "+message), "%q was not logged, but %q", message, records)
	}
	n.want(n.Stats().Sent > 4, "the Logger sent %d messages", n.Stats().Sent)
}

// survive checks after each panic that no lock is held.
func TestQueueCallbackThatPanicsLeavesNoLockHeld(t *testing.T) {
	calls := map[string]int{}
	throw := func(n *virtualNode, what string) {
		n.want(unlocked(n.GossipService), "%s is called with the lock held: its panic would leave it so", what)
		calls[what]++
		panic(thrown)
	}
	v := newVirtualNet(t, 2)
	n, peer := v.add(Config{}), v.add(Config{})
	n.hook = func(NodeID, []byte) { throw(n, "the receiver") }
	v.form(n, peer)
	peer.publish("message")
	v.Run(time.Second)
	n.want(n.panics == 1 && n.Stats().Delivered == 1 && len(n.Members()) == 1, "after a panic in the receiver: %+v", n.Stats())

	var m *virtualNode
	config := Config{OnStateChange: func(_, _ State) { throw(m, "OnStateChange") }}
	m = eventful(t, config, func(n *virtualNode, _ string) {
		m = n
		throw(n, "the Logger")
	})
	m.want(calls["OnStateChange"] == 3 && calls["the Logger"] >= 8 && m.panics == calls["OnStateChange"]+calls["the Logger"],
		"the callbacks were called %v times, and of their panics %d arrived", calls, m.panics)
}

// The log of a busy node must not be full of single messages.
func TestQueueLogsNoSingleMessage(t *testing.T) {
	records := 0
	v := newVirtualNet(t, 3)
	config := Config{Ordered: true, Logger: slog.New(logged{slog.DiscardHandler, func(string) { records++ }})}
	for range 8 {
		v.add(config)
	}
	v.form(v.nodes...)
	v.SetDuplicate(0.1)
	v.SetReorder(0.2, 50*time.Millisecond)
	before := records
	for i := range 200 {
		v.nodes[i%8].publish(fmt.Sprint("message ", i), []Spread{Broadcast, Random, Direct(virtualAddr((i + 1) % 8))}[i%3])
		v.Run(10 * time.Millisecond)
	}
	v.Run(10 * time.Second)
	if records != before || before == 0 {
		t.Errorf("seed 3: beside 200 messages %d records were logged, and %d before", records-before, before)
	}
}

func TestQueueCallsTheReceiverInTheOrderOfArrival(t *testing.T) {
	v := newVirtualNet(t, 4)
	n, peer := v.add(Config{Ordered: true}), v.add(Config{})
	v.form(n, peer)
	inside := 0
	n.hook = func(NodeID, []byte) {
		inside++
		n.want(inside == 1, "the receiver is called inside itself")
		n.Tick() // which may not make the next call
		n.Join()
		n.Receive(0)
		inside--
	}
	for i := range 100 {
		peer.publish(fmt.Sprint("message ", i))
	}
	v.Run(5 * time.Second)
	n.want(len(n.got) == 100, "of 100 messages %d were delivered", len(n.got))
	for i, text := range n.got {
		n.want(text == fmt.Sprint("message ", i), "after message %d came %q", i-1, text)
	}
}

func TestQueueReceiverMayCallTheNode(t *testing.T) {
	n, peer := pair(t, brisk)
	n.mu.Lock()
	n.hook = func(origin NodeID, payload []byte) {
		switch string(payload) {
		case "answer":
			if origin != peer.ID() || len(n.Members()) != 1 || n.State() != StateConnected || n.Stats().Delivered == 0 {
				t.Errorf("in the receiver the node is %v, has the members %v, and the origin is %v", n.State(), n.Members(), origin)
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
		case "panic":
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

	peer.publish("answer")
	wantOnce(t, "the answer", peer)
	peer.publish("panic")
	wantOnce(t, "panic", n)
	peer.publish("after the panic")
	wantOnce(t, "after the panic", n)
	n.publish("I am well")
	wantOnce(t, "I am well", peer)

	peer.publish("leave")
	waitUntil(t, "the peer gets the goodbye", func() bool { return len(peer.Members()) == 0 }, n, peer)
	n.join(peer)
	waitUntil(t, "they know each other again", func() bool { return complete(n, peer) }, n, peer)
	peer.publish("close")
	waitUntil(t, "the receiver has closed the node", func() bool { return n.State() == StateDestroyed }, n)
	n.loop.Wait()
}
