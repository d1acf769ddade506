package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
)

// testKey returns a key that is made of one byte.
func testKey(of byte) []byte { return bytes.Repeat([]byte{of}, 32) }

var inClear []byte

func TestASealedClusterSaysNothingInClear(t *testing.T) {
	t.Parallel()
	c := newSimCluster(t, 16, rough(1), Config{Keys: [][]byte{testKey('k')}, Cluster: "secret"})
	c.net.SetTap(func(e simnet.Event) {
		h, _ := wire.ParseHeader(e.Payload)
		if e.Kind == simnet.Sent && h.Type != wire.TypeSealed {
			t.Fatalf("%v sent a %v in clear", e.From, h.Type)
		}
		if bytes.Contains(e.Payload, []byte("message")) {
			t.Fatalf("a datagram of %v can be read", e.From)
		}
		if len(e.Payload) > 512 {
			t.Fatalf("a datagram of %v has %d bytes", e.From, len(e.Payload))
		}
	})
	c.form()
	said := map[string]*simNode{}
	for i := range 60 {
		n := c.nodes[i%16]
		said[n.say([]Spread{Broadcast, Random, Broadcast}[i%3])] = n
		c.net.Run(20 * time.Millisecond)
	}
	c.everybodyGot(30*time.Second, said)
	c.noDuplicates()
	for _, n := range c.nodes {
		if st := n.Stats(); st.DropSealed+st.DropClear+st.DropMalformed+st.DropUnknownType > 0 {
			t.Fatalf("node %v dropped what its own cluster sealed: %+v", n.addr, st)
		}
	}
}

// changeOfKeys walks a cluster through steps of its keys, a node at a time in
// random order, while everybody talks, and some restart. Not one message may be
// lost, nor may any member.
func changeOfKeys(t *testing.T, seed uint64, steps [][][]byte) {
	t.Helper()
	c := newSimCluster(t, 20, lan(seed), Config{Keys: steps[0]})
	c.form()
	said := map[string]*simNode{}
	chat := func() {
		n := c.nodes[c.net.Rand().IntN(20)]
		said[n.say([]Spread{Broadcast, Random}[len(said)%2])] = n
		c.net.Run(time.Duration(1+c.net.Rand().IntN(60)) * time.Millisecond)
	}
	for _, keys := range steps[1:] {
		for _, i := range c.net.Rand().Perm(20) {
			chat()
			if err := c.nodes[i].SetKeys(keys...); err != nil {
				t.Fatalf("seed %d: SetKeys: %v", seed, err)
			}
			c.nodes[i].config.Keys = keys // of its next life
		}
		for range 10 {
			chat()
		}
	}
	c.net.Run(time.Second)
	for _, n := range c.nodes {
		for text, from := range said {
			if n != from && n.got[text] != 1 {
				t.Fatalf("seed %d: node %v got %q %d times", seed, n.addr, text, n.got[text])
			}
		}
		if st := n.Stats(); st.DropSealed+st.DropClear+st.MembersLost > 0 || st.Members != 19 {
			t.Fatalf("seed %d: node %v did not get through the change: %+v", seed, n.addr, st)
		}
	}
	c.nodes[3].crash()
	c.nodes[3].restart(c.nodes[0])
	c.await(10*time.Second, "who restarts with the new keys is among them", c.complete)
}

func TestSimChangesOfKeysLoseNothing(t *testing.T) {
	heavy(t)
	a, b := testKey('a'), testKey('b')
	for name, steps := range map[string][][][]byte{
		"a new key for an old one": {{a}, {a, b}, {b, a}, {b}},
		"a key for clear text":     {{inClear}, {inClear, a}, {a, inClear}, {a}},
		"clear text for a key":     {{a}, {a, inClear}, {inClear, a}, {inClear}},
	} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(name, "/seed=", seed), func(t *testing.T) {
				t.Parallel()
				changeOfKeys(t, seed, steps)
			})
		}
	}
}

func TestAChangeWithoutTheStepsBetweenIsNoticed(t *testing.T) {
	t.Parallel()
	c := newSimCluster(t, 4, lan(1), Config{Keys: [][]byte{testKey('a')}})
	c.form()
	if err := c.nodes[1].SetKeys(testKey('b')); err != nil {
		t.Fatal(err)
	}
	c.nodes[1].say()
	c.net.Run(30 * time.Second)
	for _, n := range c.nodes {
		if n.Stats().DropSealed == 0 {
			t.Errorf("node %v dropped nothing", n.addr)
		}
	}
	if c.nodes[1].State() != StateDisconnected {
		t.Errorf("the node that nobody understands is %v", c.nodes[1].State())
	}
	if err := c.nodes[1].SetKeys(testKey('a')); err != nil {
		t.Fatal(err)
	}
	c.await(20*time.Second, "it is back when it has the right key again", c.complete)
}

