package gossip

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// lingering is how long a member has at least to answer the last attempt, so
// that a slow loop, here or there, does not cost its membership.
const lingering = time.Second

// queue holds the two bounded outbound queues, of control and of Data, sorted
// by recipient into lanes. At the bound of control the oldest envelope makes
// room (but for goodbyes, one for each member, which nothing follows), at the
// bound of Data the new one is refused. To one recipient there is at most a share
// of control, and of repairs: what is more is refused. There is at most one lane
// for each envelope, and for each recipient that is only owed acknowledgements
// up to the two bounds together; then acknowledgements are not made, and the
// other side tries again.
//
// Finding an envelope by its sequence number, a lane by its recipient and the
// next lane to send is O(1); the next one to do something by time O(log lanes).
type queue struct {
	limit    int // of each of the two
	room     int // bytes in a datagram
	tag      uint16
	ackDelay time.Duration
	log      *datalog.Log
	stats    *Stats

	rng    *rand.Rand
	bySeq  map[uint32]*envelopeOut
	lanes  map[netip.AddrPort]*lane
	timers timers
	ready  fifo.Queue[*lane] // to send from, in turn

	age       chain // control, the oldest first
	data      int
	hellos    int
	acks      int
	freeEnvs  *envelopeOut
	freeLanes []*lane
}

func newQueue(c *Config, log *datalog.Log, stats *Stats, rng *rand.Rand) *queue {
	return &queue{
		limit: c.MaxOutputMessages, room: c.MaxMessageSize, tag: wire.ClusterTag(c.Cluster),
		ackDelay: c.AckDelay, log: log, stats: stats, rng: rng,
		bySeq: map[uint32]*envelopeOut{}, lanes: map[netip.AddrPort]*lane{},
	}
}

// share is how much of a queue may be for one recipient, where that is who says how
// much there is to say to it.
func (q *queue) share() int { return max(q.limit/4, min(q.limit, 16)) }

// emit queues a control message; body is copied. It returns nil if the recipient has
// its share.
func (q *queue) emit(to netip.AddrPort, kind wire.Type, body []byte, attempts int, answered bool) *envelopeOut {
	if l := q.lanes[to]; l != nil && l.controls >= q.share() && kind != wire.TypeLeave {
		q.stats.DropControl++
		return nil
	}
	if q.age.len >= q.limit && kind != wire.TypeLeave {
		q.stats.DropControl++
		q.drop(q.age.head)
	}
	e := q.take(to, kind, attempts, answered)
	e.body = append(e.body[:0], body...)
	e.lane.controls++
	q.age.push(e, inAge)
	if kind == wire.TypeHello {
		q.hellos++
		e.lane.hellos++
	}
	q.wait(e)
	return e
}

// spare returns how many more Data envelopes there is room for.
func (q *queue) spare() int { return q.limit - q.data }

// emitData queues a copy of a retained message. Without room, in the queue or in a
// datagram, it returns nil.
func (q *queue) emitData(to netip.AddrPort, m *datalog.Entry, flags, hops uint8, arc view.Arc, attempts int) *envelopeOut {
	if q.data >= q.limit || wire.DataSize(wire.FlagArc, len(m.Payload)) > q.room {
		return nil
	}
	e := q.take(to, wire.TypeData, attempts, flags&wire.FlagPull == 0)
	e.entry, e.flags, e.hops, e.arc = q.log.Retain(m), flags, hops, arc
	if !arc.Empty() {
		e.flags |= wire.FlagArc
	}
	q.data++
	q.wait(e)
	return e
}

// acknowledge owes to an acknowledgement of its envelope seq.
func (q *queue) acknowledge(now time.Duration, to netip.AddrPort, seq uint32) {
	l := q.lanes[to]
	if l == nil && len(q.lanes) >= 2*q.limit || l != nil && len(l.acks) >= mostAcks {
		q.stats.DropControl++
		return
	}
	if l == nil {
		l = q.lane(to)
	}
	if len(l.acks) == 0 {
		l.ackDue = now + q.ackDelay
	}
	l.acks = append(l.acks, seq)
	q.acks++
	if l.acksDue(now) {
		q.list(l)
	} else {
		q.schedule(l, l.ackDue)
	}
}

// acknowledged returns the envelope that from says it has received, or nil if
// none waits for that; the caller drops it. sameNode tells whether two addresses
// are known to be of one node.
func (q *queue) acknowledged(from netip.AddrPort, seq uint32, sameNode func(a, b netip.AddrPort) bool) *envelopeOut {
	e := q.bySeq[seq]
	if e == nil || e.lane.to != from && !sameNode(e.lane.to, from) {
		return nil
	}
	if e.isData() && e.lane.window < mostWindow {
		e.lane.window++
	}
	return e
}

