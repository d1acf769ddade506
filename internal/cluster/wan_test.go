package cluster

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
)

// earth holds typical public round trips between ten cloud regions, in ms: Virginia, Montreal,
// Oregon, São Paulo, London, Frankfurt, Mumbai, Singapore, Tokyo, Sydney.
var earth = roundTrips{
	{},
	{16},
	{65, 60},
	{115, 125, 175},
	{76, 80, 130, 185},
	{90, 92, 145, 200, 15},
	{185, 195, 220, 300, 115, 110},
	{215, 215, 165, 325, 170, 160, 60},
	{150, 145, 100, 255, 210, 225, 125, 70},
	{200, 205, 140, 310, 260, 260, 150, 92, 105},
}

// atlantic are three regions.
var atlantic = roundTrips{{}, {15}, {62, 60}}

// roundTrips are the round trips from each region to those before it, in ms.
type roundTrips [][]int

func (r roundTrips) oneWay(a, b int) time.Duration {
	if a == b {
		return 0
	}
	return time.Duration(r[max(a, b)][min(a, b)]) * time.Millisecond / 2
}

// wanCase is a row of the table of how messages spread across regions: 0.2 to 0.3 ms one way
// inside a region, 100-byte payloads from random origins, each alone.
type wanCase struct {
	roundTrips
	sizes       []int // nodes in each region
	messages    int
	loss, crash float64
	zones       bool // each region is a zone
	config      node.Config
}

// wanResult is what it took. Counts are of what crosses between regions.
type wanResult struct {
	bound         time.Duration // the longest one-way latency from the origin, median over messages
	t50, t99      time.Duration // over deliveries
	t100, late100 time.Duration // median over messages, and 95th percentile
	home          time.Duration // median of the deliveries in the origin's own region
	copies, bytes float64       // of Data, and all beyond idle, per message
	idle          float64       // bytes per second
	missing       int           // deliveries that did not happen
}

// even returns the sizes of that many regions of as many nodes each.
func even(regions, nodes int) []int { return slices.Repeat([]int{nodes}, regions) }

// region returns the region of a node.
func region(a netip.AddrPort) int { return int(a.Addr().As4()[1]) }

// between counts what crosses between regions.
func between(y *traffic) func(simnet.Event) {
	return func(e simnet.Event) {
		if region(e.From) != region(e.To) {
			y.tap(e)
		}
	}
}

// settle makes the cluster, whose nodes join the first of them, and lets it live for a minute.
func (c wanCase) settle(t testing.TB, seed uint64) *cluster {
	t.Helper()
	cluster := newCluster(t, 0, simnet.Config{Seed: seed, LatencyMin: 200 * time.Microsecond, LatencyMax: 300 * time.Microsecond}, node.Config{})
	cluster.net.SetPath(func(from, to netip.AddrPort) time.Duration { return c.oneWay(region(from), region(to)) })
	for r, size := range c.sizes {
		for i := range size {
			if c.zones {
				c.config.Zone = fmt.Sprintf("region %d", r)
			}
			cluster.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(r), byte(i >> 8), byte(i)}), 7070), c.config)
		}
	}
	cluster.nodes[0].join()
	for _, n := range cluster.nodes[1:] {
		n.join(cluster.nodes[0])
	}
	cluster.await(3*time.Minute, "all know all", cluster.complete)
	cluster.net.Run(time.Minute)
	return cluster
}

// run measures the row.
func (c wanCase) run(t testing.TB, seed uint64) (r wanResult) {
	t.Helper()
	const every = 5 * time.Second
	cluster := c.settle(t, seed)
	net := cluster.net
	net.SetLoss(c.loss)
	var idle, busy traffic
	net.SetTap(between(&idle))
	net.Run(time.Duration(c.messages) * every)
	for _, n := range cluster.nodes[1:] {
		if net.Rand().Float64() < c.crash {
			n.crash()
		}
	}
	up := cluster.up()
	net.SetTap(between(&busy))

	var deliveries, home, last, bounds []time.Duration
	for i := range c.messages {
		from := up[net.Rand().IntN(len(up))]
		start, bound, latest := net.Now(), time.Duration(0), time.Duration(0)
		for _, n := range up {
			if n == from {
				n.onDeliver = nil
				continue
			}
			bound = max(bound, c.oneWay(region(from.addr), region(n.addr)))
			n.onDeliver = func(_ uint64, payload []byte) {
				if binary.BigEndian.Uint32(payload) != uint32(i) {
					return
				}
				latest = net.Now() - start
				deliveries = append(deliveries, latest)
				if region(n.addr) == region(from.addr) {
					home = append(home, latest)
				}
			}
		}
		payload := make([]byte, 100)
		binary.BigEndian.PutUint32(payload, uint32(i))
		if err := from.tryPublish(payload); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		net.Run(every)
		last, bounds = append(last, latest), append(bounds, bound)
	}

	r.missing = c.messages*(len(up)-1) - len(deliveries)
	for _, x := range [][]time.Duration{deliveries, home, last, bounds} {
		slices.Sort(x)
	}
	at := func(x []time.Duration, percent int) time.Duration { return x[len(x)*percent/100] }
	r.bound, r.t50, r.t99, r.home = at(bounds, 50), at(deliveries, 50), at(deliveries, 99), at(home, 50)
	r.t100, r.late100 = at(last, 50), at(last, 95)
	messages := float64(c.messages)
	r.copies = float64(busy.messages[wire.TypeData]-idle.messages[wire.TypeData]) / messages
	r.bytes = float64(busy.bytes-idle.bytes) / messages
	r.idle = float64(idle.bytes) / (messages * every.Seconds())
	return r
}
