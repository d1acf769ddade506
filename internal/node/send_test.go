package node

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// An unvalidated source is sent at most three times its bytes: else an attacker could send
// a victim many bytes by datagrams that seem to come from the victim.

// timesMost is that bound, as the README names it.
const timesMost = 3

// victim is the address that attackers use as their source. It never answers.
var victim = peerAddr(250)

// newReplete returns a node with members that retains 500 messages.
func newReplete(t testing.TB, config Config) *solo {
	t.Helper()
	s := newSolo(t, config)
	s.withMembers(10, 60, 110, 160, 210)
	for i := range 500 {
		s.receive(peerAddr(10), s.data(wire.Data{
			Origin: uint64(1000 + i%7), Counter: uint32(1 + i/7), Flags: wire.FlagPull, Payload: make([]byte, 200),
		}))
	}
	s.run(10 * time.Second)
	s.want(s.Stats().Retained == 500, "the node retains %d of 500 messages", s.Stats().Retained)
	return s
}

// attack is a node that gets datagrams which seem to come from the victim.
type attack struct {
	*solo
	spoofed   int // bytes that seemed to come from the victim
	reflected int // bytes to the victim
}

func (a *attack) spoof(messages ...[]byte) {
	for _, m := range messages {
		a.spoofed += len(m)
	}
	a.receive(victim, messages...)
}

func (a *attack) run(d time.Duration) []wiretest.Message {
	all := a.solo.run(d)
	for _, m := range all {
		if m.To == victim {
			a.reflected += m.Size
		}
	}
	return all
}

// repeat makes n messages.
func repeat(n int, f func(i int) []byte) (all [][]byte) {
	for i := range n {
		all = append(all, f(i))
	}
	return all
}

// statusOfMany is a Status with messages that the node has, that it lacks, and of an origin
// that it does not know.
func (a *attack) statusOfMany(mode wire.Mode) []byte {
	m := wire.Status{Mode: mode}
	for origin := range uint64(7) {
		runs := []wire.Run{{First: 1, Last: 40}, {First: 60, Last: 1000}}
		m.Digest.Add(1000+origin, 0, runs, 400)
	}
	m.Digest.Add(5000, 3000, nil, 400)
	return a.status(m)
}

var attacks = []struct {
	name string
	do   func(a *attack)
}{
	{"an empty datagram", func(a *attack) { a.spoof() }},
	{"one byte", func(a *attack) { a.spoof([]byte{7}) }},
	{"a bare header of each type", func(a *attack) {
		for kind := range wire.Types + 2 {
			a.spoof(a.message(kind, nil))
		}
	}},
	{"Hello", func(a *attack) { a.spoof(a.hello(77, victim, 0)) }},
	{"Hello without an address", func(a *attack) { a.spoof(a.hello(77, netip.AddrPort{}, 0)) }},
	{"Hello with a wrong token", func(a *attack) { a.spoof(a.hello(77, victim, 12345)) }},
	{"Hello with the token of another address", func(a *attack) {
		other := peerAddr(249)
		a.receive(other, a.hello(78, other, 0))
		w := a.sent(wire.TypeWelcome, other)
		a.spoof(a.hello(77, victim, w[0].Welcome.Token))
	}},
	{"Hello with the id of a member", func(a *attack) { a.spoof(a.hello(a.peerID(10), peerAddr(10), 0)) }},
	{"Hello with the node's own id", func(a *attack) { a.spoof(a.hello(a.ID(), a.config.Local, 0)) }},
	{"16 Hellos in a datagram", func(a *attack) {
		a.spoof(repeat(16, func(i int) []byte { return a.hello(uint64(77+i), netip.AddrPort{}, 0) })...)
	}},
	{"the same Hello 50 times", func(a *attack) {
		b := a.hello(77, netip.AddrPort{}, 0)
		a.spoof(repeat(16, func(int) []byte { return b })...)
		for range 34 {
			a.spoof(b)
		}
	}},
	{"a Hello each second", func(a *attack) {
		for range 20 {
			a.spoof(a.hello(77, victim, 0))
			a.run(time.Second)
		}
	}},
	{"Welcome", func(a *attack) { a.spoof(a.welcome(1, 2, 77, victim)) }},
	{"MemberList", func(a *attack) { a.spoof(a.memberList(true, wire.Member{ID: 78, Addr: peerAddr(248)})) }},
	{"MemberList without a member", func(a *attack) { a.spoof(a.memberList(false)) }},
	{"MemberList of the victim", func(a *attack) { a.spoof(a.memberList(true, wire.Member{ID: 78, Addr: victim})) }},
	{"Ack of guessed numbers", func(a *attack) { a.spoof(a.ack(0, 1, 2, 1<<31, 1<<32-1)) }},
	{"Ack of nothing", func(a *attack) { a.spoof(a.ack()) }},
	{"Data", func(a *attack) { a.spoof(a.data(wire.Data{Origin: 78, Counter: 1})) }},
	{"Data with an arc", func(a *attack) {
		a.spoof(a.data(wire.Data{Origin: 78, Counter: 1, Flags: wire.FlagArc, Lo: 1}))
	}},
	{"Data as a rumor", func(a *attack) { a.spoof(a.data(wire.Data{Origin: 78, Counter: 1, Flags: wire.FlagRumor})) }},
	{"Direct Data", func(a *attack) { a.spoof(a.data(wire.Data{Origin: 78, Counter: 1, Flags: wire.FlagDirect})) }},
	{"Data with the node's own id", func(a *attack) { a.spoof(a.data(wire.Data{Origin: a.ID(), Counter: 9})) }},
	{"Data that is here already", func(a *attack) { a.spoof(a.data(wire.Data{Origin: 1001, Counter: 2})) }},
	{"21 Data in a datagram", func(a *attack) {
		a.spoof(repeat(21, func(i int) []byte { return a.data(wire.Data{Origin: 78, Counter: uint32(i + 1)}) })...)
	}},
	{"Data far ahead, of 20 origins", func(a *attack) {
		for i := range 20 {
			a.spoof(a.data(wire.Data{Origin: uint64(3000 + i), Counter: 1 << 30}))
			a.run(100 * time.Millisecond)
		}
	}},
	{"Data far ahead of what is known", func(a *attack) {
		for _, flags := range []uint8{0, wire.FlagDirect, wire.FlagPull} {
			a.spoof(a.data(wire.Data{Origin: 1001, Counter: 1 << 30, Flags: flags}))
		}
	}},
	{"the same Data 100 times", func(a *attack) {
		b := a.data(wire.Data{Origin: 78, Counter: 1})
		for range 100 {
			a.spoof(b)
		}
	}},
	{"a Status that has seen nothing", func(a *attack) { a.spoof(a.status(everything(nil))) }},
	{"a full Status", func(a *attack) { a.spoof(a.statusOfMany(wire.Full)) }},
	{"an offer", func(a *attack) { a.spoof(a.statusOfMany(wire.Offer)) }},
	{"a request", func(a *attack) { a.spoof(a.statusOfMany(wire.Request)) }},
	{"a Status of each mode in a datagram, 30 times", func(a *attack) {
		for range 30 {
			a.spoof(a.status(everything(nil)), a.statusOfMany(wire.Offer), a.statusOfMany(wire.Request))
			a.run(50 * time.Millisecond)
		}
	}},
	{"Leave of a member", func(a *attack) { a.spoof(a.goodbye(a.peerID(10))) }},
	{"one message of each type", func(a *attack) {
		a.spoof(a.hello(77, victim, 0), a.welcome(1, 2, 77, victim), a.memberList(true, wire.Member{ID: 78, Addr: victim}),
			a.ack(1, 2), a.data(wire.Data{Origin: 78, Counter: 1}), a.status(everything(nil)), a.goodbye(77))
	}},
}

