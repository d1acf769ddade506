package gossip

import (
	"container/heap"
	"net/netip"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// amplification is how many times the bytes of a datagram its source is sent
// in answer before it has proved that it can be reached there, as for a QUIC
// server (RFC 9000, section 8.1).
const amplification = 3

// leastTimeout is how long an acknowledgement is waited for at least, beside
// Config.AckDelay.
const leastTimeout = 5 * time.Millisecond

// envelopeIn is where a datagram that is being handled came from.
type envelopeIn struct {
	from   netip.AddrPort
	member *view.Member // at from; nil: a stranger
	proved bool         // it came with a token
	credit int          // bytes of answer that are left to a source not proven
	push   int          // bytes of repairs that are left to the datagram
}

// proven reports whether the source has shown that it is where it seems to be.
func (e *envelopeIn) proven() bool { return e.proved || e.member != nil && e.member.Proven }

// envelopeOut is one message on its way to one recipient. It moves from chain
// to chain of its lane: waiting to be sent, sent and waiting for an answer,
// spent (sent for the last time), lingering (nothing is expected any more, but
// an answer would still do), and then it is free.
type envelopeOut struct {
	lane  *lane
	chain *chain                  // of the lane, that it is in
	links [chains]envelopeOutLink // by kind of chain

	kind     wire.Type
	seq      uint32        // 0 until it is first sent, the same at every attempt
	attempt  int           // how often it was sent
	attempts int           // how often it may be sent
	answered bool          // an answer is expected; without, it is free once sent
	firstAt  time.Duration // first sent; all times since the service's start
	sentAt   time.Duration // last sent
	deadline time.Duration // of the answer, then of giving up

	body []byte // control: what follows the header

	entry *datalog.Entry // Data: the message, and how it is to go on from there
	flags uint8
	hops  uint8
	arc   view.Arc

	to       uint64 // Direct: the member it is for, 0 if it is not known who is there
	page     uint64 // MemberList: the id at which the next page begins
	left     int    // MemberList: the members that are left for it
	newcomer bool   // Hello: who answers is new to the cluster
}

type envelopeOutLink struct{ prev, next *envelopeOut }

func (e *envelopeOut) isData() bool { return e.entry != nil }

func (e *envelopeOut) size() int {
	if e.to != 0 {
		return wire.DataSize(wire.FlagArc, len(e.entry.Payload))
	}
	if e.isData() {
		return wire.DataSize(e.flags, len(e.entry.Payload))
	}
	return wire.HeaderSize + len(e.body)
}

func (e *envelopeOut) appendTo(b []byte, tag uint16) []byte {
	b = wire.Header{Type: e.kind, Tag: tag, Seq: e.seq}.AppendTo(b)
	if !e.isData() {
		return append(b, e.body...)
	}
	d := wire.Data{
		Origin: e.entry.Origin, Counter: e.entry.Counter,
		Flags: e.flags, Hops: e.hops, Lo: e.arc.Lo, Hi: e.arc.Hi,
		Payload: e.entry.Payload,
	}
	if e.to != 0 {
		d.SetRecipient(e.to)
	}
	return d.AppendTo(b)
}

// The two kinds of chain an envelope can be in at the same time.
const (
	inLane = iota // one of the chains of its lane
	inAge         // all control envelopes, the oldest first
	chains
)

// chain is a doubly linked list through envelopes.
type chain struct {
	head, tail *envelopeOut
	len        int
}

func (c *chain) push(e *envelopeOut, kind int) {
	e.links[kind] = envelopeOutLink{prev: c.tail}
	if c.tail != nil {
		c.tail.links[kind].next = e
	} else {
		c.head = e
	}
	c.tail = e
	c.len++
}

// insert puts e where its deadline belongs, looking from the end: the chain is in
// order, and timeouts differ little.
func (c *chain) insert(e *envelopeOut, kind int) {
	after := c.tail
	for after != nil && after.deadline > e.deadline {
		after = after.links[kind].prev
	}
	if after == c.tail {
		c.push(e, kind)
		return
	}
	before := c.head
	if after != nil {
		before = after.links[kind].next
		after.links[kind].next = e
	} else {
		c.head = e
	}
	before.links[kind].prev = e
	e.links[kind] = envelopeOutLink{prev: after, next: before}
	c.len++
}

func (c *chain) remove(e *envelopeOut, kind int) {
	l := &e.links[kind]
	if l.prev != nil {
		l.prev.links[kind].next = l.next
	} else {
		c.head = l.next
	}
	if l.next != nil {
		l.next.links[kind].prev = l.prev
	} else {
		c.tail = l.prev
	}
	*l = envelopeOutLink{}
	c.len--
}

// The bounds of what is in flight to one recipient, in Data messages. It starts
// at firstWindow, grows by one with each that is acknowledged and halves when
// one is not, at most once per round trip: a burst neither overruns the
// recipient's socket buffer nor stalls.
const (
	leastWindow = 8
	firstWindow = 64
	mostWindow  = 256

	// acksInHand is how many acknowledgements are sent without waiting for more.
	acksInHand = 32
	// mostAcks bounds those that wait while the caller does not call Send.
	mostAcks = 1024
)

// lane is what goes to one recipient: a pair of first-in-first-out chains that
// wait to be sent, the envelopes that wait for an answer in the order in which
// it is due, and the acknowledgements to send.
type lane struct {
	to            netip.AddrPort
	control, data chain // waiting to be sent, again or for the first time
	sent          chain // waiting for an answer before the next attempt
	spent         chain // waiting for an answer after the last attempt
	lingering     chain // waiting on, for as long as a slow loop may take
	flying        int   // Data that wait for an answer, see flies
	controls      int   // in any of the chains
	hellos        int   // of these
	window        int
	shrunkAt      time.Duration
	dataFirst     bool // in the next datagram, so that neither starves the other

	acks   []uint32
	ackDue time.Duration

	wake   time.Duration // never later than the first thing to do by time
	index  int           // in the queue's timers, -1 if it waits for no time
	listed bool          // among the queue's ready lanes
}

func (l *lane) chains() [5]*chain {
	return [...]*chain{&l.control, &l.sent, &l.spent, &l.lingering, &l.data}
}

// waiting returns the first of each kind that waits for an answer; nil: of that
// kind none does.
func (l *lane) waiting() [3]*envelopeOut {
	return [...]*envelopeOut{l.sent.head, l.spent.head, l.lingering.head}
}

func (l *lane) idle() bool {
	return l.control.len+l.data.len+l.sent.len+l.spent.len+l.lingering.len+len(l.acks) == 0
}

// flies reports whether e counts as being in flight: Data that waits for an
// answer, but what was sent for the last time only if that was also the first.
func (l *lane) flies(e *envelopeOut) bool {
	return e.isData() && (e.chain == &l.sent || e.attempts == 1 && (e.chain == &l.spent || e.chain == &l.lingering))
}

// sendable reports whether there is something to send now.
func (l *lane) sendable(now time.Duration) bool {
	return l.control.len > 0 || l.dataSendable() || l.acksDue(now)
}

func (l *lane) dataSendable() bool {
	return l.data.len > 0 && l.flying < l.window
}

func (l *lane) acksDue(now time.Duration) bool {
	return len(l.acks) > 0 && (len(l.acks) >= acksInHand || l.ackDue <= now)
}

// due returns the time of the first thing to do by time.
func (l *lane) due() (at time.Duration, any bool) {
	at = 1<<63 - 1
	if len(l.acks) > 0 && !l.listed {
		at, any = l.ackDue, true
	}
	for _, e := range l.waiting() {
		if e != nil {
			at, any = min(at, e.deadline), true
		}
	}
	return at, any
}

// timers orders lanes by their wake, for container/heap.
type timers []*lane

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].wake < t[j].wake }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	l := x.(*lane)
	l.index = len(*t)
	*t = append(*t, l)
}

