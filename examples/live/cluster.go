package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"example.com/gossip"
)

const (
	never = time.Duration(math.MaxInt64)

	framePace   = 50 * time.Millisecond // between two frames for the listeners
	joinTime    = 3 * time.Second       // in which the nodes start, one after another
	joinPace    = 10 * time.Millisecond // between two starts at most
	seeds       = 3                     // the first nodes, which the others join
	mostTurns   = 64                    // of nodes, before everything else gets its turn
	roundsATurn = 4                     // of Tick, Send and Receive
)

// options describe the cluster to run.
type options struct {
	nodes   int
	seed    uint64 // of the network's random choices
	real    bool   // sockets of the system instead of a simulated network
	latency time.Duration
	config  gossip.Config // of each node; Conn is set for each
	greets  bool          // sends a first message by itself
}

// cluster is all nodes and their network. One goroutine, in run, turns all the loops: it
// keeps the nodes in a heap by the time at which to wake each. Everything else reaches it as
// a command, so that there is nothing to lock.
type cluster struct {
	options
	start    time.Time
	rng      *rand.Rand
	net      *network
	nodes    []*node
	byAddr   map[netip.AddrPort]*node
	wakes    wakes
	commands chan func()
	ended    chan struct{}
	alive    int // nodes that run
	parted   bool
	opening
	trace *trace
	hub   hub
}

// node is a place in the cluster. Its address stays; each of its lives is a service of its
// own.
type node struct {
	*gossip.GossipService // the latest life
	index                 int
	addr                  netip.AddrPort
	socket                *socket
	state                 string        // as the page shows it
	at                    time.Duration // when it is to be woken
	slot                  int           // in wakes
}

// States of a node besides those of its service.
const (
	notStarted = "NOT STARTED"
	down       = "DOWN"
)

// running reports whether the node is running.
func (n *node) running() bool { return n.state != notStarted && n.state != down }

// ring returns the node's place on the ring, as a fraction of it.
func (n *node) ring() float64 { return float64(n.ID()) / (1 << 64) }

func newCluster(o options) *cluster {
	c := &cluster{
		options:  o,
		start:    time.Now(),
		rng:      rand.New(rand.NewPCG(o.seed, 1)),
		byAddr:   map[netip.AddrPort]*node{},
		commands: make(chan func()),
		ended:    make(chan struct{}),
	}
	c.net = newNetwork(c.now, o.seed, o.latency)
	c.trace = newTrace(c)
	c.net.tap = c.trace.saw
	c.net.apart = func(from, to netip.AddrPort) bool { return c.parted && c.half(from) != c.half(to) }
	for i := range o.nodes {
		n := &node{index: i, state: notStarted, at: time.Duration(i) * min(joinPace, joinTime/time.Duration(o.nodes))}
		if o.real {
			n.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
		} else {
			n.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7070)
		}
		c.nodes = append(c.nodes, n)
		heap.Push(&c.wakes, n)
	}
	return c
}

// now returns the time since the start.
func (c *cluster) now() time.Duration { return time.Since(c.start) }

// half returns which half of the ring a node is in.
func (c *cluster) half(addr netip.AddrPort) bool {
	n := c.byAddr[addr]
	return n != nil && n.ring() >= 0.5
}

// run turns the loops of all nodes until ctx ends, or a node cannot start.
func (c *cluster) run(ctx context.Context) error {
	defer c.close()
	wake, frames := time.NewTimer(0), time.NewTicker(framePace)
	defer wake.Stop()
	defer frames.Stop()
	for {
		if err := c.turnDue(); err != nil {
			return err
		}
		wake.Reset(c.wakes[0].at - c.now())
		select {
		case <-ctx.Done():
			return nil
		case command := <-c.commands:
			command()
		case a := <-c.net.arrivals:
			a.at = c.now() + c.net.delay()
			a.to.put(a)
		case <-frames.C:
			c.settle()
			c.hub.publish(c.trace)
		case <-wake.C:
		}
	}
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		if n.running() {
			n.Close()
		}
	}
	c.net.close()
	c.hub.close()
	close(c.ended)
}

