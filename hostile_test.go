package gossip

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tap is a socket that counts what is read and keeps what is written. It is a
// PacketConn of its own, so the node uses no way around it.
type tap struct {
	net.PacketConn
	reads atomic.Int64
	read  chan struct{} // something was, lately

	mu      sync.Mutex
	genuine [][]byte       // written, until sealed
	sealed  bool           // by the first attack
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
	if !c.sealed {
		c.genuine = append(c.genuine, bytes.Clone(b))
	}
	c.mu.Unlock()
	return c.PacketConn.WriteTo(b, to)
}

func (c *tap) seal() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.genuine
}

// attack sends datagrams from several sockets in turn to the node behind the
// tap, little faster than it reads them, and counts the bytes by sender.
func (c *tap) attack(t *testing.T, sent map[string]int, count int, from []net.PacketConn, next func() []byte) {
	t.Helper()
	waiting, seen := 0, c.reads.Load() // about how many the node has not read yet
	stall := time.NewTicker(20 * time.Millisecond)
	defer stall.Stop()
	for i := range count {
		b, conn := next(), from[i%len(from)]
		if _, err := conn.WriteTo(b, c.LocalAddr()); err != nil {
			t.Fatalf("the attacker cannot send %d bytes: %v", len(b), err)
		}
		sent[conn.LocalAddr().String()] += len(b)
		for waiting++; waiting >= 64; {
			select {
			case <-c.read:
				now := c.reads.Load()
				waiting, seen = max(0, waiting-int(now-seen)), now
			case <-stall.C:
				waiting-- // that one seems to be lost
			}
		}
	}
}

var attackBy = flag.Int("attack", 200_000, "how many datagrams `number` there are in TestAnAttackDoesNotBringANodeDown")

// In clear messages are not authenticated, so under attack a node may take some
// that were never said. What it may not is fall over, forget its peers or grow.
// Sealed it takes none.
func TestAnAttackDoesNotBringANodeDown(t *testing.T) {
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
	said := genuineTalk(t, nodes, keys)
	var genuine [][]byte
	for _, c := range taps {
		genuine = append(genuine, c.seal()...)
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
	before, read, heap := victim.Stats(), door.reads.Load(), heapNow()
	victim.run()

	// The members' own addresses only replay: believed, they could do anything.
	sent := map[string]int{}
	replay := func() []byte { return genuine[rng.IntN(len(genuine))] }
	door.attack(t, sent, count/10, append(strangers, taps[1].PacketConn, taps[2].PacketConn), replay)
	for _, text := range said {
		if times := victim.times(text); times != 1 {
			t.Errorf("seed %d: after replays %q was delivered %d times", seed, text, times)
		}
	}
	door.attack(t, sent, count-count/10, strangers, func() []byte { return forge(rng, replay) })

	waitUntil(t, fmt.Sprintf("the three still know one another after the attack (seed %d)", seed),
		func() bool { return knowAll(nodes...) }, nodes...)
	// Forged messages may have taken the next numbers of a true origin, so the
	// first of what it says may pass for known.
	asked := 0
	waitUntil(t, fmt.Sprintf("the victim still receives (seed %d)", seed), func() bool {
		asked++
		err := nodes[1].SendData(fmt.Append(nil, "still there? ", asked))
		if err != nil && !errors.Is(err, ErrQueueFull) {
			t.Fatalf("seed %d: after the attack a peer cannot speak: %v", seed, err)
		}
		for i := range asked {
			if victim.times(fmt.Sprint("still there? ", i+1)) > 0 {
				return true
			}
		}
		return false
	}, nodes...)
	for i := range asked {
		if keys != nil { // there nothing was forged
			wantOnce(t, fmt.Sprint("still there? ", i+1), victim)
		}
	}
	victim.pause()
	if grown := heapNow() - heap; grown > 8<<20 {
		t.Errorf("seed %d: the heap grew by %d bytes", seed, grown)
	}
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
	if after.QueuedControl > 1024 || after.QueuedData > 1024 || after.RetainedBytes > 256<<10 || after.Origins > 4096 || after.Members > 2 {
		t.Errorf("seed %d: the attack made the node exceed its bounds: %+v", seed, after)
	}
	door.mu.Lock()
	defer door.mu.Unlock()
	for _, conn := range strangers {
		if a := conn.LocalAddr().String(); door.bytes[a] > 3*sent[a] {
			t.Errorf("seed %d: a stranger that sent %d bytes was sent %d, more than three times as many", seed, sent[a], door.bytes[a])
		}
	}
}

// heapNow returns how many bytes of heap are in use.
func heapNow() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// genuineTalk makes a cluster say everything that nodes say to one another, and
// returns what the first was told.
func genuineTalk(t *testing.T, nodes []*loopNode, keys [][]byte) (said []string) {
	t.Helper()
	formLoops(nodes...)
	config := brisk
	config.Keys = keys
	visitor := startLoop(t, "127.0.0.1:0", config)
	visitor.join(nodes[1])
	all := append(nodes[:len(nodes):len(nodes)], visitor)
	waitUntil(t, "the visitor is known to all", func() bool { return knowAll(all...) }, all...)
	for i := range 30 {
		text := fmt.Sprint("genuine message ", i)
		nodes[1+i%2].say(text, []Spread{Broadcast, Random, Direct(nodes[0].Address())}[i%3])
		said = append(said, text)
	}
	for _, text := range said {
		wantOnce(t, text, nodes[0])
	}
	if err := visitor.Leave(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the visitor is gone", func() bool { return knowAll(nodes...) }, all...)
	return said
}

// forge makes up a datagram, most of them from true ones.
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
	case 1: // a header that makes sense
		return append([]byte{0, byte(rng.IntN(9)), 0, 0}, noise(rng.IntN(100))...)
	case 2: // the end of one is missing, and another goes on there
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
