package outbox

import (
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestRecipientsTakeTurns(t *testing.T) {
	q := newBench(t, Config{})
	for range 20 {
		for to := range 5 {
			q.control(to, 500, 1)
		}
	}
	for i, d := range q.flush() {
		q.want(d.to == peerAddr(i%5), "datagram %d went to %v", i, d.to)
	}
}

func TestNeitherControlNorDataStarvesTheOther(t *testing.T) {
	q := newBench(t, Config{Limit: 64})
	count := map[byte]int{}
	for range 200 {
		for q.Spare() > 0 { // both always have as much as they like to send
			q.EmitData(peerAddr(1), Copy{Entry: q.one, Flags: wire.FlagPull}, NoAnswer)
		}
		for q.age.len < q.Share() {
			q.Emit(peerAddr(1), wire.TypeMemberList, make([]byte, 92), NoAnswer)
		}
		d := q.datagram()
		for i := range len(d.kinds) {
			count[d.kinds[i]]++
		}
	}
	q.want(count['M'] > 300 && count['D'] > 300, "in 200 datagrams went %d control and %d Data", count['M'], count['D'])
	q.audit()
}

func TestAFullWindowOfDataLeavesControlFree(t *testing.T) {
	q := newBench(t, Config{})
	for range 200 {
		q.copyTo(1, 3)
	}
	flight := 0
	for _, d := range q.flush() {
		flight += len(d.kinds)
	}
	q.want(flight == FirstWindow, "%d Data are in flight, the window starts at %d", flight, FirstWindow)
	q.want(!q.Pending(), "a peer whose window is full has nothing to send")
	q.control(1, 100, 1)
	d := q.flush()
	q.want(len(d) == 1 && d[0].kinds == "M", "control should pass by")
	q.audit()
}

func TestTheWindowGrowsWithEachAckAndHalvesOncePerRoundTrip(t *testing.T) {
	q := newBench(t, Config{})
	l := q.copyTo(1, 3).peer
	for range 999 {
		q.copyTo(1, 3)
	}
	q.flush()
	for i := range 10 {
		e := q.Acknowledged(peerAddr(1), l.sent.head.Seq, nobodyElse)
		q.Drop(e)
		q.want(l.window == FirstWindow+1+i, "after %d acks the window is %d", i+1, l.window)
	}
	q.flush()
	q.want(l.flight == FirstWindow+10, "%d are in flight", l.flight)
	for range 500 { // it does not grow for ever
		q.Drop(q.Acknowledged(peerAddr(1), l.sent.head.Seq, nobodyElse))
		q.flush()
		if l.sent.len == 0 {
			break
		}
	}
	q.want(l.window == MostWindow, "the window is %d", l.window)
	for range 500 {
		q.copyTo(1, 5)
	}
	q.flush()
	for round, want := range []int{128, 64, 32, 16, 8, 8} {
		q.now += patience + time.Millisecond
		n := 0
		for e := q.Overdue(q.now); e != nil && e.Attempt < e.Attempts; e = q.Overdue(q.now) {
			q.Resend(q.now, e)
			n++
		}
		q.want(n > 0 && l.window == want, "after silence in round %d, of %d envelopes, the window is %d, not %d", round+1, n, l.window, want)
		q.want(l.flight <= l.window || n == 0, "%d are in flight with a window of %d", l.flight, l.window)
		if q.flush() == nil {
			break
		}
	}
	q.audit()
}

func TestWhatWasNotAnsweredIsSentAgainBeforeOtherData(t *testing.T) {
	q := newBench(t, Config{})
	first := q.copyTo(1, 3)
	for range 999 {
		q.copyTo(1, 3)
	}
	q.flush()
	for e := first.peer.sent.tail; e != first; e = first.peer.sent.tail { // all but the first arrive
		q.Drop(e)
	}
	q.now += patience
	q.Resend(q.now, q.Overdue(q.now))
	d := q.datagram()
	q.want(first.Attempt == 2 && d.headers[0].Seq == first.Seq, "%d messages are sent before the one that was lost", len(d.headers))
	q.audit()
}

// A recipient that gets one message only later has room for Config.Span that follow.
func TestNoMoreThanTheSpanBeginsAfterOneThatIsNotAnswered(t *testing.T) {
	q := newBench(t, Config{Limit: 3 * span})
	first := q.copyTo(1, 2)
	for q.Spare() > 0 {
		q.copyTo(1, 2)
	}
	l := first.peer
	outstanding := func(attempts int) (n int) { // how many go out while all but the first are answered
		for {
			d := q.flush()
			for e := l.sent.tail; e != nil && e != first; e = l.sent.tail {
				q.Drop(q.Acknowledged(peerAddr(1), e.Seq, nobodyElse))
			}
			if q.audit(); len(d) == 0 {
				return n
			}
			for _, d := range d {
				n += len(d.headers)
			}
			q.want(first.Attempt <= attempts, "it went out %d times", first.Attempt)
		}
	}
	n := outstanding(1)
	q.want(n == 1+span, "with the first unanswered %d others have outstanding, not %d", n-1, span)
	q.now += patience
	q.Resend(q.now, q.Overdue(q.now))
	n = outstanding(2)
	q.want(n == 1, "the first is sent again and with it %d others", n-1)
	q.now += patience
	q.control(1, 100, 1)
	q.want(len(q.flush()) == 1, "control should pass by")
	q.Grace(q.Overdue(q.now))
	n = outstanding(2)
	q.want(n == 2*span-1 && q.peers[first.To()] == l, "when the first only lingers %d go out of %d", n, 2*span-1)
}

func TestASilentRecipientHoldsUpNobodyElse(t *testing.T) {
	q := newBench(t, Config{Limit: 300})
	for range 200 {
		q.copyTo(1, 3) // never answers
	}
	q.flush()
	for i := range 100 {
		e := q.copyTo(2, 3)
		d := q.flush()
		q.want(len(d) == 1 && d[0].to == peerAddr(2), "message %d to the other should go at once", i)
		q.Drop(q.Acknowledged(peerAddr(2), e.Seq, nobodyElse))
	}
	q.audit()
}

func TestLanesAndEnvelopesAreUsedAgain(t *testing.T) {
	q := newBench(t, Config{})
	rounds := func(n int) {
		for i := range n {
			e := q.control(i, 100, 3)
			f := q.copyTo(i, 3)
			q.Acknowledge(q.now, peerAddr(i), 9)
			q.flush()
			q.Drop(q.Acknowledged(peerAddr(i), e.Seq, nobodyElse))
			q.Drop(q.Acknowledged(peerAddr(i), f.Seq, nobodyElse))
			q.want(len(q.peers) == 0, "the peer of recipient %d stays", i)
		}
	}
	rounds(1000)
	envelopes := 0
	for e := q.freeEnvs; e != nil; e = e.links[inQueue].next {
		envelopes++
	}
	q.want(len(q.freePeers) == 1 && envelopes == 2, "%d peers and %d envelopes are kept for 1 and 2 at a time", len(q.freePeers), envelopes)
	q.audit()
	l := q.control(5, 100, 3).peer
	q.want(l.window == FirstWindow && l.shrunkAt == 0 && len(l.acks) == 0 && l.flight == 0, "a peer used again remembers its last recipient: %+v", l)
}

func TestClearLeavesNothingAndTheQueueUsable(t *testing.T) {
	q := newBench(t, Config{})
	for i := range 40 {
		q.control(i%7, 100, 3)
		q.copyTo(i%9, 3)
		q.Emit(peerAddr(i%11), wire.TypeHello, make([]byte, 92), 1)
		if i%10 == 0 {
			q.flush()
		}
		q.Acknowledge(q.now, peerAddr(i%13), uint32(i))
	}
	q.now += patience
	for range 5 {
		q.Resend(q.now, q.Overdue(q.now))
	}
	q.audit()
	q.Clear()
	q.want(q.age.len+q.stats.Data+q.stats.Hellos+q.stats.Acks+len(q.peers)+len(q.bySeq)+len(q.timers)+q.ready.Len() == 0, "something is left: %+v", q.Outbox)
	_, any := q.Deadline()
	q.want(!any && !q.Pending() && q.Overdue(q.now+time.Hour) == nil, "there should be nothing to do")
	q.audit()
	e := q.control(1, 100, 3)
	d := q.flush()
	q.want(len(d) == 1 && d[0].kinds == "M" && e.Attempt == 1, "the queue should work on")
	q.audit()
}

func TestTheDeadlineIsWhenThereIsSomethingToDo(t *testing.T) {
	q := newBench(t, Config{})
	q.Acknowledge(q.now, peerAddr(1), 1) // at +10 ms, if nothing takes it along
	q.control(1, 100, 2)
	q.flush() // took it along; an answer is due at +100 ms
	final := q.control(2, 100, 1)
	q.flush()
	q.Grace(final) // due at +1 s
	q.Acknowledge(q.now, peerAddr(3), 1)
	for _, want := range []time.Duration{10 * time.Millisecond, patience, time.Second} {
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
	}
	_, any := q.Deadline()
	q.want(!any, "all is done")
	q.audit()
}

// What did not fit in the datagram and is not due yet must not lose its time while the
// peer queue has a turn.
func TestAcknowledgementsLeftOverAreSentWhenTheyAreDue(t *testing.T) {
	q := newBench(t, Config{})
	room := (512 - wire.AckOverhead) / wire.AckSize
	for i := range room + 5 {
		q.Acknowledge(q.now, peerAddr(1), uint32(i+1))
	}
	q.Deadline()
	q.flush()
	q.want(q.stats.Acks == 5 && !q.Pending(), "%d are left over, 5 should wait for company", q.stats.Acks)
	q.audit()
	at, any := q.Deadline()
	q.want(any && at == q.now+10*time.Millisecond, "they should be due in 10 ms, not in %v", at-q.now)
	q.now = at
	q.Overdue(q.now)
	q.flush()
	q.want(q.stats.Acks == 0, "%d are never sent", q.stats.Acks)
	q.audit()
}

func TestGoodbyesDisplaceNothing(t *testing.T) {
	q := newBench(t, Config{Limit: 4})
	q.control(99, 100, 1)
	for i := range 10 {
		q.Emit(peerAddr(i), wire.TypeLeave, make([]byte, 8), NoAnswer)
	}
	q.want(len(q.flush()) == 11 && q.stats.Dropped == 0, "of 11 messages %d were dropped", q.stats.Dropped)
}

func TestTheLoadIsWhatWaitsOrIsNotAnswered(t *testing.T) {
	q := newBench(t, Config{})
	load := func(want int, when string) {
		t.Helper()
		q.want(q.Load(peerAddr(1)) == want, "%s the load is %d, not %d", when, q.Load(peerAddr(1)), want)
	}
	load(0, "with no peer")
	q.control(1, 100, 1)
	load(0, "before control was sent")
	once, twice := q.copyTo(1, 1), q.copyTo(1, 2)
	load(2, "before Data were sent")
	q.flush()
	load(3, "after the last attempt of two and the first of one")
	q.Grace(once)
	load(3, "while one lingers")
	q.Drop(twice)
	load(2, "when one was answered")
}
