package outbox

import (
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

	emitted map[*Envelope]int // at which step, of control
}

const (
	patience = 100 * time.Millisecond // until an answer is overdue, in these tests
	span     = 768                    // Config.Span
)

// newBench fills in the settings that a service has by default.
func newBench(t testing.TB, c Config) *bench {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = 1024
	}
	c.Room, c.AckDelay, c.Span = 512, 10*time.Millisecond, span
	log := datalog.New(0)
	q := &bench{t: t, emitted: map[*Envelope]int{}, now: time.Hour, Outbox: New(c, log, rand.New(rand.NewPCG(1, 2)))}
	q.one = log.Detached(7, 1, make([]byte, 100), 0)
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

// control queues a control message of that many bytes in all.
func (q *bench) control(to int, size, attempts int) *Envelope {
	body := make([]byte, size-wire.HeaderSize)
	return q.Emit(peerAddr(to), wire.TypeMemberList, body, attempts)
}

func (q *bench) copyTo(to int, attempts int) *Envelope {
	return q.EmitData(peerAddr(to), Copy{Entry: q.one, Hops: 1}, attempts)
}

// sentNow is a datagram that went out: to whom, and the headers in it.
type sentNow struct {
	to      netip.AddrPort
	size    int
	kinds   string // a letter for each message: A, M, D
	headers []wire.Header
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
		to = l.to
		b = q.Pack(nil, l, q.now, patience)
		q.want(turns < 10_000, "turns for nothing do not come to an end")
	}
	q.want(len(b) <= q.config.Room, "a datagram of %d bytes exceeds the %d allowed", len(b), q.config.Room)
	d := &sentNow{to: to, size: len(b)}
	for len(b) > 0 {
		h, _ := wire.ParseHeader(b)
		n := len(b) - wire.HeaderSize
		switch b = b[wire.HeaderSize:]; h.Type {
		case wire.TypeAck:
			_, n, _ = wire.ParseAck(b)
			d.kinds += "A"
		case wire.TypeData:
			_, n, _ = wire.ParseData(b)
			d.kinds += "D"
		default: // these tests have one such size per datagram, or only one message
			d.kinds += "M"
			if n > 92 {
				n = 92
			}
		}
		d.headers = append(d.headers, h)
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

func nobodyElse(a, b netip.AddrPort) bool { return false }

func TestControlDisplacesItsOldestAndDataIsRefused(t *testing.T) {
	q := newBench(t, Config{Limit: 4})
	first := q.control(1, 100, 3)
	q.flush() // also one that was sent and waits for an answer is the oldest
	for i := range 3 {
		q.control(2+i, 100, 3)
	}
	q.want(q.stats.Dropped == 0 && q.age.len == 4, "4 of 4 fit")
	seq := first.Seq
	q.control(9, 100, 3)
	q.want(q.stats.Dropped == 1 && q.age.len == 4, "the fifth should displace one and be counted: %d, %d", q.stats.Dropped, q.age.len)
	q.want(q.bySeq[seq] == nil, "the one displaced should be the oldest")
	for range 4 {
		q.want(q.copyTo(1, 3) != nil, "there was room for Data")
	}
	q.want(q.copyTo(1, 3) == nil && q.Spare() == 0 && q.stats.Data == 4, "the fifth Data should be refused")
	q.want(q.age.len == 4 && q.stats.Dropped == 1, "a full data queue should leave control alone")
	q.audit()
}

func TestAnEnvelopeIsTriedAsOftenAsItsTypeAllowsUnderOneNumber(t *testing.T) {
	for attempts := 1; attempts <= 4; attempts++ {
		q := newBench(t, Config{})
		e := q.control(1, 100, attempts)
		var seq uint32
		for i := range attempts {
			d := q.flush()
			q.want(len(d) == 1 && len(d[0].headers) == 1, "attempt %d of %d should go out once", i+1, attempts)
			if i == 0 {
				seq = d[0].headers[0].Seq
			}
			q.want(d[0].headers[0].Seq == seq && seq != 0, "attempt %d has another number", i+1)
			q.want(e.Attempt == i+1, "attempt %d is counted as %d", i+1, e.Attempt)
			q.now += patience - 1
			q.want(q.Overdue(q.now) == nil, "nothing is overdue before its time")
			q.now++
			q.want(q.Overdue(q.now) == e, "attempt %d should be overdue", i+1)
			if i < attempts-1 {
				q.Resend(q.now, e)
			}
		}
		q.Grace(e)
		q.want(q.Overdue(q.now) == nil, "after the last attempt it lingers")
		q.now += GraceFor - patience - 1
		q.want(q.Overdue(q.now) == nil, "it should linger a whole second")
		q.now++
		q.want(q.Overdue(q.now) == e, "then it is to be given up")
		q.Drop(e)
		q.want(q.stats.Retries == uint64(attempts-1), "%d retries were counted for %d attempts", q.stats.Retries, attempts)
		q.want(len(q.bySeq)+len(q.peers)+len(q.timers) == 0, "something is left of it")
		q.audit()
	}
}

func TestWithoutAnAnswerExpectedAnEnvelopeIsGoneOnceSent(t *testing.T) {
	q := newBench(t, Config{})
	q.Emit(peerAddr(1), wire.TypeWelcome, make([]byte, 92), NoAnswer)
	q.EmitData(peerAddr(1), Copy{Entry: q.one, Flags: wire.FlagPull}, NoAnswer)
	q.want(len(q.flush()) == 1, "both fit one datagram")
	q.want(q.age.len+q.stats.Data+len(q.peers)+len(q.bySeq) == 0, "nothing should wait for an answer")
	_, any := q.Deadline()
	q.want(!any, "there is nothing to wait for")
	q.audit()
}

func TestTimeoutsComeInTheOrderOfTheirDeadlines(t *testing.T) {
	q := newBench(t, Config{})
	due := map[*Envelope]time.Duration{}
	for i := range 200 {
		e := q.control(i*37%50, 100, 3)
		q.Pack(nil, q.Next(), q.now, time.Duration(100+i*61%97)*time.Millisecond)
		due[e] = e.Deadline
		q.now += 300 * time.Microsecond
	}
	q.audit()
	for len(due) > 0 {
		at, any := q.Deadline()
		q.want(any && at >= q.now, "%d envelopes wait; the next deadline is %v, %v", len(due), at, any)
		q.now = at
		for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
			q.want(due[e] == q.now, "an envelope was overdue at %v, its deadline is %v", q.now, due[e])
			delete(due, e)
			q.Drop(e)
		}
		for _, d := range due {
			q.want(d > q.now, "an envelope due at %v was forgotten", d)
		}
	}
	q.audit()
}

