package outbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// model is a queue, and all that was asked of it as one would note it down.
type model struct {
	*bench
	rng      *rand.Rand
	peers    int
	messages []*datalog.Entry
	emitted  int
	packed   int                    // messages in datagrams
	waiting  map[*Envelope]*message // to be sent or answered
	sent     []attempted            // the last attempts
	owed     map[answer]bool        // to be acknowledged or refused
}

// message is what became of one envelope.
type message struct {
	order   int // of emission
	charge  int
	class   Class
	data    bool
	begun   bool
	attempt int
}

// attempted is one attempt to send a message.
type attempted struct {
	*message
	to  netip.AddrPort
	seq uint32
	at  time.Duration
}

// answer is that a number is to be acknowledged to a recipient, or refused.
type answer struct {
	to      netip.AddrPort
	seq     uint32
	refused bool
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		bench: newBench(t, Config{Limit: []int{1, 5, 64, 1024}[seed%4], Span: []int{10, span}[seed/4%2]}), rng: rand.New(rand.NewPCG(seed, 1)),
		waiting: map[*Envelope]*message{}, owed: map[answer]bool{},
	}
	m.log = datalog.New(1 << 14)
	m.Outbox.rng = m.rng
	for i := range 20 {
		m.messages = append(m.messages, m.log.Put(7, uint32(i+1), make([]byte, m.rng.IntN(400)), 0))
	}
	m.peers = 1 + m.rng.IntN(40)
	return m
}

func (m *model) someone() netip.AddrPort { return peerAddr(m.rng.IntN(m.peers)) }

// emit queues control, which may displace the oldest.
func (m *model) emit() {
	to, kind := m.someone(), []wire.Type{wire.TypeHello, wire.TypeMemberList}[m.rng.IntN(2)]
	controls, toIt := 0, 0
	var oldest *Envelope
	for e, x := range m.waiting {
		if x.data {
			continue
		}
		if controls++; e.To() == to {
			toIt++
		}
		if oldest == nil || x.order < m.waiting[oldest].order {
			oldest = e
		}
	}
	refused := toIt >= m.Share()
	if !refused && controls == m.config.Limit {
		delete(m.waiting, oldest)
	}
	e := m.Emit(to, kind, make([]byte, m.rng.IntN(400)), []int{NoAnswer, 1, 2, 3, UntilAnswered}[m.rng.IntN(5)])
	m.want((e == nil) == refused, "control was refused: %v, and the recipient had its share: %v", e == nil, refused)
	if e != nil {
		m.noteDown(e)
	}
}

func (m *model) noteDown(e *Envelope) {
	m.want(m.waiting[e] == nil, "an envelope is used for two messages")
	m.emitted++
	x := &message{order: m.emitted, data: e.IsData()}
	if x.data {
		x.class, x.charge = e.Class, e.charge()
	}
	m.waiting[e] = x
}

// takes is Takes and TakesRepair by counting.
func (m *model) takes(to netip.AddrPort, c Class, hops int, alone bool) bool {
	used, usedBy, unsent, unsentBy, repairsBy, count := 0, 0, 0, 0, 0, 0
	for e, x := range m.waiting {
		if !x.data || x.class != c {
			continue
		}
		count++
		used += x.charge
		if !x.begun {
			unsent++
		}
		if e.To() != to {
			continue
		}
		repairsBy++
		usedBy += x.charge
		if !x.begun {
			unsentBy++
		}
	}
	limit := m.config.Limit
	switch bytes := bytesEach * limit; c {
	case Repair:
		return used < bytes && count < limit && repairsBy < m.Share()
	case Own:
		return used < bytes && unsent < limit && (alone || usedBy <= bytes/2 && unsentBy < max(limit/4, 1))
	default:
		bytes = bytes / hopClasses * hops
		return used < bytes && (alone || usedBy <= bytes/4)
	}
}

