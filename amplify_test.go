package gossip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// victim is the address in whose name a liar sends: it never answers.
var victim = peerAddr(250)

// talkative is a node with members that retains 500 messages.
func talkative(t testing.TB, config Config) *soloist {
	t.Helper()
	s := newSoloist(t, config)
	s.seedWith(10, 60, 110, 160, 210)
	for i := range 500 {
		s.hear(peerAddr(10), s.data(wire.Data{
			Origin: uint64(1000 + i%7), Counter: uint32(1 + i/7), Flags: wire.FlagPull, Payload: make([]byte, 200),
		}))
	}
	s.run(10 * time.Second)
	s.want(s.Stats().Retained == 500, "the node retains %d of 500 messages", s.Stats().Retained)
	return s
}

// liar sends in the name of the victim and counts.
type liar struct {
	*soloist
	in int
}

func (l *liar) send(messages ...[]byte) {
	for _, m := range messages {
		l.in += len(m)
	}
	l.hear(victim, messages...)
}

// repeat makes n messages.
func repeat(n int, f func(i int) []byte) (all [][]byte) {
	for i := range n {
		all = append(all, f(i))
	}
	return all
}

func (l *liar) ofTheUnknown(mode wire.Mode) []byte {
	m := wire.Status{Mode: mode, Last: 1<<64 - 1}
	for origin := range uint64(7) { // what the node has, and lacks, and never heard of
		runs := []versions.Run{{First: 1, Last: 40}, {First: 60, Last: 1000}}
		m.Digest.Add(1000+origin, 0, runs, 400)
	}
	m.Digest.Add(5000, 3000, nil, 400)
	return l.status(m)
}

var lies = []struct {
	name string
	tell func(l *liar)
}{
	{"an empty datagram", func(l *liar) { l.send() }},
	{"one byte", func(l *liar) { l.send([]byte{7}) }},
	{"a bare header of each type", func(l *liar) {
		for kind := range wire.Types + 2 {
			l.send(l.message(kind, nil))
		}
	}},
	{"Hello", func(l *liar) { l.send(l.hello(77, victim, 0)) }},
	{"Hello without an address", func(l *liar) { l.send(l.hello(77, netip.AddrPort{}, 0)) }},
	{"Hello with a wrong token", func(l *liar) { l.send(l.hello(77, victim, 12345)) }},
	{"Hello with the token of another", func(l *liar) {
		other := peerAddr(249)
		l.hear(other, l.hello(78, other, 0))
		w := only(l.speak(), wire.TypeWelcome, other)
		l.send(l.hello(77, victim, w[0].welcome.Token))
	}},
	{"Hello in the name of a member", func(l *liar) { l.send(l.hello(l.peerID(10), peerAddr(10), 0)) }},
	{"Hello in the node's own name", func(l *liar) { l.send(l.hello(uint64(l.id), l.fake.local, 0)) }},
	{"16 Hellos in a datagram", func(l *liar) {
		l.send(repeat(16, func(i int) []byte { return l.hello(uint64(77+i), netip.AddrPort{}, 0) })...)
	}},
	{"the same Hello 50 times", func(l *liar) {
		b := l.hello(77, netip.AddrPort{}, 0)
		l.send(repeat(16, func(int) []byte { return b })...)
		for range 34 {
			l.send(b)
		}
	}},
	{"a Hello each second", func(l *liar) {
		for range 20 {
			l.send(l.hello(77, victim, 0))
			l.run(time.Second)
		}
	}},
	{"Welcome", func(l *liar) { l.send(l.welcome(1, 2, 77, victim)) }},
	{"MemberList", func(l *liar) { l.send(l.memberList(true, wire.Member{ID: 78, Addr: peerAddr(248)})) }},
	{"MemberList of nobody", func(l *liar) { l.send(l.memberList(false)) }},
	{"MemberList of the victim", func(l *liar) { l.send(l.memberList(true, wire.Member{ID: 78, Addr: victim})) }},
	{"Ack of guessed numbers", func(l *liar) { l.send(l.ack(0, 1, 2, 1<<31, 1<<32-1)) }},
	{"Ack of nothing", func(l *liar) { l.send(l.ack()) }},
	{"Data", func(l *liar) { l.send(l.data(wire.Data{Origin: 78, Counter: 1})) }},
	{"Data to be covered", func(l *liar) {
		l.send(l.data(wire.Data{Origin: 78, Counter: 1, Flags: wire.FlagArc, Lo: 1}))
	}},
	{"Data to be passed on", func(l *liar) { l.send(l.data(wire.Data{Origin: 78, Counter: 1, Flags: wire.FlagRumor})) }},
	{"Data for the node alone", func(l *liar) { l.send(l.data(wire.Data{Origin: 78, Counter: 1, Flags: wire.FlagDirect})) }},
	{"Data in the name of the node", func(l *liar) { l.send(l.data(wire.Data{Origin: uint64(l.id), Counter: 9})) }},
	{"Data that is there already", func(l *liar) { l.send(l.data(wire.Data{Origin: 1001, Counter: 2})) }},
	{"21 Data in a datagram", func(l *liar) {
		l.send(repeat(21, func(i int) []byte { return l.data(wire.Data{Origin: 78, Counter: uint32(i + 1)}) })...)
	}},
	{"Data far ahead, of 20 origins", func(l *liar) {
		for i := range 20 {
			l.send(l.data(wire.Data{Origin: uint64(3000 + i), Counter: 1 << 30}))
			l.run(100 * time.Millisecond)
		}
	}},
	{"Data far ahead of what is known", func(l *liar) {
		for _, flags := range []uint8{0, wire.FlagDirect, wire.FlagPull} {
			l.send(l.data(wire.Data{Origin: 1001, Counter: 1 << 30, Flags: flags}))
		}
	}},
	{"the same Data 100 times", func(l *liar) {
		b := l.data(wire.Data{Origin: 78, Counter: 1})
		for range 100 {
			l.send(b)
		}
	}},
	{"a Status that has nothing", func(l *liar) { l.send(l.status(everything(nil))) }},
	{"a full Status", func(l *liar) { l.send(l.ofTheUnknown(wire.Full)) }},
	{"an offer", func(l *liar) { l.send(l.ofTheUnknown(wire.Offer)) }},
	{"a request", func(l *liar) { l.send(l.ofTheUnknown(wire.Request)) }},
	{"a Status of each mode in a datagram, 30 times", func(l *liar) {
		for range 30 {
			l.send(l.status(everything(nil)), l.ofTheUnknown(wire.Offer), l.ofTheUnknown(wire.Request))
			l.run(50 * time.Millisecond)
		}
	}},
	{"Leave of a member", func(l *liar) { l.send(l.goodbye(l.peerID(10))) }},
	{"one of everything", func(l *liar) {
		l.send(l.hello(77, victim, 0), l.welcome(1, 2, 77, victim), l.memberList(true, wire.Member{ID: 78, Addr: victim}),
			l.ack(1, 2), l.data(wire.Data{Origin: 78, Counter: 1}), l.status(everything(nil)), l.goodbye(77))
	}},
}

