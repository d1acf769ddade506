package gossip

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// A loop that stood still has not waited: what was missing when it stopped may lie
// in its socket, and has not been asked for since.
func TestAStoppedProcessDoesNotGiveUpWhatWaitsInItsSocket(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{{}, {Ordered: true}} {
		s := newSoloist(t, config)
		s.seedWith(10, 20)
		s.hear(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
		s.run(2 * time.Second) // the gap is noted
		s.fake.feed(peerAddr(20), s.data(dataOf(77, 2)))
		s.at += 40 * time.Second // nothing runs
		s.run(0)                 // Tick and Send come before Receive
		if _, err := s.Receive(0); err != nil {
			t.Fatal(err)
		}
		s.run(time.Second)
		s.want(len(s.got) == 3, "with Ordered %v a message that waited in the socket while the process was stopped is refused: got %v, %d given up",
			config.Ordered, s.got, s.Stats().GaveUpUnseen)
	}
}

// The same among nodes that retain everything: when all their clocks jump by an
// hour nothing need be given up.
func TestAClockThatJumpsGivesUpNothingThatOthersRetain(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(10) {
		c := newSimCluster(t, 16, rough(seed), Config{})
		c.form()
		said := map[string]*simNode{}
		c.traffic(2*time.Second, 20*time.Millisecond, said, Broadcast, Random)
		for _, n := range c.nodes {
			n.shift(time.Hour)
		}
		c.everybodyGot(time.Minute, said)
	}
}

// Who has just joined may be given as much history as its log holds, before
// anybody has asked for what it said itself.
func TestTheFirstWordsOfANewLifeOutliveTheHistoryItIsGiven(t *testing.T) {
	t.Parallel()
	s := newSoloist(t, Config{DataLogSize: 16 << 10})
	seed, id := peerAddr(10), s.peerID(10)
	s.mustJoin(seed.String())
	hello := only(s.speak(), wire.TypeHello, seed)
	s.want(len(hello) == 1, "a seed is greeted %d times", len(hello))
	s.want(s.SendData([]byte("first words")) == nil, "SendData failed")
	s.polite[seed] = id
	s.hear(seed, s.welcome(hello[0].seq, 7, id, seed))
	all := s.run(20 * time.Millisecond)
	for i := range uint32(100) { // 69 fill the log
		s.hear(seed, s.data(wire.Data{Origin: 77, Counter: 1 + i, Flags: wire.FlagPull, Payload: []byte("history")}))
	}
	all = append(all, s.run(5*time.Second)...)
	request := wire.Status{Mode: wire.Request, Last: 1<<64 - 1}
	request.Digest.Add(uint64(s.id), 0, []versions.Run{{First: 1, Last: 1}}, 100)
	s.hear(seed, s.status(request))
	for _, m := range only(append(all, s.run(time.Second)...), wire.TypeData, seed) {
		if m.data.Origin == uint64(s.id) {
			return
		}
	}
	s.want(false, "the first message of a node, accepted by SendData, was never sent, and nothing counts it: %+v", s.Stats())
}

func TestTheFirstWordsOfNewLivesReachEverybody(t *testing.T) {
	heavy(t)
	t.Parallel()
	lost := 0
	for seed := range uint64(150) {
		c := newSimCluster(t, 5, lan(seed), Config{DataLogSize: 16 << 10})
		c.form()
		for range 100 { // 69 fill the log
			c.nodes[c.net.Rand().IntN(4)].say()
			c.net.Run(5 * time.Millisecond)
		}
		c.net.Run(3 * time.Second)
		n := c.nodes[4]
		n.crash()
		clear(n.got)
		n.restart(c.nodes[0])
		text := n.say()
		c.net.Run(20 * time.Second)
		if !c.allGot(text, n) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of the first words of 150 new lives, on a net without loss, %d did not reach everybody", lost)
	}
}

// Others take a new life for the one before it, at the same address, until it has
// said Hello with a token. The part of the ring that they hand to the old one comes
// to the new one, which has said the message itself: it must not acknowledge that
// and do nothing.
func TestAnOriginThatIsHandedItsOwnMessageDoesNotSwallowItsArc(t *testing.T) {
	t.Parallel()
	s := newSoloist(t, Config{})
	s.seedWith(around(16)...)
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	s.run(2 * time.Second)
	from, inside := peerAddr(around(16)[3]), around(16)[8]
	back := wire.Data{Origin: uint64(s.id), Counter: 1, Flags: wire.FlagArc, Hops: 2, Lo: view.Pos(s.peerID(inside) - 1<<40), Hi: view.Pos(s.peerID(inside) + 1<<40), Payload: []byte("x")}
	s.hear(from, s.data(back))
	all := s.run(100 * time.Millisecond)
	covered := len(only(all, wire.TypeData, peerAddr(inside))) > 0
	acknowledged := len(only(all, wire.TypeAck, from)) > 0
	s.want(covered || !acknowledged, "the arc is acknowledged, and nobody in it gets the message")
}

func TestMessagesOfNewLivesDoNotWaitForRepair(t *testing.T) {
	heavy(t)
	t.Parallel()
	late := ""
	for seed := range uint64(200) {
		c := newSimCluster(t, 5, lan(seed), Config{TickInterval: time.Minute})
		c.form()
		n, others := c.nodes[4], c.nodes[:4]
		for life := range 50 {
			n.reborn(others[life%4])
			c.await(time.Second, "a new life is CONNECTED", func() bool { return n.State() == StateConnected })
			text := n.say()
			start := c.net.Now()
			c.await(10*time.Minute, "a message of a new life is everywhere", func() bool { return c.allGot(text, n) })
			if took := c.net.Now() - start; took > 2*time.Second {
				late += fmt.Sprintf(" %v (seed %d, life %d)", took, seed, life+2)
			}
		}
	}
	if late != "" {
		t.Errorf("without loss messages of new lives take%s", late)
	}
}
