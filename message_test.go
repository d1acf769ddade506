package gossip

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

func TestSendDataTakesPayloadsOfEverySize(t *testing.T) {
	sizes := []int{0, 1400, 9000} // of the datagram; 0 is the default
	if runtime.GOOS == "linux" {
		sizes = append(sizes, 65507) // others send no datagram that long unless told to
	}
	for i, size := range sizes {
		config := brisk
		if config.MaxMessageSize = size; i%2 == 1 {
			config.Keys = [][]byte{testKey('k')}
		}
		a, b := pair(t, config)
		for i, spread := range []Spread{Broadcast, Random, Direct(b.Address())} {
			longest := strings.Repeat(fmt.Sprint(i), a.MaxPayload())
			a.publish(longest, spread)
			wantOnce(t, longest, b)
			before := a.Stats()
			if err := a.SendData([]byte(longest+"+"), spread); !errors.Is(err, ErrTooLarge) {
				t.Errorf("MaxMessageSize %d: one byte more than MaxPayload is %v instead of ErrTooLarge", size, err)
			}
			if after := a.Stats(); after.Sent != before.Sent {
				t.Errorf("a message that was refused is counted as sent: %+v", after)
			}
		}
		a.publish("")
		wantOnce(t, "", b)
	}
}

func TestSendDataRefusesWithoutATrace(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{MaxOutputMessages: 4 * 1024}), v.add(Config{})
	v.form(n, peer)
	n.held = true
	for i := range 1024 { // to where no node is
		n.publish(fmt.Sprint("message ", i), Direct(virtualAddr(77)))
	}
	for _, c := range []struct {
		what    string
		is      error
		payload int
		spread  []Spread
	}{
		{"a payload that is too long", ErrTooLarge, n.MaxPayload() + 1, nil},
		{"two Spreads", ErrConfig, 1, []Spread{Broadcast, Random}},
		{"Direct to no address", ErrAddress, 1, []Spread{Direct(Address{})}},
		{"Direct to a wildcard", ErrAddress, 1, []Spread{Direct(mustParseAddress(t, "0.0.0.0:7070"))}},
		{"Direct to port 0", ErrAddress, 1, []Spread{Direct(mustParseAddress(t, "10.0.0.1:0"))}},
		{"Direct to multicast", ErrAddress, 1, []Spread{Direct(mustParseAddress(t, "224.0.0.1:7070"))}},
		{"Direct to the node itself", ErrAddress, 1, []Spread{Direct(n.Address())}},
		{"Direct, while the one 1024 before is on its way", ErrQueueFull, 1, []Spread{Direct(peer.Address())}},
	} {
		before := n.trace()
		err := n.SendData(make([]byte, c.payload), c.spread...)
		n.want(errors.Is(err, c.is), "%s is %v instead of %v", c.what, err, c.is)
		n.want(n.trace() == before, "%s leaves a trace:\n%s\n%s", c.what, before, n.trace())
	}
	n.publish("still possible")
}

// The zero Spread is the one of Config, with which a message may also be given none.
func TestSendDataSpreadsAsConfigSays(t *testing.T) {
	v := newVirtualNet(t, 1)
	a := v.add(Config{Spread: Direct(virtualAddr(1))})
	b, c := v.add(Config{}), v.add(Config{Spread: Random})
	v.form(a, b, c)
	a.publish("none")
	a.publish("zero", Spread{})
	a.publish("chosen", Broadcast)
	v.Run(5 * time.Second)
	b.want(strings.Join(b.got, " ") == "none zero chosen", "the recipient got %q", b.got)
	c.want(strings.Join(c.got, " ") == "chosen", "another node got %q", c.got)
}

func TestSendDataRefusesBeyondMaxOutputMessages(t *testing.T) {
	for _, spread := range []Spread{Broadcast, Random} {
		config := brisk
		config.MaxOutputMessages = 4
		a, b := pair(t, config)
		quiet(a, b)
		for i := range 4 {
			a.publish(fmt.Sprint("message ", i), spread)
		}
		before := a.Stats()
		for range 3 {
			if err := a.SendData([]byte("too many"), spread); !errors.Is(err, ErrQueueFull) {
				t.Fatalf("a message more than the queue holds returned %v instead of ErrQueueFull", err)
			}
		}
		if after := a.Stats(); after != before {
			t.Errorf("a message that was refused left a trace:\n%+v\n%+v", before, after)
		}
		a.run()
		b.run()
		for i := range 4 {
			wantOnce(t, fmt.Sprint("message ", i), b)
		}
		waitUntil(t, "there is room again", func() bool { return a.SendData([]byte("later"), spread) == nil }, a, b)
		wantOnce(t, "later", b)
		if b.times("too many") != 0 {
			t.Error("a message that was refused arrived")
		}
	}
}

// A caller that is refused tries again, often.
func TestSendDataThatIsRefusedAllocatesNothing(t *testing.T) {
	v := newVirtualNet(t, 1)
	n, peer := v.add(Config{}), v.add(Config{})
	v.form(n, peer)
	n.held = true
	payload := make([]byte, 100)
	for n.SendData(payload) == nil {
	}
	allocations := testing.AllocsPerRun(500, func() {
		if err := n.SendData(payload); !errors.Is(err, ErrQueueFull) {
			t.Fatalf("with the queue full SendData returned %v", err)
		}
	})
	if allocations != 0 {
		t.Errorf("SendData with the queue full allocates %v times", allocations)
	}
}

// The numbers of an ID are 2^32, too many to use up here.
func TestSendDataSaysWhenAllNumbersAreUsed(t *testing.T) {
	n := newVirtualNet(t, 1).add(Config{})
	n.join()
	err := refusal(n.GossipService, node.ErrNumbers)
	n.want(errors.Is(err, ErrState) && strings.Contains(err.Error(), n.ID().String()) && strings.Contains(err.Error(), "Leave and Join"),
		"with all numbers used the error is %v", err)
}

