package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// testKey returns a key that is made of one byte.
func testKey(of byte) []byte { return bytes.Repeat([]byte{of}, 32) }

// inClear is the key that stands for clear text.
var inClear []byte

// sealWith makes the node and its peers use a key from now on.
func (s *solo) sealWith(key []byte) {
	s.t.Helper()
	keys, err := seal.New([][]byte{key}, rand.New(rand.NewPCG(1, 2)).Uint64)
	s.want(err == nil && s.SetKeys([][]byte{key}, [32]byte{1}) == nil, "the key is refused: %v", err)
	s.theirs = &seals{keys: keys, cluster: s.seals.cluster}
}

func TestSourceWithoutTheKeyChangesNothing(t *testing.T) {
	s := newSolo(t, Config{Keys: [][]byte{testKey('k')}})
	other := newSolo(t, Config{Keys: [][]byte{testKey('o')}})
	other.join(peerAddr(3))
	s.join()
	s.tick()
	before := s.effects()
	datagrams := [][]byte{
		s.hello(77, peerAddr(3), 0),
		s.data(wire.Data{Origin: 77, Counter: 1, Payload: []byte("x")}),
		s.status(everything(nil)),
		s.ack(1), s.goodbye(5), s.memberList(true, wire.Member{ID: 5, Addr: peerAddr(5)}),
		other.datagrams()[0].b,
		s.message(wire.TypeSealed, make([]byte, 28)),
		s.message(wire.TypeSealed, make([]byte, 100)),
		s.message(wire.TypeSealed, nil),
	}
	for _, d := range datagrams {
		s.receive(peerAddr(3), d)
	}
	s.want(s.effects() == before, "it changed from %s to %s", before, s.effects())
	answers := len(s.datagrams())
	s.want(answers == 0, "it answered with %d datagrams", answers)
	st := s.Stats()
	s.want(st.DropClear == 6 && st.DropSealed == 4, "6 were in clear and 4 cannot be opened: %+v", st)

	s.join(peerAddr(3))
	hellos := len(s.datagrams())
	s.want(hellos == 1, "its own Hello to the source of these datagrams should be sent, but %d were", hellos)
}

// While keys are introduced a message may come in clear that is too long to be sealed: it is
// delivered, and what is not passed on is counted as that.
func TestAMessageTooLongToSealIsCounted(t *testing.T) {
	s := newSolo(t, Config{Keys: [][]byte{inClear}})
	s.withMembers(around(8)...)
	err := s.SetKeys([][]byte{testKey('k'), inClear}, [32]byte{1})
	s.want(err == nil, "the keys are refused: %v", err)
	before := s.Stats()
	sealed, clear := s.MaxPayload(), s.longestPayload()
	for i, size := range []int{sealed, sealed + 1, clear} {
		s.receive(s.Member(0).Addr, s.data(wire.Data{Origin: 77, Counter: uint32(1 + i), Flags: wire.FlagArc, Hi: 1<<32 - 1, Payload: make([]byte, size)}))
	}
	after := s.Stats()
	dropped, relayed := after.DropRelay-before.DropRelay, after.Relayed-before.Relayed
	s.want(len(s.got) == 3, "%d of 3 messages were delivered", len(s.got))
	s.want(relayed > 0 && dropped == 2*relayed, "%d copies are counted as passed on, and %d as dropped, of two messages that are too long, and one that is not", relayed, dropped)
}

func TestSealsAreBoundToTheClusterAndTheHeader(t *testing.T) {
	keys := [][]byte{testKey('k')}
	a, b := newSolo(t, Config{Keys: keys, Cluster: "a"}), newSolo(t, Config{Keys: keys, Cluster: "b"})
	a.join(peerAddr(3))
	b.join()
	d := a.datagrams()[0].b
	tag := wire.Header{Type: wire.TypeSealed, Tag: b.out.tag}.AppendTo(nil)
	b.receive(peerAddr(3), slices.Concat(tag, d[wire.HeaderSize:]))
	b.want(b.Stats().DropSealed == 1, "a datagram that was sealed for one cluster was opened in another: %+v", b.Stats())

	same := newSolo(t, Config{Keys: keys, Cluster: "a"})
	same.join()
	for i := range wire.HeaderSize {
		forged := slices.Clone(d)
		forged[i] ^= 1
		same.receive(peerAddr(3), forged)
		same.want(same.Stats().MessagesIn == 0, "a datagram whose header was changed at %d was opened", i)
	}
	same.receive(peerAddr(3), d)
	same.want(same.Stats().MessagesIn == 1, "the true datagram was not opened: %+v", same.Stats())
}

// The tag of a cluster has 16 bits, so many names share it.
func TestSealsAreBoundToTheNameOfTheCluster(t *testing.T) {
	first, second := "a", ""
	for i := 0; second == "" || wire.ClusterTag(second) != wire.ClusterTag(first); i++ {
		second = fmt.Sprint("b", i)
	}
	keys := [][]byte{testKey('k')}
	a, b := newSolo(t, Config{Keys: keys, Cluster: first}), newSolo(t, Config{Keys: keys, Cluster: second})
	a.join(peerAddr(3))
	b.join()
	b.receive(peerAddr(3), a.datagrams()[0].b)
	b.want(b.Stats().DropSealed == 1 && b.Stats().MessagesIn == 0, "a datagram that was sealed for %q was opened in %q: %+v", first, second, b.Stats())
}