func TestALongMessageSaidInClearOutlivesARollOut(t *testing.T) {
	c := newSimCluster(t, 8, lan(1), Config{})
	c.nodes = c.nodes[:4]
	for range 4 {
		c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(len(c.nodes))}), 7070), Config{Keys: [][]byte{inClear, testKey('k')}})
	}
	c.form()
	long := strings.Repeat("x", c.nodes[0].MaxPayload())
	if len(long)-c.nodes[5].MaxPayload() != 36 {
		t.Fatalf("MaxPayload is %d, and %d with Keys", len(long), c.nodes[5].MaxPayload())
	}
	if err := c.nodes[0].SendData([]byte(long)); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].wakeAt(c.net.Now())
	c.await(time.Second, "all got it", func() bool { return c.allGot(long, c.nodes[0]) })

	// Sealed it fits in no datagram: it stays where it is, and nothing breaks.
	for _, n := range c.nodes[4:] {
		if err := n.SendData([]byte(long)); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("a message that fits no sealed datagram was taken: %v", err)
		}
		if err := n.SetKeys(testKey('k'), inClear); err != nil {
			t.Fatal(err)
		}
	}
	text := c.nodes[5].say()
	c.net.Run(20 * time.Second)
	for _, n := range c.nodes[4:] {
		if n != c.nodes[5] && n.got[text] != 1 {
			t.Fatalf("node %v got what was said after it %d times", n.addr, n.got[text])
		}
	}
}

func TestAStrangerWithoutTheKeyLearnsAndChangesNothing(t *testing.T) {
	s := newSoloist(t, Config{Keys: [][]byte{testKey('k')}})
	other := newSoloist(t, Config{Keys: [][]byte{testKey('o')}})
	other.mustJoin(peerAddr(3).String())
	other.Send()
	s.mustJoin()
	s.Tick()
	before := s.effects()
	datagrams := [][]byte{
		s.hello(77, peerAddr(3), 0),
		s.data(wire.Data{Origin: 77, Counter: 1, Payload: []byte("x")}),
		s.status(everything(nil)),
		s.ack(1), s.goodbye(5), s.memberList(true, wire.Member{ID: 5, Addr: peerAddr(5)}),
		other.fake.out[0].b,
		s.message(wire.TypeSealed, make([]byte, 28)),
		s.message(wire.TypeSealed, make([]byte, 100)),
		s.message(wire.TypeSealed, nil),
	}
	for _, d := range datagrams {
		s.hear(peerAddr(3), d)
	}
	s.want(s.effects() == before, "it changed from %s to %s", before, s.effects())
	s.Send()
	s.want(len(s.fake.out) == 0, "it answered with %d datagrams", len(s.fake.out))
	st := s.Stats()
	s.want(st.DropClear == 6 && st.DropSealed == 4, "6 were clear and 4 not to be opened: %+v", st)

	s.mustJoin(peerAddr(3).String())
	s.Send()
	s.want(len(s.fake.out) == 1, "its own Hello to whom the datagrams seemed to come from is no answer to them, but %d went out", len(s.fake.out))
}

func TestSealsAreBoundToTheClusterAndTheHeader(t *testing.T) {
	keys := [][]byte{testKey('k')}
	a, b := newSoloist(t, Config{Keys: keys, Cluster: "a"}), newSoloist(t, Config{Keys: keys, Cluster: "b"})
	a.mustJoin(peerAddr(3).String())
	a.Send()
	b.mustJoin()
	d := a.fake.out[0].b
	tag := wire.Header{Type: wire.TypeSealed, Tag: b.tag}.AppendTo(nil)
	b.hear(peerAddr(3), slices.Concat(tag, d[wire.HeaderSize:]))
	b.want(b.Stats().DropSealed == 1, "what was sealed for a cluster was opened in another: %+v", b.Stats())

	same := newSoloist(t, Config{Keys: keys, Cluster: "a"})
	same.mustJoin()
	for i := range wire.HeaderSize {
		forged := slices.Clone(d)
		forged[i] ^= 1
		same.hear(peerAddr(3), forged)
		same.want(same.Stats().MessagesIn == 0, "a datagram whose header was changed at %d was opened", i)
	}
	same.hear(peerAddr(3), d)
	same.want(same.Stats().MessagesIn == 1, "the true one was not opened: %+v", same.Stats())
}

