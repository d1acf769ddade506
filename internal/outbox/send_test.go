package outbox

import (
	"fmt"
	"math"
	"testing"
	"time"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

func TestControlIsSentAsOftenAsItMayUnderOneNumber(t *testing.T) {
	for attempts := 1; attempts <= 4; attempts++ {
		q := newBench(t, Config{})
		e := q.control(1, 100, attempts)
		var seq uint32
		for i := range attempts {
			d := q.flush()
			q.want(len(d) == 1 && len(d[0].headers) == 1, "attempt %d of %d should go out once", i+1, attempts)
			if i == 0 {
				seq = d[0].headers[0].Seq
			}
			q.want(d[0].headers[0].Seq == seq && seq != 0 && seq&dataNumber == 0, "attempt %d has the number %x after %x", i+1, d[0].headers[0].Seq, seq)
			q.want(int(e.Attempt) == i+1 && e.IsLast() == (i+1 == attempts), "attempt %d is counted as %d", i+1, e.Attempt)
			wait := patience
			if e.IsLast() {
				wait = finalWait
			}
			q.audit()
			q.now += wait - 1
			q.want(q.Overdue(q.now) == nil, "nothing is overdue before its time")
			q.now++
			q.want(q.Overdue(q.now) == e, "attempt %d should be overdue", i+1)
			if !e.IsLast() {
				q.Resend(q.now, e)
			}
		}
		q.Drop(e)
		q.want(len(q.flush()) == 0 && len(q.peers)+len(q.bySeq) == 0, "nothing should be left")
		q.audit()
	}
}

// Each attempt has a number, so that an answer tells which one arrived.
func TestDataHasANumberForEachAttempt(t *testing.T) {
	q := newBench(t, Config{})
	e := q.copyTo(1, UntilAnswered)
	var sent []sending
	for i := range 8 {
		q.flush()
		q.want(e.Seq&dataNumber != 0 && e.SentAt == q.now && int(e.Attempt) == i+1 && !e.IsLast(), "attempt %d is number %x, of %v", e.Attempt, e.Seq, e.SentAt)
		sent = append(sent, sending{seq: e.Seq, at: q.now})
		if i < 7 {
			q.overdue(e.Deadline - q.now)
		}
	}
	for i, s := range sent {
		q.want(i == 0 || s.seq == sent[i-1].seq+1, "after number %x comes %x", sent[max(i-1, 0)].seq, s.seq)
		found, at, exact := q.Answered(peerAddr(1), s.seq)
		q.want(found == e && at == s.at && exact, "attempt %d, sent at %v, is found as one of %v", i+1, s.at, at)
		found, _, _ = q.Answered(peerAddr(2), s.seq)
		q.want(found == nil, "another recipient answered attempt %d", i+1)
	}
	q.Accepted(e, q.now, roundTrip)
	for i, s := range sent {
		found, _, _ := q.Answered(peerAddr(1), s.seq)
		q.want(found == nil, "attempt %d is answered twice", i+1)
	}
	q.audit()
}

// From the fifth attempt on the wait doubles up to 300 ms, unless the timeout is longer.
func TestDataIsSentAgainMoreAndMoreRarely(t *testing.T) {
	for _, c := range []struct {
		timeout time.Duration
		waits   []time.Duration // in ms
	}{
		{20, []time.Duration{20, 20, 20, 20, 40, 80, 160, 300, 300, 300}},
		{200, []time.Duration{200, 200, 200, 200, 300, 300, 300}},
		{1000, []time.Duration{1000, 1000, 1000, 1000, 1000, 1000, 1000}},
	} {
		q := newBench(t, Config{})
		e := q.copyTo(1, UntilAnswered)
		for i, want := range c.waits {
			q.Pack(nil, q.Next(), q.now, c.timeout*time.Millisecond)
			q.want(e.Deadline == q.now+want*time.Millisecond, "the wait of attempt %d with a timeout of %d ms is %v, not %d ms", i+1, c.timeout, e.Deadline-q.now, want)
			q.overdue(e.Deadline - q.now)
		}
	}
}

// A recipient may leave a message unanswered for hours, or say each time that it has no room,
// and take others meanwhile.
func TestAttemptsAreCountedNoFurtherThanTheyCanBe(t *testing.T) {
	q := newBench(t, Config{})
	e := q.copyTo(1, UntilAnswered)
	for range math.MaxUint16 + 10 {
		q.Pack(nil, q.Next(), q.now, patience)
		q.refuse(e)
		q.now += max(longestBackoff, roundTrip)
		q.Overdue(q.now)
	}
	q.want(e.Attempt == math.MaxUint16, "after %d attempts %d are counted", math.MaxUint16+10, e.Attempt)
	q.audit()
	q.flush()
	q.accept(e)
	q.want(q.Stats().Data == 0 && len(q.peers) == 0 && q.unsent == 0, "something is left: %+v", q.Stats())
	q.audit()
}

func TestWhatExpectsNoAnswerIsGoneOnceSent(t *testing.T) {
	q := newBench(t, Config{})
	q.control(1, 100, NoAnswer)
	q.repairTo(1)
	q.want(len(q.flush()) == 1, "both fit one datagram")
	q.want(q.age.len+q.stats.Data+len(q.peers)+len(q.bySeq) == 0, "nothing should wait for an answer")
	_, any := q.Deadline()
	q.want(!any, "there is nothing to wait for")
	q.audit()
}

func TestTimeoutsComeInTheOrderOfTheirDeadlines(t *testing.T) {
	q := newBench(t, Config{})
	due := map[*Envelope]time.Duration{}
	for i := range 200 {
		e := q.control(i*37%50, 100, 3)
		q.Pack(nil, q.Next(), q.now, time.Duration(100+i*61%97)*time.Millisecond)
		due[e] = e.Deadline
		q.now += 300 * time.Microsecond
	}
	q.audit()
	for len(due) > 0 {
		at, any := q.Deadline()
		q.want(any && at >= q.now, "%d envelopes wait; the next deadline is %v, %v", len(due), at, any)
		q.now = at
		for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
			q.want(due[e] == q.now, "an envelope was overdue at %v, its deadline is %v", q.now, due[e])
			delete(due, e)
			q.Drop(e)
		}
		for _, d := range due {
			q.want(d > q.now, "an envelope due at %v was forgotten", d)
		}
	}
	q.audit()
}

