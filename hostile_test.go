package gossip

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tap is a socket that counts what is read and keeps what is written. It is a PacketConn of
// its own, so that the node does not bypass it.
type tap struct {
	net.PacketConn
	reads atomic.Int64
	read  chan struct{} // signalled after each read

	mu      sync.Mutex
	genuine [][]byte       // written, until frozen
	frozen  bool           // by the first attack
	bytes   map[string]int // written, by recipient
}

func newTap(t *testing.T) *tap {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &tap{PacketConn: conn, read: make(chan struct{}, 1), bytes: map[string]int{}}
}

func (c *tap) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	if err == nil {
		c.reads.Add(1)
		select {
		case c.read <- struct{}{}:
		default:
		}
	}
	return n, from, err
}

func (c *tap) WriteTo(b []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	c.bytes[to.String()] += len(b)
	if !c.frozen {
		c.genuine = append(c.genuine, bytes.Clone(b))
	}
	c.mu.Unlock()
	return c.PacketConn.WriteTo(b, to)
}

// freeze ends the collection of genuine datagrams, and returns them.
func (c *tap) freeze() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
	return c.genuine
}

// attack sends datagrams from several sockets in turn to the node behind the tap, little
// faster than it reads them, and counts the bytes by sender.
func (c *tap) attack(t *testing.T, sent map[string]int, count int, from []net.PacketConn, next func() []byte) {
	t.Helper()
	waiting, seen := 0, c.reads.Load() // about how many the node has not read yet
	stall := time.NewTicker(20 * time.Millisecond)
	defer stall.Stop()
	for i := range count {
		b, conn := next(), from[i%len(from)]
		_, err := conn.WriteTo(b, c.LocalAddr())
		if errors.Is(err, os.ErrDeadlineExceeded) { // one that the node of this socket has set for itself
			conn = from[0] // a stranger's
			_, err = conn.WriteTo(b, c.LocalAddr())
		}
		if err != nil {
			t.Fatalf("the attacker cannot send %d bytes: %v", len(b), err)
		}
		sent[conn.LocalAddr().String()] += len(b)
		for waiting++; waiting >= 64; {
			select {
			case <-c.read:
				now := c.reads.Load()
				waiting, seen = max(0, waiting-int(now-seen)), now
			case <-stall.C:
				waiting-- // one seems to be lost
			}
		}
	}
}

var attackBy = flag.Int("attack", 200_000, "how many datagrams `number` there are in TestServiceOutlastsAnAttack")

// In clear messages are not authenticated, so a node under attack may take some that no
// member sent. It must go on, keep its members and stay within its bounds. Sealed it takes
// none.
func TestServiceOutlastsAnAttack(t *testing.T) {
	count := *attackBy
	if testing.Short() {
		count /= 10
	}
	t.Run("in clear", func(t *testing.T) { underAttack(t, count, nil) })
	t.Run("sealed", func(t *testing.T) { underAttack(t, count, [][]byte{testKey('k')}) })
}

