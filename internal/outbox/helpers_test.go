package outbox

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/wire"
)

// bench is an Outbox on its own, with a clock that a test moves by hand.
type bench struct {
	*Outbox
	t   testing.TB
	now time.Duration
	one *datalog.Entry // the message that all its Data carry
}

const (
	patience  = 100 * time.Millisecond // until an answer is overdue, in these tests
	roundTrip = 20 * time.Millisecond
	span      = 768 // Config.Span
	payload   = 100 // of bench.one
)

// oneSize is the size of Data that carries bench.one without an arc.
var oneSize = wire.DataSize(0, payload)

// newBench fills in the settings that a service has by default.
func newBench(t testing.TB, c Config) *bench {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = 1024
	}
	if c.Span == 0 {
		c.Span = span
	}
	c.Room, c.AckDelay = 512, 10*time.Millisecond
	log := datalog.New(0)
	q := &bench{t: t, now: time.Hour, Outbox: New(c, log, rand.New(rand.NewPCG(1, 2)))}
	q.one = log.Detached(7, 1, make([]byte, payload), 0)
	return q
}

// peerAddr returns the address of the i-th recipient.
func peerAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 7070)
}

func (q *bench) want(holds bool, sentence string, args ...any) {
	q.t.Helper()
	if !holds {
		q.t.Fatalf("at %v: %s", q.now, fmt.Sprintf(sentence, args...))
	}
}

// control queues a control message of that many bytes in all, which begins with their number.
func (q *bench) control(to int, size, attempts int) *Envelope {
	body := binary.BigEndian.AppendUint16(nil, uint16(size-wire.HeaderSize))
	body = append(body, make([]byte, size-wire.HeaderSize-len(body))...)
	return q.Emit(peerAddr(to), wire.TypeMemberList, body, attempts)
}

// copyTo queues a message of this node.
func (q *bench) copyTo(to int, attempts int) *Envelope {
	return q.EmitData(peerAddr(to), Copy{Entry: q.one, Hops: 1}, attempts)
}

func (q *bench) repairTo(to int) *Envelope {
	return q.EmitData(peerAddr(to), Copy{Entry: q.one, Class: Repair, Flags: wire.FlagPull}, NoAnswer)
}

// answered returns what its recipient names by the number of its last attempt.
func (q *bench) answered(e *Envelope) *Envelope {
	found, _, _ := q.Answered(e.To(), e.Seq)
	return found
}

// accept lets the recipient take e.
func (q *bench) accept(e *Envelope) {
	q.t.Helper()
	q.want(q.answered(e) == e, "what was sent to %v as number %x is not found", e.To(), e.Seq)
	q.Accepted(e, q.now, roundTrip)
}

// refuse lets the recipient have no room for e.
func (q *bench) refuse(e *Envelope) {
	q.t.Helper()
	q.want(q.answered(e) == e, "what was sent to %v as number %x is not found", e.To(), e.Seq)
	q.Refused(e, q.now, roundTrip)
}

// overdue moves the clock and returns all that is overdue then; each is resent.
func (q *bench) overdue(wait time.Duration) (all []*Envelope) {
	q.t.Helper()
	q.now += wait
	for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
		all = append(all, e)
		q.want(len(all) < 100_000, "what is overdue does not come to an end")
		q.Resend(q.now, e)
	}
	return all
}

// sentNow is a datagram that went out: to whom, and the messages in it.
type sentNow struct {
	to       netip.AddrPort
	size     int
	kinds    string // a letter for each message: A, R for a refusal, D, C for control
	headers  []wire.Header
	data     []wire.Data
	answered []uint32 // numbers of its Acks, then those that it refuses
}

// datagram sends one, as a service does, and returns it, or nil. A turn may come
// for nothing when what waited was dropped meanwhile.
func (q *bench) datagram() *sentNow {
	q.t.Helper()
	var to netip.AddrPort
	var b []byte
	for turns := 0; len(b) == 0; turns++ {
		l := q.Next()
		if l == nil {
			return nil
		}
		to = l.To()
		b = q.Pack(nil, l, q.now, patience)
		q.want(turns < 10_000, "turns for nothing do not come to an end")
	}
	q.want(len(b) <= q.config.Room, "a datagram of %d bytes exceeds the %d allowed", len(b), q.config.Room)
	return q.read(b, to)
}

// read reads a datagram of Acks, of Data and of what control has made.
func (q *bench) read(b []byte, to netip.AddrPort) *sentNow {
	q.t.Helper()
	d := &sentNow{to: to, size: len(b)}
	for len(b) > 0 {
		h, ok := wire.ParseHeader(b)
		q.want(ok && h.Tag == q.config.Tag, "the header %+v is not one of this cluster", h)
		d.headers = append(d.headers, h)
		n := 0
		switch b = b[wire.HeaderSize:]; h.Type {
		case wire.TypeAck:
			var m wire.Ack
			m, n, ok = wire.ParseAck(b)
			for seq := range m.Numbers() {
				d.answered = append(d.answered, seq)
			}
			d.kinds += map[bool]string{false: "A", true: "R"}[m.Refused]
		case wire.TypeData:
			var m wire.Data
			m, n, ok = wire.ParseData(b)
			d.data = append(d.data, m)
			d.kinds += "D"
		default:
			n = int(binary.BigEndian.Uint16(b))
			d.kinds += "C"
		}
		q.want(ok, "a message of type %v cannot be read: %x", h.Type, b)
		b = b[n:]
	}
	return d
}

// flush sends all there is to send now.
func (q *bench) flush() (all []*sentNow) {
	q.t.Helper()
	for d := q.datagram(); d != nil; d = q.datagram() {
		all = append(all, d)
		q.want(len(all) < 100_000, "sending does not come to an end")
	}
	return all
}

// kinds returns the messages of all datagrams, in order.
func kinds(all []*sentNow) (s string) {
	for _, d := range all {
		s += d.kinds
	}
	return s
}
