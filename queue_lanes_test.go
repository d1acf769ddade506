package gossip

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

func TestRecipientsTakeTurns(t *testing.T) {
	q := newQueueBench(t, Config{})
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
	q := newQueueBench(t, Config{MaxOutputMessages: 64})
	count := map[byte]int{}
	for range 200 {
		for q.spare() > 0 { // both always have as much as they like to send
			q.emitData(peerAddr(1), q.one, wire.FlagPull, 0, none, 1)
		}
		for q.age.len < q.share() {
			q.emit(peerAddr(1), wire.TypeMemberList, make([]byte, 92), 1, false)
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
	q := newQueueBench(t, Config{})
	for range 200 {
		q.copyTo(1, 3)
	}
	flying := 0
	for _, d := range q.flush() {
		flying += len(d.kinds)
	}
	q.want(flying == firstWindow, "%d Data are in flight, the window starts at %d", flying, firstWindow)
	q.want(!q.pending(), "a lane whose window is full has nothing to send")
	q.control(1, 100, 1)
	d := q.flush()
	q.want(len(d) == 1 && d[0].kinds == "M", "control should pass by")
	q.audit()
}

func TestTheWindowGrowsWithEachAckAndHalvesOncePerRoundTrip(t *testing.T) {
	q := newQueueBench(t, Config{})
	l := q.copyTo(1, 3).lane
	for range 999 {
		q.copyTo(1, 3)
	}
	q.flush()
	for i := range 10 {
		e := q.acknowledged(peerAddr(1), l.sent.head.seq, nobodyElse)
		q.drop(e)
		q.want(l.window == firstWindow+1+i, "after %d acks the window is %d", i+1, l.window)
	}
	q.flush()
	q.want(l.flying == firstWindow+10, "%d are in flight", l.flying)
	for range 500 { // it does not grow for ever
		q.drop(q.acknowledged(peerAddr(1), l.sent.head.seq, nobodyElse))
		q.flush()
		if l.sent.len == 0 {
			break
		}
	}
	q.want(l.window == mostWindow, "the window is %d", l.window)
	for range 500 {
		q.copyTo(1, 5)
	}
	q.flush()
	for round, want := range []int{128, 64, 32, 16, 8, 8} {
		q.now += patience + time.Millisecond
		n := 0
		for e := q.overdue(q.now); e != nil && e.attempt < e.attempts; e = q.overdue(q.now) {
			q.resend(q.now, e)
			n++
		}
		q.want(n > 0 && l.window == want, "after silence in round %d, of %d envelopes, the window is %d, not %d", round+1, n, l.window, want)
		q.want(l.flying <= l.window || n == 0, "%d are in flight with a window of %d", l.flying, l.window)
		if q.flush() == nil {
			break
		}
	}
	q.audit()
}

func TestASilentRecipientHoldsUpNobodyElse(t *testing.T) {
	q := newQueueBench(t, Config{MaxOutputMessages: 300})
	for range 200 {
		q.copyTo(1, 3) // never answers
	}
	q.flush()
	for i := range 100 {
		e := q.copyTo(2, 3)
		d := q.flush()
		q.want(len(d) == 1 && d[0].to == peerAddr(2), "message %d to the other should go at once", i)
		q.drop(q.acknowledged(peerAddr(2), e.seq, nobodyElse))
	}
	q.audit()
}

func TestAnUnsendableRecipientHoldsUpNobodyElse(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20, 30)
	s.fake.fail = map[netip.AddrPort]error{peerAddr(10): syscall.EPERM}
	for range 50 {
		s.want(s.SendData([]byte("for all")) == nil, "SendData failed")
	}
	at20, at30 := 0, 0
	for _, m := range only(s.speak(), wire.TypeData, anybody) {
		switch m.to {
		case peerAddr(20):
			at20++
		case peerAddr(30):
			at30++
		}
	}
	s.want(at20 == 50 && at30 == 50, "the others got %d and %d of 50", at20, at30)
	s.want(s.Stats().SendErrors > 0, "the errors of the system should be counted")
}

func TestLanesAndEnvelopesAreUsedAgain(t *testing.T) {
	q := newQueueBench(t, Config{})
	rounds := func(n int) {
		for i := range n {
			e := q.control(i, 100, 3)
			f := q.copyTo(i, 3)
			q.acknowledge(q.now, peerAddr(i), 9)
			q.flush()
			q.drop(q.acknowledged(peerAddr(i), e.seq, nobodyElse))
			q.drop(q.acknowledged(peerAddr(i), f.seq, nobodyElse))
			q.want(len(q.lanes) == 0, "the lane of recipient %d stays", i)
		}
	}
	rounds(1000)
	envelopes := 0
	for e := q.freeEnvs; e != nil; e = e.links[inLane].next {
		envelopes++
	}
	q.want(len(q.freeLanes) == 1 && envelopes == 2, "%d lanes and %d envelopes are kept for 1 and 2 at a time", len(q.freeLanes), envelopes)
	q.audit()
	l := q.control(5, 100, 3).lane
	q.want(l.window == firstWindow && l.shrunkAt == 0 && len(l.acks) == 0 && l.flying == 0, "a lane used again remembers its last recipient: %+v", l)
}

func TestClearLeavesNothingAndTheQueueUsable(t *testing.T) {
	q := newQueueBench(t, Config{})
	for i := range 40 {
		q.control(i%7, 100, 3)
		q.copyTo(i%9, 3)
		q.emit(peerAddr(i%11), wire.TypeHello, make([]byte, 92), 1, true)
		if i%10 == 0 {
			q.flush()
		}
		q.acknowledge(q.now, peerAddr(i%13), uint32(i))
	}
	q.now += patience
	for range 5 {
		q.resend(q.now, q.overdue(q.now))
	}
	q.audit()
	q.clear()
	q.want(q.age.len+q.data+q.hellos+q.acks+len(q.lanes)+len(q.bySeq)+len(q.timers)+q.ready.Len() == 0, "something is left: %+v", q.queue)
	_, any := q.deadline()
	q.want(!any && !q.pending() && q.overdue(q.now+time.Hour) == nil, "there should be nothing to do")
	q.audit()
	e := q.control(1, 100, 3)
	d := q.flush()
	q.want(len(d) == 1 && d[0].kinds == "M" && e.attempt == 1, "the queue should work on")
	q.audit()
}

func TestTheDeadlineIsWhenThereIsSomethingToDo(t *testing.T) {
	q := newQueueBench(t, Config{})
	q.acknowledge(q.now, peerAddr(1), 1) // at +10 ms, if nothing takes it along
	q.control(1, 100, 2)
	q.flush() // took it along; an answer is due at +100 ms
	spent := q.control(2, 100, 1)
	q.flush()
	q.linger(spent) // due at +1 s
	q.acknowledge(q.now, peerAddr(3), 1)
	for _, want := range []time.Duration{10 * time.Millisecond, patience, time.Second} {
		at, any := q.deadline()
		q.want(any && at == time.Hour+want, "the next deadline is %v after the start, not %v", at-time.Hour, want)
		q.now = at - 1
		q.want(q.overdue(q.now) == nil && !q.pending(), "there is something to do before the deadline")
		q.now = at
		e := q.overdue(q.now)
		q.want(e != nil || q.pending(), "at the deadline there is nothing to do")
		for ; e != nil; e = q.overdue(q.now) {
			q.drop(e)
		}
		q.flush()
	}
	_, any := q.deadline()
	q.want(!any, "all is done")
	q.audit()
}

var none view.Arc // of a copy that asks its recipient to cover nothing
