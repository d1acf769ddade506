package outbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// audit checks everything that holds of a queue between two calls.
func (q *bench) audit() {
	q.t.Helper()
	data, acks, hellos, listed, numbered := 0, 0, 0, 0, 0
	seen := map[*Envelope]bool{}
	for to, l := range q.peers {
		q.want(l.to == to, "the peer of %v is found under %v", l.to, to)
		q.want(!l.idle(), "the idle peer of %v was not freed", to)
		q.want(l.listed || !l.sendable() && len(l.acks) < AcksInHand, "the peer of %v has something to send and no turn", to)
		due, any := l.due()
		q.want(!any || l.index >= 0 && l.wake <= due, "the peer of %v is due at %v and wakes at %v, index %d", to, due, l.wake, l.index)
		q.want(l.index < 0 || l.index < len(q.timers) && q.timers[l.index] == l, "the peer of %v is not at its index %d of the timers", to, l.index)
		flight, outstanding := 0, 0
		for _, c := range l.chains() {
			n := 0
			var prev *Envelope
			for e := c.head; e != nil; prev, e = e, e.links[inQueue].next {
				q.want(e.peer == l && e.chain == c && e.links[inQueue].prev == prev && !seen[e], "an envelope to %v is in the wrong chain", to)
				seen[e] = true
				n++
				if e.IsData() {
					data++
				}
				if e.Kind == wire.TypeHello {
					hellos++
				}
				if e.IsData() && (c == &l.sent || e.Attempts == 1 && (c == &l.final || c == &l.grace)) {
					flight++
				}
				began := e.IsData() && e.Attempt > 0 && c != &l.grace
				q.want((e.begunAt != 0) == began, "an envelope to %v in attempt %d began as number %d", to, e.Attempt, e.begunAt)
				if began {
					outstanding++
				}
				q.want(e.Size() <= q.config.Room, "an envelope of %d bytes waits for a room of %d", e.Size(), q.config.Room)
				if e.Seq != 0 {
					numbered++
					q.want(q.bySeq[e.Seq] == e, "number %d is not found", e.Seq)
				}
				if c == &l.sent || c == &l.final || c == &l.grace {
					q.want(prev == nil || prev.Deadline <= e.Deadline, "the deadlines of a chain to %v are not in order", to)
					q.want((e.Attempt >= e.Attempts) == (c != &l.sent), "attempt %d of %d waits in the wrong chain", e.Attempt, e.Attempts)
				}
			}
			q.want(c.tail == prev && c.len == n, "a chain to %v holds %d and says %d", to, n, c.len)
		}
		q.want(l.outstanding.len == outstanding, "%d Data to %v may be sent again, counted %d", outstanding, to, l.outstanding.len)
		for e := l.outstanding.head; e != nil && e != l.outstanding.tail; e = e.links[inOutstanding].next {
			q.want(e.begunAt < e.links[inOutstanding].next.begunAt, "what was outstanding to %v is not in order", to)
		}
		q.want(l.flight == flight, "%d Data are in flight to %v, counted %d", flight, to, l.flight)
		controls := 0
		for _, c := range l.chains() {
			for e := c.head; e != nil; e = e.links[inQueue].next {
				if !e.IsData() {
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
		q.want(seen[e] && !e.IsData(), "the age chain holds what no peer has")
		if next := e.links[inAge].next; next != nil {
			q.want(q.emitted[e] <= q.emitted[next], "the age chain is not in order of age")
		}
		aged++
	}
	q.want(aged == q.age.len && aged+data == len(seen) && data == q.stats.Data, "control %d counted %d, data %d counted %d, in peers %d", aged, q.age.len, data, q.stats.Data, len(seen))
	q.want(acks == q.stats.Acks && hellos == q.stats.Hellos, "acks %d counted %d, Hellos %d counted %d", acks, q.stats.Acks, hellos, q.stats.Hellos)
	for _, l := range q.freePeers { // whose turn came to nothing
		if l.listed {
			listed++
		}
	}
	q.want(listed == q.ready.Len(), "%d peers have a turn and %d turns are given", listed, q.ready.Len())
	q.want(len(q.peers)+len(q.freePeers) <= 4*q.config.Limit, "there are %d peers, and %d free, with bounds of %d", len(q.peers), len(q.freePeers), q.config.Limit)
	q.want(numbered == len(q.bySeq), "%d envelopes have a number and %d are found by one", numbered, len(q.bySeq))
	for i, l := range q.timers {
		q.want(l.index == i && q.peers[l.to] == l, "timer %d is of a peer that is gone or elsewhere", i)
		q.want(i == 0 || q.timers[(i-1)/2].wake <= l.wake, "the timers are no heap at %d", i)
	}
	q.want(q.age.len <= q.config.Limit && q.stats.Data <= q.config.Limit, "a bound of %d is broken: %d control, %d data", q.config.Limit, q.age.len, q.stats.Data)
	for _, l := range q.freePeers {
		q.want(q.peers[l.to] != l && l.idle() && l.index < 0, "a peer is both free and in use")
	}
	for e := q.freeEnvs; e != nil; e = e.links[inQueue].next {
		q.want(!seen[e] && e.Entry == nil && e.chain == nil && e.Seq == 0, "an envelope is both free and in use")
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
	q := newBench(t, Config{Limit: []int{1, 5, 64, 1024}[seed%4]})
	q.log = datalog.New(1 << 14)
	messages := []*datalog.Entry{}
	for i := range 20 {
		messages = append(messages, q.log.Put(7, uint32(i+1), make([]byte, rng.IntN(400)), 0))
	}
	q.rng = rand.New(rand.NewPCG(uint64(seed), 1))
	peers := 1 + rng.IntN(40)
	alive := map[*Envelope]bool{} // answered ones that must be in the queue
	sync := func() {              // what was displaced is gone
		here := map[*Envelope]bool{}
		for e := range q.All() {
			here[e] = true
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
		switch rng.IntN(13) {
		case 0, 1:
			l := q.peers[to]
			refused := l != nil && l.controls >= q.Share()
			oldest, full := q.age.head, q.age.len == q.config.Limit && !refused
			kind := []wire.Type{wire.TypeHello, wire.TypeMemberList}[rng.IntN(2)]
			attempts := rng.IntN(4) // 0 is NoAnswer
			if full {
				delete(alive, oldest)
			}
			e := q.Emit(to, kind, make([]byte, rng.IntN(400)), attempts)
			q.want((e == nil) == refused, "control was refused: %v, and the recipient had its share: %v", e == nil, refused)
			q.emitted[e] = step
			if e != nil && attempts != NoAnswer {
				alive[e] = true
			}
		case 2, 3, 4:
			c := Copy{Entry: messages[rng.IntN(len(messages))], Hops: 1, Arc: ring.Arc{Lo: 1, Hi: 2 + rng.Uint32()/2}}
			attempts := 1 + rng.IntN(3)
			if rng.IntN(3) == 0 {
				c.Flags, c.Arc, attempts = wire.FlagPull, ring.Arc{}, NoAnswer
			}
			refused := q.Spare() == 0 || wire.DataSize(wire.FlagArc, len(c.Entry.Payload)) > q.config.Room
			e := q.EmitData(to, c, attempts)
			q.want((e == nil) == refused, "Data was refused: %v, and there was no room: %v", e == nil, refused)
			if e != nil && attempts != NoAnswer {
				alive[e] = true
			}
		case 5:
			q.Acknowledge(q.now, to, rng.Uint32())
		case 6:
			if sent := slices.Sorted(maps.Keys(q.bySeq)); len(sent) > 0 {
				e := q.bySeq[sent[rng.IntN(len(sent))]]
				q.want(q.Acknowledged(e.peer.to, e.Seq, nobodyElse) == e, "what was sent is not found by its number")
				delete(alive, e)
				q.Drop(e)
			}
		case 7, 8, 9:
			for range 1 + rng.IntN(4) {
				if l := q.Next(); l != nil {
					b := q.Pack(nil, l, q.now, time.Duration(rng.IntN(300))*time.Millisecond)
					q.want(len(b) <= q.config.Room, "a datagram has %d bytes, with seed %d", len(b), seed)
				}
			}
		case 10:
			at, any := q.Deadline()
			if any && rng.IntN(2) == 0 {
				q.now = max(q.now, at)
			} else {
				q.now += time.Duration(rng.IntN(int(50 * time.Millisecond)))
			}
			acted := 0
			pending := q.ready.Len()
			for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
				acted++
				q.want(e.Deadline <= q.now, "an envelope is overdue before its deadline, with seed %d", seed)
				switch {
				case e.Attempt < e.Attempts:
					if rng.IntN(3) == 0 { // somebody else covers it
						e.Arc, e.Flags = ring.Arc{}, e.Flags&^wire.FlagArc
					}
					q.Resend(q.now, e)
				case e.chain != &e.peer.grace:
					q.Grace(e)
				default:
					delete(alive, e)
					q.Drop(e)
				}
			}
			q.want(!any || at > q.now || acted > 0 || q.ready.Len() > pending, "at its deadline the queue had nothing to do, with seed %d", seed)
			next, more := q.Deadline()
			q.want(!more || next > q.now, "the deadline is in the past after all that was overdue, with seed %d", seed)
		case 11:
			if e := q.Any(to); e != nil && rng.IntN(3) == 0 { // the recipient is no member any more
				delete(alive, e)
				q.Drop(e)
			} else if rng.IntN(300) == 0 {
				q.Clear()
				clear(alive)
				q.Trim()
				q.want(q.freeEnvs == nil && q.freePeers == nil, "an empty queue keeps what is free")
			}
		case 12:
			q.SetRoom([]int{420, 512}[rng.IntN(2)], func(e *Envelope) {
				q.want(e.IsData() && e.Size() > q.config.Room, "an envelope of %d bytes is dropped for a room of %d", e.Size(), q.config.Room)
				delete(alive, e)
				q.Drop(e)
			})
		}
		if step%16 == 0 || steps-step < 50 {
			q.audit()
			sync()
		}
	}
	q.Clear()
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
			q := newBench(b, Config{Limit: 2048})
			for i := range n - 1 { // they wait for an answer
				q.EmitData(peerAddr(i%256), Copy{Entry: q.one, Hops: 1, Arc: ring.Arc{Lo: 1, Hi: 2}}, 3)
			}
			buffer := make([]byte, 0, q.config.Room)
			for l := q.Next(); l != nil; l = q.Next() {
				q.Pack(buffer, l, q.now, time.Hour)
			}
			to := peerAddr(300)
			b.ReportAllocs()
			for b.Loop() {
				q.now++
				e := q.EmitData(to, Copy{Entry: q.one, Hops: 1, Arc: ring.Arc{Lo: 1, Hi: 2}}, 3)
				q.Pack(buffer, q.Next(), q.now, patience)
				if q.Overdue(q.now) != nil {
					b.Fatal("something is overdue too early")
				}
				q.Drop(q.Acknowledged(to, e.Seq, nobodyElse))
			}
		})
	}
}