func underAttack(t *testing.T, count int, keys [][]byte) {
	const seed = 20
	rng := rand.New(rand.NewPCG(seed, 0))
	var nodes []*loopNode
	var taps []*tap
	for range 3 {
		config := brisk
		config.Keys = keys
		tap := newTap(t)
		config.Conn = tap
		nodes, taps = append(nodes, startLoop(t, "", config)), append(taps, tap)
	}
	victim, door := nodes[0], taps[0]
	sent := genuineTraffic(t, nodes, keys)
	var genuine [][]byte
	for _, c := range taps {
		genuine = append(genuine, c.freeze()...)
	}
	var strangers []net.PacketConn
	for range 4 {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		strangers = append(strangers, conn)
	}
	victim.pause()
	before, read := victim.Stats(), door.reads.Load()
	victim.run()

	// The members' own addresses only replay: as validated sources they could do anything.
	bytesBy := map[string]int{}
	replay := func() []byte { return genuine[rng.IntN(len(genuine))] }
	door.attack(t, bytesBy, count/10, append(strangers, taps[1].PacketConn, taps[2].PacketConn), replay)
	for _, text := range sent {
		if times := victim.times(text); times != 1 {
			t.Errorf("seed %d: after replays %q was delivered %d times", seed, text, times)
		}
	}
	door.attack(t, bytesBy, count-count/10, strangers, func() []byte { return forge(rng, replay) })

	waitUntil(t, fmt.Sprintf("the three know one another after the attack (seed %d)", seed),
		func() bool { return complete(nodes...) }, nodes...)
	// Forged messages may have taken the next numbers of a true origin, so that the first of
	// its messages count as known.
	probes := 0
	waitUntil(t, fmt.Sprintf("the victim still receives (seed %d)", seed), func() bool {
		probes++
		err := nodes[1].SendData(fmt.Append(nil, "still there? ", probes))
		if err != nil && !errors.Is(err, ErrQueueFull) {
			t.Fatalf("seed %d: after the attack a peer cannot send: %v", seed, err)
		}
		for i := range probes {
			if victim.times(fmt.Sprint("still there? ", i+1)) > 0 {
				return true
			}
		}
		return false
	}, nodes...)
	for i := range probes {
		if keys != nil { // there nothing was forged
			wantOnce(t, fmt.Sprint("still there? ", i+1), victim)
		}
	}
	victim.pause()
	after, took := victim.Stats(), door.reads.Load()-read
	if got := after.DatagramsIn - before.DatagramsIn; got != uint64(took) {
		t.Errorf("seed %d: the node read %d datagrams, but counts %d", seed, took, got)
	}
	if took < int64(count)*9/10 {
		t.Errorf("seed %d: of an attack of %d datagrams only %d arrived", seed, count, took)
	}
	whole := after.MessagesIn + after.DropOversize + after.DropMalformed + after.DropUnknownType + after.DropTag + after.DropIllegal +
		after.DropSealed + after.DropClear
	if whole < after.DatagramsIn || after.DropOversize == 0 || after.DropMalformed == 0 || after.DropTag == 0 ||
		keys == nil && after.DropUnknownType == 0 || keys != nil && (after.DropSealed == 0 || after.DropClear == 0) {
		t.Errorf("seed %d: some datagrams were dropped without being counted: %+v", seed, after)
	}
	t.Logf("of %d datagrams the node took %d: %+v", count, took, after)
	// All that a node keeps is in these counts. Sources without a token fill at most half of
	// the table of origins, and get no place in the view.
	if after.Members > 2 || after.Lost > 3 || after.QueuedControl > 1024 || after.QueuedData > 1024 || after.Origins > 4096 ||
		after.RetainedBytes > 256<<10 || after.Retained > 256<<10/224 || after.AcksPending > 1024 || after.Arrived > 0 {
		t.Errorf("seed %d: the attack made the node exceed its bounds: %+v", seed, after)
	}
	door.mu.Lock()
	defer door.mu.Unlock()
	for _, conn := range strangers {
		if a := conn.LocalAddr().String(); door.bytes[a] > 3*bytesBy[a] {
			t.Errorf("seed %d: a stranger that sent %d bytes was sent %d, more than three times as many", seed, bytesBy[a], door.bytes[a])
		}
	}
}

// genuineTraffic makes a cluster send messages of all types, and returns the payloads that
// the first node received.
func genuineTraffic(t *testing.T, nodes []*loopNode, keys [][]byte) (sent []string) {
	t.Helper()
	form(nodes...)
	config := brisk
	config.Keys = keys
	visitor := startLoop(t, "127.0.0.1:0", config)
	visitor.join(nodes[1])
	all := append(nodes[:len(nodes):len(nodes)], visitor)
	waitUntil(t, "all know the visitor", func() bool { return complete(all...) }, all...)
	for i := range 30 {
		text := fmt.Sprint("genuine message ", i)
		nodes[1+i%2].publish(text, []Spread{Broadcast, Random, Direct(nodes[0].Address())}[i%3])
		sent = append(sent, text)
	}
	for _, text := range sent {
		wantOnce(t, text, nodes[0])
	}
	if err := visitor.Leave(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the visitor is gone", func() bool { return complete(nodes...) }, all...)
	return sent
}

// forge makes up a datagram, mostly from genuine ones.
func forge(rng *rand.Rand, genuine func() []byte) []byte {
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	switch rng.IntN(4) {
	case 0:
		return noise(rng.IntN(600))
	case 1: // a valid header
		return append([]byte{0, byte(rng.IntN(9)), 0, 0}, noise(rng.IntN(100))...)
	case 2: // one without its end, then another
		b := genuine()
		return append(bytes.Clone(b[:rng.IntN(len(b))]), genuine()...)
	default:
		b := bytes.Clone(genuine())
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b
	}
}
