package main

import (
	"testing"
	"time"
)

func TestWaitsAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Hour: 3_600_000} {
		if got := millis(d); got != want {
			t.Errorf("a wait of %v becomes %d ms instead of %d", d, got, want)
		}
	}
}
