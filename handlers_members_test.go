package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
)

func TestANewcomerSaysHelloTwice(t *testing.T) {
	s := newSoloist(t, Config{Cluster: "blue"})
	seed := peerAddr(1)
	s.mustJoin(seed.String())
	first := s.speak()
	s.want(len(first) == 1 && first[0].hello.Token == 0 && string(first[0].hello.Cluster) == "blue", "the first Hello is %v", first)
	s.hear(seed, s.welcome(first[0].seq, 4711, 11, seed))
	s.want(s.State() == StateConnected, "with the Welcome it should be CONNECTED, not %v", s.State())
	m := s.roster.ByAddr(seed)
	s.want(m != nil && m.ID == 11 && m.Proven, "the seed should be a member that has proved itself: %+v", m)
	second := s.speak()
	s.want(len(second) == 1 && second[0].hello.Token == 4711 && second[0].hello.From == first[0].hello.From, "the second Hello is %v", second)
	s.hear(seed, s.ack(second[0].seq))
	s.want(s.outbox.Stats().Hellos == 0 && s.Stats().GivenUp == 0, "nothing should be left of joining")
}

func TestAWelcomeMustAnswerAHello(t *testing.T) {
	s := newSoloistAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	seed := peerAddr(1)
	s.mustJoin(seed.String())
	h := s.speak()[0]
	s.want(!h.hello.From.Addr.IsValid(), "a node bound to a wildcard named %v as its address", h.hello.From.Addr)
	observed := netip.MustParseAddrPort("203.0.113.9:40000")
	w := wire.Welcome{Hello: h.seq, Token: 1, From: wire.Member{ID: 11}, Observed: observed}
	for i, wrong := range []func() (netip.AddrPort, wire.Welcome){
		func() (netip.AddrPort, wire.Welcome) { x := w; x.Hello++; return seed, x },
		func() (netip.AddrPort, wire.Welcome) { x := w; x.From.ID = uint64(s.id); return seed, x },
	} {
		from, x := wrong()
		s.hear(from, s.message(wire.TypeWelcome, x.AppendTo(nil)))
		s.want(s.State() == StateJoining && s.Stats().DropWelcome == uint64(i+1), "wrong Welcome %d was taken", i)
		s.want(s.Address().AddrPort() == s.socket.LocalAddr(), "wrong Welcome %d gave the node the address %v", i, s.Address())
	}
	s.hear(seed, s.message(wire.TypeWelcome, w.AppendTo(nil)))
	s.want(s.State() == StateConnected && s.Address().AddrPort() == observed, "the node should know itself as %v, not %v", observed, s.Address())
	s.want(s.roster.ByAddr(seed) != nil, "a seed that names no address is where it answers from")
	s.hear(seed, s.message(wire.TypeWelcome, w.AppendTo(nil)))
	s.want(s.Stats().DropWelcome == 3, "a Welcome counts once")
}

func TestANewcomerLearnsTheMembersPageByPage(t *testing.T) {
	s := newSoloist(t, Config{})
	steps := make([]int, 100)
	for i := range steps {
		steps[i] = 2 * (i + 1)
	}
	s.seedWith(steps...)
	at, id := peerAddr(255), s.peerID(255)
	s.hear(at, s.hello(id, at, 0))
	w := only(s.speak(), wire.TypeWelcome, at)[0]
	s.hear(at, s.hello(id, at, w.welcome.Token))
	named, pages := map[uint64]int{}, 0
	for page := only(s.speak(), wire.TypeMemberList, at); len(page) > 0; page = only(s.speak(), wire.TypeMemberList, at) {
		s.want(len(page) == 1 && !page[0].news, "page %d came as %v", pages+1, page)
		for _, m := range page[0].members {
			named[m.ID]++
		}
		s.want(len(s.speak()) == 0, "page %d should wait until the one before has arrived", pages+2)
		s.hear(at, s.ack(page[0].seq))
		pages++
	}
	s.want(len(named) == 100 && named[id] == 0 && pages >= 3, "in %d pages %d of 100 members were named", pages, len(named))
	for id, n := range named {
		s.want(n == 1, "member %x was named %d times", id, n)
	}
}

