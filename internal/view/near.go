package view

import "time"

// near is how much shorter a round trip has to be for a member to be much nearer than another.
const near = 20 * time.Millisecond

// Measure records a round trip of m.
func (v *View) Measure(m *Member, d, now time.Duration) {
	like := &v.rtt
	if m.RTT.smoothed == 0 {
		like = v.like(m)
	}
	m.RTT.SampleLike(d, now, like)
	v.rtt.Sample(d, now)
}

// RTT returns the estimate for all members together.
func (v *View) RTT() *RTT { return &v.rtt }

// Timeout returns how long to wait for an answer of a member that was not measured lately: as for
// the member of its zone which was measured last. For a zone of which none was, it is the longest
// wait for any member, and at least first; for a member without a zone as for all members.
func (v *View) Timeout(m *Member, first time.Duration) time.Duration {
	like := v.like(m)
	timeout := like.Timeout(0, first)
	if like == &v.rtt && m.Zone() != 0 {
		timeout = max(timeout, first)
		for _, x := range v.ring {
			timeout = max(timeout, x.RTT.Timeout(0, 0))
		}
	}
	return timeout
}

// like returns the round trips that are most like those of m: of the member of its zone which was
// measured last, or of all members.
func (v *View) like(m *Member) *RTT {
	latest := &v.rtt
	if m.Zone() == 0 {
		return latest
	}
	first, n := v.Zone(m.Zone())
	for i := range n {
		if r := &v.clockwise(first + i).RTT; r.smoothed > 0 && (latest == &v.rtt || r.sampledAt > latest.sampledAt) {
			latest = r
		}
	}
	return latest
}

// MuchNearer reports whether the round trip of m is shorter than that of another member by more
// than half, and by more than near. One that was not measured is taken to be as far as all are.
func (v *View) MuchNearer(m, other *Member) bool {
	d := v.distance(other)
	return m.RTT.smoothed > 0 && d-m.RTT.smoothed > near && 2*m.RTT.smoothed < d
}

// far reports whether another member may be much nearer than m.
func (v *View) far(m *Member) bool { return v.distance(m) > near }

func (v *View) distance(m *Member) time.Duration {
	if m.RTT.smoothed > 0 {
		return m.RTT.smoothed
	}
	return v.rtt.smoothed
}

// nearest returns the first validated member that may be a delegate, of n from ring index first
// on, in turn from the given one; or another one that is much nearer.
func (v *View) nearest(first, n, turn int, may func(*Member) bool) (found *Member) {
	for i := range n {
		m := v.clockwise(first + (turn+i)%n)
		if m.Validated && may(m) && (found == nil || v.MuchNearer(m, found)) {
			found = m
		}
		if found != nil && !v.far(found) {
			break
		}
	}
	return found
}
