package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
)

// captured is a datagram as somebody on the way recorded it.
type captured struct {
	from, to netip.AddrPort
	b        []byte
}

// hearAgain makes a node handle a recorded datagram as if it came from there now.
func (n *simNode) hearAgain(from netip.AddrPort, b []byte) {
	n.handleReceived(from, slices.Clone(b), nil)
	n.wakeAt(n.c.net.Now())
}

// record lets a cluster do everything that makes it send datagrams, and returns
// them all, the node that left, and who was told what directly.
func record(t *testing.T, c *simCluster) (all []captured, gone *simNode, direct map[string]*simNode) {
	t.Helper()
	c.net.SetTap(func(e simnet.Event) {
		if e.Kind == simnet.Sent {
			all = append(all, captured{e.From, e.To, slices.Clone(e.Payload)})
		}
	})
	c.form()
	direct = map[string]*simNode{}
	for i := range 24 {
		n, to := c.nodes[i%8], c.nodes[(i+3)%8]
		n.say(Broadcast)
		n.say(Random)
		direct[n.say(Direct(Address{to.addr}))] = to
		c.net.Run(100 * time.Millisecond)
		c.net.SetLoss([]float64{0, 0.3}[i/8%2]) // some of it must be repaired
	}
	c.net.SetLoss(0)
	c.net.Run(10 * time.Second)
	gone = c.nodes[7]
	if err := gone.Leave(); err != nil {
		t.Fatal(err)
	}
	gone.wakeAt(c.net.Now())
	c.net.Run(time.Second)
	gone.crash()
	c.net.Run(10 * time.Second)
	c.net.SetTap(nil)
	return all, gone, direct
}

// Whatever was recorded, of every type of message, is sent to every node, from
// where it came and from elsewhere, at once, in a minute and in two hours.
func TestSimReplayChangesNothing(t *testing.T) {
	t.Parallel()
	c := newSimCluster(t, 8, lan(1), Config{Keys: [][]byte{testKey('k')}})
	all, gone, direct := record(t, c)
	kinds := map[wire.Type]bool{}
	for _, d := range all {
		for b := append([]byte(nil), messagesIn(t, c.nodes[0], d.b)...); len(b) > 0; {
			h, _ := wire.ParseHeader(b)
			kinds[h.Type] = true
			b = b[wire.HeaderSize+bodyLength(t, h.Type, b[wire.HeaderSize:]):]
		}
	}
	if len(kinds) != int(wire.TypeSealed)-1 {
		t.Fatalf("only %v were recorded", kinds)
	}
	up := c.up()
	stranger := netip.MustParseAddrPort("10.9.9.9:999")
	for _, pause := range []time.Duration{0, time.Minute, 2 * time.Hour} {
		c.net.Run(pause)
		for i, d := range all {
			for _, n := range up {
				n.hearAgain(d.from, d.b)
				n.hearAgain(stranger, d.b)
			}
			if i%50 == 0 {
				c.net.Run(time.Millisecond)
			}
		}
		c.net.Run(90 * time.Second)
		c.noDuplicates()
		for _, n := range up {
			for text, to := range direct {
				if n != to && n.got[text] > 0 {
					t.Fatalf("%v later node %v took %q, which was for %v only", pause, n.addr, text, to.addr)
				}
			}
			if n.State() != StateConnected || n.roster.Len() != len(up)-1 || n.roster.Get(uint64(gone.id)) != nil {
				t.Fatalf("%v later node %v is %v with %d members, %v among them: %+v", pause, n.addr, n.State(), n.roster.Len(), n.roster.Get(uint64(gone.id)), n.Stats())
			}
		}
		text := up[0].say()
		c.await(time.Second, "what is said next is everywhere", func() bool { return c.allGot(text, up[0]) })
	}
}

// messagesIn opens a datagram as a node that has the key.
func messagesIn(t *testing.T, n *simNode, b []byte) []byte {
	t.Helper()
	messages, ok := n.open(slices.Clone(b))
	if !ok {
		t.Fatal("a recorded datagram cannot be opened")
	}
	return messages
}