func TestVictimIsSentAtMostThreeTimesTheBytes(t *testing.T) {
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			a := &attack{solo: newReplete(t, Config{MaxMessageSize: 1400})}
			members := a.Members()
			c.do(a)
			for range 30 {
				a.run(time.Second)
			}
			a.want(a.reflected <= timesMost*a.spoofed, "%s: %d bytes went to the victim for %d that seemed to come from it", c.name, a.reflected, a.spoofed)
			a.want(a.peers.members.ByAddr(victim) == nil && a.Members() == members, "%s: there are %d members instead of %d", c.name, a.Members(), members)
		})
	}
}

// A size that no node can have would leave no room for anything.
func TestSendBelievesNoSizeThatCannotBe(t *testing.T) {
	for _, size := range []uint16{1, 14, 67, 65535} {
		s := newSolo(t, Config{})
		s.join()
		id, from := s.peerID(10), peerAddr(10)
		hello := func(token uint64) []byte {
			return s.message(wire.TypeHello, wire.Hello{Version: wire.Version, Size: size, Token: token, From: wire.Member{ID: id, Addr: from}}.AppendTo(nil))
		}
		s.receive(from, hello(0))
		s.receive(from, hello(s.sent(wire.TypeWelcome, from)[0].Welcome.Token))
		s.responsive[from] = id
		s.run(time.Second) // Next comes to an end
		s.publish([]byte("x"))
		s.want(len(s.sent(wire.TypeData, from)) == 1, "a member that takes %d bytes, as it says, is sent no message", size)
	}
}

// A newcomer is told of the members in lists that it takes, however small, also by a full view.
func TestSendMakesNoListThatANewcomerDoesNotTake(t *testing.T) {
	for _, most := range []int{20, 1024} {
		s := newSolo(t, Config{MaxMessageSize: 1400, MaxMembers: most})
		s.join()
		for i := range 20 {
			s.addMember(s.peerID(i+1), peerAddr(i+1))
		}
		id, from := s.peerID(99), peerAddr(99)
		hello := func(token uint64) []byte {
			return s.message(wire.TypeHello, wire.Hello{Version: wire.Version, Size: 100, Token: token, From: wire.Member{ID: id, Addr: from}}.AppendTo(nil))
		}
		s.receive(from, hello(0))
		s.receive(from, hello(s.sent(wire.TypeWelcome, from)[0].Welcome.Token))
		s.responsive[from] = id
		told := map[uint64]bool{}
		for _, m := range wiretest.Only(s.run(time.Second), wire.TypeMemberList, from) {
			s.want(m.Size <= 100, "a list of %d bytes is for a node that takes 100", m.Size)
			for _, x := range m.Members {
				told[x.ID] = true
			}
		}
		s.want(len(told) >= 15, "of 20 members the newcomer is told of %d", len(told))
	}
}
