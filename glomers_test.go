package gossip

import (
	"slices"
	"testing"
	"time"
)

// glomers runs the shape of the broadcast challenges of Gossip Glomers: 25 nodes,
// 100 ms fixed latency, 50 broadcasts and 50 reads a second; here with a caller
// that handles what comes in at once and calls Send only so often. It returns the
// datagrams between nodes per operation, reads included, and how long a broadcast
// took, from the Send that took it, to reach all nodes.
func glomers(t testing.TB, seed uint64, sendEvery time.Duration, config Config) (perOperation float64, median, most time.Duration) {
	t.Helper()
	net := lan(seed)
	net.LatencyMin, net.LatencyMax = 100*time.Millisecond, 100*time.Millisecond
	c := newSimCluster(t, 25, net, config)
	for _, n := range c.nodes {
		n.sendEvery = sendEvery
	}
	c.form()
	c.net.Run(20 * time.Second) // round-trip times are known
	const broadcasts = 1000
	var sent [broadcasts]time.Duration
	var last [broadcasts]time.Duration
	reached := 0
	for _, n := range c.nodes {
		n.hook = func(_ NodeID, payload []byte) {
			i := int(payload[0])<<8 | int(payload[1])
			last[i] = c.net.Now() - sent[i]
			reached++
		}
	}
	before := c.net.Totals().Sent.Datagrams
	for i := range broadcasts {
		n := c.nodes[c.net.Rand().IntN(25)]
		sent[i] = (c.net.Now() + sendEvery - 1).Truncate(sendEvery)
		if err := n.SendData([]byte{byte(i >> 8), byte(i)}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		n.wakeAt(c.net.Now())
		c.net.Run(20 * time.Millisecond)
	}
	datagrams := c.net.Totals().Sent.Datagrams - before
	c.await(10*time.Second, "all broadcasts are everywhere", func() bool { return reached == 24*broadcasts })
	all := last[:]
	slices.Sort(all)
	return float64(datagrams) / (2 * broadcasts), all[len(all)/2], all[len(all)-1]
}

func TestSimGlomers(t *testing.T) {
	for _, c := range []struct {
		every        time.Duration
		config       Config
		perOperation float64
		most         time.Duration
	}{
		{100 * ms, Config{}, 20, 200 * ms},
		{200 * ms, Config{}, 15, 300 * ms},
		{200 * ms, Config{AckDelay: time.Second}, 10, 300 * ms}, // they wait for messages that go the same way
	} {
		perOperation, median, most := glomers(t, 1, c.every, c.config)
		t.Logf("Send every %v, AckDelay %v: %.1f datagrams per operation, median %v, at most %v", c.every, c.config.AckDelay, perOperation, median, most)
		if perOperation > c.perOperation || most > c.most {
			t.Errorf("seed 1: with a Send every %v it should take %v datagrams per operation and %v at most", c.every, c.perOperation, c.most)
		}
	}
}
