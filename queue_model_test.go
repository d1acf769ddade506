package gossip

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// audit checks everything that holds of a queue between two calls.
func (q *queueBench) audit() {
	q.t.Helper()
	data, acks, hellos, listed, numbered := 0, 0, 0, 0, 0
	seen := map[*envelopeOut]bool{}
	for to, l := range q.lanes {
		q.want(l.to == to, "the lane of %v is found under %v", l.to, to)
		q.want(!l.idle(), "the idle lane of %v was not freed", to)
		q.want(l.listed || !l.sendable(0), "the lane of %v has something to send and no turn", to)
		due, any := l.due()
		q.want(!any || l.index >= 0 && l.wake <= due, "the lane of %v is due at %v and wakes at %v, index %d", to, due, l.wake, l.index)
		q.want(l.index < 0 || l.index < len(q.timers) && q.timers[l.index] == l, "the lane of %v is not at its index %d of the timers", to, l.index)
		flying := 0
		for _, c := range l.chains() {
			n := 0
			var prev *envelopeOut
			for e := c.head; e != nil; prev, e = e, e.links[inLane].next {
				q.want(e.lane == l && e.chain == c && e.links[inLane].prev == prev && !seen[e], "an envelope to %v is in the wrong chain", to)
				seen[e] = true
				n++
				if e.isData() {
					data++
				}
				if e.kind == wire.TypeHello {
					hellos++
				}
				if e.isData() && (c == &l.sent || e.attempts == 1 && (c == &l.spent || c == &l.lingering)) {
					flying++
				}
				if e.seq != 0 {
					numbered++
					q.want(q.bySeq[e.seq] == e, "number %d is not found", e.seq)
				}
				if c == &l.sent || c == &l.spent || c == &l.lingering {
					q.want(prev == nil || prev.deadline <= e.deadline, "the deadlines of a chain to %v are not in order", to)
					q.want((e.attempt >= e.attempts) == (c != &l.sent), "attempt %d of %d waits in the wrong chain", e.attempt, e.attempts)
				}
			}
			q.want(c.tail == prev && c.len == n, "a chain to %v holds %d and says %d", to, n, c.len)
		}
		q.want(l.flying == flying, "%d Data are in flight to %v, counted %d", flying, to, l.flying)
		controls := 0
		for _, c := range l.chains() {
			for e := c.head; e != nil; e = e.links[inLane].next {
				if !e.isData() {
					controls++
				}
			}
		}
		q.want(l.controls == controls, "%d control are for %v, counted %d", controls, to, l.controls)
		acks += len(l.acks)
		if l.listed {
			listed++
		}
	}
	aged := 0
	for e := q.age.head; e != nil; e = e.links[inAge].next {
		q.want(seen[e] && !e.isData(), "the age chain holds what no lane has")
		if next := e.links[inAge].next; next != nil {
			q.want(q.emitted[e] <= q.emitted[next], "the age chain is not in order of age")
		}
		aged++
	}
	q.want(aged == q.age.len && aged+data == len(seen) && data == q.data, "control %d counted %d, data %d counted %d, in lanes %d", aged, q.age.len, data, q.data, len(seen))
	q.want(acks == q.acks && hellos == q.hellos, "acks %d counted %d, Hellos %d counted %d", acks, q.acks, hellos, q.hellos)
	for _, l := range q.freeLanes { // whose turn came to nothing
		if l.listed {
			listed++
		}
	}
	q.want(listed == q.ready.Len(), "%d lanes have a turn and %d turns are given", listed, q.ready.Len())
	q.want(len(q.lanes) <= 4*q.limit, "there are %d lanes with bounds of %d", len(q.lanes), q.limit)
	q.want(numbered == len(q.bySeq), "%d envelopes have a number and %d are found by one", numbered, len(q.bySeq))
	for i, l := range q.timers {
		q.want(l.index == i && q.lanes[l.to] == l, "timer %d is of a lane that is gone or elsewhere", i)
		q.want(i == 0 || q.timers[(i-1)/2].wake <= l.wake, "the timers are no heap at %d", i)
	}
	q.want(q.age.len <= q.limit && q.data <= q.limit, "a bound of %d is broken: %d control, %d data", q.limit, q.age.len, q.data)
	for _, l := range q.freeLanes {
		q.want(q.lanes[l.to] != l && l.idle() && l.index < 0, "a lane is both free and in use")
	}
	for e := q.freeEnvs; e != nil; e = e.links[inLane].next {
		q.want(!seen[e] && e.entry == nil && e.chain == nil && e.seq == 0, "an envelope is both free and in use")
	}
}

// TestQueueByRandomSteps does at random what a service does with its queue, and
// audits it. A model keeps what must become of each envelope.
func TestQueueByRandomSteps(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { queueByRandomSteps(t, seed, 2000) })
	}
}

