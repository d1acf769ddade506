package gossip

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// smallFootprint is for a node that is to take little memory in a large cluster:
// it retains three short messages and knows 10 members. Its queues hold 64: with
// fewer a seed forgets what it owes to newcomers that come all at once.
var smallFootprint = Config{DataLogSize: 1024, MaxOutputMessages: 64, MaxMembers: 10, MaxMessageSize: 144}

const (
	shortPayload = 64 // bytes of each message

	// settling is how long members go on meeting after the last newcomer.
	settling = 10 * time.Second

	// unheard is how long a message may take before the others are measured
	// without it.
	unheard = 10 * time.Second
)

// choir is a cluster on real sockets whose receivers count what arrives without
// allocating, so that what is allocated, the library allocates.
type choir struct {
	b       testing.TB
	nodes   []*singer
	empty   uint64 // bytes of heap before there were nodes
	alone   int    // goroutines before there were nodes
	next    uint32 // number of the next message
	awaited atomic.Uint32
	missing atomic.Int64   // deliveries to come of messages numbered awaited or higher
	done    chan time.Time // when there are none left
	twice   atomic.Int64
}

// singer is a node of a choir.
type singer struct {
	*loopNode
	choir *choir
	heard []bool // by number of message
	turns atomic.Uint64

	toSay   atomic.Int64 // how many messages its loop is to say
	next    uint32       // number of the next of these
	payload []byte
}

// newChoir makes a cluster for so many messages in all. Its sockets are those of
// conn, if that is not nil.
func newChoir(b testing.TB, size, messages int, config Config, conn func(i int) net.PacketConn) *choir {
	b.Helper()
	c := &choir{b: b, done: make(chan time.Time, 1)}
	for range size {
		c.nodes = append(c.nodes, &singer{
			loopNode: &loopNode{t: b, pause: func() {}}, choir: c, heard: make([]bool, messages), payload: make([]byte, shortPayload),
		})
	}
	b.Cleanup(c.kill)
	spareGoroutines(size)
	c.empty, c.alone = heapInUse(), runtime.NumGoroutine()
	self, err := ParseAddress("127.0.0.1:0")
	for i, s := range c.nodes {
		if conn != nil {
			config.Conn = conn(i)
		}
		if err == nil {
			s.GossipService, err = New(self, s.hear, config)
		}
		if err != nil {
			b.Fatalf("node %d of %d cannot be made: %v", i, size, err)
		}
		s.sing()
	}
	c.meet(config)
	return c
}

// kill ends the nodes that there are.
func (c *choir) kill() {
	for _, s := range c.nodes {
		if s.GossipService != nil {
			s.kill()
		}
	}
}