func TestALiarGetsNobodyMoreThanThreeTimesItsBytes(t *testing.T) {
	for _, lie := range lies {
		t.Run(lie.name, func(t *testing.T) {
			l := &liar{soloist: talkative(t, Config{MaxMessageSize: 1400})}
			out := 0
			l.fake.sink = func(b []byte, to netip.AddrPort) {
				if to == victim {
					out += len(b)
				} else if l.polite[to] != 0 { // keep the members content
					for _, m := range l.read(fakeDatagram{b, to}) {
						l.answer(m)
					}
				} else {
					l.fake.out = append(l.fake.out, fakeDatagram{append([]byte(nil), b...), to})
				}
			}
			members := l.roster.Len()
			lie.tell(l)
			for range 30 {
				l.run(time.Second)
			}
			l.want(out <= amplification*l.in, "%s: %d bytes went to a victim for %d in its name", lie.name, out, l.in)
			l.want(l.roster.ByAddr(victim) == nil && l.roster.Len() == members, "%s: there are %d members instead of %d", lie.name, l.roster.Len(), members)
		})
	}
}

func TestAHelloIsBelievedOnlyWithItsOwnFreshToken(t *testing.T) {
	here, there := peerAddr(1), peerAddr(2)
	for _, c := range []struct {
		from     netip.AddrPort
		after    time.Duration
		admitted bool
	}{
		{here, 0, true},
		{here, 9 * time.Second, true},
		{there, 0, false},
		{netip.AddrPortFrom(here.Addr(), 7071), 0, false},
		{here, 20*time.Second + time.Millisecond, false},
		{here, time.Hour, false},
	} {
		s := newSoloist(t, Config{})
		s.want(s.Join() == nil, "Join failed")
		s.at = 3 * time.Second
		s.hear(here, s.hello(77, netip.AddrPort{}, 0))
		w := only(s.speak(), wire.TypeWelcome, here)
		s.want(len(w) == 1 && w[0].welcome.Token != 0, "there is no token in the answer %v", w)
		s.want(w[0].welcome.Hello == s.seq && w[0].welcome.Observed == here, "the Welcome names Hello %d from %v", w[0].welcome.Hello, w[0].welcome.Observed)
		s.at += c.after
		s.hear(c.from, s.hello(77, netip.AddrPort{}, w[0].welcome.Token))
		m := s.roster.ByAddr(c.from)
		s.want((m != nil) == c.admitted, "a Hello from %v, %v after the token for %v, makes this member: %+v", c.from, c.after, here, m)
		s.want(!c.admitted || m.ID == 77 && m.Proven, "the member is %+v", m)
		again := only(s.speak(), wire.TypeWelcome, c.from)
		s.want(len(again) == 1 != c.admitted, "who is not admitted gets a Welcome with a token of its own, and nobody else: %v", again)
	}
}

