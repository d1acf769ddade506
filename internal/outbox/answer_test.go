package outbox

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestAcksWaitForTheirDelayOrForCompany(t *testing.T) {
	q := newBench(t, Config{})
	q.Acknowledge(q.now, peerAddr(1), 1, false)
	q.now += 4 * time.Millisecond
	q.Acknowledge(q.now, peerAddr(1), 3, true)
	q.Acknowledge(q.now, peerAddr(1), 2, false)
	q.Acknowledge(q.now, peerAddr(1), 2, false)
	q.want(len(q.flush()) == 0 && !q.Pending() && q.Stats().Acks == 3, "3 acks wait, %d are counted", q.Stats().Acks)
	at, any := q.Deadline()
	q.want(any && at == time.Hour+10*time.Millisecond, "the deadline is %v, not that of the first ack", at)
	q.now = at - 1
	q.Overdue(q.now)
	q.want(!q.Pending(), "they should wait to the end")
	q.now = at
	q.Overdue(q.now)
	d := q.flush()
	q.want(len(d) == 1 && d[0].kinds == "AR" && fmt.Sprint(d[0].answered) == "[1 2 3]", "two should be acknowledged and one refused: %q, %d", kinds(d), d[0].answered)
	q.want(d[0].size == 2*(wire.AckOverhead+wire.AckSize), "both are one run each, but take %d bytes", d[0].size)
	q.want(q.stats.Acks == 0 && len(q.peers) == 0, "the queue should be freed")

	for i := range AcksInHand {
		q.want(!q.Pending(), "%d acks should still wait", i)
		q.Acknowledge(q.now, peerAddr(1), uint32(i+1), i%2 == 0)
	}
	d = q.flush()
	q.want(len(d) == 1 && d[0].kinds == "AR", "32 acks and refusals should wait no longer")

	q.Acknowledge(q.now, peerAddr(1), 1, false)
	q.copyTo(1, 3)
	q.control(1, 100, 3)
	d = q.flush()
	q.want(len(d) == 1 && d[0].kinds[0] == 'A' && len(d[0].kinds) == 3, "acks go first in a datagram that goes anyhow: %q", d[0].kinds)
	q.audit()
}

// oddNumber returns a number that makes a run of its own.
func oddNumber(i int) uint32 { return uint32(2*i + 1) }

func TestMoreAcksThanADatagramHoldsGoInSeveral(t *testing.T) {
	for _, refused := range []bool{false, true} {
		q := newBench(t, Config{})
		for i := range MostAcks + 10 {
			q.Acknowledge(q.now, peerAddr(1), oddNumber(i), refused)
		}
		q.want(q.stats.Acks == MostAcks && q.stats.Dropped == 10, "%d acks wait, %d were dropped", q.stats.Acks, q.stats.Dropped)
		total := 0
		for _, wait := range []time.Duration{0, 10 * time.Millisecond} { // too few for 32 wait on
			q.now += wait
			q.Overdue(q.now)
			for _, d := range q.flush() {
				for _, seq := range d.answered {
					q.want(seq == oddNumber(total), "number %d comes where %d should", seq, oddNumber(total))
					total++
				}
			}
			q.audit()
		}
		q.want(total == MostAcks && q.stats.Acks == 0, "%d acks went out of %d, %d are left", total, MostAcks, q.stats.Acks)

		for i := range 512/wire.AckSize + 1 {
			q.Acknowledge(q.now, peerAddr(1), oddNumber(i), refused)
		}
		q.now += 10 * time.Millisecond
		q.flush()
		q.want(q.stats.Acks == 0, "%d acks that are due are left behind the first datagram", q.stats.Acks)
	}
}

// A receiver refuses an Ack of more numbers than wire.MostAcked, however few runs these are.
func TestAnAckHoldsNoMoreNumbersThanItsReceiverTakes(t *testing.T) {
	q := newBench(t, Config{})
	for i := range uint32(3 * wire.MostAcked) {
		q.Acknowledge(q.now, peerAddr(1), i+i/256, false) // in runs of 256
	}
	q.now += 10 * time.Millisecond
	q.Overdue(q.now)
	total := 0
	for _, d := range q.flush() {
		q.want(len(d.answered) <= wire.MostAcked, "a datagram acknowledges %d", len(d.answered))
		total += len(d.answered)
	}
	q.want(total == 3*wire.MostAcked && q.stats.Acks == 0, "%d of %d were acknowledged, %d are left", total, 3*wire.MostAcked, q.stats.Acks)
}

// What did not fit in the datagram and is not due yet must not lose its time while the
// peer queue has a turn.
func TestAcknowledgementsLeftOverAreSentWhenTheyAreDue(t *testing.T) {
	q := newBench(t, Config{})
	room := (512 - wire.AckOverhead) / wire.AckSize
	for i := range room + 5 {
		q.Acknowledge(q.now, peerAddr(1), oddNumber(i), false)
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