func TestInvalidKeysAreRefused(t *testing.T) {
	k := testKey('k')
	for what, keys := range map[string][][]byte{
		"short": {k[:31]}, "long": {append(testKey('k'), 0)}, "twice": {k, k}, "clear twice": {inClear, k, inClear},
		"too many": {k, testKey(1), testKey(2), testKey(3), testKey(4), testKey(5), testKey(6), testKey(7), testKey(8)},
	} {
		if CheckKeys(keys) == nil {
			t.Errorf("%s: CheckKeys takes the keys", what)
		}
		s := newSolo(t, Config{Keys: [][]byte{k}})
		s.want(s.SetKeys(keys, [32]byte{1}) != nil, "%s: SetKeys takes the keys", what)
		s.want(s.seals.keys.Seals() && !s.seals.keys.TakesClear(), "%s: a SetKeys that failed changed the keys", what)
	}
	for _, keys := range [][][]byte{nil, {k}, {inClear, k}} {
		s := newSolo(t, Config{Keys: keys})
		s.want(s.HasRoomForSeals() == (keys != nil), "with the keys %x there is room for seals: %v", keys, s.HasRoomForSeals())
	}
}

// A datagram that any node can open is a Hello or a Welcome: nothing else may ride in it.
func TestFirstContactHoldsNothingElse(t *testing.T) {
	s := newSolo(t, Config{Keys: [][]byte{testKey('k')}})
	s.sealWith(testKey('k'))
	s.withMembers(10, 20)
	from, id := peerAddr(10), s.peerID(10)
	for i, rest := range [][]byte{
		s.data(wire.Data{Origin: id, Counter: 1, Payload: []byte("x")}), s.goodbye(id),
		s.memberList(false, wire.Member{ID: 5, Addr: peerAddr(5)}), s.status(everything(map[uint64]uint32{7: 3})), s.ack(1),
	} {
		for j, b := range [][]byte{rest, slices.Concat(s.hello(id, from, 0), rest)} {
			before := s.Stats().DropIllegal
			sealed := s.theirs.close(append(make([]byte, sealedFront), b...), s.out.tag, wire.ToAny, 0)
			s.Handle(s.at, from, sealed)
			s.drain()
			s.want(s.Stats().DropIllegal == before+1, "message %d, %d in a first contact, is not refused: %+v", i, j, s.Stats())
		}
	}
	s.want(len(s.got) == 0 && s.Members() == 2, "%v was delivered, the members are %v", s.got, s.list())
}

// What the node sends in answer to a source whose id it does not know opens at that source only.
func TestAnswerToAnUnknownSourceIsSealedForIt(t *testing.T) {
	s := newSolo(t, Config{Keys: [][]byte{testKey('k')}})
	s.sealWith(testKey('k'))
	s.withMembers(10)
	s.receive(unknownAddr, s.data(wire.Data{Origin: 77, Counter: 1, Payload: []byte("x")}))
	s.at += s.config.AckDelay
	s.tick()
	all := s.datagrams()
	s.want(len(all) == 1 && all[0].addr == unknownAddr, "the message should be acknowledged: %v", all)
	h, _ := wire.ParseHeader(all[0].b)
	s.want(wire.Binding(h.Seq) == wire.ToField, "the answer is bound to %v", h.Seq)
	replayed := slices.Clone(all[0].b)
	_, _, ok := s.theirs.open(all[0].b, wire.ToField, 77)
	s.want(ok, "the source cannot open the answer")
	s.theirs.keys.Renew()
	_, _, ok = s.theirs.open(replayed, wire.ToField, 77)
	s.want(!ok, "the answer opens in a later life of the source")
}

// A Direct message to an address where no member is known asks which node is there, so that the
// message is sealed for that one.
func TestDirectToAnUnknownAddressAsksWhichNodeIsThere(t *testing.T) {
	s := newSolo(t, Config{Keys: [][]byte{testKey('k')}})
	s.sealWith(testKey('k'))
	s.withMembers(10)
	there, id := peerAddr(91), s.peerID(91)
	s.publish([]byte("x"), direct(there))
	h := s.send()
	s.want(len(h) == 1 && h[0].Kind == wire.TypeHello && h[0].To == there, "the address should be sent a Hello alone: %v", h)
	s.receive(there, s.welcome(h[0].Seq, 7, id, there))
	d := s.datagrams()
	s.want(len(d) > 0, "nothing follows the answer")
	sealed := map[wire.Binding]int{}
	for _, x := range d {
		h, _ := wire.ParseHeader(x.b)
		sealed[wire.Binding(h.Seq)]++
	}
	s.want(sealed[wire.ToID] == 1, "the message should follow at once, sealed for the node there: %v", sealed)

	silent := peerAddr(92)
	s.publish([]byte("y"), Spread{Kind: Direct, To: silent})
	before := s.Stats().GivenUp
	all := s.run(20 * time.Second)
	s.want(len(wiretest.Only(all, wire.TypeData, silent)) == 0, "a message goes to where no node has answered")
	s.want(s.Stats().GivenUp > before && s.out.queue.Any(silent) == nil, "the message is not given up: %+v", s.Stats())
}

// Two copies of one memory image, made by a snapshot of a machine, use the same nonces only
// until each has had its keys set.
func TestCopiesShareNoNonceAfterSetKeys(t *testing.T) {
	fields := map[uint64]bool{}
	for i := range byte(2) {
		s := newSolo(t, Config{Keys: [][]byte{testKey('k')}})
		for life := range byte(2) {
			err := s.SetKeys([][]byte{testKey('k')}, [32]byte{i, life})
			s.want(err == nil, "SetKeys failed: %v", err)
			fields[s.seals.keys.Field()] = true
		}
	}
	if len(fields) != 4 {
		t.Errorf("two copies that have their keys set twice should use 4 random fields, but use %d", len(fields))
	}
}
