package node

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

func TestJoinTakesTwoHellos(t *testing.T) {
	s := newSolo(t, Config{Cluster: "blue"})
	seed := peerAddr(1)
	s.join(seed)
	first := s.send()
	s.want(len(first) == 1 && first[0].Hello.Token == 0 && string(first[0].Hello.Cluster) == "blue", "the first Hello is %v", first)
	s.receive(seed, s.welcome(first[0].Seq, 4711, 11, seed))
	s.want(s.State() == Connected, "after the Welcome the node is %v", s.State())
	m := s.peers.members.ByAddr(seed)
	s.want(m != nil && m.ID == 11 && m.Validated, "the seed should be a validated member: %+v", m)
	second := s.send()
	s.want(len(second) == 1 && second[0].Hello.Token == 4711 && second[0].Hello.From == first[0].Hello.From, "the second Hello is %v", second)
	s.receive(seed, s.ack(second[0].Seq))
	s.want(s.out.queue.Stats().Hellos == 0 && s.Stats().GivenUp == 0, "a Hello is left after the join: %+v", s.Stats())
}

func TestWelcomeMustAnswerAHello(t *testing.T) {
	s := newSoloAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	seed := peerAddr(1)
	s.join(seed)
	h := s.send()[0]
	s.want(!h.Hello.From.Addr.IsValid(), "a node bound to a wildcard names the address %v", h.Hello.From.Addr)
	observed := netip.MustParseAddrPort("203.0.113.9:40000")
	w := wire.Welcome{Hello: h.Seq, Token: 1, From: wire.Member{ID: 11}, Observed: observed}
	otherHello, ownID := w, w
	otherHello.Hello++
	ownID.From.ID = s.ID()
	for i, wrong := range []wire.Welcome{otherHello, ownID} {
		s.receive(seed, s.message(wire.TypeWelcome, wrong.AppendTo(nil)))
		s.want(s.State() == Joining && s.Stats().DropWelcome == uint64(i+1), "wrong Welcome %d was taken", i)
		s.want(s.Address() == s.config.Local, "wrong Welcome %d gave the node the address %v", i, s.Address())
	}
	s.receive(seed, s.message(wire.TypeWelcome, w.AppendTo(nil)))
	s.want(s.State() == Connected && s.Address() == observed, "the node is %v, and has the address %v instead of %v", s.State(), s.Address(), observed)
	s.want(s.peers.members.ByAddr(seed) != nil, "a seed that names no address should be a member where it sends from")
	s.receive(seed, s.message(wire.TypeWelcome, w.AppendTo(nil)))
	s.want(s.Stats().DropWelcome == 3, "a Welcome was taken twice")
}

func TestHelloNeedsItsOwnFreshToken(t *testing.T) {
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
		s := newSolo(t, Config{})
		s.join()
		s.at = 3 * time.Second
		s.receive(here, s.hello(77, netip.AddrPort{}, 0))
		w := s.sent(wire.TypeWelcome, here)
		s.want(len(w) == 1 && w[0].Welcome.Token != 0, "there is no token in the answer %v", w)
		s.want(w[0].Welcome.Hello == s.seq && w[0].Welcome.Observed == here, "the Welcome names Hello %d from %v", w[0].Welcome.Hello, w[0].Welcome.Observed)
		s.at += c.after
		s.receive(c.from, s.hello(77, netip.AddrPort{}, w[0].Welcome.Token))
		m := s.peers.members.ByAddr(c.from)
		s.want((m != nil) == c.admitted, "a Hello from %v, %v after the token for %v, leads to the member %+v", c.from, c.after, here, m)
		s.want(!c.admitted || m.ID == 77 && m.Validated, "the member is %+v", m)
		again := s.sent(wire.TypeWelcome, c.from)
		s.want(len(again) == 1 != c.admitted, "exactly a node that is not admitted gets a Welcome with another token: %v", again)
	}
}

func TestHelloWithoutATokenLeavesNoState(t *testing.T) {
	for _, loop := range []bool{true, false} {
		s := newReplete(t, Config{})
		sizes := func() string {
			members, q := s.peers.members, s.out.queue.Stats()
			return fmt.Sprint(members.Len(), members.Seeds(), members.Lost(), s.history.origins.Len(), s.history.log.Len(), q.Control, q.Hellos)
		}
		was := sizes()
		s.sink = func([]byte, netip.AddrPort) {}
		for i := range 10_000 {
			var ip [4]byte
			binary.BigEndian.PutUint32(ip[:], 0x0b000000+uint32(i))
			from := netip.AddrPortFrom(netip.AddrFrom4(ip), 7070)
			s.receive(from, s.hello(uint64(i+1), from, uint64(i%2)*99))
			if loop {
				s.send()
			}
			q := s.out.queue.Stats()
			s.want(q.Control <= s.config.MaxOutputMessages, "%d answers are queued", q.Control)
			s.want(q.Recipients <= s.config.MaxOutputMessages, "answers are queued for %d recipients", q.Recipients)
		}
		s.send()
		s.want(sizes() == was, "10000 Hellos changed the sizes from %s to %s", was, sizes())
		s.want(s.out.queue.Stats().Recipients == 0, "something is queued for %d recipients", s.out.queue.Stats().Recipients)
		s.want(s.State() == Connected, "the node is %v", s.State())
	}
}