func TestNewsIsPassedOnRumorFactorTimesAndOtherHearsayIsNot(t *testing.T) {
	s := newSoloist(t, Config{RumorFactor: 4})
	s.seedWith(around(8)...)
	told := map[uint64]int{}
	tell := func(news bool, first, n int) {
		var list []wire.Member
		for i := range n {
			s.polite[peerAddr(300+first+i)] = uint64(first + i)
			list = append(list, wire.Member{ID: uint64(first + i), Addr: peerAddr(300 + first + i)})
		}
		s.hear(peerAddr(around(8)[0]), s.memberList(news, list...))
	}
	tell(true, 1, 10)
	tell(false, 11, 10)
	for _, m := range only(s.run(5*time.Second), wire.TypeMemberList, anybody) {
		for _, x := range m.members {
			if m.news {
				told[x.ID]++
			}
		}
	}
	// A node is not told of itself: that pass is for nothing.
	all := 0
	for id := uint64(1); id <= 10; id++ {
		s.want(told[id] >= 2 && told[id] <= 4, "member %d was told %d times", id, told[id])
		all += told[id]
	}
	s.want(all >= 36, "10 new members were told %d times in 4 passes", all)
	for id := uint64(11); id <= 20; id++ {
		s.want(told[id] == 0 && s.roster.Get(id) != nil, "what was no news was passed on as news %d times", told[id])
	}
}

func TestANodeWhoseOnlyMemberWasItselfIsDisconnected(t *testing.T) {
	s := newSoloist(t, Config{})
	mine, silent := peerAddr(10), peerAddr(20)
	s.want(s.Join(Address{mine}, Address{silent}) == nil, "Join failed")
	asked := only(s.speak(), wire.TypeHello, mine)[0]
	s.hear(mine, s.hello(s.peerID(10), netip.AddrPort{}, s.tokens.Make(mine, s.at))) // says somebody
	s.want(s.State() == StateConnected && s.SendData(make([]byte, 9)) == nil, "the node is %v", s.State())
	s.seq = asked.seq - 1
	s.hear(mine, s.hello(uint64(s.id), netip.AddrPort{}, 0)) // and what came there was the node's own
	s.want(s.State() == StateDisconnected && len(s.Members()) == 0, "with %d members the node is %v", len(s.Members()), s.State())
	s.want(s.outbox.Any(mine) == nil && s.Stats().QueuedData == 0, "something for itself still waits: %+v", s.Stats())
}

func TestHearsayIsTakenWithCare(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(4)...)
	from, gone := peerAddr(around(4)[0]), around(4)[1]
	tell := func(id uint64, at netip.AddrPort) { s.hear(from, s.memberList(false, wire.Member{ID: id, Addr: at})) }
	refused := func(why string, id uint64, at netip.AddrPort) {
		t.Helper()
		before, n := s.Stats().DropMember, s.roster.Len()
		tell(id, at)
		s.want(s.Stats().DropMember == before+1 && s.roster.Len() == n, "%s was taken as a member", why)
		s.want(len(only(s.speak(), wire.TypeHello, anybody)) == 0, "%s was asked", why)
	}
	refused("the node's own address", 901, s.fake.local)
	refused("the node's own id", uint64(s.id), peerAddr(91))
	refused("a wildcard", 902, netip.MustParseAddrPort("0.0.0.0:7070"))
	refused("the IPv6 wildcard", 902, netip.MustParseAddrPort("[::]:7070"))
	refused("port 0", 902, netip.MustParseAddrPort("198.51.100.1:0"))
	refused("a group", 902, netip.MustParseAddrPort("224.0.0.1:7070"))
	s.hear(peerAddr(gone), s.goodbye(s.peerID(gone)))
	refused("one that just left", s.peerID(gone), peerAddr(gone))
	s.run(50 * time.Second)
	refused("one that left 50 s ago", s.peerID(gone), peerAddr(gone))
	s.run(11 * time.Second)
	tell(s.peerID(gone), peerAddr(gone))
	s.want(s.roster.Get(s.peerID(gone)) != nil, "one that left 61 s ago may have been seen again")

	doubted := func(why string, id uint64, at netip.AddrPort) {
		t.Helper()
		was := s.Members()
		tell(id, at)
		hello := only(s.speak(), wire.TypeHello, at)
		s.want(len(hello) == 1 && hello[0].hello.Token == 0, "at the address of %s there should be asked: %v", why, hello)
		s.want(fmt.Sprint(s.Members()) == fmt.Sprint(was), "%s changed the members unasked", why)
	}
	third, fourth := around(4)[2], around(4)[3]
	doubted("a new id at a known address", 903, peerAddr(third))
	doubted("a known id at a new address", s.peerID(fourth), peerAddr(92))
	s.run(time.Second)

	s.hear(peerAddr(99), s.memberList(true, wire.Member{ID: 904, Addr: peerAddr(94)}))
	all := s.run(20 * time.Millisecond)
	s.want(s.roster.Get(904) == nil && s.Stats().DropStranger == 1, "the hearsay of a stranger was taken")
	s.want(len(only(all, wire.TypeAck, peerAddr(99))) == 0 && len(only(all, wire.TypeHello, peerAddr(99))) == 1, "a stranger is asked who it is and tries again: %v", all)
}

