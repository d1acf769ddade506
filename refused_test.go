package gossip

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	loopback := "127.0.0.1:0"
	wildcard, err := ParseAddress("0.0.0.0:7070")
	if err != nil {
		t.Fatal(err)
	}
	noPort, err := ParseAddress(loopback)
	if err != nil {
		t.Fatal(err)
	}
	multicast, err := ParseAddress("224.0.0.1:7070")
	if err != nil {
		t.Fatal(err)
	}
	inUse := syscall.EADDRINUSE
	if runtime.GOOS == "windows" {
		inUse = 10048 // which Go does not take for the same
	}
	receiver := func(NodeID, []byte) {}
	for _, c := range []struct {
		self     string
		receiver func(NodeID, []byte)
		config   Config
		is       error
		names    string
	}{
		{loopback, nil, Config{}, ErrConfig, "receiver"},
		{"", receiver, Config{}, ErrAddress, "self"},
		{taken.LocalAddr().String(), receiver, Config{}, inUse, taken.LocalAddr().String()},
		{loopback, receiver, Config{Advertise: wildcard}, ErrConfig, "Advertise"},
		{loopback, receiver, Config{Advertise: noPort}, ErrConfig, "Advertise"},
		{loopback, receiver, Config{Advertise: multicast}, ErrConfig, "Advertise"},
		{loopback, receiver, Config{Cluster: strings.Repeat("x", 256)}, ErrConfig, "Cluster"},
		{loopback, receiver, Config{Cluster: "\xff"}, ErrConfig, "Cluster"},
		{loopback, receiver, Config{Spread: Direct(Address{})}, ErrConfig, "Spread"},
		{loopback, receiver, Config{TickInterval: -1}, ErrConfig, "TickInterval"},
		{loopback, receiver, Config{TickInterval: time.Millisecond}, ErrConfig, "TickInterval"},
		{loopback, receiver, Config{RetryAttempts: -1}, ErrConfig, "RetryAttempts"},
		{loopback, receiver, Config{RetryAttempts: 256}, ErrConfig, "RetryAttempts"},
		{loopback, receiver, Config{RetryInterval: -1}, ErrConfig, "RetryInterval"},
		{loopback, receiver, Config{AckDelay: -1}, ErrConfig, "AckDelay"},
		{loopback, receiver, Config{AckDelay: 2 * time.Second}, ErrConfig, "AckDelay"},
		{loopback, receiver, Config{RumorFactor: -1}, ErrConfig, "RumorFactor"},
		{loopback, receiver, Config{BroadcastFactor: -1}, ErrConfig, "BroadcastFactor"},
		{loopback, receiver, Config{MaxMessageSize: -1}, ErrConfig, "MaxMessageSize"},
		{loopback, receiver, Config{MaxMessageSize: 50}, ErrConfig, "MaxMessageSize"},
		{loopback, receiver, Config{MaxMessageSize: 300, Cluster: strings.Repeat("x", 255)}, ErrConfig, "MaxMessageSize"},
		{loopback, receiver, Config{MaxMessageSize: 65508}, ErrConfig, "MaxMessageSize"},
		{loopback, receiver, Config{MaxOutputMessages: -1}, ErrConfig, "MaxOutputMessages"},
		{loopback, receiver, Config{MaxMembers: -1}, ErrConfig, "MaxMembers"},
		{loopback, receiver, Config{MaxMembers: 8}, ErrConfig, "MaxMembers"},
		{loopback, receiver, Config{DataLogSize: -1}, ErrConfig, "DataLogSize"},
		{loopback, receiver, Config{OrderedWait: -1}, ErrConfig, "OrderedWait"},
		{loopback, receiver, Config{ReadBuffer: -1}, ErrConfig, "ReadBuffer"},
	} {
		var self Address
		if err := self.UnmarshalText([]byte(c.self)); err != nil {
			t.Fatal(err)
		}
		n, err := New(self, c.receiver, c.config)
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.names) {
			t.Errorf("New of a node whose %s is wrong returned the error %v", c.names, err)
		}
		if n != nil {
			n.Close()
		}
	}
}

func TestJoinWithABadAddressChangesNothing(t *testing.T) {
	n, founder := newLoop(t, "127.0.0.1:0", Config{}), newLoop(t, "127.0.0.1:0", Config{})
	founder.join()
	good := founder.Address()
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
		if err := founder.SendData(nil, Direct(a)); !errors.Is(err, ErrAddress) || founder.Stats().Sent != 0 {
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

func TestAFullQueueRefusesWithoutATrace(t *testing.T) {
	for _, spread := range []Spread{Broadcast, Random} {
		config := brisk
		config.MaxOutputMessages = 4
		a, b := pair(t, config)
		quiet(a, b)
		for i := range 4 {
			a.say(fmt.Sprint("message ", i), spread)
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

// A queue that is smaller than RumorFactor passes rumors on to fewer members.
func TestRandomThroughATinyQueue(t *testing.T) {
	config := brisk
	config.MaxOutputMessages = 2
	var nodes []*loopNode
	for range 4 {
		nodes = append(nodes, startLoop(t, "127.0.0.1:0", config))
	}
	formLoops(nodes...)
	waitUntil(t, "a node takes a rumor though its queue holds just 2 messages",
		func() bool { return nodes[0].SendData([]byte("rumor"), Random) == nil }, nodes...)
	wantOnce(t, "rumor", nodes[1:]...)
}