func TestSmallMessagesShareDatagramsAndLargeOnesDoNot(t *testing.T) {
	q := newBench(t, Config{})
	for range 11 {
		q.control(1, 100, 1)
	}
	d := q.flush()
	q.want(len(d) == 3 && d[0].kinds == "CCCCC" && d[2].kinds == "C", "11 messages of 100 bytes should go as 5, 5, 1")
	for _, size := range []int{512, 512, 300, 213, 212} {
		q.control(1, size, 1)
	}
	sizes := []int{}
	for l := q.Next(); l != nil; l = q.Next() {
		sizes = append(sizes, len(q.Pack(nil, l, q.now, patience)))
	}
	q.want(fmt.Sprint(sizes) == "[512 512 300 425]", "the sizes are %v", sizes)
}

func TestTheDeadlineIsWhenThereIsSomethingToDo(t *testing.T) {
	q := newBench(t, Config{})
	q.Acknowledge(q.now, peerAddr(1), 1, false) // at +10 ms, if nothing takes it along
	q.control(1, 100, 2)
	q.flush() // took it along; an answer is due at +100 ms
	refused := q.copyTo(4, UntilAnswered)
	q.flush()
	q.refuse(refused) // sent again at +20 ms, to be answered within 100 ms
	q.control(2, 100, 1)
	q.flush() // the last attempt; to be given up at +1 s
	held := q.copyTo(5, UntilAnswered)
	q.flush()
	q.Hold(q.now+1, held) // asked for again at +1 s, and a moment
	q.Acknowledge(q.now, peerAddr(3), 1, true)
	for _, want := range []time.Duration{10 * time.Millisecond, roundTrip, patience, roundTrip + patience, time.Second, time.Second + 1} {
		at, any := q.Deadline()
		q.want(any && at == time.Hour+want, "the next deadline is %v after the start, not %v", at-time.Hour, want)
		q.now = at - 1
		q.want(q.Overdue(q.now) == nil && !q.Pending(), "there is something to do before the deadline")
		q.now = at
		e := q.Overdue(q.now)
		q.want(e != nil || q.Pending(), "at the deadline there is nothing to do")
		for ; e != nil; e = q.Overdue(q.now) {
			q.Drop(e)
		}
		q.flush()
		q.audit()
	}
	_, any := q.Deadline()
	q.want(!any, "all is done")
	q.audit()
}

// While its recipient is silent another member takes over the arc. What is in flight is
// counted as it was sent.
func TestAnArcThatGoesToAnotherLeavesTheCountsRight(t *testing.T) {
	q := newBench(t, Config{})
	arc := ring.Arc{Lo: 1, Hi: 2}
	e := q.EmitData(peerAddr(1), Copy{Entry: q.one, Class: Relayed, Arc: arc}, UntilAnswered)
	q.flush()
	l, size := e.peer, e.Size()
	e.Arc, e.Flags = ring.Arc{}, e.Flags&^wire.FlagArc
	q.audit()
	q.want(l.flight == size && e.Size() < size, "%d bytes are in flight of a copy of %d", l.flight, size)
	q.overdue(patience)
	q.want(l.flight == 0, "%d bytes are in flight of nothing", l.flight)
	q.flush()
	q.want(l.flight == e.Size(), "%d bytes are in flight of a copy of %d", l.flight, e.Size())
	q.audit()
	q.accept(e)
	q.want(l.flight == 0 && q.used[Relayed] == 0, "%d bytes are in flight and %d charged for nothing", l.flight, q.used[Relayed])
	q.audit()
}
