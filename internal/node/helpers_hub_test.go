package node

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// hub is a node with 64 members around the ring. Its peers reuse their memory, so that what
// is allocated, the node allocates.
type hub struct {
	*solo
	payload     []byte
	dataMessage []byte // a datagram of the peer hubSender: a message of hubOrigin for all others
	ackMessage  []byte // a datagram of a peer: one Ack
	delivered   int
	statuses    int
	toAnswer    []received
}

// received is a message of the node that a peer is to acknowledge.
type received struct {
	by  netip.AddrPort
	seq uint32
}

const (
	hubMembers = 64
	hubOrigin  = 1 << 63
)

var hubSender = peerAddr(2)

func newHub(t testing.TB, config Config) *hub {
	t.Helper()
	h := &hub{solo: newSolo(t, config), payload: make([]byte, 100)}
	steps := make([]int, hubMembers)
	for i := range steps {
		steps[i] = 2 + 4*i
	}
	h.withMembers(steps...)
	h.act = func(Event) { h.delivered++ }
	h.sink = h.keep
	others := ring.Arc{Lo: ring.Pos(h.peerID(2)) + 1, Hi: ring.Pos(h.ID())}
	h.dataMessage = h.data(wire.Data{
		Origin: hubOrigin, Counter: 1, Flags: wire.FlagArc, Hops: 1, Lo: others.Lo, Hi: others.Hi, Payload: h.payload,
	})
	h.ackMessage = h.ack(0)
	return h
}

// keep notes those messages of a datagram of the node that expect an Ack.
func (h *hub) keep(b []byte, to netip.AddrPort) {
	for len(b) > 0 {
		header, _ := wire.ParseHeader(b)
		b = b[wire.HeaderSize:]
		n := len(b)
		switch header.Type {
		case wire.TypeAck:
			_, n, _ = wire.ParseAck(b)
			b = b[n:]
			continue
		case wire.TypeData:
			_, n, _ = wire.ParseData(b)
		case wire.TypeStatus:
			h.statuses++
			_, n, _ = wire.ParseStatus(b)
		case wire.TypeMemberList:
			var list wire.MemberList
			if list, n, _ = wire.ParseMemberList(b); list.News || list.Lost { // expects no answer
				b = b[n:]
				continue
			}
		}
		h.toAnswer = append(h.toAnswer, received{to, header.Seq})
		b = b[n:]
	}
}

// setData makes dataMessage the message of that number, as a peer would send it next.
func (h *hub) setData(counter uint32) {
	h.seq++
	binary.BigEndian.PutUint32(h.dataMessage[4:], h.seq)
	binary.BigEndian.PutUint32(h.dataMessage[wire.HeaderSize+8:], counter)
}

// setAck makes ackMessage the Ack of m.
func (h *hub) setAck(m received) {
	binary.BigEndian.PutUint32(h.ackMessage[wire.AckOverhead:], m.seq)
}

// turn lets the node send what is due, and acknowledges it.
func (h *hub) turn() {
	h.send()
	for _, m := range h.toAnswer {
		h.setAck(m)
		h.handle(m.by, h.ackMessage)
	}
	h.toAnswer = h.toAnswer[:0]
}

// publishPayload publishes payload, as tryPublish, without an allocation.
func (h *hub) publishPayload(s Spread) error { return h.Publish(h.at, h.payload, s) }

// allocatesNothing fails if a step allocates after a warm-up.
func (h *hub) allocatesNothing(what string, step func()) {
	h.t.Helper()
	for range 1500 {
		step()
	}
	n := testing.AllocsPerRun(500, step)
	h.want(n == 0, "%s allocates %v times", what, n)
}