// turnDue gives a turn to nodes whose time has come, mostTurns of them at most.
func (c *cluster) turnDue() error {
	for range mostTurns {
		n := c.wakes[0]
		switch {
		case n.at > c.now():
			return nil
		case n.state == notStarted:
			if err := c.begin(n); err != nil {
				return err
			}
		default:
			c.turn(n)
		}
	}
	return nil
}

// turn is the loop that package gossip requires, without the wait: instead it sets when to
// wake the node.
func (c *cluster) turn(n *node) {
	for range roundsATurn {
		wait, err := n.Tick()
		if err == nil {
			_, err = n.Send()
		}
		handled := 0
		if err == nil {
			handled, err = n.Receive(0)
		}
		if err != nil { // it is closed
			c.wakeAt(n, never)
			return
		}
		if handled == 0 && wait > 0 {
			c.wakeAt(n, min(c.now()+wait, n.socket.next()))
			return
		}
	}
	c.wakeAt(n, c.now()) // there is more to do, after the others' turns
}

// wakeAt sets when a node is to be woken.
func (c *cluster) wakeAt(n *node, at time.Duration) {
	n.at = at
	heap.Fix(&c.wakes, n.slot)
}

// begin starts a life of the node.
func (c *cluster) begin(n *node) error {
	listen := c.net.listen
	if c.real {
		listen = c.net.listenUDP
	}
	s, err := listen(n.addr, func(at time.Duration) {
		if at < n.at {
			c.wakeAt(n, at)
		}
	})
	if err != nil {
		return fmt.Errorf("node %d gets no socket: %w", n.index, err)
	}
	config := c.config
	config.Conn = s
	config.OnStateChange = func(_, now gossip.State) { c.setState(n, now.String()) }
	service, err := gossip.New(address(s.addr), func(_ gossip.NodeID, payload []byte) { c.trace.got(n, payload) }, config)
	if err != nil {
		s.Close()
		return fmt.Errorf("node %d cannot start: %w", n.index, err)
	}
	n.GossipService, n.socket, n.addr = service, s, s.addr
	c.byAddr[n.addr] = n
	if err := n.Join(c.seedsFor(n)...); err != nil {
		return fmt.Errorf("node %d cannot join: %w", n.index, err)
	}
	c.wakeAt(n, c.now())
	return nil
}

// seedsFor returns those of the first nodes that have started; the very first one begins as
// a seed on its own.
func (c *cluster) seedsFor(n *node) (seedAddrs []gossip.Address) {
	for _, s := range c.nodes[:min(seeds, len(c.nodes))] {
		if s != n && s.addr.Port() != 0 && s.state != notStarted {
			seedAddrs = append(seedAddrs, address(s.addr))
		}
	}
	return seedAddrs
}

// setState records the state of a node. At the end of a life the node loses the messages it
// had received.
func (c *cluster) setState(n *node, state string) {
	if state == gossip.StateDestroyed.String() {
		state = down
	}
	was := n.running()
	n.state = state
	if now := n.running(); now && !was {
		c.alive++
	} else if was && !now {
		c.alive--
	}
	c.trace.changed(n)
}

// errEnded means that the cluster no longer runs.
var errEnded = errors.New("the cluster has ended")

// do makes the loop call f between two turns.
func (c *cluster) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case c.commands <- func() { result <- f() }:
		return <-result
	case <-c.ended:
		return errEnded
	}
}

// address converts an AddrPort to an Address, by way of its text.
func address(a netip.AddrPort) gossip.Address {
	addr, err := gossip.ParseAddress(a.String())
	if err != nil {
		panic(err) // what an AddrPort prints is an address
	}
	return addr
}

// wakes is a heap of the nodes, the one to wake first in front.
type wakes []*node

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].at < w[j].at }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].slot, w[j].slot = i, j
}
func (w *wakes) Push(n any) {
	n.(*node).slot = len(*w)
	*w = append(*w, n.(*node))
}
func (w *wakes) Pop() any { panic("nodes stay in the heap") }