// emitData queues some copies, as long as there is room for them, and sometimes regardless.
func (m *model) emitData() {
	to, class, hops, alone := m.someone(), Class(m.rng.IntN(int(classes))), 1+m.rng.IntN(hopClasses), m.rng.IntN(2) == 0
	for range 1 + m.rng.IntN(1+m.rng.IntN(40)) {
		takes := m.Takes(to, class, uint8(hops), alone)
		if class == Repair {
			takes = m.TakesRepair(to)
		}
		want := m.takes(to, class, hops, alone)
		m.want(takes == want, "room for class %d, hops %d, alone %v, is %v, not %v", class, hops, alone, takes, want)
		if only := m.someone(); class == Own && m.HalfFree(1, only) {
			m.want(takes || to == only && !alone, "half of the room is free, but none for %v, alone %v", to, alone)
		}
		if !takes && m.rng.IntN(8) > 0 {
			return
		}
		c := Copy{Entry: m.messages[m.rng.IntN(len(m.messages))], Class: class, Hops: uint8(hops)}
		attempts := UntilAnswered
		switch {
		case class == Repair:
			c.Flags, attempts = wire.FlagPull, NoAnswer
		case m.rng.IntN(4) == 0:
			c.Flags, attempts = wire.FlagDirect, 1+m.rng.IntN(3)
		default:
			c.Arc = ring.Arc{Lo: 1, Hi: 2 + m.rng.Uint32()/2}
		}
		e := m.EmitData(to, c, attempts)
		fits := wire.DataSize(wire.FlagArc, len(c.Entry.Payload)) <= m.config.Room
		m.want((e != nil) == fits, "Data was queued: %v, and fits: %v", e != nil, fits)
		if e != nil {
			m.noteDown(e)
		}
	}
}

// acknowledge owes a recipient some answers.
func (m *model) acknowledge() {
	a := answer{m.someone(), m.rng.Uint32N(50), m.rng.IntN(4) == 0}
	if m.rng.IntN(8) == 0 {
		a.seq = m.rng.Uint32()
	}
	for range 1 + m.rng.IntN(1+m.rng.IntN(1+m.rng.IntN(400))) {
		m.owe(a)
		a.seq += 1 + m.rng.Uint32N(3)
	}
}

func (m *model) owe(a answer) {
	idle := 0 // queues, or with acknowledgements alone
	for _, l := range m.Outbox.peers {
		if !l.laden() {
			idle++
		}
	}
	room := m.Outbox.peers[a.to] != nil || idle < 2*m.config.Limit
	dropped := m.stats.Dropped
	m.Acknowledge(m.now, a.to, a.seq, a.refused)
	if room {
		m.owed[a] = true
	}
	m.want((m.stats.Dropped == dropped) == room, "there is room for an acknowledgement: %v, and dropped were %d", room, m.stats.Dropped-dropped)
}

// send sends one datagram, and compares it with what moved in the queue.
func (m *model) send() {
	l := m.Next()
	if l == nil {
		return
	}
	was := map[*Envelope]Envelope{}
	var queued []*Envelope
	for _, c := range l.chains() {
		for e := c.head; e != nil; e = e.links[inQueue].next {
			was[e] = *e
			queued = append(queued, e)
		}
	}
	blocked, to := l.busy || l.held.len > 0, l.To()
	b := m.Pack(nil, l, m.now, time.Duration(m.rng.IntN(300))*time.Millisecond)
	m.want(len(b) <= m.config.Room, "a datagram has %d bytes", len(b))
	messages, newest := 0, 0
	for _, e := range queued {
		x, was := m.waiting[e], was[e]
		if e.uses != was.uses { // no answer is expected
			messages++
			m.want(was.Attempts == NoAnswer, "Pack dropped a message that may be answered")
			m.want(!x.data || !blocked, "Data was sent to a recipient that is silent or busy")
			delete(m.waiting, e)
			continue
		}
		if e.Attempt == was.Attempt {
			continue
		}
		messages++
		x.attempt++
		m.want(int(e.Attempt) == x.attempt && e.SentAt == m.now && (e.FirstAt == m.now || x.begun), "attempt %d is counted as %d, sent at %v, first at %v", x.attempt, e.Attempt, e.SentAt, e.FirstAt)
		m.want(e.Attempts == UntilAnswered || int(e.Attempt) <= int(e.Attempts), "attempt %d of %d was made", e.Attempt, e.Attempts)
		m.want(bytes.Contains(b, e.appendTo(nil, m.config.Tag)), "a message that was sent is not in the datagram")
		m.sent = append(m.sent, attempted{x, to, e.Seq, m.now})
		if x.data {
			m.want(!blocked, "Data was sent to a recipient that is silent or busy")
			m.want(l.flight < l.window+m.config.Room, "%d bytes are in flight in a window of %d", l.flight, l.window)
			if !x.begun {
				newest = max(newest, x.order)
			}
		}
		x.begun = true
	}
	for e := l.data.head; e != nil; e = e.links[inQueue].next {
		m.want(m.waiting[e].order > newest, "Data was sent before older Data")
	}
	m.sent = m.sent[max(0, len(m.sent)-2000):]
	for len(b) > 0 {
		h, _ := wire.ParseHeader(b)
		if h.Type != wire.TypeAck {
			break
		}
		messages++
		ack, n, ok := wire.ParseAck(b[wire.HeaderSize:])
		for seq := range ack.Numbers() {
			a := answer{to, seq, ack.Refused}
			m.want(ok && m.owed[a], "%v was not owed", a)
			delete(m.owed, a)
		}
		b = b[wire.HeaderSize+n:]
	}
	m.packed += messages
	m.want(m.stats.Messages == uint64(m.packed), "%d messages were sent, counted %d", m.packed, m.stats.Messages)
}

