package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// loaded is a node that has as much as it can have to say: a full view, or nearly, a
// full log, and origins with gaps.
type loaded struct {
	*soloist
	hellos []said
	pages  []said
}

const loadedMembers = 60

var insider = peerAddr(around(loadedMembers)[0]) // one of them

func newLoaded(t *testing.T, size int, sealed bool) *loaded {
	config := Config{MaxMessageSize: size, MaxMembers: loadedMembers + 1, Ordered: true}
	if sealed {
		config.Keys = [][]byte{inClear}
	}
	s := &loaded{soloist: newSoloist(t, config)}
	s.seedWith(around(loadedMembers)...)
	payload := make([]byte, min(s.MaxPayload(), 1000))
	for i := 0; s.log.Evicted() == 0; i++ { // each other message of an origin is missing
		s.hear(insider, s.data(wire.Data{
			Origin: uint64(1000 + i/20), Counter: uint32(1 + 2*(i%20)), Flags: wire.FlagPull, Payload: payload,
		}))
	}
	s.run(6 * time.Second)
	if s.upkeep.probes = mostProbes; sealed {
		s.sealing(testKey('k'))
	}
	return s
}

// says makes the i-th message of a datagram that comes from there.
type says func(s *loaded, from netip.AddrPort, i int) []byte

