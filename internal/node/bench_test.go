package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkHandle measures what a node with 64 members does with a datagram, until its
// message is delivered and what follows from it is queued, but not sent.
func BenchmarkHandle(b *testing.B) {
	b.Run("new Data", func(b *testing.B) {
		d := newDrill(b)
		d.measure(32, func() {
			for range 32 {
				d.counter++
				d.repeat(1)
			}
		})
		d.want(d.delivered == d.handled && d.Stats().Relayed == 16*uint64(d.delivered),
			"%d messages were delivered as %d and forwarded %d times", d.handled, d.delivered, d.Stats().Relayed)
	})
	b.Run("duplicate", func(b *testing.B) {
		d := newDrill(b)
		d.counter++
		d.measure(32, func() { d.repeat(32) })
		d.want(d.delivered == 1, "one message was delivered %d times", d.delivered)
	})
	for _, queued := range []int{16, 1024} {
		b.Run(fmt.Sprint("Ack of ", queued), func(b *testing.B) {
			d := newDrill(b)
			d.measure(queued, func() { d.acknowledge(queued) })
			d.want(d.Stats().DropAck == 0 && d.Stats().QueuedData == 0, "the Acks were not taken: %+v", d.Stats())
		})
	}
}

// drill is a hub that handles many datagrams between two readings of the clock, so that
// reading it is not measured.
type drill struct {
	*hub
	b       *testing.B
	counter uint32 // of the last message of hubOrigin
	waiting []packet
	handled int
}

func newDrill(b *testing.B) *drill {
	b.Helper()
	return &drill{hub: newHub(b, Config{}), b: b}
}

// measure times the handling of the datagrams that feed lets wait, count at a time.
func (d *drill) measure(count int, feed func()) {
	d.b.Helper()
	const warm = 100 // rounds in which logs, queues and pools grow
	rounds := (d.b.N + count - 1) / count
	var took time.Duration
	for round := range warm + rounds {
		d.at += 100 * time.Microsecond
		feed()
		if len(d.waiting) != count {
			d.b.Fatalf("%d datagrams wait instead of %d", len(d.waiting), count)
		}
		start := time.Now()
		for _, p := range d.waiting {
			d.handle(p.addr, p.b)
		}
		if round >= warm {
			took += time.Since(start)
		}
		d.handled += count
		d.waiting = d.waiting[:0]
		d.turn()
	}
	d.b.ReportMetric(float64(took.Nanoseconds())/float64(rounds*count), "ns/op")
}

// wait lets a copy of a datagram of a peer wait.
func (d *drill) wait(from netip.AddrPort, b []byte) {
	n := len(d.waiting)
	if n == cap(d.waiting) {
		d.waiting = append(d.waiting, packet{})
	}
	d.waiting = d.waiting[:n+1]
	p := &d.waiting[n]
	p.addr, p.b = from, append(p.b[:0], b...)
}

// repeat lets the message of the last number wait, sent anew count times.
func (d *drill) repeat(count int) {
	for range count {
		d.setData(d.counter)
		d.wait(hubSender, d.dataMessage)
	}
}

// acknowledge publishes messages of that many copies, and lets the Ack of each copy wait.
func (d *drill) acknowledge(copies int) {
	for range copies / originFanout {
		err := d.publishPayload(Spread{})
		d.want(err == nil, "Publish failed: %v", err)
	}
	d.send()
	for _, m := range d.toAnswer {
		d.setAck(m)
		d.wait(m.by, d.ackMessage)
	}
	d.toAnswer = d.toAnswer[:0]
}
