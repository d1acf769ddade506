package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// knock says Hello twice, as a newcomer does, from an address.
func (s *soloist) knock(id uint64, from, says netip.AddrPort) {
	s.t.Helper()
	s.hear(from, s.hello(id, says, 0))
	w := only(s.speak(), wire.TypeWelcome, from)
	s.want(len(w) == 1, "a Hello from %v got %d Welcomes", from, len(w))
	s.hear(from, s.hello(id, says, w[0].welcome.Token))
}

// placed fails unless there are two members and id is the one at addr.
func (s *soloist) placed(id uint64, addr netip.AddrPort, after string) {
	s.t.Helper()
	m := s.roster.Get(id)
	s.want(m != nil && m.Addr == addr && s.roster.ByAddr(addr) == m && s.roster.Len() == 2, "%s, %x should be at %v, the members are %v", after, id, addr, s.Members())
	s.inOrder(addr)
}

var noAddr netip.AddrPort

func TestANodeThatMovedIsBelievedWhenItsOldAddressIsSilent(t *testing.T) {
	from, to := peerAddr(10), peerAddr(91)
	for _, says := range []netip.AddrPort{to, noAddr} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		id, start := s.peerID(10), s.at
		delete(s.polite, from)
		s.polite[to] = id
		s.knock(id, to, says)
		s.placed(id, from, "at its first word from elsewhere")
		asked := only(s.run(time.Second), wire.TypeHello, from)
		s.want(len(asked) > 0, "nobody asks at the old address")
		for s.roster.ByAddr(to) == nil {
			s.want(s.at-start < 30*time.Second, "30 s after it moved it is not believed, the members are %v", s.Members())
			s.run(2 * time.Second)
			s.knock(id, to, says)
		}
		s.placed(id, to, "when its old address is silent")
		s.want(s.SendData([]byte("x")) == nil, "SendData failed")
		all := s.run(time.Minute)
		s.want(len(only(all, wire.TypeData, to)) == 1 && len(only(all, wire.TypeData, from)) == 0, "Data does not follow it")
		s.placed(id, to, "a minute later")
	}
}

func TestALiarDoesNotTakeTheNameOfALivingMember(t *testing.T) {
	from, liar := peerAddr(10), peerAddr(91)
	for _, says := range []netip.AddrPort{liar, noAddr, peerAddr(92)} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		id := s.peerID(10)
		s.polite[liar], s.polite[peerAddr(92)] = id, id
		var all []said
		for range 20 {
			s.knock(id, liar, says)
			all = append(all, s.run(time.Second)...)
			s.want(s.SendData([]byte("x")) == nil, "SendData failed")
			all = append(all, s.run(time.Second)...)
			s.placed(id, from, "while a liar has its name")
		}
		for _, a := range []netip.AddrPort{liar, peerAddr(92)} {
			s.want(len(only(all, wire.TypeData, a)) == 0 && len(only(all, wire.TypeMemberList, a)) == 0, "a liar at %v is treated like a member", a)
		}
		s.want(s.Stats().MembersLost == 0, "the true one was taken for lost")
	}
}

// seedAt makes an address a seed and answers the Hello to it in the name of id.
func (s *soloist) seedAt(addr netip.AddrPort, id uint64) {
	s.t.Helper()
	s.mustJoin(addr.String())
	h := only(s.speak(), wire.TypeHello, addr)
	s.want(len(h) == 1, "a seed is greeted %d times", len(h))
	s.hear(addr, s.welcome(h[0].seq, 7, id, addr))
}

func TestAnAnswerInTheNameOfAMemberMovesItWhenItIsSilent(t *testing.T) {
	from, to := peerAddr(10), peerAddr(91)
	for _, alive := range []bool{true, false} {
		s := newSoloist(t, Config{})
		s.seedWith(10, 20)
		id := s.peerID(10)
		if !alive {
			delete(s.polite, from)
		}
		s.polite[to] = id
		s.seedAt(to, id)
		s.placed(id, from, "at the first answer from elsewhere")
		asked := only(s.speak(), wire.TypeHello, from)
		s.want(len(asked) == 1, "at the old address it is asked %d times", len(asked))
		s.answer(asked[0])
		all := s.run(45 * time.Second)
		if alive {
			s.placed(id, from, "as it answers there")
			s.want(len(only(all, wire.TypeHello, to)) == 0 && s.Stats().MembersLost == 0, "%d times more it was asked elsewhere", len(only(all, wire.TypeHello, to)))
		} else {
			s.placed(id, to, "as it does not answer there")
		}
	}
}

