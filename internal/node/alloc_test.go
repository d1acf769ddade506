package node

import (
	"encoding/binary"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestHandleForwardsABroadcastWithoutAllocation(t *testing.T) {
	h := newHub(t, Config{})
	relays := h.newMessages("a new message, forwarded to 16 delegates and acknowledged by them")
	st := h.Stats()
	h.want(h.delivered == relays && st.Relayed == 16*uint64(relays), "%d messages were delivered as %d and forwarded %d times", relays, h.delivered, st.Relayed)
	h.want(st.QueuedData == 0, "%d copies are not acknowledged", st.QueuedData)
}

func TestHandleForwardsASealedBroadcastWithoutAllocation(t *testing.T) {
	h := newHub(t, Config{Keys: [][]byte{inClear}})
	h.sealWith(testKey('k'))
	relays := h.newMessages("a new message, opened, forwarded to 16 delegates, sealed and acknowledged by them")
	st := h.Stats()
	h.want(h.delivered == relays && st.Relayed == 16*uint64(relays) && st.DropSealed == 0, "%d messages were delivered as %d: %+v", relays, h.delivered, st)
}

// newMessages fails if a new message allocates, and returns how many it sent.
func (h *hub) newMessages(what string) (sent int) {
	h.t.Helper()
	h.allocatesNothing(what, func() {
		sent++
		h.at += 100 * time.Microsecond
		h.setData(uint32(sent))
		h.handle(hubSender, h.dataMessage)
		h.turn()
	})
	return sent
}

func TestHandleTakesADuplicateWithoutAllocation(t *testing.T) {
	h := newHub(t, Config{})
	h.setData(1)
	h.handle(hubSender, h.dataMessage)
	h.turn()
	h.allocatesNothing("a duplicate", func() {
		h.at += 100 * time.Microsecond
		h.setData(1)
		h.handle(hubSender, h.dataMessage)
		h.turn()
	})
	h.want(h.delivered == 1, "one message was delivered %d times", h.delivered)
}

func TestPublishAllocatesNothing(t *testing.T) {
	for name, spread := range map[string]Spread{"Broadcast": {}, "Random": {Kind: Random}, "Direct": direct(peerAddr(6))} {
		h := newHub(t, Config{})
		h.allocatesNothing("Publish, Next and the Acks of "+name, func() {
			h.at += 100 * time.Microsecond
			if err := h.publishPayload(spread); err != nil {
				t.Fatal(name, err)
			}
			h.turn()
		})
	}
}

func TestARefusedPublishAllocatesNothing(t *testing.T) {
	h := newHub(t, Config{})
	for h.publishPayload(Spread{}) == nil {
	}
	h.allocatesNothing("Publish with the queue full", func() {
		if err := h.publishPayload(Spread{}); err != ErrFull {
			t.Fatalf("with the queue full Publish returned %v", err)
		}
	})
}

func TestHandleTakesAnAckOfManyWithoutAllocation(t *testing.T) {
	h := newHub(t, Config{})
	h.payload = h.payload[:8]
	seqs := make([]uint32, 32)
	many := h.ack(seqs...)
	h.allocatesNothing("32 messages and the one Ack of them", func() {
		h.at += time.Millisecond
		for range seqs {
			h.publishPayload(direct(peerAddr(6)))
		}
		h.send()
		for i, m := range h.toAnswer {
			binary.BigEndian.PutUint32(many[wire.AckOverhead+wire.AckSize*i:], m.seq)
		}
		h.toAnswer = h.toAnswer[:0]
		h.handle(peerAddr(6), many)
	})
	h.want(h.Stats().DropAck == 0 && h.Stats().QueuedData == 0, "the Acks were not taken: %+v", h.Stats())
}

func TestHandleAnswersAStatusWithoutAllocation(t *testing.T) {
	h := newHub(t, Config{})
	for i := range 1000 { // of many origins, some with gaps
		h.receive(peerAddr(2), h.data(wire.Data{
			Origin: uint64(100 + i%50), Counter: uint32(1 + i/50 + i/200), Flags: wire.FlagPull, Payload: h.payload,
		}))
	}
	h.at += time.Second
	page := everything(map[uint64]uint32{100: 10, 101: 100, 149: 3, 5000: 7})
	for _, mode := range []wire.Mode{wire.Full, wire.Offer, wire.Request} {
		page.Mode = mode
		b := h.status(page)
		h.allocatesNothing("the answer to a Status of mode "+string('0'+rune(mode)), func() {
			h.at += time.Millisecond
			h.handle(peerAddr(6), b)
			h.send()
			h.toAnswer = h.toAnswer[:0]
		})
	}
}

func TestTickAllocatesNothing(t *testing.T) {
	h := newHub(t, Config{})
	turn := func() {
		h.at += 20 * time.Millisecond
		h.tick()
		h.turn()
	}
	h.allocatesNothing("an idle turn of the loop", turn)
	h.want(h.statuses >= 8, "the idle node sent only %d Statuses", h.statuses)
	h.allocatesNothing("a turn of the loop with a message", func() {
		h.publishPayload(Spread{})
		turn()
	})
	h.want(h.Members() == hubMembers, "of %d members %d are left", hubMembers, h.Members())
}
