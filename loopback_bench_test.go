//go:build unix

package gossip

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// smallFootprint is for a node that takes little memory in a large cluster: it retains three
// short messages and knows 10 members. Its queues hold 64: with fewer the seed of nodes that
// join all at once drops what some of them wait for.
var smallFootprint = Config{DataLogSize: 1024, MaxOutputMessages: 64, MaxMembers: 10, MaxMessageSize: 144}

// volley is how many messages, one after another, are one operation of
// BenchmarkLoopbackLatency: run it with -benchtime 1x, or 4x for more.
const volley = 50

// latencyCase is a cluster and what makes it hard.
type latencyCase struct {
	name  string
	nodes int
	loss  float64       // of datagrams
	pause time.Duration // before each message
}

// BenchmarkLoopbackLatency measures single messages. Their net cost leaves out what the same
// cluster sends and computes when it is idle.
func BenchmarkLoopbackLatency(b *testing.B) {
	for _, c := range []latencyCase{
		{name: "N=2", nodes: 2},
		{name: "N=16", nodes: 16},
		{name: "N=64", nodes: 64},
		{name: "N=64 apart", nodes: 64, pause: 100 * time.Millisecond},
		{name: "N=64 drop 20%", nodes: 64, loss: 0.2},
	} {
		b.Run(c.name, c.run)
	}
}

func (c latencyCase) run(b *testing.B) {
	cluster := newBenchCluster(b, c.nodes, volley*b.N, Config{}, c.conn(b))
	time.Sleep(settling)
	idle := cluster.during(3 * time.Second)
	floor, floorCPU := plainLatency(b, c.nodes-1, volley*b.N)
	rng := rand.New(rand.NewPCG(uint64(c.nodes), 0))

	var took []time.Duration
	var missing int64
	before := cluster.usage()
	for range volley * b.N {
		time.Sleep(c.pause)
		d, lost := cluster.sendOne(cluster.nodes[rng.IntN(c.nodes)])
		took = append(took, d)
		missing += lost
	}
	time.Sleep(100 * time.Millisecond) // acknowledgements and offers of the last
	used := cluster.usage().less(before, 1)
	net := used.less(idle, used.time/idle.time)
	cluster.check(missing)

	slices.Sort(took)
	deliveries := float64(len(took) * (c.nodes - 1))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(inMs(took[len(took)/2]), "ms-to-all-p50")
	b.ReportMetric(inMs(took[len(took)*99/100]), "ms-to-all-p99")
	b.ReportMetric(inMs(took[len(took)-1]), "ms-to-all-longest")
	b.ReportMetric(inMs(floor[len(floor)/2]), "plain-ms-to-all-p50")
	b.ReportMetric(float64(took[len(took)/2])/float64(floor[len(floor)/2]), "x-plain-p50")
	b.ReportMetric(100*(1-float64(missing)/deliveries), "%delivered")
	report(b, used.datagrams, deliveries, "datagrams/delivery")
	report(b, net.datagrams, deliveries, "net-datagrams/delivery")
	report(b, used.bytes, deliveries, "bytes/delivery")
	report(b, net.bytes, deliveries, "net-bytes/delivery")
	report(b, 1e6*used.cpu, deliveries, "cpu-µs/delivery")
	report(b, 1e6*net.cpu, deliveries, "net-cpu-µs/delivery")
	report(b, 1e6*floorCPU, 1, "plain-cpu-µs/delivery")
}

// conn returns the sockets of a network that loses datagrams; nil if it does not.
func (c latencyCase) conn(b *testing.B) func(i int) net.PacketConn {
	if c.loss == 0 {
		return nil
	}
	return func(i int) net.PacketConn {
		return lossy{plainSocket(b), rand.New(rand.NewPCG(uint64(i), 20)), c.loss}
	}
}

// BenchmarkLoopbackIdle measures a cluster without messages.
func BenchmarkLoopbackIdle(b *testing.B) {
	for _, c := range []struct {
		name   string
		config Config
	}{{"N=64", Config{}}, {"N=64 SmallFootprint", smallFootprint}} {
		b.Run(c.name, func(b *testing.B) {
			const nodes = 64
			cluster := newBenchCluster(b, nodes, 0, c.config, nil)
			time.Sleep(settling)
			used := cluster.during(20 * time.Second)
			nodeSeconds := nodes * used.time
			taken, goroutines := heapInUse()-cluster.empty, runtime.NumGoroutine()-cluster.alone-nodes

			b.ReportMetric(0, "ns/op")
			b.ReportMetric(used.datagrams/nodeSeconds, "datagrams/node/s")
			b.ReportMetric(used.bytes/nodeSeconds, "bytes/node/s")
			b.ReportMetric(used.turns/nodeSeconds, "turns/node/s")
			b.ReportMetric(used.mallocs/nodeSeconds, "allocs/node/s")
			report(b, 100*used.cpu, nodeSeconds, "%cpu/node")
			b.ReportMetric(float64(taken)/nodes, "heap-bytes/node")
			b.ReportMetric(float64(goroutines), "goroutines-of-nodes")
		})
	}
}

// burst is how many messages are sent.
const burst = 20000

type throughputCase struct {
	name   string
	nodes  int
	config Config
}

