package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// loaded is a node that has as much as it can have to say: a full view, or nearly, a
// full log, and origins with gaps.
type loaded struct {
	*soloist
	seal   int // bytes that sealing adds to a datagram
	hellos []said
	pages  []said
}

const loadedMembers = 60

func newLoaded(t *testing.T, size int, sealed bool) *loaded {
	config := Config{MaxMessageSize: size, MaxMembers: loadedMembers + 1, Ordered: true}
	if sealed {
		config.Keys = [][]byte{inClear}
	}
	s := &loaded{soloist: newSoloist(t, config)}
	s.seedWith(around(loadedMembers)...)
	payload := make([]byte, min(s.MaxPayload(), 1000))
	for i := 0; s.log.Evicted() == 0; i++ { // each other message of an origin is missing
		s.hear(s.member(), s.data(wire.Data{
			Origin: uint64(1000 + i/20), Counter: uint32(1 + 2*(i%20)), Flags: wire.FlagPull, Payload: payload,
		}))
	}
	s.run(6 * time.Second)
	for s.queue.age.len+s.queue.data+s.queue.acks > 0 {
		s.run(10 * time.Millisecond)
	}
	if s.upkeep.probes = mostProbes; sealed {
		s.sealing(testKey('k'))
		s.seal = sealedFront + sealedBack
	}
	return s
}

// member returns the address of a member.
func (s *loaded) member() netip.AddrPort { return peerAddr(around(loadedMembers)[0]) }

// full is a datagram with as many of the messages as fit, and their number.
func (s *loaded) full(from netip.AddrPort, message func(s *loaded, from netip.AddrPort, i int) []byte) (b []byte, n int) {
	for {
		m := message(s, from, n)
		if len(b)+len(m) > s.room {
			return b, n
		}
		b, n = append(b, m...), n+1
	}
}

// effect is what a datagram, or a message, put into the queue.
type effect struct {
	answers, others, data, acks int // envelopes, control to its source and to others
	bytes                       int // of all, each as often as it may be sent
}

func (s *loaded) effect(from netip.AddrPort) (e effect) {
	for to, l := range s.queue.lanes {
		for _, c := range l.chains() {
			for x := c.head; x != nil; x = x.links[inLane].next {
				switch {
				case x.isData():
					e.data++
				case to == from:
					e.answers++
				default:
					e.others++
				}
				e.bytes += x.size() * x.attempts
			}
		}
		e.acks += len(l.acks)
	}
	e.bytes += e.acks * ackMost
	return e
}

// claims makes the node ask who is at so many addresses where it knows nobody.
func (s *loaded) claims(from netip.AddrPort) {
	for i := range mostProbes {
		at := netip.AddrPortFrom(host, uint16(1000+i))
		s.hear(from, s.hello(uint64(1+i)<<50+77, at, s.tokens.Make(from, s.at)))
	}
	s.hellos = only(s.speak(), wire.TypeHello, anybody)
}

// begun makes the node tell a newcomer the first page of the members many times.
func (s *loaded) begun(from netip.AddrPort) {
	b, _ := s.full(from, newcomers)
	s.hear(from, b)
	s.pages = only(s.speak(), wire.TypeMemberList, from)
}

func newcomers(s *loaded, from netip.AddrPort, i int) []byte {
	return s.hello(uint64(1+i)<<50+77, netip.AddrPort{}, s.tokens.Make(from, s.at))
}

// wide is Data that goes on from here, to be covered all round the ring.
func wide(flags uint8, payload int) func(s *loaded, from netip.AddrPort, i int) []byte {
	return func(s *loaded, _ netip.AddrPort, i int) []byte {
		at := view.Pos(s.peerID(128))
		d := wire.Data{Origin: 77, Counter: uint32(1 + i), Flags: flags, Lo: at, Hi: at - 1}
		d.Payload = make([]byte, min(payload, s.MaxPayload()))
		return s.data(d)
	}
}

// about is a Status about everything that the node has, and lacks.
func about(mode wire.Mode) func(s *loaded, from netip.AddrPort, i int) []byte {
	return func(s *loaded, _ netip.AddrPort, i int) []byte {
		m := wire.Status{Mode: mode, Last: 1<<64 - 1}
		for o := range uint64(4) {
			m.Digest.Add(1000+o, 0, []versions.Run{{First: 2, Last: 2}, {First: 4, Last: 1000}}, s.room/2)
		}
		return s.status(m)
	}
}

