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

// The white-box helpers: nodes made by newService, which takes a socket and a clock, and what
// a test needs to know of their locks.

// virtualNet is a simulated network with nodes on it, in virtual time.
type virtualNet struct {
	*simnet.Net
	t     testing.TB
	seed  uint64
	nodes []*virtualNode
}

// newVirtualNet makes a network with a latency of 5 to 15 ms and no faults.
func newVirtualNet(t testing.TB, seed uint64) *virtualNet {
	net := simnet.New(simnet.Config{Seed: seed, LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond})
	return &virtualNet{t: t, seed: seed, Net: net}
}

// virtualNode is a node whose loop turns in virtual time, unless it is held: then the test
// calls its verbs.
type virtualNode struct {
	*GossipService
	net  *virtualNet
	sock *watchedSocket
	held bool
	at   time.Duration // of the next turn; negative: none is due

	got    []string
	states []State                             // entered
	hook   func(origin NodeID, payload []byte) // called by the receiver
	ahead  time.Duration                       // of the node's clock
	panics int                                 // that it survived, all of them with the value thrown

	clockPanics bool
}

// watchedSocket is the socket of a virtualNode.
type watchedSocket struct {
	*simnet.Endpoint
	asked   []time.Duration // waits that Receive was asked for
	peer    netip.AddrPort  // if valid, all goes there, whatever the address
	sends   int
	wakes   int
	fails   func() error // of Receive; nil: none
	during  func()       // called in Receive
	closing func()       // called in Close
}

func (s *watchedSocket) Receive(b []byte, maxWait time.Duration) (int, netip.AddrPort, error) {
	s.asked = append(s.asked, maxWait)
	if s.fails != nil {
		if err := s.fails(); err != nil {
			return 0, netip.AddrPort{}, err
		}
	}
	n, from, err := s.Endpoint.Receive(b, maxWait)
	if s.during != nil {
		s.during()
	}
	return n, from, err
}

func (s *watchedSocket) Send(b []byte, to netip.AddrPort) error {
	s.sends++
	if s.peer.IsValid() {
		to = s.peer
	}
	return s.Endpoint.Send(b, to)
}

func (s *watchedSocket) Wake() {
	s.wakes++
	s.Endpoint.Wake()
}

func (s *watchedSocket) Close() error {
	if s.closing != nil {
		s.closing()
	}
	return s.Endpoint.Close()
}

// virtualAddr returns the i-th address of a virtualNet.
func virtualAddr(i int) Address {
	return Address{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7070)}
}

// listen opens a socket without a node at the i-th address.
func (v *virtualNet) listen(i int) *simnet.Endpoint {
	v.t.Helper()
	end, err := v.Listen(virtualAddr(i).ap)
	if err != nil {
		v.t.Fatalf("seed %d: no socket: %v", v.seed, err)
	}
	return end
}

// add makes a node at the next address.
func (v *virtualNet) add(config Config) *virtualNode {
	v.t.Helper()
	n := &virtualNode{net: v, at: -1, sock: &watchedSocket{Endpoint: v.listen(len(v.nodes))}}
	user := config.OnStateChange
	config.OnStateChange = func(old, new State) {
		n.states = append(n.states, new)
		if user != nil {
			user(old, new)
		}
	}
	config, err := config.withDefaults()
	if err != nil {
		v.t.Fatalf("seed %d: %v", v.seed, err)
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], v.seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(len(v.nodes)))
	n.GossipService = newService(n.sock, n.receive, config, n.time, func() [32]byte { seed[31]++; return seed })
	n.sock.OnReadable(func() { n.turnAt(v.Now()) })
	v.nodes = append(v.nodes, n)
	return n
}

func (n *virtualNode) receive(origin NodeID, payload []byte) {
	n.got = append(n.got, string(payload))
	if n.hook != nil {
		n.hook(origin, payload)
	}
}

// time is the node's clock.
func (n *virtualNode) time() time.Duration {
	if n.clockPanics {
		panic(thrown)
	}
	return n.net.Now() + n.ahead
}

