package gossip_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"example.com/gossip"
)

// node makes a node on loopback, at a port that the system chooses.
func node(receive gossip.DataReceiver, config gossip.Config) *gossip.GossipService {
	self, err := gossip.ParseAddress("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g, err := gossip.New(self, receive, config)
	if err != nil {
		log.Fatal(err)
	}
	return g
}

// turn is one turn of a node's loop that waits at most a millisecond, so that the
// examples can drive several nodes on one goroutine.
func turn(g *gossip.GossipService) {
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

// A long stream at full speed: when the queue is full the loop turns, and then the
// same message is tried again. Nothing is lost, and nothing waits for a timer, for
// the next messages leave as acknowledgements come in.
func ExampleGossipService_SendData_backpressure() {
	received := 0
	a := node(func(gossip.NodeID, []byte) {}, gossip.Config{})
	b := node(func(gossip.NodeID, []byte) { received++ }, gossip.Config{})
	defer a.Close()
	defer b.Close()
	a.Join()
	b.Join(a.Address())
	for len(a.Members()) == 0 || len(b.Members()) == 0 {
		turn(a)
		turn(b)
	}

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
			turn(a)
			turn(b)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); received < messages && time.Now().Before(deadline); {
		turn(a)
		turn(b)
	}
	fmt.Println(received, "received, and the queue was full on the way:", full > 0)
	// Output: 5000 received, and the queue was full on the way: true
}