func TestDoubtsAreAskedAboutABoundedNumberOfTimes(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(4)...)
	for round := range 3 {
		for i := range 200 {
			s.hear(peerAddr(around(4)[0]), s.memberList(false, wire.Member{ID: s.peerID(around(4)[1]), Addr: peerAddr(1000*round + 300 + i)}))
		}
		s.want(len(only(s.speak(), wire.TypeHello, anybody)) <= mostProbes, "one flood of contradictions made too many Hellos")
		s.want(s.upkeep.probes == 0, "%d more may be sent", s.upkeep.probes)
		s.run(1200 * time.Millisecond) // more than a TickInterval and its jitter
	}
}

func TestAMemberLeavesAtItsOwnWordOnly(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	leaver, other := around(8)[2], around(8)[5]
	for i, from := range []netip.AddrPort{peerAddr(99), peerAddr(other)} {
		s.hear(from, s.goodbye(s.peerID(leaver)))
		s.want(s.roster.Get(s.peerID(leaver)) != nil && s.Stats().DropLeave == uint64(i+1), "%v said goodbye for another", from)
	}
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	s.want(s.SendData([]byte("for one"), Direct(Address{peerAddr(leaver)})) == nil, "SendData failed")
	s.speak()
	s.hear(peerAddr(leaver), s.goodbye(s.peerID(leaver)))
	s.want(s.Stats().GivenUp == 1, "the Direct message to who has left is given up and counted: %d", s.Stats().GivenUp)
	s.want(s.roster.Get(s.peerID(leaver)) == nil && s.Stats().MembersLost == 0 && s.Stats().Lost == 0, "it should be gone, and not lost: %+v", s.Stats())
	delete(s.polite, peerAddr(leaver))
	all := s.run(2 * time.Minute)
	s.want(len(only(all, wire.TypeData, peerAddr(leaver))) == 0, "who has left is sent nothing: %v", only(all, wire.TypeData, peerAddr(leaver)))
	s.want(len(only(all, wire.TypeHello, anybody)) == 0, "and is not asked to come back")
	s.hear(peerAddr(leaver), s.goodbye(s.peerID(leaver)))
	s.want(s.Stats().DropLeave == 3, "a second goodbye comes from a stranger")
}

func TestANodeThatAllHaveLeftIsDisconnectedUnlessItIsASeed(t *testing.T) {
	founder := newSoloist(t, Config{})
	founder.seedWith(10)
	founder.hear(peerAddr(10), founder.goodbye(founder.peerID(10)))
	founder.want(founder.State() == StateConnected, "a seed on its own is %v", founder.State())

	s := newSoloist(t, Config{})
	s.polite[peerAddr(10)] = s.peerID(10)
	s.mustJoin(peerAddr(10).String())
	s.run(time.Second)
	s.want(s.State() == StateConnected, "the node did not join")
	delete(s.polite, peerAddr(10))
	s.hear(peerAddr(10), s.goodbye(s.peerID(10)))
	s.want(s.State() == StateDisconnected, "without any member the node is %v", s.State())
	asked := len(only(s.run(10*time.Minute), wire.TypeHello, peerAddr(10)))
	s.want(asked >= 100 && asked <= 300, "in 10 minutes the seed was asked %d times", asked)
	s.polite[peerAddr(10)] = s.peerID(11)
	s.run(5 * time.Second)
	s.want(s.State() == StateConnected, "5 s after the seed is back the node is %v", s.State())
}

