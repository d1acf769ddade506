package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/transport"
	"example.com/gossip/internal/wire"
)

// fakeSocket is a socket without a network: it receives what was fed to it and
// keeps what it is to send, or hands it to sink.
type fakeSocket struct {
	local  netip.AddrPort
	in     []fakeDatagram
	next   int // of in
	out    []fakeDatagram
	sink   func(b []byte, to netip.AddrPort)
	fail   map[netip.AddrPort]error // of Send
	ring   *seal.Ring               // if set, the peers seal what they say, and open what they hear
	wakes  int
	closed bool
}

type fakeDatagram struct {
	b    []byte
	peer netip.AddrPort
}

func (f *fakeSocket) feed(from netip.AddrPort, b []byte) {
	f.in = append(f.in, fakeDatagram{b, from})
}

func (f *fakeSocket) Receive(b []byte, _ time.Duration) (int, netip.AddrPort, error) {
	if f.closed {
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	if f.next == len(f.in) {
		f.in, f.next = f.in[:0], 0
		return 0, netip.AddrPort{}, transport.ErrNothing
	}
	d := f.in[f.next]
	f.next++
	n := copy(b, d.b)
	if f.ring != nil {
		n = copy(b[sealedFront:], d.b)
		wire.Header{Type: wire.TypeSealed}.AppendTo(b[:0])
		n = len(f.ring.Seal(b[:sealedFront+n], wire.HeaderSize, b[:wire.HeaderSize]))
	}
	return n, d.peer, nil
}

func (f *fakeSocket) Send(b []byte, to netip.AddrPort) error {
	if f.ring != nil {
		var ok bool
		if b, ok = f.ring.Open(b[wire.HeaderSize:], b[:wire.HeaderSize]); !ok {
			panic("the node said what its peers cannot open")
		}
	}
	switch {
	case f.closed:
		return net.ErrClosed
	case f.fail[to] != nil:
		return f.fail[to]
	case f.sink != nil:
		f.sink(b, to)
	default:
		f.out = append(f.out, fakeDatagram{slices.Clone(b), to})
	}
	return nil
}

func (f *fakeSocket) Wake()                                 { f.wakes++ }
func (f *fakeSocket) LocalAddr() netip.AddrPort             { return f.local }
func (f *fakeSocket) SyscallConn() (syscall.RawConn, error) { return nil, syscall.EINVAL }
func (f *fakeSocket) Close() error                          { f.closed = true; return nil }

// soloist is one service on a fake socket and a clock that stands still until it
// is moved. Its peers are addresses in whose name a test speaks.
type soloist struct {
	*GossipService
	t      testing.TB
	fake   *fakeSocket
	at     time.Duration
	seq    uint32 // of the last message of any peer
	got    []string
	states []State
	polite map[netip.AddrPort]uint64 // peers that answer in run, and their ids
}

// soloSeed is the randomness of every soloist: their stories are fixed ones.
const soloSeed = 42

func newSoloist(t testing.TB, config Config) *soloist {
	t.Helper()
	return newSoloistAt(t, netip.MustParseAddrPort("192.0.2.1:7070"), config)
}

func newSoloistAt(t testing.TB, local netip.AddrPort, config Config) *soloist {
	t.Helper()
	s := &soloist{t: t, fake: &fakeSocket{local: local}, polite: map[netip.AddrPort]uint64{}, seq: 1000}
	if config.OnStateChange == nil {
		config.OnStateChange = func(_, new State) { s.states = append(s.states, new) }
	}
	config, err := config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s.GossipService = newService(s.fake, func(_ NodeID, payload []byte) { s.got = append(s.got, string(payload)) },
		config, func() time.Duration { return s.at }, [32]byte{soloSeed})
	return s
}

// peerAddr returns the address of the i-th peer.
func peerAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 7070)
}

// peerID returns the id of a peer that sits on the ring steps 1/256ths of it
// clockwise from the node.
func (s *soloist) peerID(steps int) uint64 { return uint64(s.id) + uint64(steps)<<56 }

// The messages of peers, each with the next sequence number.

