package cluster

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// price is what an isolated message of 100 bytes costs in all: everything that the nodes send
// beyond what they send when nothing is published, by type of message, per delivery. Idle
// traffic is per node and second, a minute after the last change.
type price struct {
	datagrams, bytes         float64
	idleDatagrams, idleBytes float64
	messages                 [wire.Types]float64
}

// traffic counts what is sent.
type traffic struct {
	datagrams, bytes int
	messages         [wire.Types]int
}

// headers is what UDP and IP add to a datagram.
const headers = 28

func (y *traffic) tap(e simnet.Event) {
	if e.Kind != simnet.Sent {
		return
	}
	y.datagrams++
	y.bytes += len(e.Payload) + headers
	all, _ := wiretest.Read(e.Payload, e.To, e.Time)
	for _, m := range all {
		y.messages[m.Kind]++
	}
}

// priceOf measures the price in a cluster of that many nodes.
func priceOf(t testing.TB, nodes int, seed uint64) (p price) {
	t.Helper()
	const messages, every = 20, 10 * time.Second
	c := gather(t, spreadCase{nodes: nodes}, seed)
	c.net.Run(time.Minute)
	var idle, busy traffic
	c.net.SetTap(idle.tap)
	c.net.Run(messages * every)
	c.net.SetTap(busy.tap)
	for i := range messages {
		n := c.nodes[(i*7919)%nodes]
		if err := n.tryPublish(make([]byte, 100)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c.net.Run(every)
	}
	deliveries, nodeSeconds := float64(messages*(nodes-1)), float64(nodes)*(messages*every).Seconds()
	p.datagrams = float64(busy.datagrams-idle.datagrams) / deliveries
	p.bytes = float64(busy.bytes-idle.bytes) / deliveries
	p.idleDatagrams, p.idleBytes = float64(idle.datagrams)/nodeSeconds, float64(idle.bytes)/nodeSeconds
	for kind := range p.messages {
		p.messages[kind] = float64(busy.messages[kind]-idle.messages[kind]) / deliveries
	}
	return p
}

func (p price) String() string {
	text := fmt.Sprintf("%.2f datagrams and %.0f bytes per delivery; idle %.2f datagrams and %.0f bytes a second;", p.datagrams, p.bytes, p.idleDatagrams, p.idleBytes)
	for kind, n := range p.messages {
		if n > 0.01 || n < -0.01 {
			text += fmt.Sprintf(" %v %.2f", wire.Type(kind), n)
		}
	}
	return text
}

func TestPriceOfAnIsolatedMessage(t *testing.T) {
	heavy(t)
	for _, nodes := range []int{10, 100} {
		p := priceOf(t, nodes, 1)
		t.Logf("%d nodes: %v", nodes, p)
		if p.datagrams > 3.2 || p.bytes > 290 {
			t.Errorf("seed 1: among %d nodes a message costs %.2f datagrams and %.0f bytes per delivery, and should 3.2 and 290", nodes, p.datagrams, p.bytes)
		}
		if p.idleDatagrams > 0.6 || p.idleBytes > 100 {
			t.Errorf("seed 1: an idle node of %d sends %.2f datagrams and %.0f bytes a second, and should 0.6 and 100", nodes, p.idleDatagrams, p.idleBytes)
		}
	}
}
