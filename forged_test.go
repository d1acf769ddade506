package gossip

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// The first number of a Direct message says nothing, and may be forged too.
func TestAForgedDirectMessageSilencesNobody(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	id := s.peerID(10)
	s.hear(stranger, s.data(wire.Data{Origin: id, Counter: 1 << 31, Flags: wire.FlagDirect, Payload: []byte("forged")}))
	s.got = nil
	for i := range uint32(50) {
		s.hear(peerAddr(10), s.data(wire.Data{Origin: id, Counter: i + 1, Flags: wire.FlagDirect}))
	}
	s.want(len(s.got) == 50, "after one forged Direct message of a stranger, of 50 of the member %d were delivered, %d taken for known and acknowledged", len(s.got), s.Stats().Duplicate)
}

// A node that speaks to many has gaps between the numbers that each of them sees.
func TestDirectMessagesWithGapsReachAFullView(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	s.seedWith(1, 2, 3, 4, 128, 252, 253, 254, 255)
	from, id := peerAddr(77), s.peerID(77)
	s.polite[from] = id
	for i, counter := range []uint32{2000, 2001, 2100, 3000, 9000} {
		for range 3 { // attempts
			s.hear(from, s.data(wire.Data{Origin: id, Counter: counter, Flags: wire.FlagDirect, Payload: fmt.Append(nil, counter)}))
			s.run(250 * time.Millisecond)
		}
		s.want(len(s.got) == i+1, "of %d Direct messages, the last with the number %d, only %v were delivered: %+v", i+1, counter, s.got, s.Stats())
	}
}

// One forged number must not move a node past what it said a moment ago.
func TestAForgedOwnNumberCostsNoMessageOnItsWay(t *testing.T) {
	for seed := range uint64(5) {
		net := lan(seed)
		net.Loss = 0.3
		c := newSimCluster(t, 8, net, Config{})
		c.form()
		n := c.nodes[3]
		said := map[string]*simNode{}
		for i := range 40 {
			if i == 20 {
				n.handleForged(wire.Data{Origin: uint64(n.id), Counter: n.counter + 2000})
			}
			said[n.say()] = n
			c.net.Run(time.Millisecond)
		}
		c.everybodyGot(time.Minute, said)
	}
}