// answer lets a recipient answer some attempt, one that was answered before or not.
func (m *model) answer() {
	if len(m.sent) == 0 {
		return
	}
	i := m.rng.IntN(len(m.sent))
	if m.rng.IntN(3) > 0 {
		i = len(m.sent) - 1 - m.rng.IntN(min(20, len(m.sent)))
	}
	a := m.sent[i]
	e, at, exact := m.Answered(a.to, a.seq)
	m.want(e == nil || m.waiting[e] == a.message, "number %x of a message finds another", a.seq)
	for other, x := range m.waiting {
		m.want(e != nil || x != a.message, "attempt %x is not found, though its message waits: %+v", a.seq, other)
	}
	if e == nil {
		return
	}
	m.want(at == a.at && exact || !a.data && e.Attempt > 1, "attempt %x, at %v, is found as one at %v", a.seq, a.at, at)
	roundTrip := time.Duration(m.rng.IntN(50)) * time.Millisecond
	if a.data && m.rng.IntN(3) == 0 {
		m.Refused(e, m.now, roundTrip)
		m.want(e.peer.busy, "a queue goes on at once after a refusal")
		return
	}
	delete(m.waiting, e)
	l := e.peer
	m.Accepted(e, m.now, roundTrip)
	m.want(l.held.len == 0, "what was held waits though its recipient answers")
}

// wait moves the clock, and does something with what is overdue.
func (m *model) wait() {
	at, any := m.Deadline()
	if any && m.rng.IntN(2) == 0 {
		m.now = max(m.now, at)
	} else {
		m.now += time.Duration(m.rng.IntN(int(50 * time.Millisecond)))
	}
	if m.rng.IntN(50) == 0 {
		m.now += keepFor
	}
	busy := func() (n int) {
		for _, l := range m.Outbox.peers {
			if l.busy {
				n++
			}
		}
		return n
	}
	pending, before, acted := m.ready.Len(), len(m.Outbox.peers)+busy(), 0
	for e := m.Overdue(m.now); e != nil; e = m.Overdue(m.now) {
		acted++
		m.want(e.Deadline <= m.now, "an envelope is overdue before its deadline")
		if m.rng.IntN(3) == 0 && e.IsData() { // another covers its arc
			e.Arc = ring.Arc{}
			e.Flags &^= wire.FlagArc
			if e.Flags&wire.FlagDirect != 0 {
				e.Recipient = m.rng.Uint64() | 1
			}
		}
		switch {
		case e.IsLast() || m.rng.IntN(20) == 0:
			delete(m.waiting, e)
			m.Drop(e)
		case e.IsData() && m.rng.IntN(3) == 0:
			m.Hold(m.now, e)
		default:
			m.Resend(m.now, e)
		}
	}
	m.want(!any || at > m.now || acted > 0 || m.ready.Len() > pending || len(m.Outbox.peers)+busy() < before, "at its deadline the queue had nothing to do")
	next, more := m.Deadline()
	m.want(!more || next > m.now, "the deadline %v is in the past after all that was overdue", next)
}