// A queue that is smaller than RumorFactor passes rumors on to fewer members.
func TestSendDataRandomThroughATinyQueue(t *testing.T) {
	config := brisk
	config.MaxOutputMessages = 2
	var nodes []*loopNode
	for range 4 {
		nodes = append(nodes, startLoop(t, "127.0.0.1:0", config))
	}
	form(nodes...)
	waitUntil(t, "a node takes a Random message though its queue holds just 2",
		func() bool { return nodes[0].SendData([]byte("rumor"), Random) == nil }, nodes...)
	wantOnce(t, "rumor", nodes[1:]...)
}

func TestSendDataDirectReachesOnlyItsRecipient(t *testing.T) {
	a, b, c := startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk), startLoop(t, "127.0.0.1:0", brisk)
	form(a, b, c)
	stranger := startLoop(t, "127.0.0.1:0", brisk)
	stranger.join()

	a.publish("to a stranger", Direct(stranger.Address()))
	a.publish("to a member", Direct(b.Address()))
	wantOnce(t, "to a stranger", stranger)
	wantOnce(t, "to a member", b)
	a.publish("to all")
	a.publish("by rumor", Random)
	for _, text := range []string{"to all", "by rumor"} {
		wantOnce(t, text, b, c)
	}
	c.receiveMore(30)
	b.receiveMore(30)
	for n, text := range map[*loopNode]string{a: "to a member", b: "to a stranger", c: "to a member"} {
		if n.times(text) != 0 {
			t.Errorf("node %v got %q, which was not for it", n.Address(), text)
		}
	}
	if c.times("to a stranger") != 0 || stranger.times("to all") != 0 {
		t.Error("a message was delivered to a node that it was not for")
	}
	wantOnce(t, "to a stranger", stranger)
	wantOnce(t, "to a member", b)
	waitUntil(t, "the stranger has acknowledged", func() bool { return a.Stats().QueuedData == 0 }, a)
	if s := a.Stats(); s.GivenUp != 0 {
		t.Errorf("a message to a node that answers was given up: %+v", s)
	}
	if len(stranger.Members()) != 0 || len(a.Members()) != 2 {
		t.Errorf("a Direct message made members of strangers: %v, %v", stranger.Members(), a.Members())
	}
}

func TestSpreadPrintsWhatItIs(t *testing.T) {
	to := mustParseAddress(t, "[2001:db8::1]:7070")
	for want, spread := range map[string]Spread{
		"Broadcast": Broadcast, "Random": Random, "Direct([2001:db8::1]:7070)": Direct(to), "Config.Spread": {}, "Direct()": Direct(Address{}),
	} {
		if got := fmt.Sprint(spread); got != want {
			t.Errorf("a Spread prints as %q, not %q", got, want)
		}
	}
}

// An error that says what to do is read once.
func TestErrorsSayWhatToDo(t *testing.T) {
	n := newLoop(t, "127.0.0.1:0", Config{})
	inside := error(nil)
	n.join()
	busy := whileWaiting(t, n, "Wake", func() { _, inside = n.Receive(0); n.Wake() })
	left := newLoop(t, "127.0.0.1:0", Config{})
	left.join()
	left.Leave()
	to := func(text string) Address { return mustParseAddress(t, text) }
	_, advertise := New(to("127.0.0.1:0"), n.receive, Config{Advertise: to("0.0.0.0:7070")})
	for _, c := range []struct {
		err  error
		is   error
		says string
	}{
		{inside, ErrState, "one loop"},
		{newLoop(t, "127.0.0.1:0", Config{}).SendData(nil), ErrState, "call Join first"},
		{left.SendData(nil), ErrState, "after Leave: call Join"},
		{n.Join(to("127.0.0.1:0")), ErrAddress, "give the port that the node's Address returns"},
		{n.Join(to("[::]:7070")), ErrAddress, "give an address of the node's host"},
		{n.Join(to("224.0.0.1:7070")), ErrAddress, "give the address of one node"},
		{n.Join(Address{}), ErrAddress, "give the IP address and port of a node"},
		{n.SendData(nil, Direct(to("10.0.0.1:0"))), ErrAddress, "give the port that the node's Address returns"},
		{advertise, ErrConfig, "give an address of the node's host"},
	} {
		if !errors.Is(c.err, c.is) || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("the error %q is not %q, or does not say %q", c.err, c.is, c.says)
		}
	}
	if busy != nil {
		t.Errorf("the first Receive returned %v", busy)
	}
}

// A Direct message that its member does not take is refused, and counts as nothing.
func TestSendDataRefusesADirectMessageThatItsMemberDoesNotTake(t *testing.T) {
	v := newVirtualNet(t, 1)
	large, small := v.add(Config{MaxMessageSize: 1400}), v.add(Config{})
	v.form(large, small)
	to, most := small.Address(), small.MaxPayload()
	err := large.SendData(make([]byte, most+1), Direct(to))
	large.want(errors.Is(err, ErrTooLarge) && strings.Contains(err.Error(), to.String()) && strings.Contains(err.Error(), fmt.Sprint(most)), "a Direct message of %d bytes to %v, which takes %d, gives %v", most+1, to, most, err)
	large.want(large.Stats().Sent == 0, "a message that was refused is counted")
	err = large.SendData(make([]byte, most), Direct(to))
	v.Run(time.Second)
	small.want(err == nil && small.Stats().Delivered == 1, "a Direct message of %d bytes gives %v, and %d are delivered", most, err, small.Stats().Delivered)
}