// An attacker that has an address of its own repeats, with a victim as the source, what it
// receives at its own address.
func TestWelcomeFromElsewhereDoesNotValidateItsSource(t *testing.T) {
	a := &attack{solo: newReplete(t, Config{})}
	own, id := peerAddr(200), a.peerID(33)
	a.receive(own, a.memberList(false, wire.Member{ID: id}))
	probes := a.sent(wire.TypeHello, own)
	a.want(len(probes) == 1, "%d probes went to an unvalidated source", len(probes))
	request := a.statusOfMany(wire.Request)
	a.spoof(a.welcome(probes[0].Seq, 7, id, own), request)
	for range 20 {
		a.spoof(request)
		a.run(50 * time.Millisecond)
	}
	a.want(a.peers.members.ByAddr(own) != nil, "the node that answered the probe is not a member: %v", a.list())
	a.want(a.reflected <= timesMost*a.spoofed, "%d bytes went to the victim for %d that seemed to come from it", a.reflected, a.spoofed)
}

// always is how often an address echoes that always does.
const always = 1 << 30

func TestNodeThatReachesItselfIsASeed(t *testing.T) {
	self, other := peerAddr(5), peerAddr(6) // another address of the node, by port forwarding for example
	s := newSoloAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	s.echoing[self] = always
	s.join(self, other)
	s.run(20 * time.Second)
	s.want(s.peers.members.Seeds() == 1 && s.State() == Disconnected, "with one more seed it should look for that, %d seeds, %v", s.peers.members.Seeds(), s.State())
	s.want(s.Address() == self && s.Members() == 0, "it takes %v for its address, and has %d members", s.Address(), s.Members())
	s.seq = 9e6
	s.receive(peerAddr(7), s.hello(s.ID(), netip.AddrPort{}, 0))
	s.want(s.Stats().DropMember == 1 && s.peers.members.Seeds() == 1, "a Hello with its id that it did not send should be dropped")
	s.echoing[other] = always
	s.run(20 * time.Second)
	s.want(s.State() == Connected && s.peers.members.Seeds() == 0, "a node whose seeds are all itself should be a seed, and is %v", s.State())
	s.run(time.Minute)
	s.want(s.State() == Connected, "a minute later it is %v", s.State())
}

// A node believes a Hello from one of its seeds, until its own Hellos come back from there.
func TestNodeWhoseOnlyMemberIsItselfIsDisconnected(t *testing.T) {
	s := newSolo(t, Config{})
	own, silent := peerAddr(10), peerAddr(20)
	s.join(own, silent)
	s.receive(own, s.hello(s.peerID(10), netip.AddrPort{}, s.tokens.Make(own, s.at)))
	s.want(s.State() == Connected, "the node is %v", s.State())
	s.publish(make([]byte, 9))
	s.echoing[own] = always
	s.run(20 * time.Second)
	s.want(s.State() == Disconnected && s.Members() == 0, "with %d members the node is %v", s.Members(), s.State())
	queued := s.out.queue.Any(own)
	s.want((queued == nil || !queued.IsData()) && s.Stats().QueuedData == 1, "the message should wait for another member, not for the node itself: %+v", s.Stats())
}

// An attacker that sees a Hello can send it back without a key. That ends no wait for the answer,
// whether it comes at once or to a later attempt, and makes no node its own seed.
func TestReflectedHelloHoldsUpNoJoin(t *testing.T) {
	seed := peerAddr(3)
	for _, keys := range [][][]byte{nil, {testKey('k')}} {
		for echoes := range 4 {
			for _, after := range []time.Duration{0, 300 * time.Millisecond, 5 * time.Second} {
				s := newSolo(t, Config{Keys: keys})
				if keys != nil {
					s.sealWith(keys[0])
				}
				s.echoing[seed] = echoes
				s.join(seed)
				s.run(after)
				s.want(s.State() != Connected || echoes == 3 && after > time.Second, "after %d echoes in %v the node is %v", echoes, after, s.State())
				s.echoing[seed] = always
				s.responsive[seed] = s.peerID(3)
				s.run(6 * time.Second)
				m := s.peers.members.ByAddr(seed)
				s.want(echoes == 3 && after > time.Second || m != nil && s.State() == Connected, "6 s after its seed began to answer, after %d echoes in %v, the node is %v with the members %v", echoes, after, s.State(), s.list())
				s.run(2 * time.Minute)
				s.want(s.peers.members.ByAddr(seed) != nil && s.peers.members.Seeds() == 1,
					"after two minutes there are %d seeds and the members are %v", s.peers.members.Seeds(), s.list())
			}
		}
	}
}

