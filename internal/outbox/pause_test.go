package outbox

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestWhatIsHeldWaitsForASignOfLifeInItsOrder(t *testing.T) {
	q := newBench(t, Config{})
	var held []*Envelope
	for range 5 {
		held = append(held, q.copyTo(1, UntilAnswered))
	}
	q.flush()
	q.now += patience
	for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
		q.Hold(q.now, e)
		q.audit()
	}
	l := q.peers[peerAddr(1)]
	q.want(l.held.len == 5 && l.flight == 0 && l.window == firstWindow, "%d are held, %d bytes in flight in a window of %d", l.held.len, l.flight, l.window)
	q.copyTo(1, UntilAnswered)
	q.repairTo(1)
	q.control(1, 100, 3)
	q.want(kinds(q.flush()) == "C", "control alone is sent to a recipient that is silent")
	at, any := q.Deadline()
	q.want(any && at == q.now+patience, "the control is due first, at %v", at)
	q.now += holdPause
	n := 0
	for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
		if n++; e.IsData() {
			q.want(e == held[(n+3)%5], "held envelope %d is asked for out of turn", n)
			q.Hold(q.now, e)
		} else {
			q.Drop(e)
		}
	}
	q.want(n == 6 && len(q.flush()) == 0, "after a pause all 5 are asked for again, and the control, but %d are", n)
	q.audit()
	q.Resume(peerAddr(2))
	q.Resume(peerAddr(1))
	q.audit()
	sent := ""
	for i, d := range q.flush() {
		for _, h := range d.headers {
			sent += fmt.Sprint(h.Seq&dataNumber>>31, " ")
		}
		q.want(i > 0 || d.data[0].Flags&wire.FlagPull != 0 && d.headers[1].Seq == held[0].Seq, "the repair goes first, then what was held, in its order")
	}
	q.want(sent == "0 1 1 1 1 1 1 ", "all should be sent: %s", sent)
	for i, e := range held {
		q.want(e.Attempt == 2, "held envelope %d was sent %d times", i, e.Attempt)
		q.accept(e)
	}
	q.audit()
}

// Whatever becomes of what is held, the queue waits for ever on nothing.
func TestAQueueIsSilentOnlyWhileItHoldsSomething(t *testing.T) {
	for _, c := range []struct {
		story string
		do    func(q *bench, held *Envelope)
		sent  int // Data that is sent after that
	}{
		{"nothing", func(q *bench, held *Envelope) {}, 0},
		{"it is accepted late", func(q *bench, held *Envelope) { q.accept(held) }, 1},
		{"it is refused late", func(q *bench, held *Envelope) {
			q.refuse(held)
			q.now += longestBackoff
			q.Overdue(q.now)
		}, 2},
		{"it is given up", func(q *bench, held *Envelope) { q.Drop(held) }, 1},
		{"it is to be sent again", func(q *bench, held *Envelope) {
			q.now += holdPause
			q.want(q.Overdue(q.now) == held, "it is overdue")
			q.Resend(q.now, held)
		}, 2},
		{"it no longer fits in a datagram", func(q *bench, held *Envelope) {
			q.SetRoom(oneSize, func(e *Envelope) {
				q.want(e == held, "only what is held is too long")
				q.Drop(e)
			})
		}, 1},
	} {
		q := newBench(t, Config{})
		held := q.EmitData(peerAddr(1), Copy{Entry: q.log.Detached(7, 2, make([]byte, 300), 0)}, UntilAnswered)
		q.flush()
		small := q.log.Detached(7, 3, nil, 0)
		q.EmitData(peerAddr(1), Copy{Entry: small}, UntilAnswered)
		q.Hold(q.now, held)
		q.want(len(q.flush()) == 0, "%s: Data is sent to a recipient that is silent", c.story)
		c.do(q, held)
		q.audit()
		if n := len(kinds(q.flush())); n != c.sent {
			t.Errorf("%s: %d messages are sent then, not %d", c.story, n, c.sent)
		}
	}
}

// It is sent again after a pause, which doubles while nothing is accepted.
func TestWhatIsRefusedGoesAgainAfterAPause(t *testing.T) {
	q := newBench(t, Config{})
	first, second := q.copyTo(1, UntilAnswered), q.copyTo(1, UntilAnswered)
	for i, pause := range []time.Duration{20, 40, 80, 100, 100} {
		q.flush()
		l := q.peers[peerAddr(1)]
		window := l.window
		if q.now-l.shrunkAt > roundTrip {
			window = max(window/2, leastWindow)
		}
		q.refuse(first)
		q.refuse(second) // of the same burst
		q.want(l.window == window && l.flight == 0, "after refusal %d the window is %d, not %d, with %d bytes in flight", i+1, l.window, window, l.flight)
		q.audit()
		q.control(1, 100, NoAnswer)
		q.want(kinds(q.flush()) == "C", "control should pass by")
		at, any := q.Deadline()
		q.want(any && at == q.now+pause*time.Millisecond, "after refusal %d the pause is %v, not %d ms", i+1, at-q.now, pause)
		q.now = at
		q.want(q.Overdue(q.now) == nil && q.Pending(), "after the pause both should be sent")
	}
	d := q.flush()
	q.want(len(d) == 1 && d[0].headers[0].Seq == first.Seq && d[0].headers[1].Seq == second.Seq, "both should go, in their order")
	q.accept(first)
	q.refuse(second)
	at, _ := q.Deadline()
	q.want(at == q.now+roundTrip, "since one was accepted the pause begins anew, but is %v", at-q.now)
	q.audit()
}

func TestTheFirstPauseIsAboutARoundTrip(t *testing.T) {
	for _, c := range []struct{ roundTrip, first, second time.Duration }{
		{0, 10, 20}, // not measured: AckDelay
		{3, 10, 20},
		{90, 90, 100},
		{400, 400, 400},
	} {
		q := newBench(t, Config{})
		e := q.copyTo(1, UntilAnswered)
		for _, want := range []time.Duration{c.first, c.second} {
			q.flush()
			q.Refused(e, q.now, c.roundTrip*time.Millisecond)
			at, _ := q.Deadline()
			q.want(at == q.now+want*time.Millisecond, "at a round trip of %d ms a pause is %v, not %d ms", c.roundTrip, at-q.now, want)
			q.now = at
			q.Overdue(q.now)
		}
	}
}

func TestWhatIsRefusedIsSentNoMoreOftenThanItMay(t *testing.T) {
	q := newBench(t, Config{})
	e := q.copyTo(1, 3)
	start := q.now
	sent := 0
	for turn := 0; q.Stats().Data > 0; turn++ {
		q.want(turn < 100, "after %v it is still refused", q.now-start)
		if n := len(kinds(q.flush())); n > 0 {
			sent += n
			q.refuse(e)
		}
		at, _ := q.Deadline()
		q.now = at
		for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
			q.want(e.IsLast(), "attempt %d is overdue, though it was refused", e.Attempt)
			q.Drop(e)
		}
		q.audit()
	}
	q.want(sent == 3, "it was sent %d times and may be 3 times", sent)
}
