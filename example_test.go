package gossip_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"sync/atomic"
	"time"

	"example.com/gossip"
)

// Two nodes and their loop, which here drives both on one goroutine.
func Example() {
	self, err := gossip.ParseAddress("127.0.0.1:0") // a port that the system chooses
	if err != nil {
		log.Fatal(err)
	}
	silent := func(gossip.NodeID, []byte) {}
	seed, err := gossip.New(self, silent, gossip.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer seed.Close()

	done := false
	node, err := gossip.New(self, func(origin gossip.NodeID, payload []byte) {
		fmt.Printf("%s, sent by the seed: %v\n", payload, origin == seed.ID())
		done = true
	}, gossip.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	seed.Join()               // without seeds it is a seed itself
	node.Join(seed.Address()) // sends a Hello
	seed.SendData([]byte("flag dark-mode on"))
	for !done {
		for _, g := range []*gossip.GossipService{seed, node} {
			wait, err := g.Tick() // what is due by time
			if err != nil {
				log.Fatal(err)
			}
			g.Send()                               // what is queued
			g.Receive(min(wait, time.Millisecond)) // what came in
		}
	}
	// Output: flag dark-mode on, sent by the seed: true
}

// node makes a node on loopback.
func node(receiver func(gossip.NodeID, []byte), config gossip.Config) *gossip.GossipService {
	self, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g, err := gossip.New(self, receiver, config)
	if err != nil {
		log.Fatal(err)
	}
	return g
}

// ignore is a receiver.
func ignore(gossip.NodeID, []byte) {}

// turn is one turn of the loop of each node, waiting at most a millisecond.
func turn(nodes ...*gossip.GossipService) {
	for _, g := range nodes {
		wait, err := g.Tick()
		if err == nil {
			_, err = g.Send()
		}
		if err == nil {
			_, err = g.Receive(min(wait, time.Millisecond))
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// until turns the loops until cond holds, for ten seconds at most.
func until(cond func() bool, nodes ...*gossip.GossipService) {
	for deadline := time.Now().Add(10 * time.Second); !cond() && time.Now().Before(deadline); {
		turn(nodes...)
	}
}

// join makes the first node a seed, which the others join, until all know all.
func join(nodes ...*gossip.GossipService) {
	nodes[0].Join()
	for _, g := range nodes[1:] {
		g.Join(nodes[0].Address())
	}
	until(func() bool {
		for _, g := range nodes {
			if len(g.Members()) < len(nodes)-1 {
				return false
			}
		}
		return true
	}, nodes...)
}

// One seed that answers is enough; the others may be down. A node asks its seeds again
// whenever it has lost its members, so give it several.
func ExampleGossipService_Join() {
	a, b := node(ignore, gossip.Config{}), node(ignore, gossip.Config{})
	defer a.Close()
	defer b.Close()
	a.Join()

	down := node(ignore, gossip.Config{})
	nobody := down.Address()
	down.Close()

	if err := b.Join(nobody, a.Address()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.State())
	until(func() bool { return b.State() == gossip.StateConnected }, a, b)
	fmt.Println(b.State())
	// Output:
	// JOINING
	// CONNECTED
}

// A program without a loop of its own calls Run on a goroutine. When the context ends,
// Run says goodbye and returns.
func ExampleGossipService_Run() {
	received := make(chan string)
	a := node(ignore, gossip.Config{})
	b := node(func(_ gossip.NodeID, payload []byte) { received <- string(payload) }, gossip.Config{})
	defer a.Close()
	defer b.Close()
	a.Join()
	b.Join(a.Address())

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	for _, g := range []*gossip.GossipService{a, b} {
		go func() { ended <- g.Run(ctx) }()
	}
	a.SendData([]byte("cache user/17 is stale")) // from any goroutine
	fmt.Println(<-received)
	cancel()
	fmt.Println(<-ended, <-ended)
	// Output:
	// cache user/17 is stale
	// <nil> <nil>
}

// Conn may be a socket with options set by net.ListenConfig, one passed by a supervisor, or
// any other net.PacketConn. The node closes it.
func ExampleConfig_conn() {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g, err := gossip.New(gossip.Address{}, ignore, gossip.Config{Conn: conn})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Address().String() == conn.LocalAddr().String())
	g.Close()
	_, err = conn.WriteTo([]byte("x"), conn.LocalAddr())
	fmt.Println(err != nil)
	// Output:
	// true
	// true
}

// Keys are replaced while the cluster runs, in three steps, each done at all nodes before
// the next begins. No message is lost.
func ExampleGossipService_SetKeys() {
	old, next := []byte("a key of 32 bytes, from a secret"), []byte("another one, made by openssl ...")
	received := 0
	a := node(ignore, gossip.Config{Keys: [][]byte{old}})
	b := node(func(gossip.NodeID, []byte) { received++ }, gossip.Config{Keys: [][]byte{old}})
	defer a.Close()
	defer b.Close()
	join(a, b)

	for _, keys := range [][][]byte{
		{old, next}, // all can open what is sealed with the new key
		{next, old}, // all seal with it
		{next},      // all drop the old one
	} {
		for _, g := range []*gossip.GossipService{a, b} {
			if err := g.SetKeys(keys...); err != nil {
				log.Fatal(err)
			}
			a.SendData([]byte("in the middle of a change"))
			turn(a, b)
		}
	}
	until(func() bool { return received == 6 }, a, b)
	fmt.Println(received, "messages,", b.Stats().DropSealed, "datagrams that could not be opened")
	// Output: 6 messages, 0 datagrams that could not be opened
}

// Broadcast, the default, reaches every node once.
func ExampleBroadcast() {
	received := 0
	nodes := []*gossip.GossipService{node(ignore, gossip.Config{})}
	for range 9 {
		nodes = append(nodes, node(func(gossip.NodeID, []byte) { received++ }, gossip.Config{}))
	}
	join(nodes...)
	nodes[0].SendData([]byte("to all"), gossip.Broadcast)
	until(func() bool { return received == 9 }, nodes...)
	fmt.Println(received)
	for _, g := range nodes {
		g.Close()
	}
	// Output: 9
}

// Random is the classic rumor. Nodes that it misses get the message by repair.
func ExampleRandom() {
	received := 0
	nodes := []*gossip.GossipService{node(ignore, gossip.Config{})}
	for range 9 {
		nodes = append(nodes, node(func(gossip.NodeID, []byte) { received++ }, gossip.Config{}))
	}
	join(nodes...)
	nodes[0].SendData([]byte("psst"), gossip.Random)
	until(func() bool { return received == 9 }, nodes...)
	fmt.Println(received)
	for _, g := range nodes {
		g.Close()
	}
	// Output: 9
}

// A question to all nodes is answered only to the one that asked, from inside the receiver.
// The question holds the address for the answer, because in a large cluster nodes do not know
// all others. When SendData returns the reply is only queued.
func ExampleDirect() {
	answers := 0
	asker := node(func(_ gossip.NodeID, payload []byte) {
		fmt.Printf("%s\n", payload)
		answers++
	}, gossip.Config{})
	var replier, bystander *gossip.GossipService
	replier = node(func(_ gossip.NodeID, payload []byte) {
		var from gossip.Address
		if err := from.UnmarshalText(payload); err != nil {
			return // not a question
		}
		if err := replier.SendData([]byte("17 items here"), gossip.Direct(from)); err != nil {
			log.Print(err)
		}
	}, gossip.Config{})
	bystander = node(ignore, gossip.Config{})
	defer asker.Close()
	defer replier.Close()
	defer bystander.Close()
	join(asker, replier, bystander)

	question, _ := asker.Address().MarshalText()
	asker.SendData(question)
	until(func() bool { return answers > 0 }, asker, replier, bystander)
	fmt.Println("delivered to the bystander:", bystander.Stats().Delivered)
	// Output:
	// 17 items here
	// delivered to the bystander: 1
}

// With Ordered each origin's messages are delivered in order, whatever the network does:
// those that arrive early wait.
func ExampleConfig_ordered() {
	var received []byte
	a := node(ignore, gossip.Config{})
	b := node(func(_ gossip.NodeID, payload []byte) { received = append(received, payload...) }, gossip.Config{Ordered: true})
	defer a.Close()
	defer b.Close()
	join(a, b)
	for _, letter := range "in the order they were sent" {
		a.SendData([]byte(string(letter)))
	}
	until(func() bool { return len(received) == 27 }, a, b)
	fmt.Printf("%s\n", received)
	// Output: in the order they were sent
}

// A long stream is sent at full speed: when the queue is full the loop turns, and the same
// message is tried again. Nothing is lost, and nothing waits for a timer, because further
// messages leave as acknowledgements come in.
func ExampleGossipService_SendData_backpressure() {
	received := 0
	a := node(ignore, gossip.Config{})
	b := node(func(gossip.NodeID, []byte) { received++ }, gossip.Config{})
	defer a.Close()
	defer b.Close()
	join(a, b)

	const messages = 5000
	full := 0
	for i := range messages {
		payload := fmt.Appendf(nil, "message %d", i)
		for {
			err := a.SendData(payload)
			if err == nil {
				break
			}
			if !errors.Is(err, gossip.ErrQueueFull) {
				log.Fatal(err)
			}
			full++
			turn(a, b)
		}
	}
	until(func() bool { return received == messages }, a, b)
	fmt.Println(received, "received, and the queue was full on the way:", full > 0)
	// Output: 5000 received, and the queue was full on the way: true
}

// Beside a loop on another goroutine nothing is polled: a stream waits for the first member,
// for room, and in the end for its acknowledgements.
func ExampleGossipService_WaitForRoom() {
	var received atomic.Int64
	a := node(ignore, gossip.Config{})
	b := node(func(gossip.NodeID, []byte) { received.Add(1) }, gossip.Config{})
	defer a.Close()
	defer b.Close()
	a.Join()
	b.Join(a.Address())
	go a.Run(context.Background())
	go b.Run(context.Background())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := a.WaitForMember(ctx)
	for i := 0; i < 5000 && err == nil; i++ {
		payload := fmt.Appendf(nil, "message %d", i)
		err = a.SendData(payload)
		for errors.Is(err, gossip.ErrQueueFull) {
			if err = a.WaitForRoom(ctx); err == nil {
				err = a.SendData(payload)
			}
		}
	}
	if err == nil {
		err = a.WaitForAcks(ctx)
	}
	fmt.Println(received.Load(), "received", err)
	// Output: 5000 received <nil>
}
