package cluster

import (
	"fmt"
	"net/netip"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
)

// tally counts what the datagrams of a simulation carry.
type tally struct {
	copies, datagrams, bytes int
	background               int
	data                     map[envelopeKey]bool     // Data on its way, by the node that waits for its Ack
	firstSent                map[string]time.Duration // when each message was first sent, by its key
	by                       map[netip.AddrPort]int
}

// envelopeKey names a message by its sender, or by its recipient where the sender is fixed.
type envelopeKey struct {
	peer netip.AddrPort
	seq  uint32
}

func (y *tally) tap(e simnet.Event) {
	if e.Kind != simnet.Sent {
		return
	}
	bytes := 0
	for b := e.Payload; len(b) > 0; {
		h, _ := wire.ParseHeader(b)
		n, mine := y.message(e, h, b[wire.HeaderSize:])
		if mine {
			bytes += wire.HeaderSize + n
		}
		b = b[wire.HeaderSize+n:]
	}
	if bytes == 0 {
		y.background++
		return
	}
	y.datagrams++
	y.bytes += bytes + 28
	y.by[e.From]++
}

// message returns the length of a body and whether it serves dissemination.
func (y *tally) message(e simnet.Event, h wire.Header, b []byte) (n int, mine bool) {
	switch h.Type {
	case wire.TypeData:
		d, n, _ := wire.ParseData(b)
		y.copies++
		if key := fmt.Sprint(d.Origin, d.Counter); y.firstSent[key] == 0 {
			y.firstSent[key] = e.Time
		}
		if d.Flags&wire.FlagPull == 0 {
			y.data[envelopeKey{e.From, h.Seq}] = true
		}
		return n, true
	case wire.TypeAck:
		m, n, _ := wire.ParseAck(b)
		for seq := range m.Numbers() {
			mine = mine || y.data[envelopeKey{e.To, seq}]
		}
		return n, mine
	case wire.TypeStatus:
		m, n, _ := wire.ParseStatus(b)
		return n, m.Mode == wire.Request || m.Mode == wire.Offer && y.news(e, m.Digest)
	case wire.TypeHello:
		_, n, _ = wire.ParseHello(b)
	case wire.TypeWelcome:
		_, n, _ = wire.ParseWelcome(b)
	case wire.TypeMemberList:
		_, n, _ = wire.ParseMemberList(b)
	default:
		_, n, _ = wire.ParseLeave(b)
	}
	return n, false
}

// news reports whether an offer is of news only. An offer that names older messages too is a
// comparison, which the clock causes.
func (y *tally) news(e simnet.Event, d wire.Digest) bool {
	for {
		origin, _, runs, ok := d.Next(nil)
		if !ok {
			return true
		}
		for _, r := range runs {
			if e.Time-y.firstSent[fmt.Sprint(origin, r.First)] > 750*time.Millisecond {
				return false
			}
		}
	}
}
