package outbox

import (
	"net/netip"

	"example.com/gossip/internal/wire"
)

// audit checks everything that holds of a queue between two calls.
func (q *bench) audit() {
	q.t.Helper()
	seen := map[*Envelope]bool{}
	var total Stats
	var used [classes]int
	unsent, repairs, numbered, listed, laden, crowded := 0, 0, 0, 0, 0, 0
	for to, l := range q.peers {
		c := q.auditPeer(to, l, seen)
		total.Data, total.Control, total.Hellos, total.Acks = total.Data+c.data, total.Control+l.controls, total.Hellos+l.hellos, total.Acks+l.owed()
		unsent, repairs, numbered = unsent+l.unsent, repairs+c.repairs, numbered+c.numbered
		for i := range used {
			used[i] += l.used[i]
		}
		if l.crowded {
			crowded++
		}
		if l.listed {
			listed++
		}
		if l.load()+l.control.len > 0 {
			laden++
		}
	}
	q.auditAge(seen)
	q.want(q.age.len == total.Control && total.Control+total.Data == len(seen), "%d control and %d Data are in queues, %d and %d of %d in all", total.Control, total.Data, q.age.len, q.stats.Data, len(seen))
	s := q.Stats()
	total.Messages, total.Retries, total.Dropped, total.Recipients = s.Messages, s.Retries, s.Dropped, len(q.peers)
	q.want(s == total, "counted are %+v, but there are %+v", s, total)
	q.want(q.unsent == unsent && q.repairs == repairs && q.used == used, "counted are %d unsent, %d repairs and %d bytes, but there are %d, %d and %d", q.unsent, q.repairs, q.used, unsent, repairs, used)
	q.want(numbered == len(q.bySeq), "%d control envelopes have a number and %d are found by one", numbered, len(q.bySeq))
	q.want(q.crowded == crowded, "%d queues are crowded, counted are %d", crowded, q.crowded)
	q.want(q.laden == laden, "%d queues have envelopes, counted are %d", laden, q.laden)
	for _, l := range q.freePeers { // whose turn comes to nothing
		if l.listed {
			listed++
		}
		q.want(q.peers[l.to] != l && l.idle() && l.index < 0, "a peer queue is both free and in use")
	}
	q.want(listed == q.ready.Len(), "%d peer queues have a turn and %d turns are given", listed, q.ready.Len())
	for i, l := range q.timers {
		q.want(l.index == i && q.peers[l.to] == l, "timer %d is of a peer queue that is gone or elsewhere", i)
		q.want(i == 0 || q.timers[(i-1)/2].wake <= l.wake, "the timers are no heap at %d", i)
	}
	for e := q.freeEnvs; e != nil; e = e.links[inQueue].next {
		q.want(!seen[e] && e.Entry == nil && e.chain == nil && e.Seq == 0 && e.peer == nil, "an envelope is both free and in use")
	}
}

// counts is what auditPeer has counted.
type counts struct{ data, repairs, numbered int }

