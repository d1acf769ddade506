package outbox

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

func TestEnvelopeTakesTheSizeItSays(t *testing.T) {
	q := newBench(t, Config{})
	arc := ring.Arc{Lo: 1, Hi: 2}
	for _, c := range []struct {
		story string
		make  func() *Envelope
	}{
		{"control", func() *Envelope { return q.control(1, 300, 3) }},
		{"control without a body", func() *Envelope { return q.Emit(peerAddr(1), wire.TypeHello, nil, 3) }},
		{"Data with an arc", func() *Envelope { return q.EmitData(peerAddr(1), Copy{Entry: q.one, Arc: arc}, 3) }},
		{"Data whose arc went to another", func() *Envelope {
			e := q.EmitData(peerAddr(1), Copy{Entry: q.one, Arc: arc}, 3)
			e.Arc, e.Flags = ring.Arc{}, e.Flags&^wire.FlagArc
			return e
		}},
		{"Data that names no recipient", func() *Envelope {
			return q.EmitData(peerAddr(1), Copy{Entry: q.one, Flags: wire.FlagDirect}, 3)
		}},
		{"Data that names its recipient", func() *Envelope {
			e := q.EmitData(peerAddr(1), Copy{Entry: q.one, Flags: wire.FlagDirect}, 3)
			e.Recipient = 1<<40 | 5
			return e
		}},
		{"a repair", func() *Envelope { return q.repairTo(1) }},
	} {
		e := c.make()
		if n := len(e.appendTo(nil, 0)); n != e.Size() {
			t.Errorf("%s takes %d bytes and says %d", c.story, n, e.Size())
		}
	}
}

func TestEnvelopeIsChargedForAboutItsMemory(t *testing.T) {
	if size := int(unsafe.Sizeof(Envelope{})); strconv.IntSize == 64 && (size > envelopeSize*9/8 || size < envelopeSize*7/8) {
		t.Errorf("an envelope takes %d bytes and is charged for %d", size, envelopeSize)
	}
	q := newBench(t, Config{})
	if e := q.copyTo(1, 3); e.charge() != envelopeSize+payload {
		t.Errorf("a copy of a message of %d bytes is charged for %d", payload, e.charge())
	}
}

func TestChainKeepsDeadlinesInOrder(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var c chain
		var plain []*Envelope
		for step := range 200 {
			if n := len(plain); n > 0 && rng.IntN(3) == 0 {
				i := rng.IntN(n)
				c.remove(plain[i], inQueue)
				plain = slices.Delete(plain, i, i+1)
			} else { // after those with the same deadline
				e := &Envelope{Deadline: time.Duration(rng.IntN(20))}
				c.insert(e, inQueue)
				i := 0
				for i < n && plain[i].Deadline <= e.Deadline {
					i++
				}
				plain = slices.Insert(plain, i, e)
			}
			var forth, back []*Envelope
			for e := c.head; e != nil; e = e.links[inQueue].next {
				forth = append(forth, e)
			}
			for e := c.tail; e != nil; e = e.links[inQueue].prev {
				back = append(back, e)
			}
			slices.Reverse(back)
			if !slices.Equal(forth, plain) || !slices.Equal(back, plain) || c.len != len(plain) {
				t.Fatalf("seed %d step %d: of %d envelopes the chain has %d in order, %d from the end, and says %d", seed, step, len(plain), len(forth), len(back), c.len)
			}
		}
	}
}
