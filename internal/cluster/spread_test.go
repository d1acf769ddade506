package cluster

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// spreadCase is one row of the table of how messages spread through a simulated cluster:
// one-way latency 5 to 15 ms, 100-byte payloads from random origins.
type spreadCase struct {
	nodes    int
	loss     float64
	wide     bool // latencies of 10 to 150 ms, as between continents
	messages int
	every    time.Duration // between two messages; 0: each alone
	spread   node.Spread
	config   node.Config
	partial  bool    // views of config.MaxMembers instead of all
	crash    float64 // of the nodes, before the first message
	idlers   float64 // of the nodes; they acknowledge and pass nothing on
	clusters int     // how many to measure it in, by default 1
}

// spreadResult is what it took. Counts are of dissemination alone; what the clock causes
// (Status, members) is background.
type spreadResult struct {
	t99, t100, worst100 time.Duration   // median over messages; worst: 99th percentile
	late                float64         // deliveries after 300 ms, per million
	copies              float64         // of Data, per delivery
	datagrams, bytes    float64         // per delivery, IP and UDP headers included
	busiest             int             // datagrams of the busiest node, median over messages
	background          float64         // datagrams per node and second
	missing             int             // deliveries that did not happen
	all                 []time.Duration // of each delivery, ascending
}

// run measures one row, in clusters whose seeds begin with seed.
func (c spreadCase) run(t testing.TB, seed uint64) (r spreadResult) {
	t.Helper()
	var s spreadSums
	for i := range uint64(max(c.clusters, 1)) {
		s.add(t, c, seed+i)
	}
	return s.result()
}

// spreadSums is what is counted and timed on the way to a spreadResult.
type spreadSums struct {
	tally
	t99, t100, all          []time.Duration
	busiest                 []int
	late, delivered, missed int
	nodeSeconds             float64
}

func (s *spreadSums) add(t testing.TB, c spreadCase, seed uint64) {
	t.Helper()
	cluster := gather(t, c, seed)
	net := cluster.net
	for _, n := range cluster.nodes[1:] {
		if net.Rand().Float64() < c.crash {
			n.crash()
		}
	}
	for _, n := range cluster.nodes {
		if net.Rand().Float64() < c.idlers {
			n.socket = idler{n.socket}
		}
	}
	up := cluster.up()
	s.data, s.firstSent, s.by = map[envelopeKey]bool{}, map[string]time.Duration{}, map[netip.AddrPort]int{}
	net.SetTap(s.tap)

	born := make([]time.Duration, c.messages)
	times := make([][]time.Duration, c.messages)
	for _, n := range up {
		n.onDeliver = func(_ uint64, payload []byte) {
			i := binary.BigEndian.Uint32(payload)
			times[i] = append(times[i], net.Now()-born[i])
		}
	}
	start := net.Now()
	for i := range c.messages {
		from := up[net.Rand().IntN(len(up))]
		payload := make([]byte, 100)
		binary.BigEndian.PutUint32(payload, uint32(i))
		born[i] = net.Now()
		if err := from.tryPublish(payload, c.spread); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if c.every > 0 {
			net.Run(c.every)
			continue
		}
		net.Run(time.Second)
		s.busiest = append(s.busiest, slices.Max(slices.Collect(maps.Values(s.by))))
		clear(s.by)
	}
	all := func() bool {
		return !slices.ContainsFunc(times, func(x []time.Duration) bool { return len(x) < len(up)-1 })
	}
	for limit := net.Now() + time.Minute; !all() && net.Now() < limit; {
		net.Run(50 * time.Millisecond)
	}
	net.Run(100 * time.Millisecond)
	s.nodeSeconds += float64(len(up)) * (net.Now() - start).Seconds()

	for _, x := range times {
		slices.Sort(x)
		s.delivered += len(x)
		s.all = append(s.all, x...)
		s.missed += len(up) - 1 - len(x)
		for _, d := range x {
			if d > 300*time.Millisecond {
				s.late++
			}
		}
		s.t99 = append(s.t99, x[min(len(x)-1, (len(up)-1)*99/100)])
		s.t100 = append(s.t100, x[len(x)-1])
	}
}

func (s *spreadSums) result() (r spreadResult) {
	slices.Sort(s.t99)
	slices.Sort(s.t100)
	slices.Sort(s.busiest)
	r.t99, r.t100, r.worst100 = s.t99[len(s.t99)/2], s.t100[len(s.t100)/2], s.t100[len(s.t100)*99/100]
	deliveries := float64(s.delivered)
	r.late = 1e6 * float64(s.late) / deliveries
	r.copies = float64(s.copies) / deliveries
	r.datagrams = float64(s.datagrams) / deliveries
	r.bytes = float64(s.bytes) / deliveries
	r.background = float64(s.background) / s.nodeSeconds
	if len(s.busiest) > 0 {
		r.busiest = s.busiest[len(s.busiest)/2]
	}
	r.missing = s.missed
	slices.Sort(s.all)
	r.all = s.all
	return r
}

func TestSpreadGoesRoundNodesThatPassNothingOn(t *testing.T) {
	heavy(t)
	t.Parallel()
	r := spreadCase{nodes: 500, messages: 10, idlers: 0.05}.run(t, 1)
	t.Logf("99 %% of the nodes after %v, all after %v", r.t99, r.t100)
	if r.t99 > 160*time.Millisecond || r.missing > 0 {
		t.Errorf("seed 1: with 5 %% of such nodes 99 %% had a message after %v, and %d deliveries did not happen", r.t99, r.missing)
	}
}
