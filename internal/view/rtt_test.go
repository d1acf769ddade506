package view

import (
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestRTTFollowsRFC6298(t *testing.T) {
	// First SRTT = R and RTTVAR = R/2. Then RTTVAR = 3/4 RTTVAR + 1/4 |SRTT-R|
	// with the SRTT of before, and SRTT = 7/8 SRTT + 1/8 R.
	var r RTT
	for i, step := range []struct{ sample, smoothed, timeout time.Duration }{
		{100 * ms, 100 * ms, 300 * ms},                                 // var 50
		{140 * ms, 105 * ms, 295 * ms},                                 // var 47.5
		{60 * ms, 99375 * time.Microsecond, 286875 * time.Microsecond}, // var 46.875
		{99375 * time.Microsecond, 99375 * time.Microsecond, 240 * ms}, // var 35.15625
	} {
		r.Sample(step.sample, 0)
		if r.Smoothed() != step.smoothed || r.Timeout(0, 0) != step.timeout {
			t.Fatalf("sample %d of %v should make it %v with a timeout of %v, but it is %v with %v",
				i, step.sample, step.smoothed, step.timeout, r.Smoothed(), r.Timeout(0, 0))
		}
	}
}

func TestRTTTimeoutHasALeastAndAFirst(t *testing.T) {
	var r RTT
	if got := r.Timeout(50*ms, 400*ms); got != 400*ms || r.Smoothed() != 0 {
		t.Fatalf("without a sample the timeout should be the first, 400ms, but is %v at %v", got, r.Smoothed())
	}
	if got := r.Timeout(500*ms, 400*ms); got != 500*ms {
		t.Fatalf("the first timeout should not fall below the least, 500ms, but is %v", got)
	}
	r.Sample(10*ms, 0)
	if got := r.Timeout(50*ms, 400*ms); got != 60*ms {
		t.Fatalf("the timeout should be the sample of 10ms and a slack of 50ms, but is %v", got)
	}
	if got := r.Timeout(15*ms, 400*ms); got != 30*ms {
		t.Fatalf("the timeout should be 10ms and four times 5ms, but is %v", got)
	}
}

func TestRTTTimeoutLeavesTimeForAnAnswerThatWaits(t *testing.T) {
	var r RTT
	for range 100 { // acknowledgements that travelled with other messages
		r.Sample(20*ms, 0)
	}
	if got := r.Timeout(15*ms, 0); got != 35*ms {
		t.Fatalf("an answer takes 20ms, or 30ms if it waits for company, but the timeout is %v", got)
	}
	for range 100 {
		r.Sample(50*ms, 0)
	}
	if got := r.Timeout(15*ms, 0); got < 64*ms || got > 66*ms {
		t.Fatalf("answers take 50ms now, or 65ms if they wait, but the timeout is %v", got)
	}
	for range 100 {
		r.Sample(400*ms, 0)
	}
	if got := r.Timeout(15*ms, 0); got < 449*ms || got > 451*ms {
		t.Fatalf("answers take 400ms now, of which an eighth is left for longer ones, but the timeout is %v", got)
	}
}

func TestRTTTakesNothingForAVeryShortTime(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Hour} {
		var r RTT
		r.Sample(d, 0)
		if r.Smoothed() != 1 || r.Timeout(0, time.Hour) != 1 {
			t.Fatalf("a round trip of %v should count as a sample of next to nothing, but gives %v", d, r.Smoothed())
		}
		r.Sample(d, 0)
		if r.Smoothed() < 1 {
			t.Fatalf("a second round trip of %v should not undo the first, but leaves %v", d, r.Smoothed())
		}
	}
}

func TestRTTStaysWithinItsSamples(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 20))
		low := time.Duration(r.Int64N(int64(time.Second)))
		spread := time.Duration(r.Int64N(int64(time.Second))) + 1
		var rtt RTT
		for i := range 200 {
			rtt.Sample(low+time.Duration(r.Int64N(int64(spread))), 0)
			s, timeout := rtt.Smoothed(), rtt.Timeout(0, 0)
			if s < low || s > low+spread || timeout < s || timeout > s+4*max(spread, (low+spread)/2) {
				t.Fatalf("seed %d sample %d: samples lie from %v on over %v, but it is %v with a timeout of %v", seed, i, low, spread, s, timeout)
			}
		}
		for range 400 {
			rtt.Sample(low, 0)
		}
		if s, timeout := rtt.Smoothed(), rtt.Timeout(0, 0); s > low+8 || timeout > s+max(s/8, 100) {
			t.Fatalf("seed %d: after long at %v it should have come to rest there, but is at %v with a timeout of %v", seed, low, s, timeout)
		}
	}
}

// Samples end at 3 s, and so do what they are smoothed to and what is added for their variance.
func TestRTTTimeoutHasAMost(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 21))
		var rtt RTT
		slack := time.Duration(r.Int64N(int64(5 * time.Second)))
		for i := range 50 {
			rtt.Sample(time.Duration(r.Int64N(int64(longest)*5/4)), 0)
			if got := rtt.Timeout(slack, 0); got > longest+max(longest, slack) {
				t.Fatalf("seed %d sample %d: the timeout with a slack of %v is %v", seed, i, slack, got)
			}
		}
	}
	var rtt RTT
	rtt.Sample(longest, 0)
	if got := rtt.Timeout(0, 0); got != 2*longest {
		t.Errorf("after one sample of %v the timeout should be twice as long, but is %v", longest, got)
	}
}

func TestRTTThinksLittleOfAnAnswerThatLay(t *testing.T) {
	var r RTT
	r.Sample(10*ms, 0)
	r.Sample(time.Hour, 0)
	if got := r.Timeout(0, 0); got > longest {
		t.Fatalf("one answer that lay for an hour should not make a timeout of %v", got)
	}
	for range 40 {
		r.Sample(10*ms, 0)
	}
	if got := r.Timeout(0, 0); got > 50*ms {
		t.Fatalf("it should be forgotten after 40 more, but the timeout is %v", got)
	}
}
