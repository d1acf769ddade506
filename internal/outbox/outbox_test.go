package outbox

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

func TestAnAckMustComeFromWhomTheEnvelopeWentTo(t *testing.T) {
	q := newBench(t, Config{})
	for _, emit := range []func() *Envelope{func() *Envelope { return q.control(1, 100, 3) }, func() *Envelope { return q.copyTo(1, 3) }} {
		e := emit()
		found := func(to int, seq uint32) *Envelope {
			e, _, _ := q.Answered(peerAddr(to), seq)
			return e
		}
		q.want(found(1, 1) == nil && found(1, dataNumber) == nil, "nothing was sent yet")
		q.flush()
		first := e.Seq
		q.want(found(2, first) == nil, "another recipient acknowledged it")
		q.want(found(1, first+1) == nil && found(1, first^dataNumber) == nil, "another number acknowledged it")
		q.want(found(1, 0) == nil, "number 0 acknowledged it")
		q.want(found(1, first) == e, "the recipient should count")
		q.now += patience
		q.want(q.Overdue(q.now) == e, "it is overdue")
		q.Resend(q.now, e)
		q.want(found(1, first) == e, "a late Ack should count while it waits to be sent again")
		got, at, exact := q.Answered(peerAddr(1), first)
		q.want(got == e && at == q.now-patience && exact, "it was sent once, at %v", at)
		q.flush()
		_, _, exact = q.Answered(peerAddr(1), first)
		q.want(exact == e.IsData(), "which attempt of control is answered is not known: %v", exact)
		q.Accepted(e, q.now, roundTrip)
		q.want(found(1, first) == nil, "an Ack counts once")
		q.want(len(q.flush()) == 0, "what was acknowledged should not be sent again")
		q.audit()
	}
}

// Late answers name numbers whose envelope's memory is used for another message by now.
func TestAnOldNumberFindsNoNewEnvelope(t *testing.T) {
	q := newBench(t, Config{})
	var old []uint32
	for round := range 50 {
		e := q.copyTo(1, UntilAnswered)
		for range round % 3 {
			q.flush()
			old = append(old, e.Seq)
			q.overdue(e.Deadline - q.now)
		}
		q.flush()
		q.accept(e)
		old = append(old, 0)
		next := q.copyTo(1+round%2, UntilAnswered)
		q.flush()
		q.want(next == e, "the memory is used again")
		for to := range 3 {
			for _, seq := range old {
				found, _, _ := q.Answered(peerAddr(to), seq)
				q.want(found == nil, "number %x finds what was sent as %x", seq, next.Seq)
			}
		}
		q.accept(next)
	}
	q.audit()
}

func TestClearLeavesNothingAndTheQueueUsable(t *testing.T) {
	q := newBench(t, Config{Limit: 200})
	q.grown(77)
	for i := range 40 {
		q.control(i%7, 100, 3)
		q.copyTo(i%9, 3)
		q.repairTo(i % 5)
		q.Emit(peerAddr(i%11), wire.TypeHello, []byte("\x00\x05abc"), 1)
		if i%10 == 0 {
			q.flush()
		}
		q.Acknowledge(q.now, peerAddr(i%13), uint32(i), i%3 == 0)
	}
	q.now += patience
	for i := range 5 {
		switch e := q.Overdue(q.now); {
		case i == 0 && e.IsData():
			q.Hold(q.now, e)
		default:
			q.Resend(q.now, e)
		}
	}
	q.audit()
	q.Clear()
	q.want(q.age.len+q.stats.Data+q.stats.Hellos+q.stats.Acks+len(q.peers)+len(q.bySeq)+len(q.timers)+q.ready.Len()+q.unsent+q.repairs == 0, "something is left: %+v", q.Stats())
	_, any := q.Deadline()
	q.want(!any && !q.Pending() && q.Overdue(q.now+time.Hour) == nil, "there should be nothing to do")
	q.audit()
	e := q.control(1, 100, 3)
	d := q.flush()
	q.want(len(d) == 1 && d[0].kinds == "C" && e.Attempt == 1, "the queue should work on")
	q.audit()
}