func TestAMemberThatSaysItselfWhereItIsMovesThere(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	from, to, id := peerAddr(10), peerAddr(91), s.peerID(10)
	s.hear(peerAddr(20), s.memberList(false, wire.Member{ID: 5, Addr: from})) // which makes the node ask
	h := only(s.speak(), wire.TypeHello, from)
	s.want(len(h) == 1, "a contradiction is asked about %d times", len(h))
	s.hear(from, s.welcome(h[0].seq, 7, id, to))
	s.placed(id, from, "at its word alone")
	s.seedAt(to, id)
	s.placed(id, to, "as it says so, and answers there")
}

// A claim to be reached elsewhere is asked about there, unless it is that of a
// member that lives.
func TestAClaimOnTheNameOfALostMemberIsAskedAbout(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	old, to, source, id := peerAddr(10), peerAddr(91), peerAddr(92), s.peerID(10)
	s.polite[to] = id
	s.knock(id, source, to)
	s.want(len(only(s.run(time.Second), wire.TypeHello, to)) == 0, "a living member's name is asked for elsewhere")
	s.placed(id, old, "as it lives")
	delete(s.polite, old)
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	s.run(30 * time.Second)
	s.want(s.roster.Get(id) == nil, "a member that is silent for 30 s is not lost")
	s.knock(id, source, to)
	s.run(time.Second)
	s.placed(id, to, "as it was lost, and answers there")
}

// moveTo gives the node another address, as a network does to a host.
func (n *simNode) moveTo(bound, addr netip.AddrPort) {
	n.c.t.Helper()
	n.end.Close()
	end, err := n.c.net.ListenAt(bound, addr)
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.addr, n.end, n.socket = addr, end, end
	end.OnReadable(func() { n.wakeAt(n.c.net.Now()) })
	n.wakeAt(n.c.net.Now())
}

func TestANodeThatMovesStaysInItsCluster(t *testing.T) {
	for seed := range uint64(4) {
		c := newSimCluster(t, 8, lan(seed), Config{})
		wildcard := netip.MustParseAddrPort("0.0.0.0:7070")
		end, err := c.net.ListenAt(wildcard, netip.MustParseAddrPort("10.9.0.1:7070"))
		if err != nil {
			t.Fatal(err)
		}
		n := &simNode{c: c, addr: netip.MustParseAddrPort("10.9.0.1:7070"), got: map[string]int{}}
		n.begin(end)
		c.nodes = append(c.nodes, n)
		c.form()
		c.net.Run(10 * time.Second)
		id := n.ID()
		n.moveTo(wildcard, netip.MustParseAddrPort("10.9.0.2:7070"))
		c.await(time.Minute, "all know it at its new address, under its old name", func() bool {
			for _, x := range c.nodes {
				if m := x.roster.Get(uint64(id)); x != n && (m == nil || m.Addr != n.addr) {
					return false
				}
			}
			return n.ID() == id && c.complete()
		})
		said := map[string]*simNode{n.say(): n}
		said[c.nodes[2].say()] = c.nodes[2]
		c.everybodyGot(time.Second, said)
		c.noDuplicates()
	}
}

// A node behind a port forwarding is reached at one address and sends from
// another.

func TestANodeThatSendsFromElsewhereIsOneMember(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	public, source, id := peerAddr(91), peerAddr(92), s.peerID(90)
	s.hear(source, s.hello(id, public, 0))
	w := only(s.speak(), wire.TypeWelcome, source)[0]
	s.hear(source, s.hello(id, public, w.welcome.Token))
	s.want(s.roster.Len() == 1, "its word alone does not make it a member there: %v", s.Members())
	h := only(s.speak(), wire.TypeHello, public)
	s.want(len(h) == 1, "it is asked whether it is there: %v", h)
	s.hear(source, s.welcome(h[0].seq, 7, id, public))
	s.want(s.roster.Len() == 2 && s.roster.Get(id).Addr == public, "the members are %v", s.Members())
	page := only(s.speak(), wire.TypeMemberList, public)
	s.want(len(page) == 1, "it is sent the members: %v", page)
	s.hear(source, s.ack(page[0].seq))
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	d := only(s.speak(), wire.TypeData, public)
	s.want(len(d) == 1, "Data goes to where it says it is: %v", d)
	s.hear(source, s.ack(d[0].seq))
	s.want(s.Stats().DropAck == 0, "its Acks count wherever they come from")
	for range 2 { // at the first it is asked there
		s.hear(source, s.memberList(false, wire.Member{ID: 904, Addr: peerAddr(94)}))
		for _, h := range only(s.speak(), wire.TypeHello, source) {
			s.hear(source, s.welcome(h.seq, 7, id, public))
		}
	}
	s.want(s.roster.Get(904) != nil, "its word is that of a member")
	s.hear(source, s.goodbye(id))
	s.want(s.roster.Get(id) == nil, "it may say goodbye from there")
}

