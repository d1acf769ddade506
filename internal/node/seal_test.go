package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
)

// testKey returns a key that is made of one byte.
func testKey(of byte) []byte { return bytes.Repeat([]byte{of}, 32) }

// inClear is the key that stands for clear text.
var inClear []byte

// sealWith makes the node and its peers use a key from now on.
func (s *solo) sealWith(key []byte) {
	s.t.Helper()
	keys, err := seal.New([][]byte{key}, rand.New(rand.NewPCG(1, 2)).Uint64)
	s.want(err == nil && s.SetKeys([][]byte{key}) == nil, "the key is refused: %v", err)
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
	err := s.SetKeys([][]byte{testKey('k'), inClear})
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
		s.want(s.SetKeys(keys) != nil, "%s: SetKeys takes the keys", what)
		s.want(s.seals.keys.Seals() && !s.seals.keys.TakesClear(), "%s: a SetKeys that failed changed the keys", what)
	}
	for _, keys := range [][][]byte{nil, {k}, {inClear, k}} {
		s := newSolo(t, Config{Keys: keys})
		s.want(s.HasRoomForSeals() == (keys != nil), "with the keys %x there is room for seals: %v", keys, s.HasRoomForSeals())
	}
}
