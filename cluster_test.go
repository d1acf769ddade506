package gossip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
)

// simCluster is a cluster of real services on a simulated network, each driven
// by the loop of the package comment in virtual time.
type simCluster struct {
	t     testing.TB
	seed  uint64
	net   *simnet.Net
	nodes []*simNode
	said  int
}

// simNode is one node: its service changes with every restart, its address
// does not.
type simNode struct {
	*GossipService
	c      *simCluster
	addr   netip.AddrPort
	config Config
	end    *simnet.Endpoint
	got    map[string]int // by what was said, in all lives
	states []State        // entered, in this life
	life   uint64
	at     time.Duration // of the next turn of the loop
	down   bool
	// sendEvery makes the loop call Send only at multiples of it.
	sendEvery time.Duration
	hook      func(origin NodeID, payload []byte)
}

// heavy skips a long simulation under the race detector, which makes it ten times as
// long and finds nothing in it: one goroutine does all. Without it CI runs them all.
func heavy(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("a long simulation on one goroutine, which is run without the race detector")
	}
}

func newSimCluster(t testing.TB, n int, net simnet.Config, config Config) *simCluster {
	t.Helper()
	c := &simCluster{t: t, seed: net.Seed, net: simnet.New(net)}
	for i := range n {
		c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7070), config)
	}
	return c
}

// lan is a network with a latency of 5 to 15 ms and no faults.
func lan(seed uint64) simnet.Config {
	return simnet.Config{Seed: seed, LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond}
}

// rough is a network that does everything a network may do.
func rough(seed uint64) simnet.Config {
	c := lan(seed)
	c.Loss, c.Duplicate, c.Reorder, c.ReorderDelay = 0.2, 0.1, 0.2, 50*time.Millisecond
	return c
}

func (c *simCluster) add(addr netip.AddrPort, config Config) *simNode {
	c.t.Helper()
	n := &simNode{c: c, addr: addr, config: config, got: map[string]int{}}
	c.nodes = append(c.nodes, n)
	n.start()
	return n
}

// start begins a life of the node.
func (n *simNode) start() {
	n.c.t.Helper()
	end, err := n.c.net.Listen(n.addr)
	if err != nil {
		n.c.t.Fatalf("seed %d: listening on %v: %v", n.c.seed, n.addr, err)
	}
	n.begin(end)
}

func (n *simNode) begin(end *simnet.Endpoint) {
	n.c.t.Helper()
	user := n.config.OnStateChange
	config := n.config
	config.OnStateChange = func(old, new State) {
		n.states = append(n.states, new)
		if user != nil {
			user(old, new)
		}
	}
	config, err := config.withDefaults()
	if err != nil {
		n.c.t.Fatalf("seed %d: %v", n.c.seed, err)
	}
	n.life++
	n.down, n.end, n.states = false, end, nil
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], n.c.seed)
	copy(seed[8:], n.addr.String())
	binary.BigEndian.PutUint32(seed[28:], uint32(n.life))
	n.GossipService = newService(end, n.receive, config, n.c.net.Now, seed)
	end.OnReadable(func() { n.wakeAt(n.c.net.Now()) })
	n.at = -1
	n.wakeAt(n.c.net.Now())
}

func (n *simNode) receive(origin NodeID, payload []byte) {
	n.got[string(payload)]++
	if n.hook != nil {
		n.hook(origin, payload)
	}
}

// wakeAt makes sure that the loop turns at t.
func (n *simNode) wakeAt(t time.Duration) {
	if n.at >= n.c.net.Now() && n.at <= t {
		return
	}
	n.at = t
	life := n.life
	n.c.net.At(t, func() {
		if n.life == life && n.at == t && !n.down {
			n.at = -1
			n.turn()
		}
	})
}

