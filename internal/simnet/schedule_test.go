package simnet_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
)

func TestEqualTimesKeepTheOrderOfScheduling(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed, LatencyMin: time.Second, LatencyMax: time.Second})
	a, b := listen(t, n, 1), listen(t, n, 2)
	var order []int
	b.OnReadable(func() { order = append(order, 1000+len(order)) })
	var want []int
	for i := range 200 {
		if i%10 == 0 {
			send(t, a, 2, "hello")
			want = append(want, 1000+i)
			continue
		}
		n.At(time.Second, func() { order = append(order, i) })
		want = append(want, i)
	}
	n.RunUntil(time.Second)
	if !slices.Equal(order, want) {
		t.Errorf("seed %d: 200 events of one moment happened in the order %v", seed, order)
	}
}

func TestEventsHappenInOrderOfTime(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	last, count := time.Duration(0), 0
	var grow func()
	grow = func() {
		if n.Now() < last {
			t.Fatalf("seed %d: an event of %v happened after one of %v", seed, n.Now(), last)
		}
		last = n.Now()
		count++
		if count < 5000 {
			n.After(time.Duration(n.Rand().IntN(1000)), grow)
			n.After(time.Duration(n.Rand().IntN(1000)), grow)
		}
	}
	n.After(0, grow)
	n.Run(time.Second)
	if count != 2*4999+1 {
		t.Errorf("seed %d: %d events happened, want every one of the %d scheduled", seed, count, 2*4999+1)
	}
}

func TestRunUntilStopsAtItsTime(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	var happened []string
	note := func(what string) func() { return func() { happened = append(happened, what) } }
	n.At(10, note("due"))
	n.At(10, func() { n.After(0, note("scheduled at the end")) })
	n.At(11, note("later"))
	n.RunUntil(10)
	if want := []string{"due", "scheduled at the end"}; !slices.Equal(happened, want) || n.Now() != 10 {
		t.Errorf("seed %d: until 10ns %q happened, and it is %v; want %q", seed, happened, n.Now(), want)
	}
	n.RunUntil(5)
	n.Run(-1)
	if n.Now() != 10 {
		t.Errorf("seed %d: running to the past moved the time from 10ns to %v", seed, n.Now())
	}
	happened = nil
	n.At(3, func() { happened = append(happened, n.Now().String()) })
	n.After(-5, func() { happened = append(happened, n.Now().String()) })
	n.Run(0)
	if !slices.Equal(happened, []string{"10ns", "10ns"}) {
		t.Errorf("seed %d: events in the past happened at %v, want twice at 10ns", seed, happened)
	}
	n.After(math.MaxInt64, note("end of time"))
	n.Run(time.Second)
	if n.Now() != 10+time.Second {
		t.Errorf("seed %d: it is %v after a run of a second from 10ns", seed, n.Now())
	}
}

func TestRunWhileStopsWhenItsConditionFails(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	ticks := 0
	var tick func()
	tick = func() { ticks++; n.After(time.Second, tick) }
	n.After(time.Second, tick)

	if !n.RunWhile(time.Minute, func() bool { return ticks < 5 }) {
		t.Errorf("seed %d: five ticks did not end a wait of a minute", seed)
	}
	if ticks != 5 || n.Now() != 5*time.Second {
		t.Errorf("seed %d: the wait for five ticks ended after %d, at %v", seed, ticks, n.Now())
	}
	if n.RunWhile(3500*time.Millisecond, func() bool { return ticks < 100 }) {
		t.Errorf("seed %d: a hundred ticks are said to have happened, it were %d", seed, ticks)
	}
	if ticks != 8 || n.Now() != 8500*time.Millisecond {
		t.Errorf("seed %d: the limit of 3.5s was met after tick %d, at %v; want tick 8, at 8.5s", seed, ticks, n.Now())
	}
	if !n.RunWhile(time.Minute, func() bool { return false }) || ticks != 8 {
		t.Errorf("seed %d: a condition false from the start let events happen", seed)
	}
}

func TestRunAfterAFailedEvent(t *testing.T) {
	n := simnet.New(simnet.Config{Seed: seed})
	n.After(1, func() { panic("the event failed") })
	func() {
		defer func() { _ = recover() }()
		n.Run(1)
	}()
	n.Run(1)
	if n.Now() != 2 {
		t.Errorf("seed %d: after an event that panicked, a run of 1ns led to %v, want 2ns", seed, n.Now())
	}
}