// The tag of a cluster has 16 bits: names that share it are many.
func TestSealsAreBoundToTheNameOfTheCluster(t *testing.T) {
	first, second := "a", ""
	for i := 0; second == "" || wire.ClusterTag(second) != wire.ClusterTag(first); i++ {
		second = fmt.Sprint("b", i)
	}
	keys := [][]byte{testKey('k')}
	a, b := newSoloist(t, Config{Keys: keys, Cluster: first}), newSoloist(t, Config{Keys: keys, Cluster: second})
	a.mustJoin(peerAddr(3).String())
	a.Send()
	b.mustJoin()
	b.hear(peerAddr(3), a.fake.out[0].b)
	b.want(b.Stats().DropSealed == 1 && b.Stats().MessagesIn == 0, "what was sealed for %q was opened in %q: %+v", first, second, b.Stats())
}

func TestKeysThatCannotBe(t *testing.T) {
	k := testKey('k')
	for what, keys := range map[string][][]byte{
		"short": {k[:31]}, "long": {append(testKey('k'), 0)}, "twice": {k, k}, "clear twice": {inClear, k, inClear},
		"too many": {k, testKey(1), testKey(2), testKey(3), testKey(4), testKey(5), testKey(6), testKey(7), testKey(8)},
	} {
		_, err := New(Address{}, func(NodeID, []byte) {}, Config{Keys: keys})
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "Keys") || strings.Contains(err.Error(), "kkkk") {
			t.Errorf("%s: New returned %v", what, err)
		}
		s := newSoloist(t, Config{Keys: [][]byte{k}})
		if err := s.SetKeys(keys...); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: SetKeys returned %v", what, err)
		}
		s.want(s.ring.Seals() && !s.ring.TakesClear(), "a SetKeys that failed changed the keys")
	}
	sealed := newSoloist(t, Config{Keys: [][]byte{k}})
	if err := sealed.SetKeys(); !errors.Is(err, ErrConfig) || !sealed.ring.Seals() {
		t.Errorf("SetKeys of no key returned %v, and the node goes on in clear: %v", err, !sealed.ring.Seals())
	}
	s := newSoloist(t, Config{})
	if err := s.SetKeys(k); !errors.Is(err, ErrConfig) {
		t.Errorf("SetKeys of a node without room for seals returned %v", err)
	}
	s.Close()
	if err := s.SetKeys(k); !errors.Is(err, ErrClosed) {
		t.Errorf("SetKeys after Close returned %v", err)
	}
}

// sealing makes the peers of a soloist, and it, use a key from now on.
func (s *soloist) sealing(key []byte) {
	s.t.Helper()
	var err error
	if s.fake.ring, err = seal.New([][]byte{key}, rand.New(rand.NewPCG(1, 2)).Uint64); err != nil {
		s.t.Fatal(err)
	}
	s.want(s.SetKeys(key) == nil, "SetKeys failed")
}

func TestSealingAllocatesNothing(t *testing.T) {
	m := newTreadmill(t, Config{Keys: [][]byte{inClear}})
	m.sealing(testKey('k'))
	counter := uint32(0)
	m.free("a new message, sealed, passed on to 8 delegates and acknowledged by them", func() {
		counter++
		m.at += 100 * time.Microsecond
		m.setData(counter)
		m.fake.feed(peerAddr(2), m.data)
		m.Receive(0)
		m.turn()
	})
	st := m.Stats()
	m.want(m.said == int(counter) && st.Relayed == 8*uint64(counter) && st.DropSealed == 0, "%d messages were delivered as %d: %+v", counter, m.said, st)
}

func TestMaxPayloadIsExactWithKeys(t *testing.T) {
	t.Parallel()
	for _, size := range []int{200, 512, 1400, wire.MaxDatagram} {
		c := newSimCluster(t, 12, lan(uint64(size)), Config{Keys: [][]byte{testKey('k')}, MaxMessageSize: size})
		most := 0
		c.net.SetTap(func(e simnet.Event) { most = max(most, len(e.Payload)) })
		c.form()
		long := strings.Repeat("x", c.nodes[1].MaxPayload())
		if err := c.nodes[1].SendData([]byte(long + "x")); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("one byte more than MaxPayload gave %v", err)
		}
		if err := c.nodes[1].SendData([]byte(long)); err != nil {
			t.Fatal(err)
		}
		c.nodes[1].wakeAt(c.net.Now())
		c.await(10*time.Second, "all got it", func() bool { return c.allGot(long, c.nodes[1]) })
		if most > size || len(long) < 1<<16-1 && most != size {
			t.Errorf("with MaxMessageSize %d and %d bytes of payload the longest datagram has %d", size, len(long), most)
		}
	}
}