func bodyLength(t *testing.T, kind wire.Type, b []byte) (n int) {
	t.Helper()
	switch kind {
	case wire.TypeHello:
		_, n, _ = wire.ParseHello(b)
	case wire.TypeWelcome:
		_, n, _ = wire.ParseWelcome(b)
	case wire.TypeMemberList:
		_, n, _ = wire.ParseMemberList(b)
	case wire.TypeAck:
		_, n, _ = wire.ParseAck(b)
	case wire.TypeData:
		_, n, _ = wire.ParseData(b)
	case wire.TypeStatus:
		_, n, _ = wire.ParseStatus(b)
	case wire.TypeLeave:
		_, n, _ = wire.ParseLeave(b)
	default:
		t.Fatalf("a node sent a message of type %d", kind)
	}
	return n
}

func TestADirectMessageIsForOneNodeOnly(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10, 20)
	d := wire.Data{Origin: s.peerID(10), Counter: 1, Flags: wire.FlagDirect, Payload: []byte("for another")}
	d.SetRecipient(s.peerID(20))
	s.hear(peerAddr(10), s.data(d))
	all := s.speak()
	s.want(len(s.got) == 0 && s.Stats().DropRecipient == 1, "what is for another was taken: %v", s.got)
	s.want(len(only(all, wire.TypeAck, peerAddr(10))) == 0, "it was acknowledged")
	s.want(len(only(all, wire.TypeHello, peerAddr(10))) == 1, "the sender was not told who is here: %v", all)
	d.SetRecipient(uint64(s.id))
	s.hear(peerAddr(10), s.data(d))
	s.want(fmt.Sprint(s.got) == "[for another]", "what is for the node was not taken")

	s.want(s.SendData([]byte("x"), Direct(Address{peerAddr(20)})) == nil, "SendData failed")
	sent := only(s.speak(), wire.TypeData, peerAddr(20))
	to, named := sent[0].data.Recipient()
	s.want(named && to == s.peerID(20), "a Direct message to a member is for %x", to)
	s.want(s.SendData([]byte("x"), Direct(Address{peerAddr(99)})) == nil, "SendData failed")
	sent = only(s.speak(), wire.TypeData, peerAddr(99))
	_, named = sent[0].data.Recipient()
	s.want(!named, "a Direct message to an address where nobody is known names a recipient")
}

func TestADirectMessageFindsTheNextLifeAtItsAddress(t *testing.T) {
	givenUp := 0
	for seed := range uint64(10) {
		c := newSimCluster(t, 4, lan(seed), Config{})
		c.form()
		c.net.Run(20 * time.Second)
		c.nodes[3].crash()
		c.nodes[3].restart(c.nodes[0])
		c.net.Run(15 * time.Millisecond) // the others have not heard of it yet
		text := c.nodes[1].say(Direct(Address{c.nodes[3].addr}))
		c.net.Run(10 * time.Second)
		if c.nodes[3].got[text] != 1 && c.nodes[1].Stats().GivenUp == 0 {
			t.Fatalf("seed %d: a Direct message to who was just restarted came %d times, and nobody knows", seed, c.nodes[3].got[text])
		}
		givenUp += 1 - c.nodes[3].got[text]
	}
	if givenUp > 3 { // it may take longer to join than a message is tried
		t.Errorf("of 10 Direct messages to who was just restarted %d were given up", givenUp)
	}
}

// Whoever sees a Hello can send it back, and needs no key for that.
func TestAHelloThatComesBackCostsNoSeed(t *testing.T) {
	for _, keys := range [][][]byte{nil, {testKey('k')}} {
		s, seed := newSoloist(t, Config{Keys: keys}), peerAddr(3)
		s.mustJoin(seed.String())
		s.Send()
		s.hear(seed, s.fake.out[0].b)
		s.fake.out = nil
		asked := 0
		s.fake.sink = func(_ []byte, to netip.AddrPort) {
			if to == seed {
				asked++
			}
		}
		s.run(5 * time.Minute)
		s.want(asked > 3 && asked < 60, "in 5 minutes after its Hello came back the node asked its seed %d times", asked)
	}
}

// A seed whose Hello came back is one like any other when it answers.
func TestASeedThatSeemedToBeTheNodeIsMetInTheEnd(t *testing.T) {
	s, seed := newSoloist(t, Config{}), peerAddr(3)
	s.mustJoin(seed.String())
	s.Send()
	s.hear(seed, s.fake.out[0].b)
	s.fake.out = nil
	s.polite[seed] = s.peerID(3)
	s.run(2 * time.Minute)
	s.want(s.roster.ByAddr(seed) != nil && s.roster.Seeds() == 1, "after two minutes there are %d seeds and the members are %v", s.roster.Seeds(), s.Members())
}
