// Package simnet is a datagram network in virtual time, for tests that run many nodes in one
// process.
//
// A Net holds a queue of events: datagrams on their way and functions to call. Time stands still
// while an event is handled and jumps to the next one afterwards, so a run takes as long as its
// work and never waits. Nothing reads the clock or a global random generator: a run depends only
// on its seed and on the calls made on the Net, and the same seed replays it exactly. To keep it
// so, what a test does must not depend on the order of a map, the clock or another goroutine.
//
// A Net, its endpoints and the functions they call belong to one goroutine; nothing here is safe
// for concurrent use.
package simnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// The two generators of a Net share its seed; these keep their streams apart.
const (
	netStream  = 0x6e6574776f726b73
	testStream = 0x7465737463617365
)

// Config describes a network. The zero value is a perfect one: no latency, no loss, every
// datagram once and in order. All of it but the seed can be changed later.
type Config struct {
	// Seed decides every random choice of the network. Any value is good.
	Seed uint64

	// LatencyMin and LatencyMax bound the one-way latency, drawn uniformly for each datagram,
	// both ends included: 0 <= LatencyMin <= LatencyMax.
	LatencyMin, LatencyMax time.Duration

	// Loss, Duplicate and Reorder are the probabilities, 0 to 1, that a datagram is lost, arrives
	// twice, or is delayed beyond its latency. They are drawn independently; the two copies of a
	// duplicated datagram have latencies and delays of their own.
	Loss, Duplicate, Reorder float64

	// ReorderDelay is the most a reordered datagram is delayed; the delay is drawn uniformly from
	// 0 to it. With 0 nothing is reordered.
	ReorderDelay time.Duration
}

// Net is a network and its virtual time. New makes one; the zero value is not usable.
type Net struct {
	cfg     Config
	draws   *rand.Rand
	choices *rand.Rand

	now     time.Duration
	events  schedule
	running bool

	endpoints map[netip.AddrPort]*Endpoint
	spare     []*datagram // for reuse

	filter func(from, to netip.AddrPort) bool
	path   func(from, to netip.AddrPort) time.Duration
	groups map[netip.AddrPort]int // nil: no partition

	tap    func(Event)
	counts [kinds]Count
}

// New returns an empty network at time 0. It panics if a value of c is out of its range, as the
// functions do that change it for the datagrams that are sent from then on.
func New(c Config) *Net {
	n := &Net{
		cfg:       Config{Seed: c.Seed},
		draws:     rand.New(rand.NewPCG(c.Seed, netStream)),
		choices:   rand.New(rand.NewPCG(c.Seed, testStream)),
		endpoints: make(map[netip.AddrPort]*Endpoint),
	}
	n.SetLatency(c.LatencyMin, c.LatencyMax)
	n.SetLoss(c.Loss)
	n.SetDuplicate(c.Duplicate)
	n.SetReorder(c.Reorder, c.ReorderDelay)
	return n
}

// Rand returns a generator for the test's own choices. It is seeded like the network but is a
// stream of its own: drawing from it does not change what the network does.
func (n *Net) Rand() *rand.Rand { return n.choices }

// SetLoss sets Config.Loss.
func (n *Net) SetLoss(p float64) {
	checkProbability("loss", p)
	n.cfg.Loss = p
}

// SetLatency sets Config.LatencyMin and LatencyMax.
func (n *Net) SetLatency(min, max time.Duration) {
	if min < 0 || max < min {
		panic(fmt.Sprintf("simnet: latency from %v to %v is no range of delays", min, max))
	}
	n.cfg.LatencyMin, n.cfg.LatencyMax = min, max
}

// SetPath makes f say how much longer than the latency the way between two addresses takes, as
// between regions. It is asked when a datagram is sent, and must not be negative. It replaces the
// function before it; nil is no such way.
func (n *Net) SetPath(f func(from, to netip.AddrPort) time.Duration) { n.path = f }

// SetDuplicate sets Config.Duplicate.
func (n *Net) SetDuplicate(p float64) {
	checkProbability("duplicate", p)
	n.cfg.Duplicate = p
}

// SetReorder sets Config.Reorder and ReorderDelay.
func (n *Net) SetReorder(p float64, delay time.Duration) {
	checkProbability("reorder", p)
	if delay < 0 {
		panic(fmt.Sprintf("simnet: reorder delay %v is negative", delay))
	}
	n.cfg.Reorder, n.cfg.ReorderDelay = p, delay
}

// checkProbability panics unless p is in 0 to 1; NaN is not.
func checkProbability(name string, p float64) {
	if !(p >= 0 && p <= 1) {
		panic(fmt.Sprintf("simnet: %s probability %v is not in 0 to 1", name, p))
	}
}

// SetFilter makes f decide which datagrams pass; those it answers false for are dropped. f is
// asked when a datagram is sent and again when it arrives, so it also stops what is in flight. It
// replaces the filter before it; nil lets everything pass. A partition applies besides the
// filter.
func (n *Net) SetFilter(f func(from, to netip.AddrPort) bool) { n.filter = f }

// Partition splits the network: addresses in different groups cannot reach each other, not even
// with datagrams already in flight. An address in no group reaches everybody. The addresses need
// not be listened on yet; where ListenAt told two apart, the one peers see counts. It replaces
// the partition before it and panics if an address is in two groups.
func (n *Net) Partition(groups ...[]netip.AddrPort) {
	n.groups = make(map[netip.AddrPort]int)
	for i, group := range groups {
		for _, a := range group {
			a = unmap(a)
			if g, ok := n.groups[a]; ok && g != i {
				panic(fmt.Sprintf("simnet: %v is in groups %d and %d of a partition", a, g, i))
			}
			n.groups[a] = i
		}
	}
}

// Heal ends the partition, if there is one. It leaves the filter in place.
func (n *Net) Heal() { n.groups = nil }

// blocked reports whether the partition or the filter keeps from and to apart.
func (n *Net) blocked(from, to netip.AddrPort) bool {
	if n.groups != nil {
		a, inA := n.groups[from]
		b, inB := n.groups[to]
		if inA && inB && a != b {
			return true
		}
	}
	return n.filter != nil && !n.filter(from, to)
}

// unmap gives an IPv4 address the one form it is known by, so that ::ffff:10.0.0.1 and 10.0.0.1
// are the same host.
func unmap(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4In6() {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return a
}