func (s *soloist) message(kind wire.Type, body []byte) []byte {
	s.seq++
	return append(wire.Header{Type: kind, Tag: s.tag, Seq: s.seq}.AppendTo(nil), body...)
}

func (s *soloist) hello(id uint64, addr netip.AddrPort, token uint64) []byte {
	return s.message(wire.TypeHello, wire.Hello{
		Version: wire.Version, Token: token, From: wire.Member{ID: id, Addr: addr}, Cluster: s.cluster,
	}.AppendTo(nil))
}

func (s *soloist) welcome(hello uint32, token, id uint64, addr netip.AddrPort) []byte {
	return s.message(wire.TypeWelcome, wire.Welcome{
		Hello: hello, Token: token, From: wire.Member{ID: id, Addr: addr}, Observed: s.fake.local,
	}.AppendTo(nil))
}

func (s *soloist) memberList(news bool, members ...wire.Member) []byte {
	l := wire.WriteList(nil, news)
	for _, m := range members {
		if !l.Add(m, 1<<20) {
			s.t.Fatalf("member %v does not fit", m)
		}
	}
	return s.message(wire.TypeMemberList, l.Body())
}

func (s *soloist) ack(seqs ...uint32) []byte {
	return s.message(wire.TypeAck, wire.AppendAck(nil, seqs))
}

func (s *soloist) data(d wire.Data) []byte { return s.message(wire.TypeData, d.AppendTo(nil)) }

func (s *soloist) status(m wire.Status) []byte { return s.message(wire.TypeStatus, m.AppendTo(nil)) }

func (s *soloist) goodbye(id uint64) []byte {
	return s.message(wire.TypeLeave, wire.AppendLeave(nil, id))
}

// everything is a full Status that has seen of each origin what floors say.
func everything(floors map[uint64]uint32) wire.Status {
	m := wire.Status{Mode: wire.Full, Last: 1<<64 - 1}
	ids := make([]uint64, 0, len(floors))
	for id := range floors {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		m.Digest.Add(id, floors[id], nil, 1<<16)
	}
	return m
}

// said is one message of the node.
type said struct {
	to      netip.AddrPort
	at      time.Duration
	size    int
	kind    wire.Type
	seq     uint32
	hello   wire.Hello
	welcome wire.Welcome
	members []wire.Member
	news    bool
	acks    []uint32
	data    wire.Data
	status  wire.Status
}

func (m said) String() string { return fmt.Sprintf("%v to %v at %v", m.kind, m.to, m.at) }

// hear feeds the node one datagram of a peer and lets it handle that.
func (s *soloist) hear(from netip.AddrPort, messages ...[]byte) {
	s.t.Helper()
	s.fake.feed(from, slices.Concat(messages...))
	if _, err := s.Receive(0); err != nil {
		s.t.Fatalf("Receive: %v", err)
	}
}

// speak lets the node send and returns what it said.
func (s *soloist) speak() (all []said) {
	s.t.Helper()
	for {
		n, err := s.Send()
		if err != nil {
			s.t.Fatalf("Send: %v", err)
		}
		for _, d := range s.fake.out {
			all = append(all, s.read(d)...)
		}
		s.fake.out = s.fake.out[:0]
		if n == 0 {
			return all
		}
	}
}

// read parses a datagram of the node, which must be faultless.
func (s *soloist) read(d fakeDatagram) (all []said) {
	s.t.Helper()
	if len(d.b) > s.config.MaxMessageSize {
		s.t.Fatalf("a datagram of %d bytes went to %v, MaxMessageSize is %d", len(d.b), d.peer, s.config.MaxMessageSize)
	}
	for b := d.b; len(b) > 0; {
		h, ok := wire.ParseHeader(b)
		m, n := said{to: d.peer, at: s.at, kind: h.Type, seq: h.Seq}, 0
		if ok {
			b = b[wire.HeaderSize:]
			switch h.Type {
			case wire.TypeHello:
				m.hello, n, ok = wire.ParseHello(b)
			case wire.TypeWelcome:
				m.welcome, n, ok = wire.ParseWelcome(b)
			case wire.TypeMemberList:
				var l wire.MemberList
				l, n, ok = wire.ParseMemberList(b)
				m.news = l.News
				for x, more := l.Next(); more; x, more = l.Next() {
					m.members = append(m.members, x)
				}
			case wire.TypeAck:
				var a wire.Ack
				a, n, ok = wire.ParseAck(b)
				for i := range a.Len() {
					m.acks = append(m.acks, a.Seq(i))
				}
			case wire.TypeData:
				m.data, n, ok = wire.ParseData(b)
			case wire.TypeStatus:
				m.status, n, ok = wire.ParseStatus(b)
			case wire.TypeLeave:
				_, n, ok = wire.ParseLeave(b)
			default:
				ok = false
			}
		}
		if !ok || h.Tag != s.tag {
			s.t.Fatalf("the node sent what nobody can read: %x", d.b)
		}
		m.size, b = wire.HeaderSize+n, b[n:]
		all = append(all, m)
	}
	return all
}