func TestAnAckMustComeFromWhomTheEnvelopeWentTo(t *testing.T) {
	q := newBench(t, Config{})
	e := q.control(1, 100, 3)
	q.want(q.Acknowledged(peerAddr(1), 1, nobodyElse) == nil, "nothing was sent yet")
	q.flush()
	q.want(q.Acknowledged(peerAddr(2), e.Seq, nobodyElse) == nil, "a stranger acknowledged it")
	q.want(q.Acknowledged(peerAddr(1), e.Seq+1, nobodyElse) == nil, "another number acknowledged it")
	q.want(q.Acknowledged(peerAddr(1), 0, nobodyElse) == nil, "number 0 acknowledged it")
	same := func(a, b netip.AddrPort) bool { return a == peerAddr(1) && b == peerAddr(2) }
	q.want(q.Acknowledged(peerAddr(2), e.Seq, same) == e, "the same node at its other address should count")
	q.want(q.Acknowledged(peerAddr(1), e.Seq, nobodyElse) == e, "the recipient itself should count")
	q.now += patience
	q.want(q.Overdue(q.now) == e, "it is overdue")
	q.Resend(q.now, e)
	q.want(q.Acknowledged(peerAddr(1), e.Seq, nobodyElse) == e, "a late Ack should count while it waits to be sent again")
	q.Drop(e)
	q.want(q.Acknowledged(peerAddr(1), e.Seq, nobodyElse) == nil, "an Ack counts once")
	q.want(len(q.flush()) == 0, "what was acknowledged should not be sent again")
	q.audit()
}

