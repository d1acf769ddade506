// The bounds of a node's queues: how many times each message is sent, and how many calls to
// the caller wait. And how a caller waits for room in them.

package gossip

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"example.com/gossip/internal/node"
)

// attempts returns how many times a message of each kind is sent at most until it is answered.
func (c *Config) attempts() node.Attempts {
	return node.Attempts{
		node.Hello:      c.RetryAttempts,
		node.Verify:     node.UntilAnswered,
		node.Probe:      1, // probes are repeated by the clock
		node.Welcome:    node.NoAnswer,
		node.MemberList: c.RetryAttempts,
		node.News:       node.NoAnswer,
		node.Ack:        node.NoAnswer,
		node.Data:       node.UntilAnswered,
		node.Stray:      c.RetryAttempts,
		node.Repair:     node.NoAnswer,
		node.Status:     c.RetryAttempts,
		node.Offer:      node.NoAnswer,
		node.Anycast:    node.UntilAnswered, // each time to another member
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
	if g.calling || g.node == nil {
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

// WaitForRoom waits until SendData has room again, from another goroutine than that of the loop:
//
//	err := g.SendData(payload)
//	for errors.Is(err, gossip.ErrQueueFull) {
//		if err = g.WaitForRoom(ctx); err == nil {
//			err = g.SendData(payload)
//		}
//	}
//
// After SendData has returned ErrQueueFull it returns when half of the queue is free, so that
// the caller does not wait for each message; else at once while there is room.
//
// The three waits return nil when what they wait for holds, or has held since the call; else
// an error that wraps that of ctx when that ends, ErrClosed after Close, and ErrState where
// nothing can come: before Join, after Leave, and in a callback of any node, whose loop would
// wait for itself. None of them turns the loop: without Run, or another loop, on another goroutine
// they last until ctx ends, and the error of a deadline then says so.
func (g *GossipService) WaitForRoom(ctx context.Context) error { return g.wait(ctx, forRoom) }

// WaitForAcks waits until every message of this node was acknowledged by all members that it
// was sent to, or given up and counted, including those that other goroutines send meanwhile.
// It is for the time before Leave, which drops what is queued; set a limit on it, for messages
// of a node that has no member wait until it has one. The rules of WaitForRoom apply.
func (g *GossipService) WaitForAcks(ctx context.Context) error { return g.wait(ctx, forAcks) }

// WaitForMember waits until the node has a member. A seed waits for the first node that joins.
// The rules of WaitForRoom apply.
func (g *GossipService) WaitForMember(ctx context.Context) error { return g.wait(ctx, forMember) }

// waitKind is what a caller waits for.
type waitKind uint8

const (
	forRoom waitKind = iota
	forAcks
	forMember
	waitKinds
)

var waitNames = [waitKinds]string{"WaitForRoom", "WaitForAcks", "WaitForMember"}

// waits holds the waits of each kind, nil while nobody waits. All callers share one.
type waits struct {
	begun   [waitKinds]*wait
	refused bool // SendData had no room, and half of the queue was not free since
}

// wait is over when its channel is closed; then err is the result.
type wait struct {
	over  chan struct{}
	err   error
	turns uint64 // of the loop, when it began
}

// wait waits until what a caller waits for holds.
func (g *GossipService) wait(ctx context.Context, k waitKind) error {
	w, err := g.beginWait(k)
	if w == nil {
		return err
	}
	select {
	case <-w.over:
		return w.err
	case <-ctx.Done():
		return g.cutShort(ctx.Err(), k, w)
	}
}

// cutShort returns the error of a wait whose context ended.
func (g *GossipService) cutShort(err error, k waitKind, w *wait) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != context.DeadlineExceeded || g.turns != w.turns || g.in.waiting.Load() {
		return err
	}
	return fmt.Errorf("gossip: %s: the loop did not turn meanwhile, call Run on another goroutine: %w", waitNames[k], err)
}

// beginWait returns the wait to join, nil if it is over already, with its result.
func (g *GossipService) beginWait(k waitKind) (*wait, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check(waitNames[k], started); err != nil {
		return nil, err
	}
	if g.holds(k, g.clock()) {
		return nil, nil
	}
	if inCallback() {
		return nil, fmt.Errorf("%w: %s in a callback, where the loop stands still: call it on another goroutine", ErrState, waitNames[k])
	}
	w := g.waits.begun[k]
	if w == nil {
		w = &wait{over: make(chan struct{}), turns: g.turns}
		g.waits.begun[k] = w
	}
	return w, nil
}

// holds reports whether what a caller waits for holds.
func (g *GossipService) holds(k waitKind, now time.Duration) bool {
	switch k {
	case forAcks:
		return g.node.Settled()
	case forMember:
		return g.node.Members() > 0
	}
	if g.node.HasRoom(now) {
		g.waits.refused = false
	} else if !g.waits.refused {
		g.waits.refused = !g.node.Takes(now, g.node.MaxPayload(), g.config.Spread.as)
	}
	return !g.waits.refused
}

// endWaits ends the waits for what holds, or may not be waited for any more. It is called with
// the lock held, after anything that may bring what is waited for.
func (g *GossipService) endWaits(now time.Duration) {
	for k, w := range g.waits.begun {
		if w == nil {
			continue
		}
		if w.err = g.check(waitNames[k], started); w.err != nil || g.holds(waitKind(k), now) {
			close(w.over)
			g.waits.begun[k] = nil
		}
	}
}

// inCallback reports whether this goroutine is in a callback of a node, as far as its latest
// calls tell.
func inCallback() bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, ".(*GossipService).call") {
			return true
		}
		if !more {
			return false
		}
	}
}
