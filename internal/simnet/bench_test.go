package simnet_test

import (
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
)

// chatter returns a network of nodes that each answer a datagram with one to
// another node, two for each node in flight, and counts what they receive.
func chatter(t testing.TB, nodes int, received *int) *simnet.Net {
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: time.Millisecond, LatencyMax: 20 * time.Millisecond})
	buf := make([]byte, 1500)
	payload := make([]byte, 200)
	for i := range nodes {
		e := listen(t, n, i)
		to := i
		talk := func() {
			to = (to*5 + 1) % nodes
			if err := e.Send(payload, node(to)); err != nil {
				t.Fatalf("seed %d: node %d could not send: %v", seed, i, err)
			}
		}
		e.OnReadable(func() {
			if _, _, err := e.Receive(buf, 0); err != nil {
				t.Fatalf("seed %d: node %d could not receive: %v", seed, i, err)
			}
			*received++
			talk()
		})
		n.After(0, talk)
		n.After(0, talk)
	}
	n.Run(time.Second)
	return n
}

func TestWarmNetworkDoesNotAllocate(t *testing.T) {
	var received int
	n := chatter(t, 100, &received)
	before := received
	allocs := testing.AllocsPerRun(20, func() { n.Run(10 * time.Millisecond) })
	if received-before < 1000 {
		t.Fatalf("seed %d: only %d datagrams were received, too few to judge", seed, received-before)
	}
	if allocs != 0 {
		t.Errorf("seed %d: a warm network made %v allocations in 10ms of its time, want none", seed, allocs)
	}
}

func BenchmarkDatagram(b *testing.B) {
	for _, size := range []struct {
		name  string
		nodes int
	}{{"nodes=100", 100}, {"nodes=10000", 10_000}} {
		b.Run(size.name, func(b *testing.B) {
			var received int
			n := chatter(b, size.nodes, &received)
			b.ReportAllocs()
			b.ResetTimer()
			end := received + b.N
			n.RunWhile(time.Hour, func() bool { return received < end })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
		})
	}
}
