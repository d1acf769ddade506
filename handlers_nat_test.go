package gossip

import (
	"fmt"
	"testing"

	"example.com/gossip/internal/wire"
)

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
	s.hear(source, s.memberList(false, wire.Member{ID: 904, Addr: peerAddr(94)}))
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
