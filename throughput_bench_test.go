package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// usage is what a cluster has used, since it was made or in a while.
type usage struct {
	time, cpu                                 float64 // seconds
	datagrams, bytes, retries, turns, mallocs float64
}

var epoch = time.Now()

func (c *choir) usage() usage {
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

// less returns u without times as much as v.
func (u usage) less(v usage, times float64) usage {
	return usage{
		u.time - times*v.time, u.cpu - times*v.cpu, u.datagrams - times*v.datagrams, u.bytes - times*v.bytes,
		u.retries - times*v.retries, u.turns - times*v.turns, u.mallocs - times*v.mallocs,
	}
}

// during returns what the cluster uses in a while in which nothing is said.
func (c *choir) during(d time.Duration) usage {
	before := c.usage()
	time.Sleep(d)
	return c.usage().less(before, 1)
}

// check fails if a message was delivered twice in one place, or if some deliveries
// did not happen, and then says what the nodes counted.
func (c *choir) check(missing int64) {
	c.b.Helper()
	if n := c.twice.Load(); n > 0 {
		c.b.Errorf("%d messages were delivered more than once", n)
	}
	if missing == 0 {
		return
	}
	c.b.Errorf("%d deliveries did not happen within %v of the one before", missing, unheard)
	for i, n := range c.nodes {
		if s := n.Stats(); s.GivenUp+s.GaveUpUnseen+s.DropRelay > 0 {
			c.b.Logf("node %d: %+v", i, s)
		}
	}
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
		case <-time.After(unheard):
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

// burst is how many messages the sender says.
const burst = 20000

type throughputCase struct {
	name   string
	nodes  int
	config Config
}

// BenchmarkLoopbackThroughput measures one sender that says messages as fast as
// they are accepted. The first burst, cold, meets logs, queues and pools that are
// to grow; the others are measured. Plain UDP is measured before each of them,
// for the machine may be busy.
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
	choir := newChoir(b, c.nodes, burst*(b.N+1), c.config, nil)
	cold, missing := choir.shout(burst)
	var used, plain usage
	for range b.N {
		plain = plain.less(plainPairs(b, burst), -1)
		u, lost := choir.shout(burst)
		used = used.less(u, -1)
		missing += lost
	}
	choir.check(missing)

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

// speak says what is to be said, until the queue is full: then the loop turns.
func (s *singer) speak() {
	for s.toSay.Load() > 0 {
		switch err := s.say(s.next); {
		case errors.Is(err, ErrQueueFull):
			return
		case err != nil:
			s.t.Errorf("node %v cannot say message %d: %v", s.Address(), s.next, err)
			s.toSay.Store(0)
			return
		}
		s.next++
		s.toSay.Add(-1)
	}
}

// shout makes one node say messages as fast as they are accepted. What is used
// is counted until all are acknowledged, but the time only until they are
// everywhere.
func (c *choir) shout(messages int) (used usage, missing int64) {
	c.b.Helper()
	s := c.nodes[0]
	s.next = c.expect(messages)
	before, start := c.usage(), time.Now()
	s.toSay.Store(int64(messages))
	s.Wake()
	last, missing := c.await()
	waitUntil(c.b, "everything is acknowledged", func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *singer) bool { return n.Stats().QueuedData > 0 })
	})
	used = c.usage().less(before, 1)
	used.time = last.Sub(start).Seconds()
	return used, missing
}

func addrPort(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// BenchmarkHandle measures what a node with 64 members does with a datagram that
// has come in, until it is delivered and what follows from it is queued, but not
// sent.
func BenchmarkHandle(b *testing.B) {
	b.Run("new Data", func(b *testing.B) {
		m := newDrill(b)
		m.measure(32, func() { m.sayNew(32) })
		m.want(m.said == m.handled && m.Stats().Relayed == 8*uint64(m.said),
			"%d messages were delivered as %d and passed on %d times", m.handled, m.said, m.Stats().Relayed)
	})
	b.Run("duplicate", func(b *testing.B) {
		m := newDrill(b)
		m.counter++
		m.measure(32, func() { m.repeat(32) })
		m.want(m.said == 1, "one message was delivered %d times", m.said)
	})
	for _, queued := range []int{16, 1024} {
		b.Run(fmt.Sprint("Ack of ", queued), func(b *testing.B) {
			m := newDrill(b)
			m.measure(queued, func() { m.saySome(queued) })
			m.want(m.Stats().DropAck == 0 && m.Stats().QueuedData == 0, "the Acks were not taken: %+v", m.Stats())
		})
	}
}

// drill is a treadmill to which datagrams come many at a time, so that what it
// takes to read the clock is not measured.
type drill struct {
	*treadmill
	b       *testing.B
	counter uint32
	waiting [1024][]byte // datagrams, at the socket
	handled int
}

func newDrill(b *testing.B) *drill {
	b.Helper()
	return &drill{treadmill: newTreadmill(b, Config{}), b: b}
}

// measure times how the node handles what is fed, so many datagrams at a time.
func (m *drill) measure(count int, feed func()) {
	m.b.Helper()
	const warm = 100 // rounds in which logs, queues and pools grow
	rounds := (m.b.N + count - 1) / count
	var took time.Duration
	for round := range warm + rounds {
		m.at += 100 * time.Microsecond
		feed()
		start := time.Now()
		for handled := 0; handled < count; {
			n, err := m.Receive(0)
			if n == 0 {
				m.b.Fatalf("of %d datagrams the node handled %d and returned the error %v", count, handled, err)
			}
			handled += n
		}
		if round >= warm {
			took += time.Since(start)
		}
		m.handled += count
		m.Receive(0) // nothing is left: the socket starts afresh
		m.turn()
	}
	m.b.ReportMetric(float64(took.Nanoseconds())/float64(rounds*count), "ns/op")
}

// feed puts a copy of a datagram of a peer behind those that wait.
func (m *drill) feed(from netip.AddrPort, datagram []byte) {
	b := &m.waiting[len(m.fake.in)]
	*b = append((*b)[:0], datagram...)
	m.fake.feed(from, *b)
}

// sayNew feeds messages that nobody heard before.
func (m *drill) sayNew(count int) {
	for range count {
		m.counter++
		m.repeat(1)
	}
}

// repeat feeds the last message again, as sent anew.
func (m *drill) repeat(count int) {
	for range count {
		m.setData(m.counter)
		m.feed(peerAddr(2), m.data)
	}
}

// saySome makes the node say so many copies and feeds the Ack of each.
func (m *drill) saySome(copies int) {
	for range copies / publishFactor {
		if err := m.SendData(m.data[:payloadSize]); err != nil {
			m.b.Fatalf("the node cannot say anything: %v", err)
		}
	}
	for sent := 1; sent > 0; {
		sent, _ = m.Send()
	}
	for _, a := range m.out {
		binary.BigEndian.PutUint32(m.ack[wire.AckOverhead:], a.seq)
		m.feed(a.to, m.ack)
	}
	m.out = m.out[:0]
}
