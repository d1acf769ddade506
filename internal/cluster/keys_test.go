package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
)

// testKey returns a key that is made of one byte.
func testKey(of byte) []byte { return bytes.Repeat([]byte{of}, 32) }

// inClear is the key that stands for clear text.
var inClear []byte

// keyring returns the ring of one key, to open datagrams with.
func keyring(t testing.TB, of byte) *seal.Keyring {
	t.Helper()
	ring, err := seal.New([][]byte{testKey(of)}, func() uint64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestKeysLeaveNothingInClear(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 16, rough(1), node.Config{Keys: [][]byte{testKey('k')}, Cluster: "secret"})
	c.net.SetTap(func(e simnet.Event) {
		h, _ := wire.ParseHeader(e.Payload)
		if e.Kind == simnet.Sent && h.Type != wire.TypeSealed {
			t.Fatalf("seed 1: %v sent a %v in clear", e.From, h.Type)
		}
		if bytes.Contains(e.Payload, []byte("message")) {
			t.Fatalf("seed 1: a datagram of %v can be read", e.From)
		}
		if len(e.Payload) > 512 {
			t.Fatalf("seed 1: a datagram of %v has %d bytes", e.From, len(e.Payload))
		}
	})
	c.form()
	sent := map[string]*simNode{}
	for i := range 60 {
		n := c.nodes[i%16]
		sent[n.publish([]node.Spread{broadcast, random, broadcast}[i%3])] = n
		c.net.Run(20 * time.Millisecond)
	}
	c.awaitDeliveries(30*time.Second, sent)
	c.noDuplicates()
	for _, n := range c.nodes {
		if s := n.Stats(); s.DropSealed+s.DropClear+s.DropMalformed+s.DropUnknownType > 0 {
			t.Fatalf("seed 1: node %v dropped datagrams that its own cluster sealed: %+v", n.addr, s)
		}
	}
}

// changeKeys takes a cluster through steps of its keys, a node at a time in random order,
// under traffic. No message and no member may be lost, and a node that restarts with the new
// keys must join.
func changeKeys(t *testing.T, seed uint64, steps [][][]byte) {
	t.Helper()
	c := newCluster(t, 20, lan(seed), node.Config{Keys: steps[0]})
	c.form()
	sent := map[string]*simNode{}
	publish := func() {
		n := c.nodes[c.net.Rand().IntN(20)]
		sent[n.publish([]node.Spread{broadcast, random}[len(sent)%2])] = n
		c.net.Run(time.Duration(1+c.net.Rand().IntN(60)) * time.Millisecond)
	}
	for _, keys := range steps[1:] {
		for _, i := range c.net.Rand().Perm(20) {
			publish()
			c.nodes[i].setKeys(keys...)
			c.nodes[i].config.Keys = keys // of its next life
		}
		for range 10 {
			publish()
		}
	}
	c.net.Run(time.Second)
	for _, n := range c.nodes {
		for text, publisher := range sent {
			if n != publisher && n.got[text] != 1 {
				t.Fatalf("seed %d: %q was delivered to node %v %d times", seed, text, n.addr, n.got[text])
			}
		}
		if s := n.Stats(); s.DropSealed+s.DropClear+s.MembersLost > 0 || s.Members != 19 {
			t.Fatalf("seed %d: the change harmed node %v: %+v", seed, n.addr, s)
		}
	}
	c.nodes[3].crash()
	c.nodes[3].restart(c.nodes[0])
	c.await(10*time.Second, "a node that restarts with the new keys is a member", c.complete)
}

func TestKeysChangeWithoutLoss(t *testing.T) {
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
				changeKeys(t, seed, steps)
			})
		}
	}
}

func TestKeysThatChangeInOneStepCutTheNodeOffVisibly(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4, lan(1), node.Config{Keys: [][]byte{testKey('a')}})
	c.form()
	c.nodes[1].setKeys(testKey('b'))
	c.nodes[1].publish()
	c.net.Run(30 * time.Second)
	for _, n := range c.nodes {
		if n.Stats().DropSealed == 0 {
			t.Errorf("seed 1: node %v counts no datagram that it could not open", n.addr)
		}
	}
	if state := c.nodes[1].State(); state != node.Disconnected {
		t.Errorf("seed 1: the node with another key is %v", state)
	}
	c.nodes[1].setKeys(testKey('a'))
	c.await(20*time.Second, "the node is a member when it has the right key again", c.complete)
}

// A cluster in clear introduces keys: the nodes that have them already take a message that is
// too long for a sealed datagram. When they seal it is dropped, and nothing else is.
func TestKeysAreIntroducedDespiteAMessageTooLongToSeal(t *testing.T) {
	c := newCluster(t, 4, lan(1), node.Config{})
	for i := range 4 {
		c.add(hostAddr(256+i), node.Config{Keys: [][]byte{inClear, testKey('k')}})
	}
	c.form()
	long := strings.Repeat("x", c.nodes[0].MaxPayload())
	if len(long)-c.nodes[5].MaxPayload() != 36 {
		t.Fatalf("MaxPayload is %d, and %d with Keys", len(long), c.nodes[5].MaxPayload())
	}
	c.nodes[0].publishText(long)
	c.await(time.Second, "all have the long message", func() bool { return c.delivered(long, c.nodes[0]) })

	for _, n := range c.nodes[4:] {
		n.setKeys(testKey('k'), inClear)
	}
	text := c.nodes[5].publish()
	c.net.Run(20 * time.Second)
	for _, n := range c.nodes[4:] {
		if n != c.nodes[5] && n.got[text] != 1 {
			t.Fatalf("seed 1: the next message was delivered to node %v %d times", n.addr, n.got[text])
		}
	}
}

func TestKeysReduceMaxPayloadExactly(t *testing.T) {
	t.Parallel()
	for _, size := range []int{200, 512, 1400, wire.MaxDatagram} {
		c := newCluster(t, 12, lan(uint64(size)), node.Config{Keys: [][]byte{testKey('k')}, MaxMessageSize: size})
		most := 0
		c.net.SetTap(func(e simnet.Event) { most = max(most, len(e.Payload)) })
		c.form()
		long := strings.Repeat("x", c.nodes[1].MaxPayload())
		c.nodes[1].publishText(long)
		c.await(10*time.Second, "all have the long message", func() bool { return c.delivered(long, c.nodes[1]) })
		if most > size || len(long) < 1<<16-1 && most != size {
			t.Errorf("seed %d: with MaxMessageSize %d and %d bytes of payload the longest datagram has %d", size, size, len(long), most)
		}
	}
}