func (t *timers) Pop() any {
	old := *t
	l := old[len(old)-1]
	l.index = -1
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return l
}

// lane returns the lane to a recipient, a new one if there is none.
func (q *queue) lane(to netip.AddrPort) *lane {
	l := q.lanes[to]
	if l == nil {
		if n := len(q.freeLanes); n > 0 {
			l, q.freeLanes = q.freeLanes[n-1], q.freeLanes[:n-1]
		} else {
			l = new(lane)
		}
		*l = lane{to: to, window: firstWindow, index: -1, acks: l.acks[:0], listed: l.listed}
		q.lanes[to] = l
	}
	return l
}

// list puts l among the lanes that are ready to send.
func (q *queue) list(l *lane) {
	if !l.listed {
		l.listed = true
		q.ready.Push(l)
	}
}

// settle frees a lane that has nothing left to do. If it is listed it keeps its
// turn, for whoever gets it next.
func (q *queue) settle(l *lane) {
	if !l.idle() || q.lanes[l.to] != l {
		return
	}
	if l.index >= 0 {
		heap.Remove(&q.timers, l.index)
	}
	delete(q.lanes, l.to)
	q.freeLanes = append(q.freeLanes, l)
}

// schedule makes sure that overdue looks at l at the given time.
func (q *queue) schedule(l *lane, at time.Duration) {
	switch {
	case l.index < 0:
		l.wake = at
		heap.Push(&q.timers, l)
	case at < l.wake:
		l.wake = at
		heap.Fix(&q.timers, l.index)
	}
}