func TestTrimReleasesTheMemoryOfAnEmptyQueueOnly(t *testing.T) {
	q := newBench(t, Config{})
	e := q.copyTo(1, 3)
	q.flush()
	q.Trim()
	q.want(q.peers[peerAddr(1)] != nil && q.answered(e) == e, "what waits for an answer must stay")
	q.accept(e)
	q.want(q.freeEnvs == e && len(q.freePeers) == 1, "their memory is kept to be used again")
	q.Trim()
	q.want(q.freeEnvs == nil && q.freePeers == nil, "an empty queue keeps no memory")
	q.copyTo(1, 3)
	q.want(kinds(q.flush()) == "D", "the queue should work on")
	q.audit()
}

// A queue that was dropped keeps its turn for its next recipient, so the order in which all are
// dropped is seen later.
func TestTurnsAfterSetRoomRepeatThemselves(t *testing.T) {
	turns := func() (order []netip.AddrPort) {
		q := newBench(t, Config{})
		for i := range 40 {
			q.control(i, 400, 1)
		}
		q.SetRoom(100, q.Drop)
		for i := range 40 {
			q.control(100+i, 50, 1)
		}
		for p := q.Next(); p != nil; p = q.Next() {
			order = append(order, p.To())
		}
		return order
	}
	first := turns()
	for range 5 {
		if again := turns(); !slices.Equal(again, first) {
			t.Fatalf("the same calls gave turns to %v and then to %v", first, again)
		}
	}
}

// What is queued may have to name its recipient yet.
func TestSetRoomDropsWhatNoLongerFits(t *testing.T) {
	q := newBench(t, Config{})
	size := wire.DataSize(wire.FlagArc, payload)
	long := q.log.Detached(7, 2, make([]byte, payload+1), 0)
	for _, c := range []struct {
		story string
		emit  func() *Envelope
		fits  bool
	}{
		{"control", func() *Envelope { return q.control(1, size, 3) }, true},
		{"longer control", func() *Envelope { return q.control(1, size+1, 3) }, false},
		{"Data with an arc", func() *Envelope {
			return q.EmitData(peerAddr(1), Copy{Entry: q.one, Arc: ring.Arc{Lo: 1, Hi: 2}}, UntilAnswered)
		}, true},
		{"Data of which no recipient is known", func() *Envelope {
			return q.EmitData(peerAddr(1), Copy{Entry: q.one, Flags: wire.FlagDirect}, UntilAnswered)
		}, true},
		{"longer Data, of which none is known", func() *Envelope {
			return q.EmitData(peerAddr(1), Copy{Entry: long, Flags: wire.FlagDirect}, UntilAnswered)
		}, false},
	} {
		e, dropped := c.emit(), false
		q.SetRoom(size, func(x *Envelope) {
			q.want(x == e, "%s: another is dropped", c.story)
			dropped = true
			q.Drop(x)
		})
		q.want(dropped != c.fits, "%s: that it fits in %d bytes should be %v", c.story, size, c.fits)
		if c.fits {
			if e.Flags&wire.FlagDirect != 0 {
				e.Recipient = 1<<40 | 5
			}
			q.want(len(kinds(q.flush())) == 1, "%s should be sent", c.story)
			q.Drop(e)
		}
		q.audit()
		q.SetRoom(512, nil)
	}
}

func TestLoadIsWhatWaitsOrIsNotAnswered(t *testing.T) {
	q := newBench(t, Config{})
	load := func(want int, when string) {
		t.Helper()
		q.want(q.Load(peerAddr(1)) == want, "%s the load is %d, not %d", when, q.Load(peerAddr(1)), want)
	}
	load(0, "with no queue")
	q.control(1, 100, 1)
	load(0, "before control was sent")
	once, twice := q.copyTo(1, 1), q.copyTo(1, 2)
	q.repairTo(1)
	load(3, "before Data were sent")
	q.flush()
	load(3, "after control was sent, the last attempt of one and the first of another, and a repair")
	q.Hold(q.now, once)
	load(3, "while one is held")
	q.accept(twice)
	load(2, "when one was answered")
}

