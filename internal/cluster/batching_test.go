package cluster

import (
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// batched runs the load of the broadcast challenges of Gossip Glomers: 25 nodes, 100 ms fixed
// latency, 50 broadcasts and 50 reads a second. The owner of each node handles datagrams at
// once, but sends only at multiples of sendEvery. It returns the datagrams between nodes per
// operation, reads included, and how long a broadcast took to reach all nodes from the moment
// at which it was sent.
func batched(t testing.TB, seed uint64, sendEvery time.Duration, config node.Config) (perOperation float64, median, most time.Duration) {
	t.Helper()
	net := lan(seed)
	net.LatencyMin, net.LatencyMax = 100*time.Millisecond, 100*time.Millisecond
	c := newCluster(t, 25, net, config)
	for _, n := range c.nodes {
		n.sendEvery = sendEvery
	}
	c.form()
	c.net.Run(20 * time.Second) // round-trip times are known
	const broadcasts = 1000
	var sent, last [broadcasts]time.Duration
	reached := 0
	for _, n := range c.nodes {
		n.onDeliver = func(_ uint64, payload []byte) {
			i := int(payload[0])<<8 | int(payload[1])
			last[i] = c.net.Now() - sent[i]
			reached++
		}
	}
	before := c.net.Count(simnet.Sent).Datagrams
	for i := range broadcasts {
		n := c.nodes[c.net.Rand().IntN(25)]
		sent[i] = (c.net.Now() + sendEvery - 1).Truncate(sendEvery)
		n.publishText(string([]byte{byte(i >> 8), byte(i)}))
		c.net.Run(20 * time.Millisecond)
	}
	datagrams := c.net.Count(simnet.Sent).Datagrams - before
	c.await(10*time.Second, "all broadcasts are everywhere", func() bool { return reached == 24*broadcasts })
	all := last[:]
	slices.Sort(all)
	return float64(datagrams) / (2 * broadcasts), all[len(all)/2], all[len(all)-1]
}

func TestBatchingSavesDatagrams(t *testing.T) {
	heavy(t)
	for _, c := range []struct {
		every        time.Duration
		config       node.Config
		perOperation float64
		most         time.Duration
	}{
		{100 * ms, node.Config{}, 20, 400 * ms},
		{200 * ms, node.Config{}, 15, 600 * ms},
		{200 * ms, node.Config{AckDelay: time.Second}, 10, 600 * ms}, // Acks wait for messages that go the same way
	} {
		perOperation, median, most := batched(t, 1, c.every, c.config)
		t.Logf("Send every %v, AckDelay %v: %.1f datagrams per operation, median %v, at most %v", c.every, c.config.AckDelay, perOperation, median, most)
		if perOperation > c.perOperation || most > c.most {
			t.Errorf("seed 1: with a Send every %v it should take %v datagrams per operation and %v at most", c.every, c.perOperation, c.most)
		}
	}
}