// overdue returns an envelope that was not answered in time, or nil if there is
// none at now; the caller resends or drops it. It is to be called until then.
func (q *queue) overdue(now time.Duration) *envelopeOut {
	for len(q.timers) > 0 && q.timers[0].wake <= now {
		l := q.timers[0]
		if l.acksDue(now) {
			q.list(l)
		}
		for _, e := range l.waiting() {
			if e != nil && e.deadline <= now {
				return e
			}
		}
		q.reschedule(l)
	}
	return nil
}

// deadline returns when overdue will have something to do.
func (q *queue) deadline() (at time.Duration, any bool) {
	for len(q.timers) > 0 {
		l := q.timers[0]
		if at, any = l.due(); any && at <= l.wake {
			return l.wake, true
		}
		q.reschedule(l)
	}
	return 0, false
}

// resend puts an envelope that was not answered back among those to send; its
// lane slows down.
func (q *queue) resend(now time.Duration, e *envelopeOut) {
	l := e.lane
	if e.isData() && now-l.shrunkAt > e.deadline-e.sentAt {
		l.window, l.shrunkAt = max(l.window/2, leastWindow), now
	}
	q.wait(e)
}

// linger gives an envelope that was not answered at its last attempt the rest of
// the patience with its recipient.
func (q *queue) linger(e *envelopeOut) {
	q.unchain(e)
	e.deadline = max(e.deadline, e.sentAt+lingering)
	l := e.lane
	e.chain = &l.lingering
	e.chain.insert(e, inLane)
	if l.flies(e) {
		l.flying++
	}
}

// drop takes e out of everything and frees it.
func (q *queue) drop(e *envelopeOut) {
	l := e.lane
	q.unchain(e)
	if e.seq != 0 {
		delete(q.bySeq, e.seq)
	}
	if e.isData() {
		q.data--
		q.log.Release(e.entry)
	} else {
		q.age.remove(e, inAge)
		l.controls--
		if e.kind == wire.TypeHello {
			q.hellos--
			l.hellos--
		}
	}
	*e = envelopeOut{body: e.body[:0]}
	e.links[inLane].next, q.freeEnvs = q.freeEnvs, e
	if l.sendable(0) {
		q.list(l)
	}
	q.settle(l)
}

// oldest returns an envelope of the lane to a recipient, or nil.
func (q *queue) oldest(to netip.AddrPort) *envelopeOut {
	if l := q.lanes[to]; l != nil {
		for _, c := range l.chains() {
			if c.head != nil {
				return c.head
			}
		}
	}
	return nil
}

// load returns how many messages for that recipient wait to be sent or answered,
// without control that waits to be sent.
func (q *queue) load(to netip.AddrPort) int {
	if l := q.lanes[to]; l != nil {
		return l.data.len + l.sent.len + l.spent.len + l.lingering.len
	}
	return 0
}

// greets reports whether a Hello to that recipient is on its way.
func (q *queue) greets(to netip.AddrPort) bool {
	l := q.lanes[to]
	return l != nil && l.hellos > 0
}

// clear drops everything, acknowledgements too.
func (q *queue) clear() {
	for _, l := range q.lanes {
		q.acks -= len(l.acks)
		l.acks = l.acks[:0]
		for _, c := range l.chains() {
			for c.head != nil {
				q.drop(c.head)
			}
		}
		q.settle(l)
	}
	for l := q.next(); l != nil; l = q.next() {
		q.settle(l)
	}
}

// trim lets an empty queue forget the memory that a busy time has needed.
func (q *queue) trim() {
	if len(q.lanes) > 0 || q.ready.Len() > 0 {
		return
	}
	q.bySeq, q.lanes = map[uint32]*envelopeOut{}, map[netip.AddrPort]*lane{}
	q.ready, q.timers = fifo.Queue[*lane]{}, nil
	q.freeEnvs, q.freeLanes = nil, nil
}

// pending reports whether next has anything to return.
func (q *queue) pending() bool { return q.ready.Len() > 0 }

// next returns the lane whose turn it is to send a datagram, or nil.
func (q *queue) next() *lane {
	l, ok := q.ready.Pop()
	if ok {
		l.listed = false
	}
	return l
}

// pack fills a datagram with what waits in the lane: acknowledgements, then
// control and Data, in turn first. An answer is expected within timeout.
func (q *queue) pack(b []byte, l *lane, now, timeout time.Duration) []byte {
	b = q.packAcks(b, l)
	l.dataFirst = !l.dataFirst
	if l.dataFirst {
		b = q.packData(b, l, now, timeout)
		b = q.packControl(b, l, now, timeout)
	} else {
		b = q.packControl(b, l, now, timeout)
		b = q.packData(b, l, now, timeout)
	}
	if l.sendable(now) {
		q.list(l)
	} else if len(l.acks) > 0 {
		q.schedule(l, l.ackDue)
	}
	q.settle(l)
	return b
}

