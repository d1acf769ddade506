package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
)

// The table in doc.go is about one message, of which a datagram may hold many.
const (
	attempts    = 3                                    // times that a page, a Hello with a token or a copy is sent
	delegates   = 16 + 1                               // copies of a Broadcast
	rumors      = 3                                    // copies of a Random message
	repairsMost = 16 << 10                             // bytes of repairs
	helloMost   = wire.HeaderSize + 2 + 2 + 8 + 15 + 1 // bytes of a Hello without a name
	ackMost     = wire.AckOverhead + wire.AckSize

	// Bounds of all messages of a datagram together.
	shareMost  = 1024 / 4                     // of control, and of repairs, for one recipient
	dataMost   = 1024*(4<<10)/192 + delegates // copies without a payload, at their charge
	acksMost   = 256 * outbox.MostAcks        // those of a run are one to queue
	probesMost = 64                           // Hellos to doubtful addresses
)

// repairs is the effect of a Status: as many messages as have repairsMost bytes together, a
// request, and a probe of an unvalidated source.
var repairs = effect{answers: 2, acks: 1, data: repairsMost / wire.DataSize(0, 0), bytes: repairsMost + helloMost}

var bounds = []struct {
	what    string
	from    netip.AddrPort // a member may also come with a token
	prepare func(s *loaded, from netip.AddrPort)
	next    messageMaker
	most    effect // of one message, beside the bytes that follow
	pages   int    // bytes of that many datagrams
	copies  int    // bytes of that many times the message
}{
	{"Hello without a token", unknownAddr, nil, helloWithoutToken, effect{answers: 1, bytes: wire.MaxWelcomeSize}, 0, 0},
	{"Hello without a token", memberAddr, nil, helloWithoutToken, effect{answers: 1, bytes: wire.MaxWelcomeSize}, 0, 0},
	{"Hello with a token", memberAddr, nil, helloWithToken, effect{answers: 1, acks: 1}, attempts, 0},
	{"Hello with a token, of a node elsewhere,", memberAddr, nil, helloFromElsewhere, effect{others: 1, acks: 1, bytes: helloMost}, 0, 0},
	{"Welcome", memberAddr, (*loaded).probeMany, func(s *loaded, _ netip.AddrPort, i int) []byte {
		return s.welcome(s.hellos[i%len(s.hellos)].Seq, 7, uint64(1+i)<<50+77, netip.AddrPort{})
	}, effect{others: 2, bytes: attempts * helloMost}, attempts, 0},
	{"MemberList", unknownAddr, nil, contradictions, effect{answers: 1, bytes: helloMost}, 0, 0},
	{"MemberList", memberAddr, nil, contradictions, effect{others: 20, acks: 1, bytes: 20 * helloMost}, 0, 0},
	{"Ack", memberAddr, (*loaded).sendFirstPages, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.ack(s.pages[i%len(s.pages)].Seq) }, effect{answers: 1}, attempts, 0},
	{"Broadcast", unknownAddr, nil, broadcast(wire.FlagArc, 0), effect{answers: 1, data: delegates, acks: 1, bytes: helloMost}, 0, delegates * attempts},
	{"Broadcast", memberAddr, nil, broadcast(wire.FlagArc, 0), effect{data: delegates, acks: 1}, 0, delegates * attempts},
	{"long Broadcast", memberAddr, nil, broadcast(wire.FlagArc, 1<<16), effect{data: delegates, acks: 1}, 0, delegates * attempts},
	{"Random message", memberAddr, nil, broadcast(wire.FlagRumor, 0), effect{data: rumors, acks: 1}, 0, rumors * attempts},
	{"Data far ahead", unknownAddr, nil, func(s *loaded, _ netip.AddrPort, i int) []byte {
		return s.data(wire.Data{Origin: 1000, Counter: 1 << 20})
	}, effect{answers: 1, bytes: helloMost}, 0, 0},
	{"full Status", unknownAddr, nil, statusOf(wire.Full), repairs, 1, 0},
	{"full Status", memberAddr, nil, statusOf(wire.Full), repairs, 1, 0},
	{"Status that has seen nothing", memberAddr, nil, func(s *loaded, _ netip.AddrPort, _ int) []byte { return s.status(everything(nil)) }, repairs, 1, 0},
	{"offer", unknownAddr, nil, statusOf(wire.Offer), repairs, 1, 0},
	{"offer", memberAddr, nil, statusOf(wire.Offer), repairs, 1, 0},
	{"request", unknownAddr, nil, statusOf(wire.Request), repairs, 1, 0},
	{"request", memberAddr, nil, statusOf(wire.Request), repairs, 1, 0},
	{"Leave", unknownAddr, nil, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.goodbye(uint64(i + 1)) }, effect{}, 0, 0},
}

func TestEffectsOfADatagramAreBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{512, 1400, wire.MaxDatagram} {
		for _, sealed := range []bool{false, true} {
			for _, c := range bounds {
				t.Run(fmt.Sprintf("%s of %v, sealed %v, in %d bytes", c.what, c.from, sealed, size), func(t *testing.T) {
					s := newLoaded(t, size, sealed)
					if c.prepare != nil {
						c.prepare(s, c.from)
					}
					b, n := s.fullDatagram(c.from, c.next)
					c.most.bytes += c.most.acks*ackMost + c.pages*s.out.room + c.copies*(len(b)/n+8) // an arc may be new
					s.wantBounded(c.from, b, n, c.most)
				})
			}
		}
	}
}

// wantBounded fails if a datagram of n messages causes more than n times most, or more than
// all messages of a datagram may cause together.
func (s *loaded) wantBounded(from netip.AddrPort, b []byte, n int, most effect) {
	s.t.Helper()
	was, member := s.effect(from), s.peers.members.ByAddr(from) != nil
	s.receive(from, b)
	is := s.effect(from)
	for _, x := range []struct {
		what          string
		is, each, all int
	}{
		{"answers", is.answers - was.answers, most.answers, shareMost},
		{"control messages to others", is.others - was.others, most.others, probesMost},
		{"Data", is.data - was.data, most.data, dataMost},
		{"acknowledgements", is.acks - was.acks, most.acks, acksMost},
		{"bytes, with all attempts,", is.bytes - was.bytes, most.bytes, 1<<31 - 1},
	} {
		s.want(x.is <= min(n*x.each, x.all), "%d messages caused %d %s, more than %d each or %d in all", n, x.is, x.what, x.each, x.all)
	}
	s.want(is.data == 0 || s.out.queue.Load(from) <= shareMost, "%d repairs are for one member", s.out.queue.Load(from))
	out, seal := 0, s.config.MaxMessageSize-s.out.room
	s.sink = func(d []byte, to netip.AddrPort) {
		if to == from {
			out += len(d) + seal
		}
	}
	s.run(2 * time.Second) // messages without an answer are sent again
	s.want(member || out <= timesMost*(len(b)+seal), "%d bytes went to an unvalidated source for %d", out, len(b)+seal)
}