// spareGoroutines leaves the runtime with the descriptors of so many goroutines,
// which it puts on the heap and keeps: those of the callers' loops are not what
// a node takes.
func spareGoroutines(n int) {
	var all sync.WaitGroup
	end := make(chan struct{})
	for range n {
		all.Go(func() { <-end })
	}
	close(end)
	all.Wait()
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools still held after the first
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// sing starts the loop, which ends when the node is closed.
func (s *singer) sing() {
	s.loop.Go(func() {
		for {
			s.speak()
			err := s.turn()
			s.turns.Add(1)
			if err != nil {
				if !errors.Is(err, ErrClosed) {
					s.t.Errorf("the loop of node %v ended with the error %v", s.Address(), err)
				}
				return
			}
		}
	})
}

func (s *singer) say(number uint32) error {
	binary.BigEndian.PutUint32(s.payload, number)
	return s.SendData(s.payload)
}

func (s *singer) hear(_ NodeID, payload []byte) {
	number := binary.BigEndian.Uint32(payload)
	if s.heard[number] {
		s.choir.twice.Add(1)
		return
	}
	s.heard[number] = true
	if number >= s.choir.awaited.Load() && s.choir.missing.Add(-1) == 0 {
		s.choir.done <- time.Now()
	}
}

// meet makes the nodes a cluster: each knows all others, or as many as it can.
func (c *choir) meet(config Config) {
	c.b.Helper()
	var loops []*loopNode
	for _, s := range c.nodes {
		loops = append(loops, s.loopNode)
	}
	if config.MaxMembers == 0 {
		formLoops(loops...)
		return
	}
	loops[0].join()
	for _, n := range loops[1:] {
		n.join(loops[0])
	}
	waitUntil(c.b, "all views are full", func() bool {
		return !slices.ContainsFunc(loops, func(n *loopNode) bool {
			return n.State() != StateConnected || n.Stats().Members < min(config.MaxMembers, len(loops)-1)
		})
	}, loops...)
}

// expect makes the choir wait for the next so many messages and returns the
// number of the first.
func (c *choir) expect(messages int) uint32 {
	select {
	case <-c.done: // of messages that came too late
	default:
	}
	first := c.next
	c.next += uint32(messages)
	c.awaited.Store(first)
	c.missing.Store(int64(messages * (len(c.nodes) - 1)))
	return first
}

// await returns when the last delivery was made, and how many were not when
// there had been none for as long as unheard.
func (c *choir) await() (last time.Time, missing int64) {
	for missing = c.missing.Load(); ; missing = c.missing.Load() {
		select {
		case last = <-c.done:
			return last, 0
		case <-time.After(unheard):
			if c.missing.Load() == missing {
				return time.Now(), missing
			}
		}
	}
}

// tell spreads one message from a node and returns how long it took to reach all.
func (c *choir) tell(from *singer) (took time.Duration, missing int64) {
	c.b.Helper()
	number := c.expect(1)
	start := time.Now()
	if err := from.say(number); err != nil {
		c.b.Fatalf("node %v cannot say message %d: %v", from.Address(), number, err)
	}
	last, missing := c.await()
	return last.Sub(start), missing
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

// report gives a metric, unless what it is a part of could not be measured.
func report(b *testing.B, value, of float64, unit string) {
	if value != 0 && of != 0 {
		b.ReportMetric(value/of, unit)
	}
}

// volley is how many messages, one after another, an operation of
// BenchmarkLoopbackLatency is: run it with -benchtime 1x, or 4x for more.
const volley = 50

// latencyCase is a cluster and what makes it hard.
type latencyCase struct {
	name  string
	nodes int
	loss  float64       // of datagrams
	pause time.Duration // before each message
}

// BenchmarkLoopbackLatency measures single messages. Of what they cost, net is
// without what the same cluster sends and computes when nothing is said.
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
	choir := newChoir(b, c.nodes, volley*b.N, Config{}, c.conn(b))
	time.Sleep(settling)
	idle := choir.during(3 * time.Second)
	floor, floorCPU := plainLatency(b, c.nodes-1, volley*b.N)
	rng := rand.New(rand.NewPCG(uint64(c.nodes), 0))

	var took []time.Duration
	var missing int64
	before := choir.usage()
	for range volley * b.N {
		time.Sleep(c.pause)
		d, lost := choir.tell(choir.nodes[rng.IntN(c.nodes)])
		took = append(took, d)
		missing += lost
	}
	time.Sleep(100 * time.Millisecond) // acknowledgements and offers of the last
	used := choir.usage().less(before, 1)
	net := used.less(idle, used.time/idle.time)
	choir.check(missing)

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

// BenchmarkLoopbackIdle measures a cluster in which nobody says anything.
func BenchmarkLoopbackIdle(b *testing.B) {
	for _, c := range []struct {
		name   string
		config Config
	}{{"N=64", Config{}}, {"N=64 SmallFootprint", smallFootprint}} {
		b.Run(c.name, func(b *testing.B) {
			const nodes = 64
			choir := newChoir(b, nodes, 0, c.config, nil)
			time.Sleep(settling)
			used := choir.during(20 * time.Second)
			nodeSeconds := nodes * used.time
			taken, goroutines := heapInUse()-choir.empty, runtime.NumGoroutine()-choir.alone-nodes

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

func inMs(d time.Duration) float64 { return d.Seconds() * 1e3 }
