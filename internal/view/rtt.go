package view

import "time"

const (
	// staleAfter is the age from which on a sample may be out of date.
	staleAfter = 5 * time.Second

	// longest bounds samples and timeouts: an answer that took longer waited in the
	// socket of a stopped process, and says nothing about the network.
	longest = 5 * time.Second
)

// RTT estimates the round-trip time of a member as TCP does (Jacobson and
// Karels 1988; RFC 6298, section 2). The zero value has no sample yet.
type RTT struct {
	smoothed, variance time.Duration
	sampledAt          time.Duration
}

// Sample takes one measured round trip, unless it is longer than 5 s.
func (r *RTT) Sample(d, now time.Duration) {
	if d > longest {
		return
	}
	d, r.sampledAt = max(d, 1), now
	if r.smoothed == 0 {
		r.smoothed, r.variance = d, d/2
		return
	}
	r.variance += ((r.smoothed - d).Abs() - r.variance) / 4
	r.smoothed = max(r.smoothed+(d-r.smoothed)/8, 1)
}

// SampleLike is Sample, but the variance of a first sample comes from like, the round trips
// of others, if that is less than half of the sample: otherwise the first timeout would be
// three times the sample.
func (r *RTT) SampleLike(d, now time.Duration, like *RTT) {
	first := r.smoothed == 0
	r.Sample(d, now)
	if first && like.smoothed > 0 {
		r.variance = min(r.variance, max(like.variance, (r.smoothed-like.smoothed).Abs()))
	}
}

// Timeout returns how long to wait for an answer before trying again: at most 10 s, or 5 s and
// slack if that is longer; or first, and at least slack, while there is no sample. It is at least
// slack, and an eighth, longer than a usual round trip: some answers are sent at once, with other
// messages, and some are delayed, whatever the last ones did.
func (r *RTT) Timeout(slack, first time.Duration) time.Duration {
	if r.smoothed == 0 {
		return max(first, slack)
	}
	return r.smoothed + max(min(4*r.variance, longest), slack, r.smoothed/8)
}

// Stale reports whether the last sample is so old that the path may have changed since.
func (r *RTT) Stale(now time.Duration) bool { return now-r.sampledAt > staleAfter }

// Smoothed returns the estimate, 0 if there is none.
func (r *RTT) Smoothed() time.Duration { return r.smoothed }
