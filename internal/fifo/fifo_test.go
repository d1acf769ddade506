package fifo

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"weak"
)

func TestQueueAgreesWithASlice(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var q Queue[int]
		var plain []int
		for step := range 500 {
			// The odds change, so that the queue swells and runs dry in turn.
			if push := r.IntN(100) < []int{70, 50, 30}[step/50%3]; push {
				q.Push(step)
				plain = append(plain, step)
			} else {
				got, ok := q.Pop()
				if ok != (len(plain) > 0) {
					t.Fatalf("seed %d step %d: %d values are queued, but Pop says %v", seed, step, len(plain), ok)
				}
				if !ok && got != 0 {
					t.Fatalf("seed %d step %d: an empty queue gave away %d", seed, step, got)
				}
				if ok && got != plain[0] {
					t.Fatalf("seed %d step %d: %d is first, but Pop gave %d", seed, step, plain[0], got)
				}
				plain = plain[min(1, len(plain)):]
			}
			if q.Len() != len(plain) {
				t.Fatalf("seed %d step %d: %d values are queued, but Len says %d", seed, step, len(plain), q.Len())
			}
			for i, want := range plain {
				if got := *q.At(i); got != want {
					t.Fatalf("seed %d step %d: value %d of %d is %d, but At gives %d", seed, step, i, len(plain), want, got)
				}
			}
			if len(plain) > 0 {
				i := r.IntN(len(plain))
				*q.At(i) = -step
				plain[i] = -step
			}
		}
	}
}

// Wherever in the ring the first value lies when it is full, growing keeps the
// order.
func TestQueueGrowsWhileItIsWrapped(t *testing.T) {
	for _, size := range []int{8, 16, 64} {
		for first := range size {
			var q Queue[int]
			for range size { // grow to size, then move the first value along
				q.Push(-1)
			}
			for range size {
				q.Pop()
			}
			for range first {
				q.Push(-1)
				q.Pop()
			}
			if len(q.ring) != size || q.first != first {
				t.Fatalf("the ring should have %d slots and begin at %d, but has %d and begins at %d", size, first, len(q.ring), q.first)
			}
			for i := range size + 1 {
				q.Push(i)
			}
			if len(q.ring) != 2*size {
				t.Fatalf("%d values in %d slots should double them, but there are %d", size+1, size, len(q.ring))
			}
			for i := range size + 1 {
				if got, ok := q.Pop(); got != i || !ok {
					t.Fatalf("a ring of %d that began at %d and grew should give %d, but gives %d (%v)", size, first, i, got, ok)
				}
			}
		}
	}
}

func TestQueueLetsGoOfWhatWasPopped(t *testing.T) {
	type payload [100]byte
	var q Queue[*payload]
	var popped []weak.Pointer[payload]
	for i := range 100 {
		p := new(payload)
		popped = append(popped, weak.Make(p))
		q.Push(p)
		if i%3 == 0 {
			q.Pop()
		}
	}
	for q.Len() > 1 {
		q.Pop()
	}
	for i, slot := range q.ring {
		if slot != nil && i != q.first {
			t.Errorf("slot %d still holds what was popped from it", i)
		}
	}
	runtime.GC()
	for i, p := range popped[:99] {
		if p.Value() != nil {
			t.Errorf("value %d was popped, but cannot be collected", i)
		}
	}
	if last, ok := q.Pop(); !ok || last == nil || popped[99].Value() != last {
		t.Error("the value still queued should be there, but is not")
	}
}

func TestQueueAllocatesNothingOnceItIsLargeEnough(t *testing.T) {
	var q Queue[[64]byte]
	turn := func() {
		for range 50 {
			q.Push([64]byte{1})
		}
		for range 50 {
			q.Pop()
		}
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("50 values in and out of a queue that held 50 before allocate %v times", n)
	}
}

func BenchmarkQueue(b *testing.B) {
	b.ReportAllocs()
	var q Queue[[64]byte]
	for range 20 {
		q.Push([64]byte{})
	}
	for b.Loop() {
		v, _ := q.Pop()
		q.Push(v)
	}
}