// giveUp drops what is queued to one, or everything, or what no longer fits.
func (m *model) giveUp() {
	drop := func(e *Envelope) {
		delete(m.waiting, e)
		m.Drop(e)
	}
	switch to := m.someone(); m.rng.IntN(40) {
	case 0:
		m.Clear()
		clear(m.waiting)
		clear(m.owed)
		m.Trim()
		m.want(m.freeEnvs == nil && m.freePeers == nil, "an empty queue keeps what is free")
	case 1, 2, 3: // the recipient is no member any more
		for e := m.Any(to); e != nil; e = m.Any(to) {
			drop(e)
		}
	case 4, 5:
		m.SetRoom([]int{420, 512}[m.rng.IntN(2)], func(e *Envelope) {
			m.want(e.Size()+8 > m.config.Room, "an envelope of %d bytes is dropped for a room of %d", e.Size(), m.config.Room)
			drop(e)
		})
	case 6:
		m.Resume(to)
	default:
		if e := m.Any(to); e != nil {
			drop(e)
		}
	}
}

// drain lets all recipients answer everything, and the queue must come to its end.
func (m *model) drain() {
	end := m.now + time.Minute
	for m.stats.Data+m.age.len+m.stats.Acks > 0 {
		m.want(m.now < end, "though everything is answered there remain %+v", m.Stats())
		for m.Pending() {
			m.send()
		}
		for _, a := range m.sent {
			if e, _, _ := m.Answered(a.to, a.seq); e != nil {
				delete(m.waiting, e)
				m.Accepted(e, m.now, time.Millisecond)
			}
		}
		m.audit()
		if at, any := m.Deadline(); any && !m.Pending() {
			m.now = max(m.now, at)
		}
		for e := m.Overdue(m.now); e != nil; e = m.Overdue(m.now) {
			m.Resend(m.now, e)
		}
	}
	m.want(len(m.waiting)+len(m.owed) == 0, "%d messages and %d acknowledgements were forgotten", len(m.waiting), len(m.owed))
	m.now += 2 * keepFor
	m.Overdue(m.now)
	m.want(len(m.Outbox.peers) == 0, "%d idle queues are kept", len(m.Outbox.peers))
	m.audit()
}

// TestQueueByRandomSteps does at random what a node does with its queue, and audits it.
func TestQueueByRandomSteps(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { queueByRandomSteps(t, seed, 1200) })
	}
}

func queueByRandomSteps(t *testing.T, seed uint64, steps int) {
	m := newModel(t, seed)
	does := []func(){m.emit, m.emit, m.emitData, m.emitData, m.acknowledge, m.acknowledge, m.answer, m.answer, m.answer, m.send, m.send, m.send, m.send, m.wait, m.giveUp}
	for step := range steps {
		does[m.rng.IntN(len(does))]()
		if step%16 == 0 || steps-step < 50 {
			m.audit()
			m.sync()
		}
		if step%(steps/3) == steps/3-1 {
			m.drain()
		}
	}
	m.Clear()
	m.audit()
	m.releaseAll()
}

// sync checks that exactly what waits is in the queue.
func (m *model) sync() {
	here := 0
	for e := range m.All() {
		here++
		m.want(m.waiting[e] != nil, "an envelope is in the queue that should be gone")
	}
	m.want(here == len(m.waiting), "%d envelopes were lost", len(m.waiting)-here)
}

// releaseAll checks that only the test and the log hold a message now: the log empty and
// the references returned, each must be free to be used again.
func (m *model) releaseAll() {
	ours := map[*datalog.Entry]bool{}
	for _, e := range m.messages {
		ours[e] = true
		m.log.Release(e)
	}
	m.log.Release(m.log.Put(8, 1, make([]byte, 1<<14-datalog.Overhead), 1<<62)) // which evicts all others
	for size := 1; size <= 512; size *= 2 {
		for e := m.log.Detached(1, 1, make([]byte, size), 0); ours[e]; e = m.log.Detached(1, 1, make([]byte, size), 0) {
			delete(ours, e)
		}
	}
	m.want(len(ours) == 0, "%d messages are still held by the empty queue", len(ours))
}
