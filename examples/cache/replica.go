package main

import (
	"context"
	"errors"
	"expvar"
	"log/slog"
	"sync/atomic"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

const (
	// messageSize bounds a datagram, and so a write. It suits a LAN.
	messageSize = 1400
	// logSize is what a replica retains for others. It has room for the latest 1024
	// writes, of any size, of each of three replicas; the library tracks no more.
	logSize = 5 << 20
	// stuckAfter is how long a turn of the loop may take. Tick lets it wait for at
	// most a second.
	stuckAfter = 5 * time.Second
)

// replica is a cache and the node through which it receives the writes of others.
type replica struct {
	node   *gossip.GossipService
	joined func() bool   // whether the node ever joined
	writer gossip.NodeID // decides between writes of the same version
	store  *store
	vars   *expvar.Map  // not published by name: a process may have several replicas
	turned atomic.Int64 // when the loop last turned, in nanoseconds since 1970
}

// newReplica makes a replica that has not joined yet.
func newReplica(o options, log *slog.Logger) (*replica, error) {
	config, err := o.Config(log)
	if err != nil {
		return nil, err
	}
	config.MaxMessageSize, config.DataLogSize = messageSize, logSize
	r := &replica{store: newStore(o.entries, o.ttl)}
	r.node, r.joined, err = cli.NewNode(o.Listen, r.hear, config)
	if err != nil {
		return nil, err
	}
	r.writer = r.node.ID()
	r.vars = new(expvar.Map)
	r.vars.Set("cache", r.store.vars())
	r.vars.Set("gossip", expvar.Func(func() any { return r.node.Stats() }))
	r.vars.Set("memstats", expvar.Get("memstats"))
	return r, nil
}

// hear takes a write of another replica. It runs in the loop.
func (r *replica) hear(_ gossip.NodeID, payload []byte) {
	w, err := parseWrite(payload)
	if err != nil {
		r.store.refused.Add(1)
		return
	}
	r.store.take(time.Now(), w)
}

// errClock means that the clock was set back so far that a write, which must come after all
// seen before, would be refused everywhere as one from the future.
var errClock = errors.New("the clock was set back")

// tell gives a write its version, spreads it and applies it. If the node cannot spread it
// nothing has changed.
func (r *replica) tell(w write) error {
	now := time.Now()
	w.version, w.writer = r.store.next(now), uint64(r.writer)
	if tooFarAhead(now, w.version) {
		return errClock
	}
	if err := r.node.SendData(w.append(nil)); err != nil {
		return err
	}
	r.store.take(now, w)
	return nil
}

// loop drives the node until ctx ends. Then Run waits for acknowledgements of the last writes,
// and says goodbye.
func (r *replica) loop(ctx context.Context) error {
	defer context.AfterFunc(ctx, r.node.Wake)()
	for ctx.Err() == nil {
		if err := r.turn(stuckAfter); err != nil {
			return err
		}
	}
	return r.node.Run(ctx)
}

// turn is one turn of the loop, which waits no longer than most.
func (r *replica) turn(most time.Duration) error {
	wait, err := r.node.Tick()
	if err == nil {
		_, err = r.node.Send()
	}
	if err == nil {
		_, err = r.node.Receive(min(wait, most))
	}
	r.turned.Store(time.Now().UnixNano())
	return err
}

// alive reports whether the loop has turned recently.
func (r *replica) alive(now time.Time) bool {
	return now.Sub(time.Unix(0, r.turned.Load())) < stuckAfter
}