func (q *queue) packAcks(b []byte, l *lane) []byte {
	n := min(len(l.acks), (q.room-wire.AckOverhead)/wire.AckSize)
	if n == 0 {
		return b
	}
	b = wire.AppendAck(wire.Header{Type: wire.TypeAck, Tag: q.tag, Seq: q.stamp()}.AppendTo(b), l.acks[:n])
	l.acks = l.acks[:copy(l.acks, l.acks[n:])]
	q.acks -= n
	q.stats.MessagesOut++
	return b
}

func (q *queue) packControl(b []byte, l *lane, now, timeout time.Duration) []byte {
	for e := l.control.head; e != nil && len(b)+e.size() <= q.room; e = l.control.head {
		b = q.put(b, e, now, timeout)
	}
	return b
}

func (q *queue) packData(b []byte, l *lane, now, timeout time.Duration) []byte {
	for l.dataSendable() && len(b)+l.data.head.size() <= q.room {
		b = q.put(b, l.data.head, now, timeout)
	}
	return b
}

// put makes one attempt with an envelope that waits.
func (q *queue) put(b []byte, e *envelopeOut, now, timeout time.Duration) []byte {
	l := e.lane
	if e.seq == 0 {
		e.seq = q.stamp()
		e.firstAt = now
		if e.answered {
			q.bySeq[e.seq] = e
		}
	}
	b = e.appendTo(b, q.tag)
	q.stats.MessagesOut++
	e.attempt++
	if e.attempt > 1 {
		q.stats.Retries++
	}
	if !e.answered {
		q.drop(e)
		return b
	}
	e.sentAt = now
	to := &l.sent
	if e.attempt >= e.attempts {
		to = &l.spent
	}
	e.deadline = now + timeout
	q.unchain(e)
	e.chain = to
	to.insert(e, inLane)
	if l.flies(e) {
		l.flying++
	}
	q.schedule(l, e.deadline)
	return b
}

// stamp returns a sequence number, never 0 and never one in use. It is random:
// who names it must have received the envelope, and that is what proves a source.
func (q *queue) stamp() uint32 {
	for {
		if n := q.rng.Uint32(); n != 0 && q.bySeq[n] == nil {
			return n
		}
	}
}

func (q *queue) take(to netip.AddrPort, kind wire.Type, attempts int, answered bool) *envelopeOut {
	e := q.freeEnvs
	if e == nil {
		e = new(envelopeOut)
	} else {
		q.freeEnvs, e.links[inLane].next = e.links[inLane].next, nil
	}
	e.lane, e.kind, e.attempts, e.answered = q.lane(to), kind, attempts, answered
	return e
}

// wait puts e among those of its lane that wait to be sent.
func (q *queue) wait(e *envelopeOut) {
	l := e.lane
	q.unchain(e)
	if e.chain = &l.control; e.isData() {
		e.chain = &l.data
	}
	e.chain.push(e, inLane)
	if l.sendable(0) {
		q.list(l)
	}
}

func (q *queue) unchain(e *envelopeOut) {
	if e.chain == nil {
		return
	}
	if e.lane.flies(e) {
		e.lane.flying--
	}
	e.chain.remove(e, inLane)
	e.chain = nil
}

// measure takes the round trip of an answered envelope. Of one that was sent
// again it is not known which attempt is answered (Karn's rule).
func (g *GossipService) measure(now time.Duration, m *view.Member, e *envelopeOut) {
	if e.attempt == 1 {
		m.RTT.SampleLike(now-e.sentAt, &g.rtt)
		g.rtt.Sample(now - e.sentAt)
	} else {
		m.RTT.Ambiguous(now-e.firstAt, now)
	}
}

// finish drops an envelope that was answered or given up.
func (g *GossipService) finish(e *envelopeOut) {
	if e.isData() && e.flags&wire.FlagDirect != 0 {
		g.direct.Add(e.entry.Counter, g.origins.Pool())
	}
	g.queue.drop(e)
}

// clearLane takes everything to an address that is not a member's any more out
// of the queue. The arcs it should have covered go to others.
func (g *GossipService) clearLane(now time.Duration, to netip.AddrPort) {
	for e := g.queue.oldest(to); e != nil; e = g.queue.oldest(to) {
		if e.flags&wire.FlagDirect != 0 {
			g.stats.GivenUp++
		}
		if e.arc.Empty() {
			g.finish(e)
			continue
		}
		orphan := *e // its place in the queue may be needed for the copy that goes on
		g.log.Retain(orphan.entry)
		g.finish(e)
		g.handOver(now, &orphan)
		g.log.Release(orphan.entry)
	}
}