func queueByRandomSteps(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	q := newQueueBench(t, Config{MaxOutputMessages: []int{1, 5, 64, 1024}[seed%4]})
	q.log = datalog.New(1 << 14)
	messages := []*datalog.Entry{}
	for i := range 20 {
		messages = append(messages, q.log.Put(7, uint32(i+1), make([]byte, rng.IntN(400)), 0))
	}
	q.rng = rand.New(rand.NewPCG(uint64(seed), 1))
	peers := 1 + rng.IntN(40)
	alive := map[*envelopeOut]bool{} // answered ones that must be in the queue
	sync := func() {                 // what was displaced is gone
		here := map[*envelopeOut]bool{}
		for _, l := range q.lanes {
			for _, c := range l.chains() {
				for e := c.head; e != nil; e = e.links[inLane].next {
					here[e] = true
				}
			}
		}
		gone := 0
		for e := range alive {
			if !here[e] {
				gone++
				delete(alive, e)
			}
		}
		q.want(gone == 0, "%d envelopes were lost, with seed %d", gone, seed)
	}
	for step := range steps {
		to := peerAddr(rng.IntN(peers))
		switch rng.IntN(12) {
		case 0, 1:
			l := q.lanes[to]
			refused := l != nil && l.controls >= q.share()
			oldest, full := q.age.head, q.age.len == q.limit && !refused
			kind := []wire.Type{wire.TypeHello, wire.TypeMemberList}[rng.IntN(2)]
			answered := rng.IntN(4) > 0
			if full {
				delete(alive, oldest)
			}
			e := q.emit(to, kind, make([]byte, rng.IntN(400)), 1+rng.IntN(3), answered)
			q.want((e == nil) == refused, "control was refused: %v, and the recipient had its share: %v", e == nil, refused)
			q.emitted[e] = step
			if answered && e != nil {
				alive[e] = true
			}
		case 2, 3, 4:
			flags, arc := uint8(0), view.Arc{Lo: 1, Hi: 2 + rng.Uint32()/2}
			if rng.IntN(3) == 0 {
				flags, arc = wire.FlagPull, view.Arc{}
			}
			e := q.emitData(to, messages[rng.IntN(len(messages))], flags, 1, arc, 1+rng.IntN(3))
			q.want((e == nil) == (q.data == q.limit && e == nil), "Data was refused though there is room")
			if e != nil && e.answered {
				alive[e] = true
			}
		case 5:
			q.acknowledge(q.now, to, rng.Uint32())
		case 6:
			if sent := slices.Sorted(maps.Keys(q.bySeq)); len(sent) > 0 {
				e := q.bySeq[sent[rng.IntN(len(sent))]]
				q.want(q.acknowledged(e.lane.to, e.seq, nobodyElse) == e, "what was sent is not found by its number")
				delete(alive, e)
				q.drop(e)
			}
		case 7, 8, 9:
			for range 1 + rng.IntN(4) {
				if l := q.next(); l != nil {
					b := q.pack(nil, l, q.now, time.Duration(rng.IntN(300))*time.Millisecond)
					q.want(len(b) <= q.room, "a datagram has %d bytes, with seed %d", len(b), seed)
				}
			}
		case 10:
			at, any := q.deadline()
			if any && rng.IntN(2) == 0 {
				q.now = max(q.now, at)
			} else {
				q.now += time.Duration(rng.IntN(int(50 * time.Millisecond)))
			}
			acted := 0
			pending := q.ready.Len()
			for e := q.overdue(q.now); e != nil; e = q.overdue(q.now) {
				acted++
				q.want(e.deadline <= q.now, "an envelope is overdue before its deadline, with seed %d", seed)
				switch {
				case e.attempt < e.attempts:
					q.resend(q.now, e)
				case e.chain != &e.lane.lingering:
					q.linger(e)
				default:
					delete(alive, e)
					q.drop(e)
				}
			}
			q.want(!any || at > q.now || acted > 0 || q.ready.Len() > pending, "at its deadline the queue had nothing to do, with seed %d", seed)
			next, more := q.deadline()
			q.want(!more || next > q.now, "the deadline is in the past after all that was overdue, with seed %d", seed)
		case 11:
			if e := q.oldest(to); e != nil && rng.IntN(3) == 0 { // the recipient is no member any more
				delete(alive, e)
				q.drop(e)
			} else if rng.IntN(300) == 0 {
				q.clear()
				clear(alive)
			}
		}
		if step%16 == 0 || steps-step < 50 {
			q.audit()
			sync()
		}
	}
	q.clear()
	q.audit()
	// Nobody but the test and the log may hold a message now: the log empty and the
	// references returned, each must be free to be used again.
	ours := map[*datalog.Entry]bool{}
	for _, m := range messages {
		ours[m] = true
		q.log.Release(m)
	}
	q.log.Drop(7)
	for size := 1; size <= 512; size *= 2 {
		for e := q.log.Detached(1, 1, make([]byte, size), 0); ours[e]; e = q.log.Detached(1, 1, make([]byte, size), 0) {
			delete(ours, e)
		}
	}
	q.want(len(ours) == 0, "%d messages are still held by the empty queue, with seed %d", len(ours), seed)
}

func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{1, 32, 1024} {
		b.Run(fmt.Sprint("queued=", n), func(b *testing.B) {
			q := newQueueBench(b, Config{MaxOutputMessages: 2048})
			for i := range n - 1 { // they wait for an answer
				q.emitData(peerAddr(i%256), q.one, 0, 1, view.Arc{Lo: 1, Hi: 2}, 3)
			}
			buffer := make([]byte, 0, q.room)
			for l := q.next(); l != nil; l = q.next() {
				q.pack(buffer, l, q.now, time.Hour)
			}
			to := peerAddr(300)
			b.ReportAllocs()
			for b.Loop() {
				q.now++
				e := q.emitData(to, q.one, 0, 1, view.Arc{Lo: 1, Hi: 2}, 3)
				q.pack(buffer, q.next(), q.now, patience)
				if q.overdue(q.now) != nil {
					b.Fatal("something is overdue too early")
				}
				q.drop(q.acknowledged(to, e.seq, nobodyElse))
			}
		})
	}
}
