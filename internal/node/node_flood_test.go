package node

import (
	"net/netip"
	"testing"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// nextID returns an id that no node has, anywhere on the ring, another one each time.
func (f *flooded) nextID() uint64 { return (f.made + 1000) * 0x9e3779b97f4a7c15 }

func (f *flooded) token() uint64 { return f.tokens.Make(flooder, f.at) }

// honestID is the id of an honest member.
func (f *flooded) honestID() uint64 { return f.peerID(floodHonest[f.made%3]) }

// nowhere is an address on a host without a node.
func (f *flooded) nowhere() netip.AddrPort { return netip.AddrPortFrom(victimHost, uint16(f.made)|1) }

// ofMany is a Status that offers or requests many messages of an origin.
func (f *flooded) ofMany(mode wire.Mode, origin uint64) []byte {
	m := wire.Status{Mode: mode}
	m.Digest.Add(origin, 0, []wire.Run{{First: 1, Last: 1000}, {First: 1002, Last: 60_000}}, 100)
	return f.status(m)
}

// own is the next message of the flooder itself.
func (f *flooded) own(step uint32, flags uint8) []byte {
	beyond := ring.Pos(f.peerID(200)) // the ring without the flooder
	return f.data(wire.Data{Origin: f.peerID(200), Counter: step * uint32(f.made), Flags: flags, Lo: beyond + 1, Hi: beyond, Payload: make([]byte, 20)})
}

var floods = []struct {
	what string
	slow int // how many times the usual rate is too much
	next func(f *flooded) []byte
}{
	{"Hellos of ever new nodes", 2, func(f *flooded) []byte { return f.hello(f.nextID(), flooder, f.token()) }},
	{"Hellos of nodes elsewhere", 1, func(f *flooded) []byte { return f.hello(f.nextID(), f.nowhere(), f.token()) }},
	{"Hellos of honest members", 1, func(f *flooded) []byte { return f.hello(f.honestID(), flooder, f.token()) }},
	{"Hellos without a token", 1, func(f *flooded) []byte { return f.hello(f.nextID(), flooder, 0) }},
	{"Welcomes", 1, func(f *flooded) []byte { return f.welcome(uint32(f.nextID()), f.nextID(), f.honestID(), flooder) }},
	{"lists of members elsewhere", 1, func(f *flooded) []byte {
		return f.memberList(true, wire.Member{ID: f.honestID(), Addr: f.nowhere()})
	}},
	{"Acks", 1, func(f *flooded) []byte { return f.ack(uint32(f.nextID()), uint32(f.nextID()>>32)) }},
	{"Data of ever new origins", 1, func(f *flooded) []byte { return f.data(wire.Data{Origin: f.nextID(), Counter: 1}) }},
	{"Data with ever higher numbers", 1, func(f *flooded) []byte { return f.own(1500, 0) }},
	{"Data to be forwarded along the ring", 20, func(f *flooded) []byte { return f.own(1, wire.FlagArc) }},
	{"Data to be forwarded at random", 20, func(f *flooded) []byte { return f.own(1, wire.FlagRumor) }},
	{"Direct Data", 1, func(f *flooded) []byte { return f.own(1, wire.FlagDirect) }},
	{"Direct Data of ever new origins for others", 1, func(f *flooded) []byte {
		d := wire.Data{Origin: f.nextID(), Counter: 1, Flags: wire.FlagDirect}
		d.SetRecipient(f.nextID())
		return f.data(d)
	}},
	{"Statuses that have seen nothing", 2, func(f *flooded) []byte { return f.status(everything(nil)) }},
	{"offers of messages that no node has", 2, func(f *flooded) []byte { return f.ofMany(wire.Offer, f.nextID()) }},
	{"requests", 2, func(f *flooded) []byte { return f.ofMany(wire.Request, f.made%floodOrigins+1) }},
	{"goodbyes of others", 1, func(f *flooded) []byte { return f.goodbye(f.honestID()) }},
}

// The bounds are small, so that a burst exceeds them if nothing holds it back.
func TestNodeServesItsMembersDuringAFlood(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, flood := range floods {
		t.Run(flood.what, func(t *testing.T) {
			f := newFlooded(t, Config{MaxMembers: 64, MaxOutputMessages: 128})
			f.endure(floodRate/flood.slow, flood.next)
		})
	}
}

func TestNodeKeepsItsMembersDuringAFloodOfInventedOnes(t *testing.T) {
	t.Parallel()
	f := newFlooded(t, Config{MaxMembers: 64}, around(60)...)
	members := f.Members()
	f.stay = nil // up to a quarter of the members may go, whichever these are
	f.endure(floodRate/10, func(f *flooded) []byte {
		if f.made%20 == 0 { // the invented members evict the flooder too
			return f.hello(f.peerID(200), flooder, f.token())
		}
		return f.memberList(true, wire.Member{ID: f.nextID(), Addr: f.nowhere()})
	})
	validated := 0
	for i := range f.Members() {
		if f.peers.members.At(i).Validated {
			validated++
		}
	}
	f.want(4*validated >= 3*members, "of %d members %d are left, and %d invented ones", members, validated, f.Members()-validated)
}
