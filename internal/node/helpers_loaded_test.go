package node

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// loaded is a node with as much to answer from as possible: a view that is full but for one
// member, a full log, and origins with gaps.
type loaded struct {
	*solo
	hellos []wiretest.Message
	pages  []wiretest.Message
}

const loadedMembers = 60

// memberAddr is the address of one of them.
var memberAddr = peerAddr(around(loadedMembers)[0])

func newLoaded(t *testing.T, size int, sealed bool) *loaded {
	config := Config{MaxMessageSize: size, MaxMembers: loadedMembers + 1, Ordered: true}
	if sealed {
		config.Keys = [][]byte{inClear}
	}
	s := &loaded{solo: newSolo(t, config)}
	s.withMembers(around(loadedMembers)...)
	payload := make([]byte, min(s.MaxPayload(), 1000))
	for i := 0; s.history.log.Evicted() == 0; i++ { // every other message of an origin is missing
		s.receive(memberAddr, s.data(wire.Data{
			Origin: uint64(1000 + i/20), Counter: uint32(1 + 2*(i%20)), Flags: wire.FlagPull, Payload: payload,
		}))
	}
	s.run(6 * time.Second)
	if s.peers.questions.refill(mostProbes); sealed {
		s.sealWith(testKey('k'))
	}
	return s
}

// messageMaker makes the i-th message of a datagram that comes from an address.
type messageMaker func(s *loaded, from netip.AddrPort, i int) []byte

// fullDatagram returns a datagram with as many messages as fit, and their number.
func (s *loaded) fullDatagram(from netip.AddrPort, next messageMaker) (b []byte, n int) {
	for {
		m := next(s, from, n)
		if len(b)+len(m) > s.out.room {
			return b, n
		}
		b, n = append(b, m...), n+1
	}
}

// effect is what a datagram, or a message, put into the queue.
type effect struct {
	answers, others, data, acks int // envelopes, of control to its source and to others
	bytes                       int // of all, each as often as it may be sent
}

func (s *loaded) effect(from netip.AddrPort) (e effect) {
	for x := range s.out.queue.All() {
		switch {
		case x.IsData():
			e.data++
		case x.To() == from:
			e.answers++
		default:
			e.others++
		}
		e.bytes += x.Size() * max(int(x.Attempts), 1)
	}
	e.acks = s.out.queue.Stats().Acks
	e.bytes += e.acks * ackMost
	return e
}

func helloWithoutToken(s *loaded, _ netip.AddrPort, i int) []byte {
	return s.hello(uint64(i+5), netip.AddrPort{}, 0)
}

func helloWithToken(s *loaded, from netip.AddrPort, i int) []byte {
	return s.hello(uint64(1+i)<<50+77, netip.AddrPort{}, s.tokens.Make(from, s.at))
}

// helloFromElsewhere is the Hello of a node that is reached elsewhere.
func helloFromElsewhere(s *loaded, from netip.AddrPort, i int) []byte {
	return s.hello(uint64(1+i)<<50+77, netip.AddrPortFrom(victimHost, uint16(1000+i)), s.tokens.Make(from, s.at))
}

// probeMany makes the node probe many addresses without a member.
func (s *loaded) probeMany(from netip.AddrPort) {
	for i := range mostProbes {
		s.receive(from, helloFromElsewhere(s, from, i))
	}
	s.hellos = s.sent(wire.TypeHello, anyAddr)
}

// sendFirstPages makes the node send newcomers the first page of the members.
func (s *loaded) sendFirstPages(from netip.AddrPort) {
	b, _ := s.fullDatagram(from, helloWithToken)
	s.receive(from, b)
	s.pages = s.sent(wire.TypeMemberList, from)
}

// broadcast is Data to be forwarded all around the ring.
func broadcast(flags uint8, payload int) messageMaker {
	return func(s *loaded, _ netip.AddrPort, i int) []byte {
		at := ring.Pos(s.peerID(128))
		text := make([]byte, min(payload, s.MaxPayload()))
		return s.data(wire.Data{Origin: 77, Counter: uint32(1 + i), Flags: flags, Lo: at, Hi: at - 1, Payload: text})
	}
}

// statusOf is a Status with many messages that the node has, and that it lacks.
func statusOf(mode wire.Mode) messageMaker {
	return func(s *loaded, _ netip.AddrPort, i int) []byte {
		m := wire.Status{Mode: mode}
		m.Digest.Add(1000, 0, []wire.Run{{First: 2, Last: 2}, {First: 4, Last: 1000}}, s.out.room)
		return s.status(m)
	}
}

// contradictions is a list of members at addresses other than the node knows.
func contradictions(s *loaded, _ netip.AddrPort, i int) []byte {
	var l []wire.Member
	for j := range 20 {
		l = append(l, wire.Member{ID: s.peers.members.At(1 + j).ID, Addr: netip.AddrPortFrom(victimHost, uint16(20*i+j+1))})
	}
	return s.memberList(true, l...)
}