func TestAcksWaitForTheirDelayOrForCompany(t *testing.T) {
	q := newBench(t, Config{})
	q.Acknowledge(q.now, peerAddr(1), 1)
	q.now += 4 * time.Millisecond
	q.Acknowledge(q.now, peerAddr(1), 2)
	q.want(len(q.flush()) == 0 && !q.Pending(), "acks wait")
	at, any := q.Deadline()
	q.want(any && at == time.Hour+10*time.Millisecond, "the deadline is %v, not that of the first ack", at)
	q.now = at - 1
	q.Overdue(q.now)
	q.want(!q.Pending(), "they should wait to the end")
	q.now = at
	q.Overdue(q.now)
	d := q.flush()
	q.want(len(d) == 1 && d[0].size == wire.AckOverhead+2*wire.AckSize, "both should go in one Ack")
	q.want(q.stats.Acks == 0 && len(q.peers) == 0, "the peer should be freed")

	for i := range AcksInHand {
		q.want(!q.Pending(), "%d acks should still wait", i)
		q.Acknowledge(q.now, peerAddr(1), uint32(i+1))
	}
	d = q.flush()
	q.want(len(d) == 1 && d[0].kinds == "A", "32 acks should wait no longer")

	q.Acknowledge(q.now, peerAddr(1), 1)
	q.copyTo(1, 3)
	q.control(1, 100, 3)
	d = q.flush()
	q.want(len(d) == 1 && d[0].kinds[0] == 'A' && len(d[0].kinds) == 3, "acks go first in a datagram that goes anyhow: %q", d[0].kinds)
	q.audit()
}

func TestMoreAcksThanADatagramHoldsGoInSeveral(t *testing.T) {
	q := newBench(t, Config{})
	for i := range MostAcks + 10 {
		q.Acknowledge(q.now, peerAddr(1), uint32(i+1))
	}
	q.want(q.stats.Acks == MostAcks && q.stats.Dropped == 10, "%d acks wait, %d were dropped", q.stats.Acks, q.stats.Dropped)
	total := 0
	for _, wait := range []time.Duration{0, 10 * time.Millisecond} { // too few for 32 wait on
		q.now += wait
		q.Overdue(q.now)
		for _, d := range q.flush() {
			total += (d.size - wire.AckOverhead) / wire.AckSize
		}
		q.audit()
	}
	q.want(total == MostAcks && q.stats.Acks == 0, "%d acks went out of %d, %d are left", total, MostAcks, q.stats.Acks)

	for i := range 512/wire.AckSize + 1 {
		q.Acknowledge(q.now, peerAddr(1), uint32(i+1))
	}
	q.now += 10 * time.Millisecond
	q.flush()
	q.want(q.stats.Acks == 0, "%d acks that are due are left behind the first datagram", q.stats.Acks)
}

func TestLanesOfAcksAloneAreBounded(t *testing.T) {
	q := newBench(t, Config{Limit: 8})
	for i := range 100 {
		q.Acknowledge(q.now, peerAddr(i), 1)
	}
	q.want(len(q.peers) == 16 && q.stats.Dropped == 84, "%d peers for a limit of 8, %d dropped", len(q.peers), q.stats.Dropped)
	q.Acknowledge(q.now, peerAddr(3), 2)
	q.want(q.stats.Acks == 17, "a peer that is there takes more")
	q.audit()
}

func TestSmallMessagesShareDatagramsAndLargeOnesDoNot(t *testing.T) {
	q := newBench(t, Config{})
	for range 11 {
		q.control(1, 100, 1)
	}
	d := q.flush()
	q.want(len(d) == 3 && d[0].kinds == "MMMMM" && d[2].kinds == "M", "11 messages of 100 bytes should go as 5, 5, 1")
	for _, size := range []int{512, 512, 300, 213, 212} {
		q.control(1, size, 1)
	}
	sizes := []int{}
	for _, d := range q.flush() {
		sizes = append(sizes, d.size)
	}
	q.want(fmt.Sprint(sizes) == "[512 512 300 425]", "the sizes are %v", sizes)
}

// script is a source of random numbers that are known beforehand.
type script []uint32

func (s *script) Uint64() uint64 {
	n := (*s)[0]
	*s = (*s)[1:]
	return uint64(n) << 32
}

func TestSequenceNumbersAreDrawnAndSkipZeroAndThoseInUse(t *testing.T) {
	q := newBench(t, Config{})
	q.rng = rand.New(&script{7, 0, 7, 1<<32 - 1, 1<<32 - 1, 7, 0, 8})
	for i, want := range []uint32{7, 1<<32 - 1, 8} {
		e := q.control(i+1, 100, 3)
		q.flush()
		q.want(e.Seq == want, "message %d has the number %d instead of %d", i, e.Seq, want)
	}
	q.audit()
}