// full is a datagram with as many messages as fit, and their number.
func (s *loaded) full(from netip.AddrPort, next says) (b []byte, n int) {
	for {
		m := next(s, from, n)
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
	for x := range s.outbox.All() {
		switch {
		case x.IsData():
			e.data++
		case x.To() == from:
			e.answers++
		default:
			e.others++
		}
		e.bytes += x.Size() * max(x.Attempts, 1)
	}
	e.acks = s.outbox.Stats().Acks
	e.bytes += e.acks * ackMost
	return e
}

func greetings(s *loaded, _ netip.AddrPort, i int) []byte {
	return s.hello(uint64(i+5), netip.AddrPort{}, 0)
}

func newcomers(s *loaded, from netip.AddrPort, i int) []byte {
	return s.hello(uint64(1+i)<<50+77, netip.AddrPort{}, s.tokens.Make(from, s.at))
}

func elsewhere(s *loaded, from netip.AddrPort, i int) []byte {
	return s.hello(uint64(1+i)<<50+77, netip.AddrPortFrom(host, uint16(1000+i)), s.tokens.Make(from, s.at))
}

// claims makes the node ask who is at many addresses where it knows nobody.
func (s *loaded) claims(from netip.AddrPort) {
	for i := range mostProbes {
		s.hear(from, elsewhere(s, from, i))
	}
	s.hellos = only(s.speak(), wire.TypeHello, anybody)
}

// begun makes the node tell newcomers the first page of the members.
func (s *loaded) begun(from netip.AddrPort) {
	b, _ := s.full(from, newcomers)
	s.hear(from, b)
	s.pages = only(s.speak(), wire.TypeMemberList, from)
}

// wide is Data that goes on from here, to be covered all round the ring.
func wide(flags uint8, payload int) says {
	return func(s *loaded, _ netip.AddrPort, i int) []byte {
		at := view.Pos(s.peerID(128))
		text := make([]byte, min(payload, s.MaxPayload()))
		return s.data(wire.Data{Origin: 77, Counter: uint32(1 + i), Flags: flags, Lo: at, Hi: at - 1, Payload: text})
	}
}

// about is a Status about much that the node has, and lacks.
func about(mode wire.Mode) says {
	return func(s *loaded, _ netip.AddrPort, i int) []byte {
		m := wire.Status{Mode: mode, Last: 1<<64 - 1}
		m.Digest.Add(1000, 0, []versions.Run{{First: 2, Last: 2}, {First: 4, Last: 1000}}, s.room)
		return s.status(m)
	}
}

// contradictions is a list of members that the node knows elsewhere.
func contradictions(s *loaded, _ netip.AddrPort, i int) []byte {
	var l []wire.Member
	for j := range 20 {
		l = append(l, wire.Member{ID: s.roster.At(1 + j).ID, Addr: netip.AddrPortFrom(host, uint16(20*i+j+1))})
	}
	return s.memberList(true, l...)
}

// The table in the README is about one message, of which a datagram may hold many.
const (
	attempts    = 3                                // times that a page, a Hello with a token or a copy is sent
	delegates   = 8 + 1                            // copies of a Broadcast
	rumors      = 3                                // copies of a Random message
	repairsMost = 16 << 10                         // bytes of repairs
	helloMost   = wire.HeaderSize + 2 + 8 + 15 + 1 // bytes, as is
	ackMost     = wire.AckOverhead + wire.AckSize
	timesMost   = 3 // the bytes that come from a stranger

	// What all messages of a datagram get together.
	shareMost  = 1024 / 4 // of control, and of repairs, for one recipient
	dataMost   = 1024     // copies
	doubtsMost = 64       // Hellos to addresses where somebody else may be
)

var bounds = []struct {
	what    string
	from    netip.AddrPort // a member may also come with a token
	prepare func(s *loaded, from netip.AddrPort)
	next    says
	most    effect // of one message, and beside its bytes
	pages   int    // so many datagrams
	copies  int    // so many times the message
}{
	{"Hello without a token", stranger, nil, greetings, effect{answers: 1, bytes: wire.MaxWelcomeSize}, 0, 0},
	{"Hello without a token", insider, nil, greetings, effect{answers: 1, bytes: wire.MaxWelcomeSize}, 0, 0},
	{"Hello with a token", insider, nil, newcomers, effect{answers: 1, acks: 1}, attempts, 0},
	{"Hello with a token, of a node elsewhere,", insider, nil, elsewhere, effect{others: 1, acks: 1, bytes: helloMost}, 0, 0},
	{"Welcome", insider, (*loaded).claims, func(s *loaded, _ netip.AddrPort, i int) []byte {
		return s.welcome(s.hellos[i%len(s.hellos)].seq, 7, uint64(1+i)<<50+77, netip.AddrPort{})
	}, effect{others: 2, bytes: attempts * helloMost}, attempts, 0},
	{"MemberList", stranger, nil, contradictions, effect{answers: 1, bytes: helloMost}, 0, 0},
	{"MemberList", insider, nil, contradictions, effect{others: 20, acks: 1, bytes: 20 * helloMost}, 0, 0},
	{"Ack", insider, (*loaded).begun, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.ack(s.pages[i%len(s.pages)].seq) }, effect{answers: 1}, attempts, 0},
	{"Broadcast", stranger, nil, wide(wire.FlagArc, 0), effect{data: delegates, acks: 1}, 0, delegates * attempts},
	{"Broadcast", insider, nil, wide(wire.FlagArc, 0), effect{data: delegates, acks: 1}, 0, delegates * attempts},
	{"long Broadcast", insider, nil, wide(wire.FlagArc, 1<<16), effect{data: delegates, acks: 1}, 0, delegates * attempts},
	{"Random message", insider, nil, wide(wire.FlagRumor, 0), effect{data: rumors, acks: 1}, 0, rumors * attempts},
	{"Data far ahead", stranger, nil, func(s *loaded, _ netip.AddrPort, i int) []byte {
		return s.data(wire.Data{Origin: 1000, Counter: 1 << 20})
	}, effect{answers: 1, bytes: helloMost}, 0, 0},
	{"full Status", stranger, nil, about(wire.Full), repairs, 1, 0},
	{"full Status", insider, nil, about(wire.Full), repairs, 1, 0},
	{"Status that has seen nothing", insider, nil, func(s *loaded, _ netip.AddrPort, _ int) []byte { return s.status(everything(nil)) }, repairs, 1, 0},
	{"offer", stranger, nil, about(wire.Offer), repairs, 1, 0},
	{"offer", insider, nil, about(wire.Offer), repairs, 1, 0},
	{"request", stranger, nil, about(wire.Request), repairs, 1, 0},
	{"request", insider, nil, about(wire.Request), repairs, 1, 0},
	{"Leave", stranger, nil, func(s *loaded, _ netip.AddrPort, i int) []byte { return s.goodbye(uint64(i + 1)) }, effect{}, 0, 0},
}

