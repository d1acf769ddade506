//go:build unix

package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	shortPayload = 64 // bytes of each message

	// settling is how long members are exchanged more often after the last newcomer.
	settling = 10 * time.Second

	// patience is how long a message may take before the others are measured without it.
	patience = 10 * time.Second
)

// benchCluster is a cluster on real sockets. Its receivers count without allocating, so that
// all allocations are those of the library.
type benchCluster struct {
	b       testing.TB
	nodes   []*benchNode
	empty   uint64 // bytes of heap before there were nodes
	alone   int    // goroutines before there were nodes
	next    uint32 // number of the next message
	awaited atomic.Uint32
	missing atomic.Int64   // deliveries to come of messages numbered awaited or higher
	done    chan time.Time // when there are none left
	twice   atomic.Int64
}

// benchNode is a node of a benchCluster.
type benchNode struct {
	*loopNode
	cluster  *benchCluster
	received []bool // by number of message
	turns    atomic.Uint64

	payload []byte
}

// newBenchCluster makes a cluster for a number of messages in all. Its sockets are those of
// conn, if that is not nil.
func newBenchCluster(b testing.TB, size, messages int, config Config, conn func(i int) net.PacketConn) *benchCluster {
	b.Helper()
	c := &benchCluster{b: b, done: make(chan time.Time, 1)}
	for range size {
		c.nodes = append(c.nodes, &benchNode{
			loopNode: &loopNode{t: b, pause: func() {}}, cluster: c, received: make([]bool, messages), payload: make([]byte, shortPayload),
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
			s.GossipService, err = New(self, s.receiveNumber, config)
		}
		if err != nil {
			b.Fatalf("node %d of %d cannot be made: %v", i, size, err)
		}
		s.start()
	}
	c.meet(config)
	return c
}

// kill ends the nodes that there are.
func (c *benchCluster) kill() {
	for _, s := range c.nodes {
		if s.GossipService != nil {
			s.kill()
		}
	}
}

// spareGoroutines leaves the runtime with the descriptors of n goroutines, which it puts on
// the heap and keeps: those of the callers' loops are not memory of the nodes.
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

// start starts the loop, which is that of Run, counts its turns, and ends when the node is
// closed.
func (s *benchNode) start() {
	s.loop.Go(func() {
		for {
			err := s.GossipService.turn(forever)
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

func (s *benchNode) sendNumber(number uint32) error {
	binary.BigEndian.PutUint32(s.payload, number)
	return s.SendData(s.payload)
}

func (s *benchNode) receiveNumber(_ NodeID, payload []byte) {
	number := binary.BigEndian.Uint32(payload)
	if s.received[number] {
		s.cluster.twice.Add(1)
		return
	}
	s.received[number] = true
	if number >= s.cluster.awaited.Load() && s.cluster.missing.Add(-1) == 0 {
		s.cluster.done <- time.Now()
	}
}

// meet makes the nodes a cluster: each knows all others, or as many as it can.
func (c *benchCluster) meet(config Config) {
	c.b.Helper()
	var loops []*loopNode
	for _, s := range c.nodes {
		loops = append(loops, s.loopNode)
	}
	if config.MaxMembers == 0 {
		form(loops...)
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

// expect makes the cluster wait for the next messages and returns the number of the first.
func (c *benchCluster) expect(messages int) uint32 {
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

// await returns when the last delivery was made, and how many were missing after there had
// been none for as long as patience.
func (c *benchCluster) await() (last time.Time, missing int64) {
	for missing = c.missing.Load(); ; missing = c.missing.Load() {
		select {
		case last = <-c.done:
			return last, 0
		case <-time.After(patience):
			if c.missing.Load() == missing {
				return time.Now(), missing
			}
		}
	}
}

// sendOne spreads one message from a node and returns how long it took to reach all.
func (c *benchCluster) sendOne(from *benchNode) (took time.Duration, missing int64) {
	c.b.Helper()
	number := c.expect(1)
	start := time.Now()
	if err := from.sendNumber(number); err != nil {
		c.b.Fatalf("node %v cannot send message %d: %v", from.Address(), number, err)
	}
	last, missing := c.await()
	return last.Sub(start), missing
}

// stream sends messages from one node as fast as they are accepted, on another goroutine than
// its loop, as programs do. What is used is counted until all are acknowledged, but the time only
// until all are delivered.
func (c *benchCluster) stream(messages int) (used usage, missing int64) {
	c.b.Helper()
	s, first := c.nodes[0], c.expect(messages)
	before, start := c.usage(), time.Now()
	for i := range messages {
		err := s.sendNumber(first + uint32(i))
		for errors.Is(err, ErrQueueFull) {
			if err = s.WaitForRoom(context.Background()); err == nil {
				err = s.sendNumber(first + uint32(i))
			}
		}
		if err != nil {
			c.b.Fatalf("node %v cannot send message %d: %v", s.Address(), i, err)
		}
	}
	last, missing := c.await()
	waitUntil(c.b, "everything is acknowledged", func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *benchNode) bool { return n.Stats().QueuedData > 0 })
	})
	used = c.usage().less(before, 1)
	used.time = last.Sub(start).Seconds()
	return used, missing
}

// usage is what a cluster has used, since it was made or in a period.
type usage struct {
	time, cpu                                 float64 // seconds
	datagrams, bytes, retries, turns, mallocs float64
}

var epoch = time.Now()

func (c *benchCluster) usage() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{time: time.Since(epoch).Seconds(), cpu: cpuTime().Seconds(), mallocs: float64(m.Mallocs)}
	for _, n := range c.nodes {
		s := n.Stats()
		u.datagrams += float64(s.DatagramsOut)
		u.bytes += float64(s.BytesOut)
		u.retries += float64(s.Retries)
		u.turns += float64(n.turns.Load())
	}
	return u
}

// less returns u minus a multiple of v.
func (u usage) less(v usage, times float64) usage {
	return usage{
		u.time - times*v.time, u.cpu - times*v.cpu, u.datagrams - times*v.datagrams, u.bytes - times*v.bytes,
		u.retries - times*v.retries, u.turns - times*v.turns, u.mallocs - times*v.mallocs,
	}
}

// during returns what the cluster uses in a period in which no message is sent.
func (c *benchCluster) during(d time.Duration) usage {
	before := c.usage()
	time.Sleep(d)
	return c.usage().less(before, 1)
}

// check fails if a message was delivered twice to one node, or if some deliveries did not
// happen, and then logs what the nodes counted.
func (c *benchCluster) check(missing int64) {
	c.b.Helper()
	if n := c.twice.Load(); n > 0 {
		c.b.Errorf("%d messages were delivered more than once", n)
	}
	if missing == 0 {
		return
	}
	c.b.Errorf("%d deliveries did not happen within %v of the one before", missing, patience)
	for i, n := range c.nodes {
		if s := n.Stats(); s.GivenUp+s.GaveUpUnseen+s.DropRelay > 0 {
			c.b.Logf("node %d: %+v", i, s)
		}
	}
}

// cpuTime returns what this process has used of the processors, in user and in system mode;
// 0 if the system does not tell.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