func TestANodeThatMeetsItselfIsASeed(t *testing.T) {
	self := peerAddr(5) // one more way to the node, by port forwarding say
	s := newSoloistAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	s.mustJoin(self.String(), peerAddr(6).String())
	var own, other []said
	all := s.speak()
	own, other = only(all, wire.TypeHello, self), only(all, wire.TypeHello, peerAddr(6))
	echo := func(m said) {
		s.seq = m.seq - 1
		s.hear(self, s.hello(uint64(s.id), netip.AddrPort{}, 0))
	}
	echo(own[0])
	s.want(s.roster.Seeds() == 1 && s.State() == StateJoining, "with one more seed it should go on joining, %d seeds, %v", s.roster.Seeds(), s.State())
	s.want(len(s.speak()) == 0 && s.roster.Len() == 0, "it should not answer itself")
	s.seq = 9e6
	s.hear(peerAddr(7), s.hello(uint64(s.id), netip.AddrPort{}, 0))
	s.want(s.Stats().DropMember == 1 && s.roster.Seeds() == 1, "a Hello in its name that it did not say is dropped")
	echo(other[0])
	s.want(s.State() == StateConnected && s.roster.Seeds() == 0, "a node that is its only seed is a seed, not %v", s.State())
	s.run(time.Minute)
	s.want(s.State() == StateConnected, "and stays one")
}

func TestANewLifeAtAnAddressReplacesTheOldOne(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	at, old, young := peerAddr(10), s.peerID(10), s.peerID(77)
	for i := range uint32(50) {
		s.hear(at, s.data(wire.Data{Origin: old, Counter: i + 1}))
	}
	s.join(young, at)
	s.want(s.roster.Get(old) == nil && s.roster.Get(young) != nil && s.roster.Len() == 2, "the members are %v", s.Members())
	s.got = nil
	s.hear(at, s.data(wire.Data{Origin: young, Counter: 1, Payload: []byte("first words")}))
	s.want(fmt.Sprint(s.got) == "[first words]", "of the new life the node heard %v", s.got)
	s.hear(peerAddr(20), s.memberList(false, wire.Member{ID: old, Addr: at}))
	s.want(s.roster.Get(old) == nil, "hearsay brought the old life back")
}

func TestSilenceIsAskedAboutBeforeItIsBelieved(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(4)...)
	silent := peerAddr(around(4)[1])
	delete(s.polite, silent)
	start := s.at
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	var all []said
	for s.Stats().MembersLost == 0 {
		all = append(all, s.run(100*time.Millisecond)...)
		s.want(s.at-start < time.Minute, "a member that is silent for a minute is not lost: %+v", s.Stats())
	}
	data, hellos := only(all, wire.TypeData, silent), only(all, wire.TypeHello, silent)
	s.want(len(data) == 3 && len(hellos) == 3*verifications, "%d Data and %d Hellos went to who is silent", len(data), len(hellos))
	s.want(hellos[0].at-data[2].at >= outbox.LingersFor, "it was asked %v after the last attempt", hellos[0].at-data[2].at)
	s.want(s.roster.ByAddr(silent) == nil && s.Stats().Lost == 1, "then it is lost: %+v", s.Stats())

	// For ever it is asked to come back, and all that it says brings it back.
	s.run(2 * time.Hour)
	asked := len(only(s.run(time.Minute), wire.TypeHello, silent))
	s.want(asked >= 30 && asked <= 90, "two hours later it is asked %d times in a minute", asked)
	s.hear(silent, s.data(wire.Data{Origin: 77, Counter: 1}))
	s.want(s.roster.ByAddr(silent) != nil && s.Stats().Lost == 0 && s.Stats().MembersAgain == 1, "it spoke and is not back: %+v", s.Stats())
}