func TestQueueKnowsOfHellosAndOfTheOldestData(t *testing.T) {
	q := newBench(t, Config{})
	q.want(!q.HasHello(peerAddr(1)) && q.Oldest(peerAddr(1)) == nil && q.Any(peerAddr(1)) == nil, "nothing is queued")
	e := q.Emit(peerAddr(1), wire.TypeHello, []byte("\x00\x05abc"), 2)
	q.want(q.HasHello(peerAddr(1)) && !q.HasHello(peerAddr(2)) && q.Any(peerAddr(1)) == e && q.Stats().Hellos == 1, "a Hello is queued")
	q.flush()
	q.want(q.HasHello(peerAddr(1)) && q.Find(e.Seq) == e, "it is not answered")
	first, second := q.copyTo(1, UntilAnswered), q.copyTo(1, UntilAnswered)
	q.want(q.Oldest(peerAddr(1)) == nil, "nothing was sent yet")
	q.flush()
	q.overdue(patience)
	q.accept(e)
	q.want(!q.HasHello(peerAddr(1)) && q.Stats().Hellos == 0, "the Hello was answered")
	q.want(q.Oldest(peerAddr(1)) == first, "the first was sent first, and waits to be sent again")
	q.accept(first)
	q.want(q.Oldest(peerAddr(1)) == second, "then the second has waited longest")
	q.audit()
}

// script is a source of random numbers that are known beforehand.
type script []uint32

func (s *script) Uint64() uint64 {
	n := (*s)[0]
	*s = (*s)[1:]
	return uint64(n) << 32
}

func TestControlNumbersAreDrawnAndSkipZeroAndThoseInUse(t *testing.T) {
	q := newBench(t, Config{})
	for i := range 3 { // their queues draw their first number for Data
		q.Acknowledge(q.now, peerAddr(i+1), 1, false)
	}
	q.now += 10 * time.Millisecond
	q.rng = rand.New(&script{90, 7, 91, 0, 7, 1 << 31, 1<<31 | 7, 1<<31 - 1, 92, 1<<32 - 1, 7, 0, 8})
	for i, want := range []uint32{7, 1<<31 - 1, 8} {
		e := q.control(i+1, 100, 3)
		q.flush()
		q.want(e.Seq == want, "message %d has the number %d instead of %d", i, e.Seq, want)
	}
	q.audit()
}

func TestQueueAllocatesNothingOnceWarm(t *testing.T) {
	q := newBench(t, Config{})
	buffer := make([]byte, 0, q.config.Room)
	body := make([]byte, 92)
	send := func() {
		for l := q.Next(); l != nil; l = q.Next() {
			q.Pack(buffer, l, q.now, patience)
		}
	}
	round := func() {
		e := q.Emit(peerAddr(1), wire.TypeHello, body, 3)
		var data [20]*Envelope
		for i := range data {
			data[i] = q.copyTo(i%4, UntilAnswered)
			q.Acknowledge(q.now, peerAddr(i%7), uint32(i*i), i%3 == 0)
		}
		q.repairTo(2)
		send()
		q.now += patience
		for e := q.Overdue(q.now); e != nil; e = q.Overdue(q.now) {
			if e == data[0] {
				q.Hold(q.now, e)
			} else {
				q.Resend(q.now, e)
			}
		}
		q.Resume(peerAddr(0))
		send()
		q.Refused(data[1], q.now, roundTrip)
		at, _ := q.Deadline()
		q.now = at
		q.Overdue(q.now)
		send()
		for _, e := range data {
			found, _, _ := q.Answered(e.To(), e.Seq)
			q.Accepted(found, q.now, roundTrip)
		}
		q.Accepted(e, q.now, roundTrip)
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("a round of a warm queue allocates %v times", n)
	}
	q.want(len(q.peers) == 0, "%d queues are left", len(q.peers))
}

func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{1, 32, 1024} {
		b.Run(fmt.Sprint("queued=", n), func(b *testing.B) {
			q := newBench(b, Config{Limit: 2048})
			for i := range n - 1 { // they wait for an answer
				q.EmitData(peerAddr(i%256), Copy{Entry: q.one, Hops: 1, Arc: ring.Arc{Lo: 1, Hi: 2}}, UntilAnswered)
			}
			buffer := make([]byte, 0, q.config.Room)
			for l := q.Next(); l != nil; l = q.Next() {
				q.Pack(buffer, l, q.now, time.Hour)
			}
			to := peerAddr(300)
			b.ReportAllocs()
			for b.Loop() {
				q.now++
				e := q.EmitData(to, Copy{Entry: q.one, Hops: 1, Arc: ring.Arc{Lo: 1, Hi: 2}}, UntilAnswered)
				q.Pack(buffer, q.Next(), q.now, patience)
				if q.Overdue(q.now) != nil {
					b.Fatal("something is overdue too early")
				}
				found, _, _ := q.Answered(to, e.Seq)
				q.Accepted(found, q.now, roundTrip)
			}
		})
	}
}
