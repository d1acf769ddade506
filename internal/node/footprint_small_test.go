package node

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// smallDevice is what README.md recommends for one.
var smallDevice = Config{DataLogSize: 1024, MaxOutputMessages: 64, MaxMembers: 10, MaxMessageSize: 144}

// Whatever strangers send to a small node, and for however long, it stays small.
func TestSmallNodeStaysSmallUnderAFloodOfStrangers(t *testing.T) {
	const most = 64 << 10
	s := newSolo(t, smallDevice)
	s.withMembers(around(8)...)
	s.act = func(Event) {}
	r := rand.New(rand.NewPCG(1, 90))
	payload := make([]byte, 100)
	largest := 0
	for turn := range 3000 {
		from := netip.AddrPortFrom(victimHost, uint16(1+r.IntN(2000)))
		d := wire.Data{Origin: r.Uint64() | 1, Counter: 1 + r.Uint32N(60), Payload: payload[:r.IntN(100)]}
		d.Flags = []uint8{0, wire.FlagPull, wire.FlagArc, wire.FlagRumor, wire.FlagDirect}[r.IntN(5)]
		switch r.IntN(8) {
		case 0:
			s.receive(from, s.hello(r.Uint64()|1, from, 0))
		case 1:
			s.receive(from, s.hello(r.Uint64()|1, netip.AddrPortFrom(victimHost, uint16(r.Uint32()|1)), s.tokens.Make(from, s.at)))
		case 2:
			s.receive(from, s.offerOf(d.Origin, 1, 1000))
		case 3:
			s.receive(from, s.memberList(true, wire.Member{ID: d.Origin, Addr: from}))
		default:
			s.receive(from, s.data(d))
		}
		if turn%10 == 0 {
			s.run(time.Second)
		}
		if turn%100 == 0 {
			largest = max(largest, footprint(s.Node))
		}
	}
	s.want(largest < most, "the node took %d bytes, of which it may take %d: %+v", largest, most, s.Stats())
	t.Logf("the node took %d bytes at most, with %d origins", largest, s.Stats().Origins)
}