func TestHellosWithoutATokenLeaveNoState(t *testing.T) {
	for _, loop := range []bool{true, false} {
		s := talkative(t, Config{})
		sizes := func() string {
			return fmt.Sprint(s.roster.Len(), s.roster.Seeds(), s.roster.Lost(), s.origins.Len(), s.log.Len(), s.outbox.Stats().Control, s.outbox.Stats().Hellos)
		}
		was := sizes()
		s.fake.sink = func([]byte, netip.AddrPort) {}
		for i := range 10_000 {
			var ip [4]byte
			binary.BigEndian.PutUint32(ip[:], 0x0b000000+uint32(i))
			from := netip.AddrPortFrom(netip.AddrFrom4(ip), 7070)
			s.hear(from, s.hello(uint64(i+1), from, uint64(i%2)*99))
			if loop {
				s.speak()
			}
			q := s.outbox.Stats()
			s.want(q.Control <= s.config.MaxOutputMessages, "%d answers are queued", q.Control)
			s.want(q.Recipients <= s.config.MaxOutputMessages, "they are for %d recipients", q.Recipients)
		}
		s.speak()
		s.want(sizes() == was, "10000 Hellos changed the sizes from %s to %s", was, sizes())
		s.want(s.outbox.Stats().Recipients == 0, "something is queued still for %d recipients", s.outbox.Stats().Recipients)
		s.want(s.State() == StateConnected, "the node is %v", s.State())
	}
}

// A liar that has an address of its own says what it hears there in the victim's name.
func TestAWelcomeFromElsewhereDoesNotProveWhereItComesFrom(t *testing.T) {
	l := &liar{soloist: talkative(t, Config{})}
	own, id := peerAddr(200), l.peerID(33)
	l.hear(own, l.memberList(false, wire.Member{ID: id}))
	asked := only(l.speak(), wire.TypeHello, own)
	l.want(len(asked) == 1, "a stranger is asked %d times", len(asked))
	out := 0
	request := l.ofTheUnknown(wire.Request)
	l.send(l.welcome(asked[0].seq, 7, id, own), request)
	for range 20 {
		l.send(request)
		for _, m := range l.run(50 * time.Millisecond) {
			if m.to == victim {
				out += m.size
			}
		}
	}
	l.want(l.roster.ByAddr(own) != nil, "who answered where it was asked is no member: %v", l.Members())
	l.want(out <= amplification*l.in, "%d bytes went to a victim for %d in its name", out, l.in)
}

// Those that a stranger names, where it would do, are one host: the victim.
func TestAStrangersListSendsNobodyMoreThanThreeTimesItsBytes(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9, Cluster: strings.Repeat("x", 255)})
	s.seedWith(10, 20, 30, 40, 128, 220, 230, 240, 250)
	var named []wire.Member
	for i := range 32 {
		at := netip.AddrPortFrom(victim.Addr().Next(), uint16(1000+i))
		named = append(named, wire.Member{ID: uint64(s.id) + uint64(i+1)<<40, Addr: at})
	}
	list := s.memberList(false, named...)
	s.hear(peerAddr(300), list)
	out := 0
	for _, m := range s.speak() {
		if m.to.Addr() == victim.Addr().Next() {
			out += m.size
		}
	}
	s.want(out > 0 && out <= amplification*len(list), "%d bytes went to a victim for %d", out, len(list))
}

// A page that names nobody makes a node look at all the origins that it knows.
func TestOfThePagesInADatagramOneIsCompared(t *testing.T) {
	for _, from := range []netip.AddrPort{peerAddr(10), victim} {
		s := newSoloist(t, Config{})
		s.seedWith(10)
		for i := range uint64(100) { // there is nothing to push: Direct messages are not retained
			s.hear(peerAddr(10), s.data(wire.Data{Origin: 1000 + i, Counter: 1, Flags: wire.FlagDirect}))
		}
		page := func(int) []byte { return s.status(everything(nil)) }
		for range 3 {
			before := s.Stats().DropPush
			s.hear(from, repeat(18, page)...)
			left := s.Stats().DropPush - before
			s.want(left == 17, "of 18 pages in a datagram from %v all but %d were compared", from, left)
		}
	}
}

// A node that is to be reached elsewhere than its datagrams come from is asked there.
func TestStrangersDoNotUseUpTheQuestionsForNewcomers(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	from, at := peerAddr(77), peerAddr(78)
	s.polite[at] = s.peerID(77)
	for i := range 4 * mostProbes {
		s.hear(netip.AddrPortFrom(stranger.Addr(), uint16(1000+i)), s.status(everything(nil)))
	}
	s.hear(from, s.hello(s.peerID(77), at, s.tokens.Make(from, s.at)))
	s.run(100 * time.Millisecond)
	s.want(s.roster.ByAddr(at) != nil, "after %d datagrams of strangers the newcomer at %v was not asked", 4*mostProbes, at)
}