// reschedule puts the wake of l where its first thing to do by time is.
func (q *queue) reschedule(l *lane) {
	at, any := l.due()
	if !any {
		heap.Remove(&q.timers, l.index)
		return
	}
	l.wake = at
	heap.Fix(&q.timers, l.index)
}

// timeout returns how long to wait for an answer from an address.
func (g *GossipService) timeout(to netip.AddrPort) time.Duration {
	if m := g.roster.ByAddr(to); m != nil {
		return m.RTT.Timeout(leastTimeout+g.config.AckDelay, g.rtt.Timeout(0, g.config.RetryInterval))
	}
	return g.config.RetryInterval
}

// forward divides an arc of the ring among about k members. For one that is silent no
// more is queued while something is: repair will bring it. But if the node speaks so
// fast that the log would have lost it by then, its own messages are queued, until
// SendData refuses: whoever heeds that loses nothing by a member that stands still
// for a moment.
func (g *GossipService) forward(now time.Duration, e *datalog.Entry, arc view.Arc, k int, flags, hops uint8) {
	if hops >= mostHops {
		return
	}
	pressing := e.Origin == uint64(g.id) && g.log.Brief(now, askAfter)
	g.delegates = g.roster.Split(g.delegates[:0], arc, k, now)
	for _, d := range g.delegates {
		attempts := g.config.RetryAttempts
		if d.Suspect(now) {
			attempts = 1
		}
		if d.Tried && (!d.Proven || !pressing && g.queue.load(d.Addr) > 0) {
			g.stats.DropRelay++ // the queue is not for who may be dead; repair is
			continue
		}
		g.relay(d.Member, e, flags, hops+1, d.Arc, attempts)
	}
}

// relay queues one copy. Of what is only known from hearsay nobody gets more than
// a few messages before it answers: it may be the victim of a lie.
func (g *GossipService) relay(m *view.Member, e *datalog.Entry, flags, hops uint8, arc view.Arc, attempts int) {
	if !m.Proven && g.queue.load(m.Addr) >= leastWindow ||
		g.queue.emitData(m.Addr, e, flags, hops, arc, attempts) == nil {
		g.stats.DropRelay++
	} else if e.Origin != uint64(g.id) {
		g.stats.Relayed++
	}
}

// handOver gives the arc of a silent delegate to another member inside it, or,
// if none is known and the arc is long enough for unknown ones, to the nearest
// outside, once. The silent one is still tried, without an arc.
func (g *GossipService) handOver(now time.Duration, e *envelopeOut) {
	arc, silent := e.arc, g.roster.ByAddr(e.lane.to)
	if silent != nil {
		silent.SuspectUntil = now + suspicion
	}
	e.arc, e.flags = view.Arc{}, e.flags&^wire.FlagArc
	flags := e.flags&wire.FlagNoOut | wire.FlagRe
	to := g.roster.Inside(arc, silent, g.rng, now)
	if to == nil && flags&wire.FlagNoOut == 0 && uint64(arc.Len()) >= 2*g.roster.LocalGap() {
		to, flags = g.roster.Outside(arc, silent, now), flags|wire.FlagOut|wire.FlagNoOut
	}
	if to != nil {
		g.relay(to, e.entry, flags, e.hops, arc, g.config.RetryAttempts)
	}
}

// hint offers a message to a member that left the last copy of it unanswered: if
// it is the message that was lost every time, and not the acknowledgement, the
// member asks for it.
func (g *GossipService) hint(e *envelopeOut) {
	if !e.isData() || e.flags&wire.FlagDirect != 0 {
		return
	}
	g.hints.Add(e.entry.Origin, e.entry.Counter)
	g.emitOffer(e.lane.to, g.repair.Offer(&g.hints, g.room-wire.StatusOverhead))
}

// unanswered goes on with an envelope that got no answer in time: it is sent
// again, and in the end given up.
func (g *GossipService) unanswered(now time.Duration, e *envelopeOut) {
	if !e.arc.Empty() && (e.attempt > 1 || e.attempt >= e.attempts-1) {
		g.handOver(now, e)
	}
	if e.attempt < e.attempts {
		g.nameRecipient(e) // somebody else may be there by now
		g.queue.resend(now, e)
		return
	}
	if e.chain != &e.lane.lingering {
		g.hint(e)
		g.queue.linger(e)
		return
	}
	g.stats.GivenUp++
	m, firstAt := g.roster.ByAddr(e.lane.to), e.firstAt
	g.finish(e)
	if m == nil || m.Heard >= firstAt || g.queue.greets(m.Addr) {
		return
	}
	// On a bad network silence is common: ask before believing it.
	if m.Asked == verifications {
		g.lose(now, m)
		return
	}
	m.Asked++
	m.SuspectUntil = now + verification
	g.greet(m.Addr, 0, g.config.RetryAttempts)
}
