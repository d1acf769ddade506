package gossip

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// spreadCase is one row of the table of how messages spread through a simulated
// cluster: one-way latency 5 to 15 ms, 100-byte payloads from random origins.
type spreadCase struct {
	nodes    int
	loss     float64
	wide     bool // latencies of 10 to 150 ms, as between continents
	messages int
	every    time.Duration // between two messages; 0: each alone
	spread   Spread
	config   Config
	partial  bool    // views of config.MaxMembers instead of all
	crash    float64 // of the nodes, before the first message
	idlers   float64 // of the nodes, that acknowledge and pass nothing on
	clusters int     // how many to measure it in, by default 1
}

// spreadResult is what it took. Counts are of dissemination alone; what nodes do
// by the clock (Status, members) is background.
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

// gather makes a cluster whose nodes know one another from the start, as after a
// long life: what is measured is how they spread, not how they met.
func gather(t testing.TB, c spreadCase, seed uint64) *simCluster {
	t.Helper()
	net := lan(seed)
	if c.wide {
		net.LatencyMin, net.LatencyMax = 10*time.Millisecond, 150*time.Millisecond
	}
	cluster := newSimCluster(t, c.nodes, net, c.config)
	for _, n := range cluster.nodes {
		if err := n.Join(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range cluster.nodes {
		if c.partial {
			n.acquaint(cluster)
		} else {
			for _, m := range cluster.nodes {
				n.meet(m)
			}
		}
		n.upkeep.grewAt = -growing
	}
	cluster.net.Run(4 * time.Second)
	cluster.net.SetLoss(c.loss)
	return cluster
}

func (n *simNode) meet(m *simNode) {
	if n == m || n.roster.Get(uint64(m.id)) != nil {
		return
	}
	if x, _ := n.roster.Admit(uint64(m.id), m.addr, 0); x != nil {
		x.Proven = true
	}
}

// acquaint gives a node the members nearest to it and others at distances that
// grow by octaves, as upkeep selects them.
func (n *simNode) acquaint(c *simCluster) {
	for range 12 * n.config.MaxMembers {
		n.meet(c.nodes[c.net.Rand().IntN(len(c.nodes))])
	}
	ring := slices.SortedFunc(slices.Values(c.nodes), func(a, b *simNode) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	i := slices.Index(ring, n)
	for d := 1; d <= 8; d++ {
		n.meet(ring[(i+d)%len(ring)])
		n.meet(ring[(i-d+len(ring))%len(ring)])
	}
}

// tally counts what the datagrams of a simulation carry.
type tally struct {
	copies, datagrams, bytes int
	background               int
	data                     map[envelopeKey]bool     // Data on its way, by who waits for its Ack
	said                     map[string]time.Duration // when each message was first sent, by its key
	by                       map[netip.AddrPort]int
}

type envelopeKey struct {
	waits netip.AddrPort
	seq   uint32
}

func (y *tally) tap(e simnet.Event) {
	if e.Kind != simnet.Sent {
		return
	}
	bytes := 0
	for b := e.Payload; len(b) > 0; {
		h, _ := wire.ParseHeader(b)
		n, mine := y.message(e, h, b[wire.HeaderSize:])
		if mine {
			bytes += wire.HeaderSize + n
		}
		b = b[wire.HeaderSize+n:]
	}
	if bytes == 0 {
		y.background++
		return
	}
	y.datagrams++
	y.bytes += bytes + 28
	y.by[e.From]++
}

// message returns the length of a body and whether it serves dissemination.
func (y *tally) message(e simnet.Event, h wire.Header, b []byte) (n int, mine bool) {
	switch h.Type {
	case wire.TypeData:
		d, n, _ := wire.ParseData(b)
		y.copies++
		if key := fmt.Sprint(d.Origin, d.Counter); y.said[key] == 0 {
			y.said[key] = e.Time
		}
		if d.Flags&wire.FlagPull == 0 {
			y.data[envelopeKey{e.From, h.Seq}] = true
		}
		return n, true
	case wire.TypeAck:
		m, n, _ := wire.ParseAck(b)
		for i := range m.Len() {
			mine = mine || y.data[envelopeKey{e.To, m.Seq(i)}]
		}
		return n, mine
	case wire.TypeStatus:
		m, n, _ := wire.ParseStatus(b)
		return n, m.Mode == wire.Request || m.Mode == wire.Offer && y.news(e, m.Digest)
	case wire.TypeHello:
		_, n, _ = wire.ParseHello(b)
	case wire.TypeWelcome:
		_, n, _ = wire.ParseWelcome(b)
	case wire.TypeMemberList:
		_, n, _ = wire.ParseMemberList(b)
	default:
		_, n, _ = wire.ParseLeave(b)
	}
	return n, false
}

// news reports whether an offer is of news only: what names older messages too is a
// comparison, made by the clock.
func (y *tally) news(e simnet.Event, d versions.Digest) bool {
	for {
		origin, _, runs, ok := d.Next(nil)
		if !ok {
			return true
		}
		for _, r := range runs {
			if e.Time-y.said[fmt.Sprint(origin, r.First)] > 750*time.Millisecond {
				return false
			}
		}
	}
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
	s.data, s.said, s.by = map[envelopeKey]bool{}, map[string]time.Duration{}, map[netip.AddrPort]int{}
	net.SetTap(s.tap)

	born := make([]time.Duration, c.messages)
	times := make([][]time.Duration, c.messages)
	for _, n := range up {
		n.hook = func(_ NodeID, payload []byte) {
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
		if err := from.SendData(payload, c.spread); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		from.wakeAt(net.Now())
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

// The estimates of a node are all too short when a way that all of its messages take
// becomes longer: until it has found out, each message is sent again and handed over.
func TestLongerWaysCostCopiesForAMomentOnly(t *testing.T) {
	for seed := range uint64(3) {
		c := newSimCluster(t, 64, simnet.Config{Seed: seed, LatencyMin: time.Millisecond, LatencyMax: 5 * time.Millisecond}, Config{})
		c.form()
		c.net.Run(5 * time.Second)
		c.net.SetLatency(90*time.Millisecond, 110*time.Millisecond)
		perDelivery := func(messages int) float64 {
			before := c.copies()
			for range messages {
				c.nodes[c.net.Rand().IntN(64)].say()
				c.net.Run(2 * time.Second)
			}
			return float64(c.copies()-before) / float64(63*messages)
		}
		perDelivery(10)
		if copies := perDelivery(10); copies > 0.3 {
			t.Errorf("seed %d: 20 s after ways have become longer there are %.1f copies too many per delivery", seed, copies)
		}
		c.noDuplicates()
	}
}
