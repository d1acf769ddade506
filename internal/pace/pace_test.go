package pace

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const interval = time.Minute

func TestADutyIsDueAtOnceAndThenAfterAnInterval(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var d Duty
		if d.Next() != 0 || !d.Due(0, interval, r) {
			t.Fatalf("seed %d: a new duty should be due at once", seed)
		}
		next := d.Next()
		if next < interval*9/10 || next > interval*11/10 {
			t.Fatalf("seed %d: the next time should be in %v, give or take a tenth, but is in %v", seed, interval, next)
		}
		if d.Due(next-1, interval, r) || d.Next() != next {
			t.Fatalf("seed %d: at %v, a duty for %v is not due and stays as it is, but is now for %v", seed, next-1, next, d.Next())
		}
		if !d.Due(next, interval, r) {
			t.Fatalf("seed %d: a duty for %v should be due then", seed, next)
		}
	}
}

func TestWhatWasMissedIsNotMadeUpFor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d Duty
	d.Due(0, interval, r)
	late := 100 * interval
	if !d.Due(late, interval, r) {
		t.Fatalf("a duty that was missed should be due at %v", late)
	}
	if least := late + interval*9/10; d.Due(late, interval, r) || d.Next() < least {
		t.Errorf("a duty that was done at %v should not be due before %v, but is for %v", late, least, d.Next())
	}
}

func TestADutyCanBePutOffAndBroughtForward(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	var d Duty
	expect := func(at time.Duration, story string) {
		t.Helper()
		if d.Next() != at {
			t.Fatalf("%s should be for %v, but is for %v", story, at, d.Next())
		}
		if at > 0 {
			probe := d
			if probe.Due(at-1, interval, r) {
				t.Fatalf("%s should not be due before %v", story, at)
			}
		}
		probe := d
		if !probe.Due(at, 0, r) {
			t.Fatalf("%s should be due at %v", story, at)
		}
	}
	expect(0, "a new duty")
	d.By(5 * time.Second)
	expect(0, "one that is due anyway and wanted by 5 s")
	d.at = 10 * time.Second
	expect(10*time.Second, "one put off to 10 s")
	d.By(12 * time.Second)
	expect(10*time.Second, "one for 10 s that is wanted by 12 s")
	d.By(8 * time.Second)
	expect(8*time.Second, "one for 10 s that is wanted by 8 s")
	d.at = 4 * time.Second
	expect(4*time.Second, "one brought forward to 4 s")
	d.Stop()
	if d.Next() != Never || d.Due(Never-1, interval, r) {
		t.Fatalf("a duty that was stopped should never be due, but is for %v", d.Next())
	}
	d.By(20 * time.Second)
	expect(20*time.Second, "one that was stopped and is wanted by 20 s")
	d.Stop()
	d.at = 0
	expect(0, "one that was stopped and started again")
}

// The next time must not run over into the past, where it would always be due.
func TestADutyWithAnIntervalOfNeverIsDoneOnce(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		var d Duty
		if !d.Due(time.Second, Never, r) || d.Next() != Never {
			t.Fatalf("seed %d: a duty that is done once should be due now and then never, but is for %v", seed, d.Next())
		}
	}
}

func TestNeverIsLaterThanAnyTime(t *testing.T) {
	if Never != math.MaxInt64 {
		t.Errorf("Never should be the last time there is, but is %v", Never)
	}
}

// Both ends are reached, and nothing beyond them. A duration too short to have
// a tenth is left alone.
func TestJitterStaysWithinATenth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	for d := range time.Duration(60) {
		least, most := Never, -Never
		for range 2000 {
			got := Jitter(d, r)
			least, most = min(least, got), max(most, got)
		}
		if least != d-d/10 || most != d+d/10 {
			t.Errorf("%v should jitter from %v to %v, but does so from %v to %v", d, d-d/10, d+d/10, least, most)
		}
	}
	for _, d := range []time.Duration{time.Microsecond, 1e6 + 7, time.Second, 3*time.Second + 9, time.Hour, 1e6 * time.Hour} {
		low, high := 0, 0
		for range 2000 {
			switch got := Jitter(d, r); {
			case got < d-d/10 || got > d+d/10:
				t.Fatalf("%v should jitter from %v to %v, but gave %v", d, d-d/10, d+d/10, got)
			case got < d-d/20:
				low++
			case got > d+d/20:
				high++
			}
		}
		if low < 400 || high < 400 { // 500 each are to be expected
			t.Errorf("%v should jitter evenly, but of 2000 only %d were in the lowest quarter and %d in the highest", d, low, high)
		}
	}
}

func TestADutyResumesOnlyIfItWasStopped(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 5))
		var d Duty
		d.at = interval
		d.Resume(time.Hour, interval, r)
		if d.Next() != interval {
			t.Fatalf("seed %d: a duty for %v was resumed at %v", seed, interval, d.Next())
		}
		d.Stop()
		d.Resume(time.Hour, interval, r)
		if d.Next() < time.Hour || d.Next() >= time.Hour+interval {
			t.Fatalf("seed %d: a duty resumed at %v, to be done every %v, is for %v", seed, time.Hour, interval, d.Next())
		}
	}
}

func TestNodesThatStartTogetherDoNotStayInStep(t *testing.T) {
	seen := map[time.Duration]bool{}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		var d Duty
		d.Due(0, interval, r)
		seen[d.Next()] = true
	}
	if len(seen) < 99 {
		t.Errorf("100 nodes that started together have only %d different next times", len(seen))
	}
}

func TestADutyAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 6))
	var d Duty
	if n := testing.AllocsPerRun(100, func() { d.Due(d.Next(), interval, r) }); n != 0 {
		t.Errorf("doing a duty allocates %v times", n)
	}
}
