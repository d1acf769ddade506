// Package wiretest reads datagrams for tests, message by message.
package wiretest

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
)

// Open opens a sealed datagram that is bound to any node or to one of these: its id, or the
// random field of its nonces.
func Open(ring *seal.Keyring, b, cluster []byte, nodes ...uint64) (messages []byte, ok bool) {
	for _, node := range append([]uint64{0}, nodes...) {
		if messages, ok = ring.Open(b[wire.HeaderSize:], wire.AppendBound(nil, b, node, cluster)); ok {
			return messages, true
		}
	}
	return nil, false
}

// Message is one message as it was sent. Of the fields after Seq that of its Kind is set.
type Message struct {
	To   netip.AddrPort
	At   time.Duration
	Size int // in bytes, header included
	Kind wire.Type
	Tag  uint16
	Seq  uint32

	Hello   wire.Hello
	Welcome wire.Welcome
	Members []wire.Member // of a MemberList
	News    bool          // of a MemberList
	Lost    bool          // of a MemberList
	Acks    []uint32
	Refused bool // of an Ack: the messages have to come again
	Data    wire.Data
	Status  wire.Status
	Leave   uint64
}

func (m Message) String() string { return fmt.Sprintf("%v to %v at %v", m.Kind, m.To, m.At) }

// Read reads the messages of a datagram in clear that was sent to an address at a time. The
// result aliases b.
func Read(b []byte, to netip.AddrPort, at time.Duration) (all []Message, err error) {
	for len(b) > 0 {
		h, ok := wire.ParseHeader(b)
		m, n := Message{To: to, At: at, Kind: h.Type, Tag: h.Tag, Seq: h.Seq}, 0
		if ok {
			n, ok = m.body(b[wire.HeaderSize:])
		}
		if !ok {
			return all, fmt.Errorf("message %d of the datagram to %v cannot be read: %x", len(all)+1, to, b)
		}
		m.Size = wire.HeaderSize + n
		b = b[m.Size:]
		all = append(all, m)
	}
	return all, nil
}

// body reads the body of m from the front of b.
func (m *Message) body(b []byte) (n int, ok bool) {
	switch m.Kind {
	case wire.TypeHello:
		m.Hello, n, ok = wire.ParseHello(b)
	case wire.TypeWelcome:
		m.Welcome, n, ok = wire.ParseWelcome(b)
	case wire.TypeMemberList:
		var l wire.MemberList
		l, n, ok = wire.ParseMemberList(b)
		m.News, m.Lost = l.News, l.Lost
		for x, more := l.Next(); more; x, more = l.Next() {
			m.Members = append(m.Members, x)
		}
	case wire.TypeAck:
		var a wire.Ack
		a, n, ok = wire.ParseAck(b)
		m.Acks, m.Refused = slices.Collect(a.Numbers()), a.Refused
	case wire.TypeData:
		m.Data, n, ok = wire.ParseData(b)
	case wire.TypeStatus:
		m.Status, n, ok = wire.ParseStatus(b)
	case wire.TypeLeave:
		m.Leave, n, ok = wire.ParseLeave(b)
	}
	return n, ok
}

// Only returns those of a kind, to an address unless that is the zero value.
func Only(all []Message, kind wire.Type, to netip.AddrPort) []Message {
	return slices.DeleteFunc(slices.Clone(all), func(m Message) bool {
		return m.Kind != kind || to.IsValid() && m.To != to
	})
}
