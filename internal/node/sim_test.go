package node

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
)

// sim is a cluster of nodes on a simulated network, for tests that look inside the nodes.
// Tests that need no more than a node's methods are in package cluster.
type sim struct {
	t         *testing.T
	seed      uint64
	net       *simnet.Net
	nodes     []*simNode
	published int
}

// simNode is a node and the loop that drives it.
type simNode struct {
	*Node
	s      *sim
	config Config
	end    *simnet.Endpoint
	life   uint64
	at     time.Duration  // of the next turn of the loop
	got    map[string]int // deliveries by payload
	last   map[uint64]int // the number of the last message delivered in order, by origin

	incoming, outgoing []byte
}

func newSim(t *testing.T, seed uint64, loss float64) *sim {
	c := simnet.Config{Seed: seed, LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond, Loss: loss}
	if loss > 0 {
		c.Duplicate, c.Reorder, c.ReorderDelay = 0.1, 0.2, 50*time.Millisecond
	}
	return &sim{t: t, seed: seed, net: simnet.New(c)}
}

// simConfig returns the defaults of gossip.Config.
func simConfig() Config {
	return Config{
		TickInterval: time.Second, RetryInterval: 250 * time.Millisecond, AckDelay: 10 * time.Millisecond, OrderedWait: 5 * time.Second,
		RumorFactor: 3, BroadcastFactor: 8, MaxMessageSize: 512, MaxOutputMessages: 1024, MaxMembers: 1024, DataLogSize: 256 << 10,
		Attempts: simAttempts(3),
	}
}

func simAttempts(n int) Attempts {
	return Attempts{
		Hello: n, Probe: 1, Welcome: NoAnswer, MemberList: n, Ack: NoAnswer,
		Verify: UntilAnswered, Data: UntilAnswered, Stray: n, Repair: NoAnswer, Status: n, Offer: NoAnswer, Leave: NoAnswer,
	}
}

// add adds a node and starts it.
func (s *sim) add(config Config) *simNode {
	s.t.Helper()
	config.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(len(s.nodes))}), 7070)
	n := &simNode{s: s, config: config, got: map[string]int{}, last: map[uint64]int{}}
	s.nodes = append(s.nodes, n)
	n.start()
	return n
}

// start begins the next life of the node, at the same address.
func (n *simNode) start() {
	n.s.t.Helper()
	if n.end != nil {
		n.end.Close()
	}
	end, err := n.s.net.Listen(n.config.Local)
	if err != nil {
		n.s.t.Fatalf("seed %d: %v", n.s.seed, err)
	}
	n.life++
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], n.s.seed)
	binary.BigEndian.PutUint64(seed[8:], n.life)
	copy(seed[16:], n.config.Local.String())
	n.Node, n.end, n.at = New(n.s.net.Now(), n.config, seed), end, -1
	n.incoming, n.outgoing = make([]byte, n.config.MaxMessageSize+1), make([]byte, BufferSize(n.config.MaxMessageSize))
	end.OnReadable(func() { n.wakeAt(n.s.net.Now()) })
	n.wakeAt(n.s.net.Now())
}

// wakeAt makes sure that the loop turns at t.
func (n *simNode) wakeAt(t time.Duration) {
	if n.at >= n.s.net.Now() && n.at <= t {
		return
	}
	n.at = t
	life := n.life
	n.s.net.At(t, func() {
		if n.life == life && n.at == t {
			n.at = -1
			n.turn()
		}
	})
}

// turn runs the loop until it would wait.
func (n *simNode) turn() {
	for now := n.s.net.Now(); ; {
		n.Tick(now)
		for b, to := n.Next(now, n.outgoing); len(b) > 0; b, to = n.Next(now, n.outgoing) {
			n.end.Send(b, to)
		}
		size, from, err := n.end.Receive(n.incoming, 0)
		if err == nil {
			n.Handle(now, from, n.incoming[:size])
		}
		for e, ok := n.Event(); ok; e, ok = n.Event() {
			if e.Change == nil && e.Record == nil {
				n.deliver(e.Origin(), string(e.Payload()))
			}
			n.Release(e)
		}
		if at := n.Deadline(now); err != nil && at > now {
			n.wakeAt(at)
			return
		}
	}
}