// repairs are as many messages as have so many bytes together, a request, and a
// Hello to who is not proven.
var repairs = effect{answers: 2, acks: 1, data: repairsMost / wire.DataSize(0, 0), bytes: repairsMost + helloMost}

func TestWhatOneDatagramCausesAtMost(t *testing.T) {
	t.Parallel()
	for _, size := range []int{512, 1400, wire.MaxDatagram} {
		for _, sealed := range []bool{false, true} {
			for _, c := range bounds {
				t.Run(fmt.Sprintf("%s of %v, sealed %v, in %d bytes", c.what, c.from, sealed, size), func(t *testing.T) {
					s := newLoaded(t, size, sealed)
					if c.prepare != nil {
						c.prepare(s, c.from)
					}
					b, n := s.full(c.from, c.next)
					c.most.bytes += c.most.acks*ackMost + c.pages*s.room + c.copies*(len(b)/n+8) // an arc may be new
					s.causes(c.from, b, n, c.most)
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
		{"acknowledgements", is.acks - was.acks, most.acks, outbox.MostAcks},
		{"bytes, with all attempts,", is.bytes - was.bytes, most.bytes, 1<<31 - 1},
	} {
		s.want(x.is <= min(n*x.each, x.all), "%d messages caused %d %s, not %d each and %d in all at most", n, x.is, x.what, x.each, x.all)
	}
	s.want(is.data == 0 || s.outbox.Load(from) <= shareMost, "%d repairs are for one member", s.outbox.Load(from))
	out, seal := 0, s.config.MaxMessageSize-s.room
	s.fake.sink = func(d []byte, to netip.AddrPort) {
		if to == from {
			out += len(d) + seal
		}
	}
	s.run(2 * time.Second) // what is not answered is sent again
	s.want(member || out <= timesMost*(len(b)+seal), "%d bytes went to a stranger for %d", out, len(b)+seal)
}

// What who leaves had to cover goes to others: that is moved, not added.
func TestAGoodbyeAddsNothingToTheQueue(t *testing.T) {
	t.Parallel()
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
		s.want(s.outbox.Load(from.Addr) == 0, "for who has left %d messages are queued", s.outbox.Load(from.Addr))
	}
}

// The arc of a silent member goes to another, and from there to the next: that must
// come to an end.
func TestWhatNobodyAnswersIsSentToEachMemberAFewTimes(t *testing.T) {
	t.Parallel()
	s := newLoaded(t, 512, false)
	clear(s.polite)
	s.hear(stranger, wide(wire.FlagArc, 100)(s, stranger, 0))
	copies := len(only(s.run(time.Minute), wire.TypeData, anybody))
	s.want(copies > delegates && copies <= 2*attempts*loadedMembers, "one message, which none of %d members answers, was sent %d times", loadedMembers, copies)
	s.want(s.Stats().QueuedData == 0, "after a minute %d copies are queued still", s.Stats().QueuedData)
}

// FuzzConfig sets a Config to anything: a field is refused by its name, or all work.
func FuzzConfig(f *testing.F) {
	add := func(cluster, advertise string, keys []byte, flags uint8, numbers ...int64) {
		var b []byte
		for _, n := range numbers {
			b = binary.AppendVarint(b, n)
		}
		f.Add(cluster, advertise, keys, flags, b)
	}
	add("blue", "203.0.113.9:7070", append(testKey('a'), testKey('b')...), 7, 255, 64, 64, 1400, 1<<24, 1<<20, 1<<30, 1<<30)
	add(strings.Repeat("x", 255), "[2001:db8::1]:1", testKey('a'), 8, 1, 1, 1, 338, 1, 9, 530, 0, 1e7, 6e10, 36e11, 1e9)
	add("\xff", "0.0.0.0:1", testKey('a')[:31], 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)
	add("", "", nil, 3, 1, 1, 1, 66, 1, 9, 300, 1, 36e11, 1e6, 1e6, 1)
	f.Fuzz(func(t *testing.T, cluster, advertise string, keys []byte, flags uint8, numbers []byte) {
		c := Config{Cluster: cluster, Ordered: flags&1 != 0, SkipHistory: flags&2 != 0, Keys: slices.Collect(slices.Chunk(keys, 32))}
		c.Spread = []Spread{{}, Broadcast, Random, Direct(Address{peerAddr(int(flags))})}[flags>>2&3]
		c.Advertise, _ = ParseAddress(advertise)
		var n [12]int64
		for i := range n {
			x, size := binary.Varint(numbers)
			n[i], numbers = x, numbers[max(size, 0):]
		}
		c.RetryAttempts, c.RumorFactor, c.BroadcastFactor, c.MaxMessageSize = int(n[0]), int(n[1]), int(n[2]), int(n[3])
		c.MaxOutputMessages, c.MaxMembers, c.DataLogSize, c.ReadBuffer = int(n[4]), int(n[5]), int(n[6]), int(n[7])
		c.TickInterval, c.RetryInterval = time.Duration(n[8]), time.Duration(n[9])
		c.OrderedWait, c.AckDelay = time.Duration(n[10]), time.Duration(n[11])
		checked, err := c.withDefaults()
		if err != nil {
			named := func(f reflect.StructField) bool { return strings.Contains(err.Error(), f.Name) }
			if !errors.Is(err, ErrConfig) || !slices.ContainsFunc(reflect.VisibleFields(reflect.TypeFor[Config]()), named) {
				t.Fatalf("the error for %+v names no field: %v", c, err)
			}
			return
		}
		c.MaxMessageSize = min(checked.MaxMessageSize, 4096) // more would take longer
		if c.Ordered {
			c.DataLogSize = max(checked.DataLogSize, 1<<13) // where the longest can wait
		}
		worksWith(t, c)
	})
}

// worksWith fails unless two nodes of a Config hear the longest messages of each other.
func worksWith(t *testing.T, c Config) {
	a := newSoloistAt(unhelped{t}, netip.MustParseAddrPort("192.0.2.1:7070"), c)
	c.Advertise = Address{}
	b := newSoloistAt(unhelped{t}, netip.MustParseAddrPort("192.0.2.2:7070"), c)
	b.newIdentity() // else, for it has the same randomness
	a.fake.sink = func(d []byte, _ netip.AddrPort) { b.fake.feed(a.fake.local, slices.Clone(d)) }
	b.fake.sink = func(d []byte, _ netip.AddrPort) { a.fake.feed(b.fake.local, slices.Clone(d)) }
	over := func(over func() bool) bool {
		for turns := 0; !over() && turns < 200; turns++ {
			a.Receive(0)
			at, _ := a.Tick()
			a.Send()
			b.Receive(0)
			bt, _ := b.Tick()
			b.Send()
			a.at += min(at, bt)
			b.at += min(at, bt)
		}
		return over()
	}
	if err := errors.Join(a.Join(), b.Join(a.Address())); err != nil || !over(func() bool { return a.roster.Len() == 1 && b.roster.Len() == 1 }) {
		t.Fatalf("with %+v two nodes do not meet: %v", c, err)
	}
	long := strings.Repeat("x", a.MaxPayload())
	if err := errors.Join(a.SendData([]byte(long), Broadcast), b.SendData([]byte(long), Broadcast)); err != nil || !over(func() bool {
		return slices.Contains(a.got, long) && slices.Contains(b.got, long)
	}) {
		t.Fatalf("with %+v two nodes do not hear each other: %v, %+v", c, err, b.Stats())
	}
}