// turn runs the loop until it would wait.
func (n *simNode) turn() {
	if n.end.Frozen() {
		return
	}
	for {
		wait, err := n.Tick()
		if err != nil {
			return
		}
		if n.sendEvery == 0 || n.c.net.Now()%n.sendEvery == 0 {
			n.Send()
		} else if next := n.sendEvery - n.c.net.Now()%n.sendEvery; wait == 0 {
			wait = next
		} else {
			wait = min(wait, next)
		}
		handled, _ := n.Receive(0)
		if handled == 0 && wait > 0 {
			n.wakeAt(n.c.net.Now() + wait)
			return
		}
	}
}

// crash ends the node's life without a word.
func (n *simNode) crash() {
	n.down = true
	n.end.Close()
}

func (n *simNode) restart(seeds ...*simNode) {
	n.c.t.Helper()
	n.start()
	n.join(seeds...)
}

func (n *simNode) join(seeds ...*simNode) {
	n.c.t.Helper()
	var addrs []Address
	for _, s := range seeds {
		addrs = append(addrs, Address{s.addr})
	}
	if err := n.Join(addrs...); err != nil {
		n.c.t.Fatalf("seed %d: node %v cannot join: %v", n.c.seed, n.addr, err)
	}
	n.wakeAt(n.c.net.Now())
}

// say spreads a message that nobody said before and returns it.
func (n *simNode) say(spread ...Spread) string {
	n.c.t.Helper()
	n.c.said++
	text := fmt.Sprintf("message %d", n.c.said)
	if err := n.SendData([]byte(text), spread...); err != nil {
		n.c.t.Fatalf("seed %d: node %v cannot say %q: %v", n.c.seed, n.addr, text, err)
	}
	n.wakeAt(n.c.net.Now())
	return text
}

// up returns the nodes that run.
func (c *simCluster) up() []*simNode {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *simNode) bool { return n.down })
}

// form joins all nodes to the first and runs until they all know one another.
func (c *simCluster) form() {
	c.t.Helper()
	c.nodes[0].join()
	for _, n := range c.nodes[1:] {
		n.join(c.nodes[0])
	}
	c.await(time.Minute, "all know all", c.complete)
}

// complete reports whether all nodes that run are CONNECTED and know one another.
func (c *simCluster) complete() bool {
	up := c.up()
	for _, n := range up {
		if n.State() != StateConnected || n.roster.Len() != len(up)-1 {
			return false
		}
	}
	return true
}

// await runs until cond holds, which it must within limit of virtual time, and
// returns how long it took. It looks every 10 ms.
func (c *simCluster) await(limit time.Duration, what string, cond func() bool) time.Duration {
	c.t.Helper()
	start := c.net.Now()
	for !cond() {
		if c.net.Now()-start >= limit {
			c.t.Fatalf("seed %d: after %v it does not hold that %s\n%s", c.seed, limit, what, c.describe())
		}
		c.net.Run(10 * time.Millisecond)
	}
	return c.net.Now() - start
}

// describe shows three nodes, those that know the fewest members.
func (c *simCluster) describe() (s string) {
	up := c.up()
	slices.SortStableFunc(up, func(a, b *simNode) int { return a.roster.Len() - b.roster.Len() })
	for _, n := range up[:min(3, len(up))] {
		s += fmt.Sprintf("%v is %v: %+v\n", n.addr, n.State(), n.Stats())
	}
	return s
}

// allGot reports whether every node that runs but the one that said it has the
// message.
func (c *simCluster) allGot(text string, from *simNode) bool {
	for _, n := range c.up() {
		if n != from && n.got[text] == 0 {
			return false
		}
	}
	return true
}

// noDuplicates fails if a message was delivered twice in one place.
func (c *simCluster) noDuplicates() {
	c.t.Helper()
	for _, n := range c.nodes {
		for text, times := range n.got {
			if times != 1 {
				c.t.Fatalf("seed %d: node %v got %q %d times", c.seed, n.addr, text, times)
			}
		}
	}
}
