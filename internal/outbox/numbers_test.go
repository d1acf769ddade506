package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sending is an attempt that a test remembers.
type sending struct {
	e    *Envelope
	uses uint32
	seq  uint32
	at   time.Duration
}

// waits reports whether the envelope of s was neither answered nor dropped since.
func (s sending) waits() bool { return s.e.uses == s.uses }

func TestNumbersFindEveryAttemptOfWhatWaits(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var n numbers
		first := rng.Uint32()
		if seed%3 == 0 {
			first = 1<<31 - 1 - rng.Uint32N(300) // the numbers begin anew soon
		}
		n.next = first
		waiting := make([]*Envelope, 1+rng.IntN(40))
		for i := range waiting {
			waiting[i] = &Envelope{}
		}
		var sent []sending
		begun, most := 0, 0 // the first of sent whose envelope waits, and the most since there ever were
		for step := range 600 {
			e := waiting[rng.IntN(len(waiting))]
			if rng.IntN(3) == 0 { // it was answered, and its memory is used for another
				e.uses++
				e.Seq = 0
			}
			now := time.Duration(step)
			n.stamp(e, now)
			sent = append(sent, sending{e, e.uses, e.Seq, now})
			if e.Seq&dataNumber == 0 || step > 0 && (e.Seq-sent[step-1].seq)&^dataNumber != 1 {
				t.Fatalf("seed %d: number %x follows %x", seed, e.Seq, sent[max(step-1, 0)].seq)
			}
			for begun < step && !sent[begun].waits() {
				begun++
			}
			most = max(most, step+1-begun)
			for i, s := range sent {
				got, at := n.find(s.seq)
				if s.waits() && (got != s.e || at != s.at) {
					t.Fatalf("seed %d step %d: attempt %d, number %x, at %d waits, but %p is found, sent at %d", seed, step, i, s.seq, s.at, got, at)
				}
				if !s.waits() && got != nil {
					t.Fatalf("seed %d step %d: attempt %d, number %x, waits no more, but its memory is found", seed, step, i, s.seq)
				}
			}
			if held := len(n.slots); held > max(leastNumbers, 2*most) {
				t.Fatalf("seed %d step %d: there is room for %d numbers, and at most %d came since the oldest that waited", seed, step, held, most)
			}
		}
	}
}

func TestNumbersThatWereNotSentFindNothing(t *testing.T) {
	var n numbers
	n.next = 1<<31 - 3
	if e, _ := n.find(1<<32 - 3); e != nil {
		t.Fatal("nothing was sent yet")
	}
	var seqs []uint32
	for range 5 {
		e := &Envelope{}
		n.stamp(e, 1)
		seqs = append(seqs, e.Seq)
	}
	if fmt.Sprintf("%x", seqs) != "[fffffffd fffffffe ffffffff 80000000 80000001]" {
		t.Fatalf("across the last number there are %x", seqs)
	}
	for _, seq := range seqs {
		for bit := range 32 { // some of these were sent, too
			if other := seq ^ 1<<bit; !slices.Contains(seqs, other) {
				if e, _ := n.find(other); e != nil {
					t.Errorf("%x was never sent, but is found", other)
				}
			}
		}
	}
}

func TestNumbersAreBoundedWhateverWaits(t *testing.T) {
	var n numbers
	n.next = 5
	oldest := &Envelope{}
	n.stamp(oldest, 0)
	var late []*Envelope
	for i := range 3 * mostNumbers {
		e := &Envelope{}
		n.stamp(e, time.Duration(i))
		if len(n.slots) > mostNumbers {
			t.Fatalf("after %d attempts %d are remembered", i+1, len(n.slots))
		}
		late = append(late, e)
	}
	if e, _ := n.find(oldest.Seq); e != nil {
		t.Errorf("an attempt is found after %d others", 3*mostNumbers)
	}
	for _, e := range late[2*mostNumbers:] {
		if got, _ := n.find(e.Seq); got != e {
			t.Fatalf("one of the last %d attempts, number %x, is not found", mostNumbers, e.Seq)
		}
	}
}

// A queue that is used again keeps the memory: nothing in it is mistaken for what is sent now.
func TestNumbersBeginAnewInUsedMemory(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var n numbers
		waiting := make([]*Envelope, 50)
		for i := range waiting {
			waiting[i] = &Envelope{}
		}
		var before []sending
		for range 10 {
			n.next = rng.Uint32N(200) // the same numbers come again
			var sent []sending
			for i := range rng.IntN(len(waiting)) {
				e := waiting[i]
				n.stamp(e, 1)
				sent = append(sent, sending{e, e.uses, e.Seq, 1})
			}
			for _, s := range sent {
				if e, _ := n.find(s.seq); e != s.e {
					t.Fatalf("seed %d: number %x finds %p, not %p", seed, s.seq, e, s.e)
				}
			}
			for _, s := range before {
				if e, _ := n.find(s.seq); e != nil && !slices.ContainsFunc(sent, func(x sending) bool { return x.seq == s.seq && x.e == e }) {
					t.Fatalf("seed %d: number %x of the queue before finds an envelope", seed, s.seq)
				}
			}
			for _, e := range waiting { // a queue that is freed has none
				e.uses++
				e.Seq = 0
			}
			before = sent
		}
	}
}

func TestNumbersAllocateNothingOnceWarm(t *testing.T) {
	var n numbers
	e := &Envelope{}
	if allocs := testing.AllocsPerRun(1000, func() {
		n.stamp(e, 1)
		n.find(e.Seq)
		e.uses++
	}); allocs != 0 {
		t.Errorf("a number that is given out and found allocates %v times", allocs)
	}
}

// The path to a recipient has become much longer than the timeout that it was measured for, and
// each of its answers is to an attempt long ago.
func TestAnAnswerIsKnownHoweverLateItComes(t *testing.T) {
	const slow = 1500 * time.Millisecond
	for _, n := range []int{1, 20, 100} {
		q := newBench(t, Config{})
		small := q.log.Detached(7, 1, nil, 0)
		for range n {
			q.EmitData(peerAddr(1), Copy{Entry: small, Hops: 1}, UntilAnswered)
		}
		var sent []sending // not answered yet
		start := q.now
		for q.Stats().Data > 0 {
			q.want(q.now < start+2*slow, "of %d messages %d were not answered though answers come %v after each attempt", n, q.Stats().Data, slow)
			for l := q.Next(); l != nil; l = q.Next() {
				for _, h := range q.read(q.Pack(nil, l, q.now, 30*time.Millisecond), l.To()).headers {
					sent = append(sent, sending{seq: h.Seq, at: q.now})
				}
			}
			q.now += time.Millisecond
			for ; len(sent) > 0 && sent[0].at+slow <= q.now; sent = sent[1:] {
				if e, at, exact := q.Answered(peerAddr(1), sent[0].seq); e != nil {
					q.want(at == sent[0].at && exact, "the attempt at %v is taken for one at %v", sent[0].at, at)
					q.Accepted(e, q.now, roundTrip)
				}
			}
			q.overdue(0)
		}
	}
}