// A node whose seeds were silent is not its own seed because a few of its Hellos come back later.
func TestReflectedHelloMakesNoSeedOfANodeThatIsAlone(t *testing.T) {
	for echoes := range 3 {
		s, seed := newSolo(t, Config{}), peerAddr(3)
		s.echoing[seed] = 2 // of three
		s.join(seed)
		s.run(1600 * time.Millisecond)
		s.want(s.echoing[seed] == 0 && s.State() == Disconnected, "as two of its first three Hellos came back the node is %v", s.State())
		s.echoing[seed] = echoes
		s.run(time.Minute)
		s.want(s.echoing[seed] == 0 && s.State() == Disconnected, "after %d echoes the node is %v", echoes, s.State())
	}
}

// Whatever an attacker reflects, where no node is, the number of Hellos is bounded.
func TestReflectedHellosCauseNoMore(t *testing.T) {
	for _, echoes := range []int{1, 5, always} {
		s, seed := newSolo(t, Config{}), peerAddr(3)
		s.echoing[seed] = echoes
		s.join(seed)
		all := s.run(5 * time.Minute)
		hellos := len(wiretest.Only(all, wire.TypeHello, seed))
		s.want(hellos > 3 && hellos < 90, "in 5 minutes, in which %d came back, the node sent its seed %d Hellos", echoes, hellos)
	}
}

// The echo of a Hello to any other address than that of a seed, or one that an attacker adds to
// the answer of a seed, tells a node nothing of its address.
func TestReflectedHelloTellsNoAddress(t *testing.T) {
	seed, stranger, own := peerAddr(3), peerAddr(4), netip.MustParseAddrPort("203.0.113.77:7070")
	s := newSoloAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	local := s.Address()
	s.join(seed)
	s.echoing[seed], s.echoing[stranger] = 1, always
	s.run(10 * time.Second)
	s.want(s.Address() == local, "one echo of a Hello to its seed gives the node the address %v", s.Address())
	s.responsive[seed] = s.peerID(3)
	s.run(10 * time.Second)
	s.want(s.State() == Connected, "the node is %v", s.State())
	s.observe(own)
	s.receive(peerAddr(5), s.memberList(false, wire.Member{ID: 6, Addr: peerAddr(6)})) // causes a Hello
	welcome := func(from netip.AddrPort, id uint64, observed netip.AddrPort) {
		h := s.sent(wire.TypeHello, from)
		s.want(len(h) > 0, "no Hello goes to %v", from)
		w := wire.Welcome{Hello: h[0].Seq, Token: 7, From: wire.Member{ID: id}, Observed: observed}
		s.receive(from, s.message(wire.TypeWelcome, w.AppendTo(nil)))
	}
	welcome(peerAddr(5), s.peerID(5), peerAddr(66))
	s.want(s.Address() == own && s.Members() == 2, "the first Welcome of a node gives the address %v, not %v", s.Address(), own)
	for range 20 {
		s.receive(stranger, s.memberList(true, wire.Member{ID: 5, Addr: peerAddr(5)})) // causes a Hello
		s.run(2 * time.Second)
	}
	s.want(s.Address() == own, "a stranger that reflects Hellos gives the node the address %v and the members %v", s.Address(), s.list())
	s.receive(seed, s.hello(s.peerID(3), seed, 0)) // which may see the node elsewhere
	welcome(seed, s.peerID(3), peerAddr(67))
	s.want(s.Address() == peerAddr(67), "a member that sees the node elsewhere leaves it the address %v", s.Address())
}

func TestHelloOfAnotherClusterChangesNothing(t *testing.T) {
	s := newSolo(t, Config{Cluster: "blue"})
	s.withMembers(10)
	other := wire.Hello{Version: 1, Token: s.tokens.Make(peerAddr(20), s.at), From: wire.Member{ID: 20}, Cluster: []byte("green")}
	s.receive(peerAddr(20), s.message(wire.TypeHello, other.AppendTo(nil)))
	s.want(s.Stats().DropCluster == 1 && len(s.send()) == 0 && s.Members() == 1, "a Hello of another cluster had an effect: %+v", s.Stats())
}