// deliver notes a delivery, which must be in order if the node keeps one and the message is not
// a Direct one.
func (n *simNode) deliver(origin uint64, text string) {
	n.got[text]++
	var number int
	if _, err := fmt.Sscanf(text, "message %d", &number); err != nil || !n.config.Ordered {
		return
	}
	if number <= n.last[origin] {
		n.s.t.Errorf("seed %d: message %d of an origin is delivered to %v after its message %d", n.s.seed, number, n.config.Local, n.last[origin])
	}
	n.last[origin] = number
}

// join calls Join with the addresses of other nodes.
func (n *simNode) join(seeds ...*simNode) {
	n.s.t.Helper()
	var addrs []netip.AddrPort
	for _, x := range seeds {
		addrs = append(addrs, x.config.Local)
	}
	if err := n.Join(n.s.net.Now(), addrs); err != nil {
		n.s.t.Fatalf("seed %d: Join: %v", n.s.seed, err)
	}
	n.wakeAt(n.s.net.Now())
}

// form joins all nodes to the first and runs until they know one another.
func (s *sim) form() {
	s.t.Helper()
	for i, n := range s.nodes {
		n.join(s.nodes[:min(i, 1)]...)
	}
	s.await(time.Minute, "all know all", s.complete)
}

// complete reports whether all nodes know one another.
func (s *sim) complete() bool {
	return !slices.ContainsFunc(s.nodes, func(n *simNode) bool { return n.Members() != len(s.nodes)-1 })
}

// tryPublish publishes a text.
func (n *simNode) tryPublish(text string, spread Spread) error {
	defer n.wakeAt(n.s.net.Now())
	return n.Publish(n.s.net.Now(), []byte(text), spread)
}

// publish publishes a text that is new, as a Broadcast or as a Direct message to a node, and
// returns it.
func (n *simNode) publish(to ...*simNode) string {
	n.s.t.Helper()
	n.s.published++
	text, spread := fmt.Sprintf("message %d", n.s.published), Spread{Kind: Broadcast}
	for _, x := range to {
		text, spread = fmt.Sprintf("letter %d", n.s.published), Spread{Kind: Direct, To: x.config.Local}
	}
	if err := n.tryPublish(text, spread); err != nil {
		n.s.t.Fatalf("seed %d: Publish: %v", n.s.seed, err)
	}
	return text
}

// await runs until cond holds, which it must within limit.
func (s *sim) await(limit time.Duration, what string, cond func() bool) {
	s.t.Helper()
	for start := s.net.Now(); !cond(); s.net.Run(10 * time.Millisecond) {
		if s.net.Now()-start >= limit {
			s.t.Fatalf("seed %d: after %v it does not hold that %s", s.seed, limit, what)
		}
	}
}

// awaitDeliveries runs until all texts, each of which has its publisher in sent, are delivered
// to all nodes.
func (s *sim) awaitDeliveries(limit time.Duration, sent map[string]*simNode) {
	s.t.Helper()
	s.await(limit, "every message is delivered everywhere", func() bool {
		for text, publisher := range sent {
			if slices.ContainsFunc(s.nodes, func(n *simNode) bool { return n != publisher && n.got[text] == 0 }) {
				return false
			}
		}
		return true
	})
}

// noDuplicates fails if a message was delivered twice to one node.
func (s *sim) noDuplicates() {
	s.t.Helper()
	for _, n := range s.nodes {
		for text, times := range n.got {
			if times != 1 {
				s.t.Fatalf("seed %d: %q was delivered to %v %d times", s.seed, text, n.config.Local, times)
			}
		}
	}
}
