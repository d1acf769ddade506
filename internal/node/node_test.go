package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// The verbs may come in any order: none needs another one to have an effect.
func TestVerbsMayComeInAnyOrder(t *testing.T) {
	for _, order := range []string{"THN", "TNH", "HTN", "HNT", "NTH", "NHT"} {
		s := newSolo(t, Config{})
		peer := newSoloAt(t, netip.MustParseAddrPort("192.0.2.2:7070"), Config{})
		peer.newIdentity(0) // another one: the two have the same randomness
		var toSolo, toPeer [][]byte
		s.sink = func(b []byte, _ netip.AddrPort) { toPeer = append(toPeer, slices.Clone(b)) }
		peer.sink = func(b []byte, _ netip.AddrPort) { toSolo = append(toSolo, slices.Clone(b)) }
		turn := func(n, from *solo, waiting *[][]byte) (wait time.Duration) {
			for _, verb := range order {
				switch verb {
				case 'T':
					wait = n.tick()
				case 'H':
					for _, b := range *waiting {
						n.handle(from.config.Local, b)
					}
					*waiting = nil
				case 'N':
					n.send()
				}
			}
			return wait
		}
		await := func(what string, holds func() bool) {
			start := s.at
			for turns := 0; !holds(); turns++ {
				s.want(turns < 100 && s.at-start < time.Second, "in the order %s after %d turns and %v it does not hold that %s", order, turns, s.at-start, what)
				wait := min(turn(s, peer, &toSolo), turn(peer, s, &toPeer))
				s.at, peer.at = s.at+wait, peer.at+wait
			}
		}
		s.join()
		peer.join(s.Address())
		await("they are members of each other", func() bool { return s.Members() == 1 && peer.Members() == 1 })
		s.publish([]byte("there"))
		peer.publish([]byte("and back"))
		await("both messages are delivered", func() bool {
			return slices.Equal(peer.got, []string{"there"}) && slices.Equal(s.got, []string{"and back"})
		})
		await("all is acknowledged", func() bool { return s.Stats().QueuedData+peer.Stats().QueuedData == 0 })
	}
}

func TestLeaveForgetsTheSeeds(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9})
	for i := range 30 { // more than it keeps, in all its lives
		seed := peerAddr(i)
		s.join(seed)
		for _, m := range wiretest.Only(s.run(10*time.Second), wire.TypeHello, anyAddr) {
			s.want(m.To == seed, "a node that joined %v sends a Hello to %v, a seed of a life before", seed, m.To)
		}
		s.leave()
	}
}

// A Direct message that is too far ahead of an unanswered one would be refused by the
// recipient's window.
func TestPublishRefusesDirectMessagesBeyondTheWindow(t *testing.T) {
	s := newSolo(t, Config{MaxOutputMessages: 2 * versions.NarrowWidth})
	s.withMembers(10)
	to := direct(peerAddr(10))
	for range versions.NarrowWidth {
		s.publish([]byte("x"), to)
	}
	before := s.Stats()
	err := s.tryPublish([]byte("x"), to)
	s.want(err == ErrDirectFull, "%d behind the first, a Direct message leads to %v", versions.NarrowWidth, err)
	s.want(s.Stats() == before && s.self.directCounter == versions.NarrowWidth, "the refused message left a trace: %+v became %+v", before, s.Stats())
	s.publish([]byte("x")) // a Broadcast has numbers of its own
	delete(s.responsive, peerAddr(10))
	first := s.sent(wire.TypeData, peerAddr(10))[0]
	s.receive(first.To, s.ack(first.Seq))
	s.publish([]byte("x"), to) // the oldest is acknowledged
	err = s.tryPublish([]byte("x"), to)
	s.want(err == ErrDirectFull, "after one acknowledgement a second Direct message leads to %v", err)
}

// An attacker can use up the numbers of an id. Publish fails then, until the node has another id.
func TestPublishRefusesWhenAllNumbersAreUsed(t *testing.T) {
	t.Parallel()
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	s.publish([]byte("first words"))
	s.run(time.Second)
	s.self.counter = lastNumber - 2000
	s.receive(peerAddr(10), s.data(wire.Data{Origin: s.ID(), Counter: lastNumber}))
	err := s.tryPublish([]byte("x"))
	s.want(err == ErrNumbers, "after the last number of its id Publish returns %v", err)
	s.leave()
	s.join()
	s.publish([]byte("x")) // with a new id
}