// run is the caller's loop for d, in which the polite peers answer at once. It
// returns what the node said.
func (s *soloist) run(d time.Duration) (all []said) {
	s.t.Helper()
	end := s.at + d
	for turns := 0; ; turns++ {
		wait, err := s.Tick()
		if err != nil {
			s.t.Fatalf("Tick: %v", err)
		}
		now := s.speak()
		all = append(all, now...)
		for _, m := range now {
			s.answer(m)
		}
		if turns > 1000 {
			s.t.Fatalf("at %v the loop does not come to rest", s.at)
		}
		if len(now) > 0 || wait == 0 {
			continue
		}
		if s.at+wait > end {
			s.at = end
			return all
		}
		s.at, turns = s.at+wait, 0
	}
}

// answer says what a living peer says to m.
func (s *soloist) answer(m said) {
	id, ok := s.polite[m.to]
	switch {
	case !ok:
	case m.kind == wire.TypeHello && m.hello.Token == 0:
		s.hear(m.to, s.welcome(m.seq, 7, id, m.to))
	case m.kind == wire.TypeHello, m.kind == wire.TypeMemberList,
		m.kind == wire.TypeData && m.data.Flags&wire.FlagPull == 0,
		m.kind == wire.TypeStatus && m.status.Mode == wire.Full:
		s.hear(m.to, s.ack(m.seq))
	}
}

// only returns those of a kind, to a peer unless that is the zero value.
func only(all []said, kind wire.Type, to netip.AddrPort) (some []said) {
	for _, m := range all {
		if m.kind == kind && (m.to == to || !to.IsValid()) {
			some = append(some, m)
		}
	}
	return some
}

var anybody netip.AddrPort

// join takes a polite peer in as a node takes in anybody: it says Hello twice.
func (s *soloist) join(id uint64, addr netip.AddrPort) {
	s.t.Helper()
	s.hear(addr, s.hello(id, addr, 0))
	w := only(s.speak(), wire.TypeWelcome, addr)
	if len(w) != 1 {
		s.t.Fatalf("a Hello from %v got %d Welcomes", addr, len(w))
	}
	s.hear(addr, s.hello(id, addr, w[0].welcome.Token))
	if m := s.roster.Get(id); m == nil || m.Addr != addr || !m.Proven {
		s.t.Fatalf("a Hello with a token from %v did not make it a member: %+v", addr, m)
	}
	s.polite[addr] = id
}

// seedWith makes the node a seed with polite members around the ring, who have
// all that there is to say behind them.
func (s *soloist) seedWith(steps ...int) {
	s.t.Helper()
	if err := s.Join(); err != nil {
		s.t.Fatal(err)
	}
	for _, i := range steps {
		s.join(s.peerID(i), peerAddr(i))
	}
	s.run(6 * time.Second)
	if s.outbox.Stats().Recipients > 0 {
		s.t.Fatalf("6 s after the last Hello there is still something queued: %+v", s.Stats())
	}
}

// want fails with a sentence unless it holds.
func (s *soloist) want(holds bool, sentence string, args ...any) {
	s.t.Helper()
	if !holds {
		s.t.Fatalf("at %v, with seed %d: %s", s.at, soloSeed, fmt.Sprintf(sentence, args...))
	}
}
