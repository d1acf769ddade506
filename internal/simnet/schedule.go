package simnet

import (
	"container/heap"
	"math"
	"time"
)

// endOfTime is the last moment there is; later ones count as this one.
const endOfTime = time.Duration(math.MaxInt64)

// event is something due at a time: a datagram arrives, or f is called if d is nil. seq orders
// events of the same time by when they were scheduled.
type event struct {
	at  time.Duration
	seq uint64
	d   *datagram
	f   func()
}

// schedule is a heap of events, the earliest first. As container/heap sees it, it neither grows nor
// shrinks: that costs no allocation.
type schedule struct {
	heap []event
	seq  uint64
}

func (s *schedule) Len() int      { return len(s.heap) }
func (s *schedule) Swap(i, j int) { s.heap[i], s.heap[j] = s.heap[j], s.heap[i] }
func (s *schedule) Push(any)      {}
func (s *schedule) Pop() any      { return nil }

func (s *schedule) Less(i, j int) bool {
	v, w := &s.heap[i], &s.heap[j]
	return v.at < w.at || v.at == w.at && v.seq < w.seq
}

func (s *schedule) push(at time.Duration, d *datagram, f func()) {
	s.heap = append(s.heap, event{at: at, seq: s.seq, d: d, f: f})
	s.seq++
	heap.Fix(s, len(s.heap)-1)
}

// pop takes the earliest event. The schedule must not be empty.
func (s *schedule) pop() event {
	first, end := s.heap[0], len(s.heap)-1
	s.heap[0], s.heap[end] = s.heap[end], event{} // releases what f holds
	if s.heap = s.heap[:end]; end > 0 {
		heap.Fix(s, 0)
	}
	return first
}

// Now returns the virtual time since the start of the network.
func (n *Net) Now() time.Duration { return n.now }

// At calls f at time t, or at Now if t is in the past. Whatever is due at the same time happens
// in the order it was scheduled; f is never called before At returns.
func (n *Net) At(t time.Duration, f func()) { n.events.push(max(t, n.now), nil, f) }

// After calls f when d has passed; a negative d counts as 0. It is At(Now()+d).
func (n *Net) After(d time.Duration, f func()) { n.At(n.later(d), f) }

// later returns the time d from now, or the end of time if that overflows.
func (n *Net) later(d time.Duration) time.Duration {
	if d > endOfTime-n.now {
		return endOfTime
	}
	return n.now + d
}

// RunUntil handles every event due up to and including t, those scheduled meanwhile too, and
// leaves Now at t. With a t in the past it does nothing. It panics if called while an event is
// handled.
func (n *Net) RunUntil(t time.Duration) { n.RunWhile(t-n.now, func() bool { return true }) }

// Run handles the events of the next d of virtual time. It is RunUntil(Now()+d).
func (n *Net) Run(d time.Duration) { n.RunUntil(n.later(d)) }

// RunWhile handles events while cond holds, for at most limit of virtual time, and reports
// whether cond became false. cond is called before the first event and after every one. Now is
// left at the event that made cond false, or at the limit. It panics if called while an event is
// handled.
func (n *Net) RunWhile(limit time.Duration, cond func() bool) bool {
	if n.running {
		panic("simnet: the network is run from within one of its events")
	}
	n.running = true
	defer func() { n.running = false }() // also where a test fails in an event, and exits its goroutine

	end := n.later(limit)
	for cond() {
		if len(n.events.heap) == 0 || n.events.heap[0].at > end {
			n.now = max(n.now, end)
			return false
		}
		v := n.events.pop()
		n.now = v.at
		if v.d != nil {
			n.arrive(v.d)
		} else {
			v.f()
		}
	}
	return true
}