func TestAMemberThatAnswersTheQuestionStays(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(4)...)
	step := around(4)[1]
	silent, id := peerAddr(step), s.peerID(step)
	for range 5 {
		delete(s.polite, silent)
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		var hello []said
		for len(hello) == 0 {
			hello = only(s.run(10*time.Millisecond), wire.TypeHello, silent)
		}
		s.want(s.roster.ByAddr(silent).Suspect(s.at), "while it is asked it should get no arcs")
		s.hear(silent, s.welcome(hello[0].seq, 7, id, silent))
		s.polite[silent] = id
		s.run(3 * time.Second)
	}
	s.want(s.Stats().MembersLost == 0 && s.roster.Len() == 4, "who answers was lost: %+v", s.Stats())
}

func TestOneUnansweredQuestionCostsNobodyItsMembership(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(4)...)
	doubted := around(4)[2]
	s.hear(peerAddr(around(4)[0]), s.memberList(false, wire.Member{ID: 903, Addr: peerAddr(doubted)}))
	s.want(len(only(s.speak(), wire.TypeHello, peerAddr(doubted))) == 1, "it should be asked")
	// That one Hello is lost on its way; the next ones arrive.
	s.run(10 * time.Second)
	s.want(s.Stats().MembersLost == 0 && s.roster.Len() == 4, "it was lost for one Hello: %+v", s.Stats())
}

func TestAHelloOfAnotherClusterIsCountedAndForgotten(t *testing.T) {
	s := newSoloist(t, Config{Cluster: "blue"})
	s.seedWith(10)
	other := wire.Hello{Version: 1, Token: s.tokens.Make(peerAddr(20), s.at), From: wire.Member{ID: 20}, Cluster: []byte("green")}
	s.hear(peerAddr(20), s.message(wire.TypeHello, other.AppendTo(nil)))
	s.want(s.Stats().DropCluster == 1 && len(s.speak()) == 0 && s.roster.Len() == 1, "a Hello of another cluster had an effect")
}

func TestATimeoutFollowsTheRoundTrip(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	for range 50 { // a peer 100 ms away
		s.want(s.SendData([]byte("x"), Direct(Address{peerAddr(10)})) == nil, "SendData failed")
		m := s.speak()[0]
		s.at += 100 * time.Millisecond
		s.hear(m.to, s.ack(m.seq))
	}
	rtt := s.Members()[0].RTT
	s.want(rtt > 90*time.Millisecond && rtt < 110*time.Millisecond, "the round trip of 100 ms is taken for %v", rtt)
	wait := s.timeout(peerAddr(10))
	s.want(wait >= 100*time.Millisecond && wait < 200*time.Millisecond, "it is waited for %v", wait)
	s.want(s.timeout(peerAddr(99)) == s.config.RetryInterval, "for a stranger the first estimate stands")
}

// While a host is away the system keeps what is for it until the first hop knows
// where it is, and then sends all of it: that wait is none of the way's.
func TestAProbeThatWasHeldUpSaysNothingOfTheRoundTrip(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	silent, id := peerAddr(10), s.peerID(10)
	lose := func() time.Duration {
		delete(s.polite, silent)
		start, lost := s.at, s.Stats().MembersLost
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		for s.Stats().MembersLost == lost {
			s.run(10 * time.Millisecond)
			s.want(s.at-start < time.Minute, "a member that is silent for a minute is not lost: %+v", s.Stats())
		}
		return s.at - start
	}
	first := lose()
	held := only(s.run(3*time.Second), wire.TypeHello, silent)
	s.want(len(held) > 1, "it was asked %d times", len(held))
	s.polite[silent] = id
	for _, m := range held {
		s.hear(silent, s.welcome(m.seq, 7, id, silent))
	}
	wait := s.timeout(silent)
	s.want(wait <= s.config.RetryInterval, "an answer is waited for %v", wait)
	s.run(time.Second)
	again := lose()
	s.want(again < 2*first, "at first it was lost after %v of silence, then after %v", first, again)
}