// What the README's table says of one message. A datagram may hold many.
const (
	ackMost     = wire.AckOverhead + wire.AckSize
	attemptMost = 3        // times that a page, a Hello with a token or a copy is sent
	delegates   = 8 + 1    // copies of a Broadcast
	rumors      = 3        // copies of a Random message, announcements of a newcomer
	repairsMost = 16 << 10 // bytes of repairs
)

// What all messages of a datagram get together, however many they are.
const (
	shareMost  = 1024 / 4 // of the control queue, and of repairs, for one recipient
	dataMost   = 1024     // copies
	doubtsMost = 64       // Hellos to addresses where somebody else may be
)

// helloMost is a Hello of a node with an IPv4 address.
const helloMost = wire.HeaderSize + 2 + 8 + 15 + 1

var bounds = []struct {
	what    string
	proven  bool // the source is a member, or comes with a token
	prepare func(s *loaded, from netip.AddrPort)
	message func(s *loaded, from netip.AddrPort, i int) []byte
	most    func(room, size int) effect // of a message of that size
}{
	{"Hello without a token", false, nil, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.hello(uint64(i+5), netip.AddrPort{}, 0) },
		func(room, _ int) effect { return effect{answers: 1, bytes: wire.MaxWelcomeSize} }},
	{"Hello without a token", true, nil, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.hello(uint64(i+5), netip.AddrPort{}, 0) },
		func(room, _ int) effect { return effect{answers: 1, bytes: wire.MaxWelcomeSize} }},
	{"Hello with a token", true, nil, newcomers, func(room, _ int) effect { return effect{answers: 1, acks: 1, bytes: attemptMost*room + ackMost} }},
	{"Hello with a token of a node elsewhere", true, nil, func(s *loaded, from netip.AddrPort, i int) []byte {
		return s.hello(uint64(i+5), netip.AddrPortFrom(host, uint16(i+1)), s.tokens.Make(from, s.at))
	}, func(room, _ int) effect { return effect{others: 1, acks: 1, bytes: helloMost + ackMost} }},
	{"Welcome", true, (*loaded).claims, func(s *loaded, _ netip.AddrPort, i int) []byte {
		return s.welcome(s.hellos[i%len(s.hellos)].seq, 7, uint64(1+i)<<50+77, netip.AddrPort{})
	}, func(room, _ int) effect { return effect{others: 2, bytes: attemptMost * (helloMost + room)} }},
	{"MemberList", false, nil, contradictions, func(room, _ int) effect { return effect{answers: 1, bytes: helloMost} }},
	{"MemberList", true, nil, contradictions, func(room, _ int) effect { return effect{others: 20, acks: 1, bytes: 20*helloMost + ackMost} }},
	{"Ack", true, (*loaded).begun, func(s *loaded, _ netip.AddrPort, i int) []byte {
		if i >= len(s.pages) {
			return s.ack(uint32(i))
		}
		return s.ack(s.pages[i].seq)
	}, func(room, _ int) effect { return effect{answers: 1, bytes: attemptMost * room} }},
	{"Broadcast Data", false, nil, wide(wire.FlagArc, 0), copiesMost(delegates)},
	{"Broadcast Data", true, nil, wide(wire.FlagArc, 0), copiesMost(delegates)},
	{"long Broadcast Data", true, nil, wide(wire.FlagArc, 1<<16), copiesMost(delegates)},
	{"Random Data", true, nil, wide(wire.FlagRumor, 0), copiesMost(rumors)},
	{"Data far ahead", false, nil, func(s *loaded, _ netip.AddrPort, i int) []byte {
		return s.data(wire.Data{Origin: 1000, Counter: 1 << 20})
	}, func(room, _ int) effect { return effect{answers: 1, bytes: helloMost} }},
	{"full Status", false, nil, about(wire.Full), repairs}, {"full Status", true, nil, about(wire.Full), repairs},
	{"Status that has seen nothing", true, nil, func(s *loaded, _ netip.AddrPort, _ int) []byte { return s.status(everything(nil)) }, repairs},
	{"offer", false, nil, about(wire.Offer), repairs}, {"offer", true, nil, about(wire.Offer), repairs},
	{"request", false, nil, about(wire.Request), repairs}, {"request", true, nil, about(wire.Request), repairs},
	{"Leave", false, nil, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.goodbye(uint64(i + 1)) },
		func(room, _ int) effect { return effect{} }},
}

// contradictions is a list of what is not as the node knows it.
func contradictions(s *loaded, _ netip.AddrPort, i int) []byte {
	var l []wire.Member
	for j := range 20 {
		l = append(l, wire.Member{ID: s.roster.At(1 + j).ID, Addr: netip.AddrPortFrom(host, uint16(20*i+j+1))})
	}
	return s.memberList(true, l...)
}