// turnAt makes sure that the loop turns at a time.
func (n *virtualNode) turnAt(t time.Duration) {
	if n.held || n.at >= n.net.Now() && n.at <= t {
		return
	}
	n.at = t
	n.net.At(t, func() {
		if n.at == t && !n.held {
			n.at = -1
			n.turn()
		}
	})
}

// turn runs the loop until it would wait.
func (n *virtualNode) turn() {
	for more := true; more; {
		wait, handled := time.Duration(0), 0
		n.survive(func() {
			var err error
			if wait, err = n.Tick(); err == nil {
				_, err = n.Send()
			}
			if err == nil {
				handled, err = n.Receive(0)
			}
			if err != nil {
				n.held = true // it was closed
			}
		})
		if more = (handled > 0 || wait == 0) && !n.held; !more {
			n.turnAt(n.net.Now() + wait)
		}
	}
}

// survive calls f, which may panic with the value thrown. Then no lock may be held.
func (n *virtualNode) survive(f func()) (panicked bool) {
	n.net.t.Helper()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p != thrown {
			panic(p)
		}
		panicked = true
		n.panics++
		n.want(unlocked(n.GossipService) && n.in.one.TryLock() && n.out.one.TryLock() && !n.calling, "a panic leaves a lock held")
		n.in.one.Unlock()
		n.out.one.Unlock()
	}()
	f()
	return false
}

// unlocked reports whether the lock of a node is free.
func unlocked(g *GossipService) bool {
	if !g.mu.TryLock() {
		return false
	}
	g.mu.Unlock()
	return true
}

// waiting reports whether Receive waits for a datagram, or is about to.
func waiting(g *GossipService) bool { return g.in.waiting.Load() }

// refusal returns the error of SendData for one of node.Publish, with the lock held as there.
func refusal(g *GossipService, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refusal(err)
}

// crash ends the node without a goodbye.
func (n *virtualNode) crash() {
	n.held = true
	n.sock.Endpoint.Close()
}

// release lets the loop of a held node turn again.
func (n *virtualNode) release() {
	n.held = false
	n.turnAt(n.net.Now())
}

func (n *virtualNode) join(seeds ...Address) {
	n.net.t.Helper()
	n.want(n.Join(seeds...) == nil, "Join %v fails", seeds)
	n.turnAt(n.net.Now())
}

func (n *virtualNode) publish(text string, spread ...Spread) {
	n.net.t.Helper()
	err := n.SendData([]byte(text), spread...)
	n.want(err == nil, "SendData of %.40q: %v", text, err)
	n.turnAt(n.net.Now())
}

// want fails with a sentence unless it holds.
func (n *virtualNode) want(holds bool, sentence string, args ...any) {
	n.net.t.Helper()
	if !holds {
		n.net.t.Fatalf("seed %d, at %v, node %v: %s", n.net.seed, n.net.Now(), n.sock.LocalAddr(), fmt.Sprintf(sentence, args...))
	}
}

// form joins nodes to the first and runs until each knows all the others and has nothing
// left to say to them.
func (v *virtualNet) form(nodes ...*virtualNode) {
	v.t.Helper()
	nodes[0].join()
	for _, n := range nodes[1:] {
		n.join(nodes[0].Address())
	}
	v.await(time.Minute, "all nodes know one another", func() bool {
		return !slices.ContainsFunc(nodes, func(n *virtualNode) bool { return len(n.Members()) != len(nodes)-1 })
	})
	v.Run(6 * time.Second)
}

// await runs until cond holds, which it must within limit. It looks every 10 ms.
func (v *virtualNet) await(limit time.Duration, what string, cond func() bool) {
	v.t.Helper()
	for end := v.Now() + limit; !cond(); v.Run(10 * time.Millisecond) {
		if v.Now() >= end {
			for _, n := range v.nodes {
				v.t.Logf("%v is %v: %+v", n.sock.LocalAddr(), n.State(), n.Stats())
			}
			v.t.Fatalf("seed %d: after %v it does not hold that %s", v.seed, limit, what)
		}
	}
}
