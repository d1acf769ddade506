package gossip_test

import (
	"errors"
	"fmt"
	"log"

	"example.com/gossip"
)

// Broadcast, the default, reaches every node once.
func ExampleBroadcast() {
	heard := 0
	nodes := []*gossip.GossipService{node(ignore, gossip.Config{})}
	for range 9 {
		nodes = append(nodes, node(func(gossip.NodeID, []byte) { heard++ }, gossip.Config{}))
	}
	join(nodes...)
	nodes[0].SendData([]byte("to all"), gossip.Broadcast)
	until(func() bool { return heard == 9 }, nodes...)
	fmt.Println(heard)
	for _, g := range nodes {
		g.Close()
	}
	// Output: 9
}

// Random is the classic rumor. Nodes that it misses get the message by repair.
func ExampleRandom() {
	heard := 0
	nodes := []*gossip.GossipService{node(ignore, gossip.Config{})}
	for range 9 {
		nodes = append(nodes, node(func(gossip.NodeID, []byte) { heard++ }, gossip.Config{}))
	}
	join(nodes...)
	nodes[0].SendData([]byte("psst"), gossip.Random)
	until(func() bool { return heard == 9 }, nodes...)
	fmt.Println(heard)
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
	var heard []byte
	a := node(ignore, gossip.Config{})
	b := node(func(_ gossip.NodeID, payload []byte) { heard = append(heard, payload...) }, gossip.Config{Ordered: true})
	defer a.Close()
	defer b.Close()
	join(a, b)
	for _, letter := range "in the order they were said" {
		a.SendData([]byte(string(letter)))
	}
	until(func() bool { return len(heard) == 27 }, a, b)
	fmt.Printf("%s\n", heard)
	// Output: in the order they were said
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
