// The bounds of a node's queues: how many times each message is sent, and how many calls to
// the caller wait.

package gossip

import (
	"context"
	"time"

	"example.com/gossip/internal/node"
)

// attempts returns how many times a message of each kind is sent at most until it is
// answered.
func (c *Config) attempts() node.Attempts {
	return node.Attempts{
		node.Hello:      c.RetryAttempts,
		node.Verify:     node.UntilAnswered,
		node.Probe:      1, // probes are repeated by the clock
		node.Welcome:    node.NoAnswer,
		node.MemberList: c.RetryAttempts,
		node.Ack:        node.NoAnswer,
		node.Data:       node.UntilAnswered,
		node.Stray:      c.RetryAttempts,
		node.Repair:     node.NoAnswer,
		node.Status:     c.RetryAttempts,
		node.Offer:      node.NoAnswer,
		node.Leave:      node.NoAnswer,
	}
}

const (
	mostEvents = 4096                  // calls that may wait before Receive stops reading
	fullPause  = 10 * time.Millisecond // of a Receive that must not read
)

// unlock releases the lock and makes the calls that became due.
func (g *GossipService) unlock() {
	g.mu.Unlock()
	g.drain()
}

// drain makes the calls that are due, one at a time and in order, without the lock. If one
// is running already, on this goroutine or another, its drain makes the rest.
func (g *GossipService) drain() {
	for g.callNext() {
	}
}

// callNext makes the next call that is due, and reports whether it made one.
func (g *GossipService) callNext() bool {
	e, due := g.beginCall()
	if due {
		defer g.endCall(e) // also if the callback panics
		g.call(e)
	}
	return due
}

// beginCall takes the event of the next call, if one is due and none runs.
func (g *GossipService) beginCall() (e node.Event, due bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calling {
		return e, false
	}
	e, g.calling = g.node.Event()
	return e, g.calling
}

// endCall gives back the event of the call that has ended.
func (g *GossipService) endCall(e node.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calling = false
	g.node.Release(e)
	if g.node.Events() > 0 && g.in.waiting.Load() {
		g.socket.Wake() // a Receive that could not make these calls meanwhile
	}
}

// call makes the call that an event is for.
func (g *GossipService) call(e node.Event) {
	switch {
	case e.Record != nil:
		g.config.Logger.Log(context.Background(), e.Record.Level, e.Record.Message, e.Record.Args...)
	case e.Change == nil:
		g.receiver(NodeID(e.Origin()), e.Payload())
	case g.config.OnStateChange != nil:
		g.config.OnStateChange(publicStates[e.Change.Old], publicStates[e.Change.New])
	}
}