// BenchmarkLoopbackThroughput measures one sender whose messages are sent as fast as they are
// accepted. In the first burst, cold, logs, queues and pools grow; the others are measured.
// Plain UDP is measured before each of them, because the machine may be busy.
func BenchmarkLoopbackThroughput(b *testing.B) {
	for _, c := range []throughputCase{
		{"N=2", 2, Config{}},
		{"N=16", 16, Config{}},
		{"N=2 MaxMessageSize 1400", 2, Config{MaxMessageSize: 1400}},
		{"N=16 MaxMessageSize 1400", 16, Config{MaxMessageSize: 1400}},
	} {
		b.Run(c.name, c.run)
	}
}

func (c throughputCase) run(b *testing.B) {
	cluster := newBenchCluster(b, c.nodes, burst*(b.N+1), c.config, nil)
	cold, missing := cluster.stream(burst)
	var used, plain usage
	for range b.N {
		plain = plain.less(plainPairs(b, burst), -1)
		u, lost := cluster.stream(burst)
		used = used.less(u, -1)
		missing += lost
	}
	cluster.check(missing)

	each := float64(burst * (c.nodes - 1))
	deliveries, all, pairs := float64(b.N)*each, float64(b.N+1)*each, float64(b.N*burst)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(deliveries/used.time, "deliveries/s")
	b.ReportMetric(each/cold.time, "cold-deliveries/s")
	b.ReportMetric(pairs/plain.time, "plain-udp/s")
	b.ReportMetric(deliveries/used.time/(pairs/plain.time), "x-plain-udp")
	b.ReportMetric(100*(1-float64(missing)/all), "%delivered")
	b.ReportMetric(used.datagrams/deliveries, "datagrams/delivery")
	b.ReportMetric(used.bytes/deliveries, "bytes/delivery")
	b.ReportMetric(used.retries/deliveries, "retries/delivery")
	b.ReportMetric(used.mallocs/deliveries, "allocs/delivery")
	b.ReportMetric(cold.mallocs/each, "cold-allocs/delivery")
	report(b, 1e6*used.cpu, deliveries, "cpu-s/M")
	report(b, 1e6*plain.cpu, pairs, "plain-cpu-s/M")
	report(b, plain.cpu/pairs, used.cpu/deliveries, "x-plain-udp-cpu")
}

// lossy is a socket that loses some of what is sent by it.
type lossy struct {
	*net.UDPConn
	rng  *rand.Rand
	loss float64
}

func (l lossy) WriteTo(b []byte, to net.Addr) (int, error) {
	if l.rng.Float64() < l.loss {
		return len(b), nil
	}
	return l.UDPConn.WriteTo(b, to)
}

// plainSocket returns a socket without a node.
func plainSocket(b testing.TB) *net.UDPConn {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatalf("no socket: %v", err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}

// plainLatency returns how long it takes to write a datagram to each of so many
// sockets until their readers have it, ascending, and the processor time for each.
func plainLatency(b testing.TB, readers, messages int) (took []time.Duration, cpu float64) {
	b.Helper()
	var missing atomic.Int64
	done := make(chan time.Time, 1)
	sender := plainSocket(b)
	var sockets []*net.UDPConn
	for range readers {
		conn := plainSocket(b)
		sockets = append(sockets, conn)
		go func() {
			buf := make([]byte, shortPayload)
			for {
				if _, _, err := conn.ReadFromUDPAddrPort(buf); err != nil {
					return
				}
				if missing.Add(-1) == 0 {
					done <- time.Now()
				}
			}
		}()
	}
	payload, before := make([]byte, shortPayload), cpuTime()
	for range messages {
		missing.Store(int64(readers))
		start := time.Now()
		for _, to := range sockets {
			if _, err := sender.WriteToUDPAddrPort(payload, addrPort(to)); err != nil {
				b.Fatalf("a plain datagram cannot be sent: %v", err)
			}
		}
		select {
		case last := <-done:
			took = append(took, last.Sub(start))
		case <-time.After(patience):
			b.Fatalf("%d of %d plain datagrams were lost", missing.Load(), readers)
		}
	}
	slices.Sort(took)
	return took, (cpuTime() - before).Seconds() / float64(readers*messages)
}

// plainPairs returns what it takes to write so many datagrams and read each before
// the next: what moving a message costs at least if it goes alone.
func plainPairs(b testing.TB, pairs int) usage {
	b.Helper()
	sender, receiver := plainSocket(b), plainSocket(b)
	to := addrPort(receiver)
	buf := make([]byte, shortPayload)
	start, before := time.Now(), cpuTime()
	for range pairs {
		_, err := sender.WriteToUDPAddrPort(buf, to)
		if err == nil {
			_, _, err = receiver.ReadFromUDPAddrPort(buf)
		}
		if err != nil {
			b.Fatalf("a plain datagram does not get through: %v", err)
		}
	}
	return usage{time: time.Since(start).Seconds(), cpu: (cpuTime() - before).Seconds()}
}

func addrPort(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// report gives a metric, unless what it is a part of could not be measured.
func report(b *testing.B, value, of float64, unit string) {
	if value != 0 && of != 0 {
		b.ReportMetric(value/of, unit)
	}
}

func inMs(d time.Duration) float64 { return d.Seconds() * 1e3 }