// auditPeer checks the queue to one recipient, and adds its envelopes to seen.
func (q *bench) auditPeer(to netip.AddrPort, l *PeerQueue, seen map[*Envelope]bool) (c counts) {
	q.t.Helper()
	var used [classes]int
	flight, outstanding, unsent, controls, hellos := 0, 0, 0, 0, 0
	for _, chain := range l.chains() {
		n := 0
		var prev *Envelope
		for e := chain.head; e != nil; prev, e = e, e.links[inQueue].next {
			q.want(e.peer == l && e.chain == chain && e.links[inQueue].prev == prev && !seen[e], "an envelope to %v is in the wrong chain", to)
			seen[e] = true
			n++
			waits := chain == &l.sent || chain == &l.final
			flies := e.IsData() && waits
			q.want(flies == (e.flight > 0), "an envelope to %v counts for %d bytes in flight", to, e.flight)
			flight += e.flight
			q.want(e.Size() <= q.config.Room, "an envelope of %d bytes waits for a room of %d", e.Size(), q.config.Room)
			q.want((e.Attempt == 0) == (e.Seq == 0), "an envelope to %v in attempt %d has number %x", to, e.Attempt, e.Seq)
			q.want(!waits || e.IsLast() == (chain == &l.final), "attempt %d of %d waits in the wrong chain", e.Attempt, e.Attempts)
			if waits || chain == &l.held {
				q.want(prev == nil || prev.Deadline <= e.Deadline, "the deadlines of a chain to %v are not in order", to)
			}
			if e.Kind == wire.TypeHello {
				hellos++
			}
			if !e.IsData() {
				controls++
				q.want(waits || chain == &l.control, "control to %v waits with Data", to)
				if e.Seq != 0 {
					c.numbered++
					q.want(q.Find(e.Seq) == e && e.Seq&dataNumber == 0, "number %x is not found", e.Seq)
				}
				continue
			}
			c.data++
			used[e.Class] += e.charge()
			switch {
			case e.Class == Repair:
				c.repairs++
				q.want(chain == &l.repairs || e.Attempt > 0, "a repair to %v waits with other Data", to)
			case e.Class == Own && e.Attempt == 0:
				unsent++
			}
			q.want(chain != &l.retransmit || e.Attempt > 0, "Data to %v is to be sent again for the first time", to)
			q.want(chain != &l.data || e.Attempt == 0, "Data to %v is to be sent for the first time again", to)
			if e.Attempt > 0 {
				outstanding++
				found, at, exact := q.Answered(to, e.Seq)
				q.want(found == e && at == e.SentAt && exact, "the last attempt to %v, number %x, is not found", to, e.Seq)
			}
		}
		q.want(chain.tail == prev && chain.len == n, "a chain to %v holds %d and says %d", to, n, chain.len)
	}
	begun := 0
	for e := l.outstanding.head; e != nil; e = e.links[inOrder].next {
		q.want(seen[e] && e.IsData() && e.begunAt > begun && e.begunAt <= l.begun, "what is outstanding to %v is not in order", to)
		begun = e.begunAt
		outstanding--
	}
	q.want(outstanding == 0 && (l.outstanding.len == 0) == (begun == 0), "of what was sent to %v and is not answered %d are not outstanding", to, outstanding)
	q.want(l.outstanding.head == nil || l.begun-l.outstanding.head.begunAt <= q.config.Span, "%d began to %v since one that is not answered", l.begun, to)
	q.want(l.flight == flight, "%d bytes are in flight to %v, counted %d", flight, to, l.flight)
	q.want(l.used == used && l.unsent == unsent, "charged to %v are %d bytes, counted %d, and %d unsent, counted %d", to, used, l.used, unsent, l.unsent)
	q.want(l.crowded == (used[Own] > q.Bytes()/4 || 2*unsent >= max(q.config.Limit/4, 1)), "with %d bytes and %d unsent, the queue to %v is crowded: %v", used[Own], unsent, to, l.crowded)
	q.want(l.controls == controls && l.hellos == hellos, "%d control are for %v, counted %d, and %d Hellos, counted %d", controls, to, l.controls, hellos, l.hellos)
	q.want(l.window >= leastWindow && l.window <= mostWindow, "the window to %v is %d", to, l.window)
	q.auditTurns(to, l)
	return c
}

// auditTurns checks that a queue will do what it has to do, and not before it has.
func (q *bench) auditTurns(to netip.AddrPort, l *PeerQueue) {
	q.t.Helper()
	q.want(l.to == to, "the queue to %v is found under %v", l.to, to)
	q.want(!l.idle() || l.keepUntil > 0 && l.window > firstWindow, "the idle queue to %v was not freed", to)
	q.want(l.idle() || l.keepUntil == 0, "the queue to %v is kept though it is not idle", to)
	q.want(l.listed || !l.sendable(q.config.Span) && l.owed() < AcksInHand, "the queue to %v has something to send and no turn", to)
	q.want(l.listed || l.index >= 0, "nothing will wake the queue to %v", to)
	due, any := l.due()
	q.want(!any || l.index >= 0 && l.wake <= due, "the queue to %v is due at %v and wakes at %v, index %d", to, due, l.wake, l.index)
	q.want(l.index < 0 || l.index < len(q.timers) && q.timers[l.index] == l, "the queue to %v is not at its index %d of the timers", to, l.index)
}

// auditAge checks that the control envelopes, and only they, are in order of age.
func (q *bench) auditAge(seen map[*Envelope]bool) {
	q.t.Helper()
	aged := 0
	for e := q.age.head; e != nil; e = e.links[inOrder].next {
		q.want(seen[e] && !e.IsData(), "the age chain holds what no queue has")
		aged++
	}
	q.want(aged == q.age.len, "the age chain holds %d and says %d", aged, q.age.len)
}