func copiesMost(n int) func(room, size int) effect {
	return func(_, size int) effect {
		return effect{data: n, acks: 1, bytes: n*attemptMost*(size+8) + ackMost} // an arc may be new to it
	}
}

// repairs are as many as fit in their bytes, and a question.
func repairs(room, _ int) effect {
	return effect{answers: 2, acks: 1, data: repairsMost / wire.DataSize(0, 0), bytes: repairsMost + 2*room + ackMost}
}

func TestWhatOneDatagramCausesAtMost(t *testing.T) {
	for _, size := range []int{512, 1400, wire.MaxDatagram} {
		for _, sealed := range []bool{false, true} {
			for _, c := range bounds {
				source := map[bool]string{true: "a member", false: "a stranger"}[c.proven]
				t.Run(fmt.Sprintf("%s of %s, sealed %v, in %d bytes", c.what, source, sealed, size), func(t *testing.T) {
					s, from := newLoaded(t, size, sealed), stranger
					if c.proven {
						from = s.member()
					}
					if c.prepare != nil {
						c.prepare(s, from)
					}
					b, n := s.full(from, c.message)
					s.causes(from, b, n, c.most(s.room, len(b)/n))
				})
			}
		}
	}
}

// causes fails if a datagram of n messages causes more than n times most, or more
// than all messages of a datagram may together.
func (s *loaded) causes(from netip.AddrPort, b []byte, n int, most effect) {
	s.t.Helper()
	was, member := s.effect(from), s.roster.ByAddr(from) != nil
	s.hear(from, b)
	is := s.effect(from)
	for _, x := range []struct {
		what          string
		is, each, all int
	}{
		{"answers", is.answers - was.answers, most.answers, shareMost},
		{"control messages to others", is.others - was.others, most.others, doubtsMost},
		{"Data", is.data - was.data, most.data, dataMost},
		{"acknowledgements", is.acks - was.acks, most.acks, mostAcks},
		{"bytes, with all attempts,", is.bytes - was.bytes, most.bytes, 1 << 40},
	} {
		s.want(x.is <= min(n*x.each, x.all), "%d messages caused %d %s, not %d each and %d in all at most", n, x.is, x.what, x.each, x.all)
	}
	s.want(is.data == 0 || s.queue.load(from) <= shareMost, "%d repairs are for one member", s.queue.load(from))
	out := 0
	s.fake.sink = func(d []byte, to netip.AddrPort) {
		if to == from {
			out += len(d) + s.seal
		}
	}
	for range 20 { // what is not answered is sent again
		s.speak()
		s.at += 100 * time.Millisecond
		s.Tick()
	}
	s.want(member || out <= amplification*(len(b)+s.seal), "%d bytes went to a stranger for %d", out, len(b)+s.seal)
}

// What who leaves had to cover goes to others: that is moved, not added.
func TestAGoodbyeAddsNothingToTheQueue(t *testing.T) {
	s := newLoaded(t, 512, false)
	for range 60 {
		s.want(s.SendData(make([]byte, 100)) == nil, "SendData failed")
	}
	for range 50 {
		from := s.roster.At(0)
		was := s.effect(from.Addr)
		s.hear(from.Addr, s.goodbye(from.ID))
		is := s.effect(from.Addr)
		s.want(is.data <= was.data && is.bytes <= was.bytes && is.answers+is.others <= was.answers+was.others,
			"a goodbye made the queue longer, from %+v to %+v", was, is)
		s.want(s.queue.load(from.Addr) == 0, "for who has left %d messages are queued", s.queue.load(from.Addr))
	}
}

// The arc of a silent member goes to another, and from there to the next: that must
// come to an end.
func TestWhatNobodyAnswersIsSentToEachMemberAFewTimes(t *testing.T) {
	s := newLoaded(t, 512, false)
	clear(s.polite)
	s.hear(stranger, wide(wire.FlagArc, 100)(s, stranger, 0))
	all := s.run(time.Minute)
	copies := 0
	for _, m := range only(all, wire.TypeData, anybody) {
		if m.data.Origin == 77 {
			copies++
		}
	}
	s.want(copies > delegates && copies <= 2*attemptMost*loadedMembers, "one message, which none of %d members answers, was sent %d times", loadedMembers, copies)
	s.want(s.queue.data == 0, "after a minute %d copies are queued still", s.queue.data)
}
