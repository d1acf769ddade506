package simnet

import (
	"net/netip"
	"time"
)

// datagram is a datagram on its way or in an inbox. Datagrams are reused with their buffers,
// so that a warm network does not allocate.
type datagram struct {
	from, to netip.AddrPort
	dst      *Endpoint // the one that listened on to when it was sent, or nil
	payload  []byte
}

// acquire returns a datagram to fill: the spare one released last, which is the most likely
// to be still in a processor cache.
func (n *Net) acquire() *datagram {
	last := len(n.spare) - 1
	if last < 0 {
		return new(datagram)
	}
	d := n.spare[last]
	n.spare = n.spare[:last]
	return d
}

// release makes d spare.
func (n *Net) release(d *datagram) {
	d.dst = nil
	n.spare = append(n.spare, d)
}

// transmit decides what becomes of a datagram that is sent.
func (n *Net) transmit(from, to netip.AddrPort, payload []byte) {
	n.record(Sent, from, to, payload)
	if n.blocked(from, to) {
		n.record(Blocked, from, to, payload)
		return
	}
	if n.chance(n.cfg.Loss) {
		n.record(Lost, from, to, payload)
		return
	}
	dst := n.endpoints[to]
	if n.chance(n.cfg.Duplicate) {
		n.record(Duplicated, from, to, payload)
		n.launch(from, to, dst, payload)
	}
	n.launch(from, to, dst, payload)
}

// launch schedules the arrival of a copy of payload.
func (n *Net) launch(from, to netip.AddrPort, dst *Endpoint, payload []byte) {
	d := n.acquire()
	d.from, d.to, d.dst = from, to, dst
	d.payload = append(d.payload[:0], payload...)
	delay := n.cfg.LatencyMin + n.uniform(n.cfg.LatencyMax-n.cfg.LatencyMin)
	if n.path != nil {
		delay += n.path(from, to)
	}
	if n.chance(n.cfg.Reorder) {
		delay += n.uniform(n.cfg.ReorderDelay)
	}
	n.events.push(n.later(delay), d, nil)
}

// arrive puts d in the inbox of its destination, or drops it.
func (n *Net) arrive(d *datagram) {
	e := d.dst
	if e == nil {
		e = n.endpoints[d.to]
	}
	what := Delivered
	switch {
	case n.blocked(d.from, d.to):
		what = Blocked
	case e == nil || e.closed:
		what = Unreachable
	case e.inbox.Len() >= e.size:
		what = Overflowed
	}
	n.record(what, d.from, d.to, d.payload)
	if what != Delivered {
		n.release(d)
		return
	}
	e.inbox.Push(d)
	e.signal()
}

// chance draws whether something of probability p happens. It does not draw if p is 0.
func (n *Net) chance(p float64) bool { return p > 0 && n.draws.Float64() < p }

// uniform draws from 0 to most, both included.
func (n *Net) uniform(most time.Duration) time.Duration {
	if most == 0 {
		return 0
	}
	return time.Duration(n.draws.Uint64N(uint64(most) + 1))
}
