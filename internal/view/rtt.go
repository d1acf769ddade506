package view

import "time"

const (
	// longest bounds samples and timeouts: an answer that took longer waited in the
	// socket of a stopped process, and says nothing about the network.
	longest = 3 * time.Second

	// patience is how many successive round trips without a sample mean that the
	// timeout is too short for any to give one.
	patience = 8
)

// RTT estimates the round-trip time of a member as TCP does (Jacobson and
// Karels 1988; RFC 6298, section 2). The zero value has no sample yet.
type RTT struct {
	smoothed, variance time.Duration
	shortest           time.Duration // of all samples
	doubts             int           // round trips without a sample since the last
	doubtedAt          time.Duration // when the last of them was counted
}

// Sample takes one measured round trip, unless it is longer than 3 s. By Karn's rule the
// caller does not sample messages that were sent more than once.
func (r *RTT) Sample(d time.Duration) {
	if d > longest {
		return
	}
	d = max(d, 1)
	r.doubts = 0
	if r.smoothed == 0 {
		r.smoothed, r.variance, r.shortest = d, d/2, d
		return
	}
	r.shortest = min(r.shortest, d)
	r.variance += ((r.smoothed - d).Abs() - r.variance) / 4
	r.smoothed = max(r.smoothed+(d-r.smoothed)/8, 1)
}

// SampleLike is Sample, but the variance of a first sample comes from like, the round trips
// of others, if that is less than half of the sample: otherwise the first timeout would be
// three times the sample.
func (r *RTT) SampleLike(d time.Duration, like *RTT) {
	first := r.smoothed == 0
	r.Sample(d)
	if first && like.smoothed > 0 {
		r.variance = min(r.variance, max(like.variance, (r.smoothed-like.smoothed).Abs()))
	}
}

// Ambiguous takes the time d since the first attempt of a message that was sent more than
// once: its round trip was at most that long. It counts at most once in a round trip. After
// many such round trips without a sample the timeout, which the member then can never meet,
// is doubled, to at most d. It reports whether it did that.
func (r *RTT) Ambiguous(d, now time.Duration) (doubled bool) {
	if r.doubts > 0 && now-r.doubtedAt < r.smoothed {
		return false
	}
	r.doubtedAt = now
	if r.doubts++; r.doubts < patience {
		return false
	}
	if r.smoothed > 0 {
		d = min(d, 2*(r.smoothed+4*r.variance))
	}
	r.smoothed = 0
	r.Sample(min(d, longest))
	return true
}

// Timeout returns how long to wait for an answer before trying again: at most 3 s, or first
// while there is no sample. It is at least slack longer than the shortest sample: some
// answers are sent at once, with other messages, and some are delayed, whatever the last
// ones did.
func (r *RTT) Timeout(slack, first time.Duration) time.Duration {
	if r.smoothed == 0 {
		return max(first, slack)
	}
	return max(min(r.smoothed+4*r.variance, longest), r.shortest+slack)
}

// Smoothed returns the estimate, 0 if there is none.
func (r *RTT) Smoothed() time.Duration { return r.smoothed }
