package view

import "time"

// RTT estimates the round-trip time of a member as TCP does (Jacobson and
// Karels 1988; RFC 6298, section 2). The zero value has no sample yet.
type RTT struct {
	smoothed, variance time.Duration
	doubts             int // ambiguous round trips since the last sample
}

// Sample takes one measured round trip. By Karn's rule the caller gives none
// of a message that was sent more than once.
func (r *RTT) Sample(d time.Duration) {
	d = max(d, 0)
	r.doubts = 0
	if r.smoothed == 0 {
		r.smoothed, r.variance = max(d, 1), d/2
		return
	}
	r.variance += ((r.smoothed - d).Abs() - r.variance) / 4
	r.smoothed = max(r.smoothed+(d-r.smoothed)/8, 1)
}

// patience is how many ambiguous round trips in a row mean that the timeout is
// too short for any other.
const patience = 8

// Ambiguous takes the time since the first attempt of a message that was sent
// more than once: at most its round trip was that long. It counts only if there
// was no sample for long, for a member that is farther than the timeout never
// gives one.
func (r *RTT) Ambiguous(d time.Duration) {
	if r.doubts++; r.doubts >= patience {
		r.smoothed = 0
		r.Sample(d)
	}
}

// Timeout returns how long to wait for an answer before trying again: at least
// least, and first while there is no sample.
func (r *RTT) Timeout(least, first time.Duration) time.Duration {
	if r.smoothed == 0 {
		return max(first, least)
	}
	return max(r.smoothed+4*r.variance, least)
}

// Smoothed returns the estimate, 0 if there is none.
func (r *RTT) Smoothed() time.Duration { return r.smoothed }
