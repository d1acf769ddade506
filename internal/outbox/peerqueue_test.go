package outbox

import (
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestPeerQueuesTakeTurns(t *testing.T) {
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

func TestPeerQueueStarvesNeitherControlNorData(t *testing.T) {
	q := newBench(t, Config{Limit: 64})
	count := map[byte]int{}
	for range 200 {
		for q.TakesRepair(peerAddr(1)) { // both always have as much as they like to send
			q.repairTo(1)
		}
		for q.age.len < q.Share() {
			q.control(1, 100, NoAnswer)
		}
		d := q.datagram()
		for i := range len(d.kinds) {
			count[d.kinds[i]]++
		}
	}
	q.want(count['C'] > 300 && count['D'] > 300, "in 200 datagrams went %d control and %d Data", count['C'], count['D'])
	q.audit()
}

func TestPeerQueueThatGetsNoAnswerHoldsUpNoOther(t *testing.T) {
	q := newBench(t, Config{Limit: 300})
	for range 200 {
		q.copyTo(1, 3) // never answers
	}
	q.flush()
	for i := range 100 {
		e := q.copyTo(2, 3)
		d := q.flush()
		q.want(len(d) == 1 && d[0].to == peerAddr(2), "message %d to the other should go at once", i)
		q.accept(e)
	}
	q.audit()
}

func TestWindowBoundsTheBytesInFlightButNoControlAndNoRepairs(t *testing.T) {
	q := newBench(t, Config{})
	for range 200 {
		q.copyTo(1, 3)
	}
	q.control(1, 100, 1)
	sent, l := kinds(q.flush()), q.peers[peerAddr(1)]
	fit := (firstWindow + oneSize - 1) / oneSize // the last one may exceed it
	q.want(len(sent) == fit+1, "%d messages went out, one of them control; the window has room for %d", len(sent), fit)
	q.want(l.flight == fit*oneSize && l.window == firstWindow, "%d bytes are in flight in a window of %d", l.flight, l.window)
	q.want(!q.Pending(), "a queue whose window is full has nothing to send")
	q.control(1, 100, 1)
	q.repairTo(1)
	d := q.flush()
	q.want(len(d) == 1 && (d[0].kinds == "CD" || d[0].kinds == "DC") && d[0].data[0].Flags&wire.FlagPull != 0, "control and a repair should pass by: %q", kinds(d))
	q.want(l.flight == fit*oneSize, "a repair expects no answer, but %d bytes are in flight", l.flight)
	q.audit()
	q.accept(l.sent.head)
	q.want(len(q.flush()) == 1, "when one is answered another should go")
	q.audit()
}

// The window grows by what is answered while half of it is used, up to what a path of that
// round trip holds.
func TestWindowGrowsUpToWhatThePathHolds(t *testing.T) {
	for _, c := range []struct{ roundTrip, most int }{
		{0, lanWindow}, {1, lanWindow + perMilli}, {20, lanWindow + 20*perMilli}, {200, mostWindow}, {3000, mostWindow},
	} {
		q := newBench(t, Config{Limit: 1 << 20})
		l := q.copyTo(1, 3).peer
		for range 15_000 {
			q.copyTo(1, 3)
		}
		before := firstWindow
		for l.data.len > 0 {
			q.flush()
			q.want(l.flight < l.window+oneSize || l.outstanding.len == span, "%d bytes are in flight in a window of %d", l.flight, l.window)
			e := l.sent.head
			grows := 2*l.flight >= l.window
			q.Accepted(e, q.now, time.Duration(c.roundTrip)*time.Millisecond)
			want := before
			if grows {
				want = min(before+oneSize, max(c.most, before))
			}
			q.want(l.window == want, "at a round trip of %d ms the window is %d after %d, not %d", c.roundTrip, l.window, before, want)
			before = l.window
		}
		most := min(c.most, 2*span*oneSize) // no more than the span is ever in flight
		q.want(l.window >= most-oneSize && l.window <= c.most, "at a round trip of %d ms the window ends at %d, the most is %d", c.roundTrip, l.window, c.most)
		q.audit()
	}
}

func TestWindowOfWhichLittleIsUsedDoesNotGrow(t *testing.T) {
	q := newBench(t, Config{})
	for range 500 {
		for range 10 {
			q.copyTo(1, 3)
		}
		q.flush()
		l := q.peers[peerAddr(1)]
		for e := l.sent.head; e != nil; e = l.sent.head {
			q.accept(e)
		}
		q.want(l.window == firstWindow, "with %d bytes at a time the window grew to %d", 10*oneSize, l.window)
	}
}

func TestWindowHalvesOnceInARoundTripWithoutAnswers(t *testing.T) {
	q := newBench(t, Config{})
	for range 400 {
		q.copyTo(1, UntilAnswered)
	}
	q.flush()
	l := q.peers[peerAddr(1)]
	l.window = 16 * leastWindow
	for round, want := range []int{8, 4, 2, 1, 1} {
		again := q.overdue(longestWait + patience + 1) // later than the timeout of any attempt
		q.want(len(again) > 0 && l.window == want*leastWindow, "after round %d without an answer, of %d messages, the window is %d, not %d", round+1, len(again), l.window, want*leastWindow)
		q.flush()
		q.want(l.flight < l.window+oneSize, "%d bytes are in flight with a window of %d", l.flight, l.window)
		q.audit()
	}
}

func TestWhatWasNotAnsweredGoesAgainBeforeOtherData(t *testing.T) {
	q := newBench(t, Config{})
	first := q.copyTo(1, 3)
	for range 999 {
		q.copyTo(1, 3)
	}
	q.flush()
	l := first.peer
	for e := l.sent.tail; e != first; e = l.sent.tail { // all but the first arrive, by hand
		q.Drop(e)
	}
	seq := first.Seq
	q.overdue(patience)
	d := q.datagram()
	q.want(first.Attempt == 2 && first.Seq != seq && d.headers[0].Seq == first.Seq, "%d messages are sent before the one that was lost", len(d.headers))
	q.audit()
}

// A recipient that gets one message only later has room for Config.Span that follow.
func TestSpanIsHowManyBeginAfterOneThatIsNotAnswered(t *testing.T) {
	q := newBench(t, Config{Limit: 3 * span})
	first := q.copyTo(1, 3)
	for range 3 * span {
		q.copyTo(1, 3)
	}
	l := first.peer
	run := func() (n int) { // how many go out while all but the first are answered
		for {
			d := kinds(q.flush())
			for e := l.sent.tail; e != nil && e != first; e = l.sent.tail {
				q.accept(e)
			}
			if q.audit(); len(d) == 0 {
				return n
			}
			n += len(d)
		}
	}
	n := run()
	q.want(n == 1+span, "while the first is unanswered %d others begin, not %d", n-1, span)
	q.want(q.Oldest(peerAddr(1)) == first, "the first is the one that waits longest")
	q.overdue(patience)
	n = run()
	q.want(n == 1, "the first is sent again, and with it %d others", n-1)
	q.control(1, 100, 1)
	q.repairTo(1)
	n = len(kinds(q.flush()))
	q.want(n == 2, "control and a repair should pass by, but %d messages do", n)
	q.accept(first)
	n = run()
	q.want(n == 2*span && q.Oldest(peerAddr(1)) == nil, "once the first is answered the others go, but of %d there do %d", 2*span, n)
	q.audit()
}

func TestPeerQueuesAndEnvelopesAreUsedAgain(t *testing.T) {
	q := newBench(t, Config{})
	for i := range 1000 {
		e, f := q.control(i, 100, 3), q.copyTo(i, 3)
		q.Acknowledge(q.now, peerAddr(i), 9, i%2 == 0)
		q.flush()
		q.refuse(f)
		q.now += roundTrip
		q.Overdue(q.now)
		q.flush()
		q.accept(e)
		q.accept(f)
		q.want(len(q.peers) == 0, "the queue to recipient %d stays", i)
	}
	envelopes := 0
	for e := q.freeEnvs; e != nil; e = e.links[inQueue].next {
		envelopes++
	}
	q.want(len(q.freePeers) == 1 && envelopes == 2, "%d queues and %d envelopes are kept for 1 and 2 at a time", len(q.freePeers), envelopes)
	q.audit()
	l := q.control(5, 100, 3).peer
	q.want(l.window == firstWindow && l.shrunkAt == 0 && l.owed() == 0 && l.flight == 0 && l.begun == 0 && !l.busy && l.backoff == 0,
		"a queue that is used again remembers its last recipient: %+v", l)
}

func TestAPeerQueueThatIsFreedKeepsLittleMemoryForNumbers(t *testing.T) {
	q := newBench(t, Config{})
	for _, attempts := range []int{1, 70} {
		e := q.copyTo(1, UntilAnswered)
		for range attempts * leastNumbers {
			q.flush()
			q.refuse(e)
			q.now += longestBackoff
			q.Overdue(q.now)
		}
		l := q.peers[peerAddr(1)]
		many := len(l.numbers.slots) > 64*leastNumbers
		q.flush()
		q.accept(e)
		q.want((l.numbers.slots == nil) == many, "after %d attempts a queue that is freed has room for %d", attempts*leastNumbers, len(l.numbers.slots))
		q.want(many == (attempts > 64), "%d attempts of what waits are remembered: %v", attempts*leastNumbers, many)
	}
	q.audit()
}

// grown makes an idle queue whose window has grown.
func (q *bench) grown(to int) *PeerQueue {
	q.t.Helper()
	for range 2 * firstWindow / oneSize {
		q.copyTo(to, 3)
	}
	q.flush()
	l := q.peers[peerAddr(to)]
	for l.load() > 0 {
		q.accept(l.sent.head)
		q.flush()
	}
	q.want(l.window > firstWindow, "the window is %d", l.window)
	return l
}

func TestAnIdlePeerQueueRemembersItsWindowForAWhile(t *testing.T) {
	for _, c := range []struct {
		story string
		use   func(q *bench) // shortly before the time is over
		after time.Duration  // of that time
		kept  bool
	}{
		{"it is not used", func(q *bench) {}, 0, false},
		{"it is not used, and the time is not over", func(q *bench) {}, -1, true},
		{"it is used for control", func(q *bench) {
			e := q.control(1, 100, 3)
			q.flush()
			q.accept(e)
		}, keepFor / 2, true},
		{"it is used for Data that is not answered yet", func(q *bench) {
			q.copyTo(1, 3)
			q.flush()
		}, 0, true},
		{"it is used for an acknowledgement, which waits", func(q *bench) { q.Acknowledge(q.now, peerAddr(1), 1, false) }, 0, true},
		{"it is used for an acknowledgement, which is sent", func(q *bench) {
			q.Acknowledge(q.now, peerAddr(1), 1, false)
			q.now += 10 * time.Millisecond
			q.Overdue(q.now)
			q.want(kinds(q.flush()) == "A", "the acknowledgement is due")
		}, keepFor / 2, true},
	} {
		q := newBench(t, Config{})
		l := q.grown(1)
		window, end := l.window, q.now+keepFor
		q.audit()
		at, any := q.Deadline()
		q.want(any && at == end, "%s: the next deadline is %v, not when it is forgotten, %v", c.story, at, end)
		q.now = end - 5*time.Millisecond
		q.want(q.Overdue(q.now) == nil && !q.Pending(), "%s: an idle queue has something to do", c.story)
		c.use(q)
		q.audit()
		q.now = end + c.after
		q.Overdue(q.now)
		q.audit()
		q.want((q.peers[peerAddr(1)] == l) == c.kept, "%s: %v after its time that the queue is kept should be %v", c.story, c.after, c.kept)
		q.want(!c.kept || l.window == window, "%s: its window of %d is %d", c.story, window, l.window)
	}
}

func TestAtMostLimitIdlePeerQueuesAreKept(t *testing.T) {
	const limit = 200
	q := newBench(t, Config{Limit: limit})
	for i := range 3 * limit / 2 {
		q.grown(i)
	}
	q.want(len(q.peers) == limit, "%d idle queues are kept, not %d", len(q.peers), limit)
	for i := range limit {
		q.Acknowledge(q.now, peerAddr(1000+i), 1, false)
	}
	q.want(q.stats.Dropped == 0, "beside them %d of %d acknowledgements find no place", q.stats.Dropped, limit)
	q.Acknowledge(q.now, peerAddr(5000), 1, false)
	q.want(q.stats.Dropped == 1, "one more should be dropped, but %d are", q.stats.Dropped)
	q.audit()
}

func TestAcknowledgementsAloneGetSoManyQueues(t *testing.T) {
	q := newBench(t, Config{Limit: 8})
	for i := range 100 {
		q.Acknowledge(q.now, peerAddr(i), 1, i%2 == 0)
	}
	q.want(len(q.peers) == 16 && q.stats.Dropped == 84, "%d queues for a limit of 8, %d dropped", len(q.peers), q.stats.Dropped)
	q.Acknowledge(q.now, peerAddr(3), 2, false)
	q.want(q.stats.Acks == 17, "a queue that is there takes more")
	q.audit()
}

// With a small limit, messages to many recipients may be on their way. They leave room for
// acknowledgements to others, which would wait for ever otherwise.
func TestQueuesWithMessagesLeaveRoomForThoseOfAcknowledgements(t *testing.T) {
	q := newBench(t, Config{Limit: 2})
	for i := range 20 {
		q.copyTo(i, UntilAnswered)
	}
	q.flush()
	for i := range 10 {
		q.Acknowledge(q.now, peerAddr(100+i), 1, false)
	}
	q.want(q.stats.Acks == 4 && q.stats.Dropped == 6, "%d acknowledgements wait beside 20 messages on their way, %d were dropped", q.stats.Acks, q.stats.Dropped)
	q.audit()
	for i := range 20 {
		q.accept(q.peers[peerAddr(i)].sent.head)
	}
	q.now += 10 * time.Millisecond
	q.Overdue(q.now)
	q.want(len(q.flush()) == 4 && len(q.peers) == 0, "the rest should go, but %d queues stay", len(q.peers))
	q.audit()
}