func TestANewLifeOfANodeThatSendsFromElsewhereReplacesTheOldOne(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	public, source := peerAddr(91), peerAddr(92)
	old, young := s.peerID(90), s.peerID(150)
	for _, id := range []uint64{old, young} {
		s.hear(source, s.hello(id, public, 0))
		w := only(s.speak(), wire.TypeWelcome, source)[0]
		s.hear(source, s.hello(id, public, w.welcome.Token))
		h := only(s.speak(), wire.TypeHello, public)[0]
		s.hear(source, s.welcome(h.seq, 7, id, public))
		s.hear(source, s.ack(only(s.speak(), wire.TypeHello, public)[0].seq))
	}
	s.want(s.roster.Get(old) == nil && s.roster.Len() == 2, "the old life is listed still: %v", s.Members())
	m := s.roster.Get(young)
	s.want(m != nil && m.Addr == public && m.Proven && s.roster.ByAddr(source) == m, "the new life is %+v", m)
	s.want(fmt.Sprint(s.Members()[0].ID) != fmt.Sprint(s.Members()[1].ID), "it is listed twice")
}

// The old life was asked where it sends from, and is listed there.
func TestAFormerLifeIsNotListedWhereTheNewOneSendsFrom(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	public, source := peerAddr(91), peerAddr(92)
	old, young := s.peerID(90), s.peerID(150)
	s.knock(old, source, noAddr)
	s.want(s.roster.Get(old) != nil, "the old life is not listed where it says Hello: %v", s.Members())
	s.knock(young, source, public)
	for range 3 {
		for _, h := range only(s.speak(), wire.TypeHello, anybody) {
			if h.to == public || h.to == source {
				s.hear(source, s.welcome(h.seq, 7, young, public))
			}
		}
	}
	m := s.roster.Get(young)
	s.want(m != nil && m.Addr == public && s.roster.Get(old) == nil, "the members are %v", s.Members())
}

// A shared address leads to one host, later to another.
func TestASeedAddressThatGoesToAnotherIslandJoinsThem(t *testing.T) {
	c := newSimCluster(t, 4, lan(1), Config{})
	shared := netip.MustParseAddrPort("10.9.0.1:7070")
	end, err := c.net.Listen(shared)
	if err != nil {
		t.Fatal(err)
	}
	holder := c.nodes[1]
	end.OnReadable(func() {
		b := make([]byte, 1<<10)
		for n, from, err := end.Receive(b, 0); err == nil; n, from, err = end.Receive(b, 0) {
			holder.mu.Lock()
			holder.handle(holder.now(), from, b[:n])
			holder.mu.Unlock()
			holder.wakeAt(c.net.Now())
		}
	})
	for i := range 2 {
		holder = c.nodes[2*i+1]
		holder.join()
		if err := c.nodes[2*i].Join(Address{shared}); err != nil {
			t.Fatal(err)
		}
		c.nodes[2*i].wakeAt(c.net.Now())
		c.net.Run(10 * time.Second)
	}
	holder = c.nodes[1]
	c.await(3*time.Minute, "the islands are one", c.complete)
}

func TestANodeThatGotTheAddressOfALostMemberStopsAskingThere(t *testing.T) {
	s := newSoloistAt(t, netip.MustParseAddrPort("0.0.0.0:7070"), Config{})
	s.seedWith(10, 20)
	at := peerAddr(10)
	s.roster.Lose(s.roster.ByAddr(at), s.at)
	delete(s.polite, at)
	for range 3 {
		for _, m := range only(s.run(10*time.Second), wire.TypeHello, at) {
			h := wire.Header{Type: wire.TypeHello, Seq: m.seq}
			s.hear(at, m.hello.AppendTo(h.AppendTo(nil))) // it comes back
		}
	}
	s.want(s.roster.Lost() == 0, "the node keeps looking for %d members where it is itself", s.roster.Lost())
}
