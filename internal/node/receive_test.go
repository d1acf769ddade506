package node

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestUnknownTypeOrForeignTagEndsTheDatagram(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	number := func(i uint32) []byte { return s.data(dataOf(77, i)) }
	foreign := number(4)
	foreign[2]++
	s.receive(peerAddr(10), number(1), s.message(99, []byte("of a later version")), number(2))
	s.receive(peerAddr(10), number(3), foreign, number(5))
	s.receive(peerAddr(10), number(6)[:20])
	s.receive(peerAddr(10)) // an empty datagram
	s.want(fmt.Sprint(s.got) == "[1 3]", "the messages before the unreadable ones should be delivered, not %v", s.got)
	st := s.Stats()
	s.want(st.DropUnknownType == 1 && st.DropTag == 1 && st.DropMalformed == 2, "the causes were counted as %+v", st)
	seen := s.history.origins.Get(77).Seen
	s.want(!seen.Has(2) && !seen.Has(5) && !seen.Has(6), "a message that was not read is taken for seen")
}

// A source with a token may send hearsay before it is a member itself.
func TestDatagramOfAMemberConnectsTheNode(t *testing.T) {
	s := newSolo(t, Config{})
	s.join(peerAddr(77))
	s.run(10 * time.Second)
	s.want(s.State() == Disconnected, "without an answer for 10 s the node is %v", s.State())
	source, named, id := peerAddr(1), peerAddr(2), s.peerID(5)
	s.receive(source, s.hello(id, named, 0))
	w := s.sent(wire.TypeWelcome, source)[0]
	s.receive(source, s.hello(id, named, w.Welcome.Token), s.memberList(false, wire.Member{ID: s.peerID(9), Addr: peerAddr(9)}))
	s.want(s.State() == Disconnected, "hearsay alone makes the node %v", s.State())
	s.addMember(s.peerID(9), peerAddr(9))
	s.want(s.State() == Connected, "with the members %v, which answer, the node is %v", s.list(), s.State())
}

func TestDatagramFromNowhereIsCounted(t *testing.T) {
	s := newSolo(t, Config{})
	s.join()
	for _, from := range []netip.AddrPort{{}, netip.MustParseAddrPort("10.0.0.1:0"), netip.MustParseAddrPort("0.0.0.0:7070"), netip.MustParseAddrPort("224.0.0.1:7070")} {
		before := s.Stats().DropMalformed
		s.receive(from, s.hello(7, from, 0))
		s.want(s.Stats().DropMalformed == before+1, "a datagram from %v is not counted", from)
		s.want(len(s.send()) == 0, "a datagram from %v is answered", from)
	}
}
