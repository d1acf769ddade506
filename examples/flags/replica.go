package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
	"example.com/gossip/examples/internal/metrics"
)

// messageSize bounds a datagram. It suits a LAN, and has room for any flag, also with keys.
const messageSize = 1400

var (
	errUnsynced = errors.New("this replica has not got the flags from another one yet")
	errNotNow   = errors.New("the flag cannot be spread now")
)

// replica holds the flags, and the node through which it receives the changes of others.
type replica struct {
	node    *gossip.GossipService
	joined  func() bool // whether the node ever joined
	store   store
	answers chan any // pages and refusals, for sync; bounded, and more are dropped
	synced  atomic.Bool
	ending  atomic.Bool

	malformed, syncs, failedSyncs, pages, refusals atomic.Uint64
}

// newReplica makes a replica that has not joined yet. The first one of a cluster is synced.
func newReplica(listen gossip.Address, first bool, config gossip.Config) (*replica, error) {
	config.MaxMessageSize = messageSize
	r := &replica{answers: make(chan any, mostPages)}
	r.synced.Store(first)
	var err error
	r.node, r.joined, err = cli.NewNode(listen, r.receive, config)
	return r, err
}

// run drives the node, joins the seeds and keeps the flags in step with the others', until ctx
// ends. Then it has the last changes acknowledged, for at most a second, and says goodbye.
func (r *replica) run(ctx context.Context, seeds cli.Seeds, report func(error)) error {
	return seeds.Drive(ctx, r.node, report, r.node.Run, r.keepSynced)
}

// receive takes a message of another replica. It runs in the loop, and does as much work as
// for mostPages datagrams at most.
func (r *replica) receive(origin gossip.NodeID, payload []byte) {
	message, err := parse(payload)
	switch m := message.(type) {
	case entry:
		r.store.take(m)
	case ask:
		r.answer(origin, m)
	case page:
		for _, e := range m.entries {
			r.store.take(e)
		}
		r.pass(m)
	case refusal:
		r.pass(m)
	}
	if err != nil {
		r.malformed.Add(1)
	}
}

// pass hands an answer to sync.
func (r *replica) pass(answer any) {
	select {
	case r.answers <- answer:
	default: // sync does not wait for it, or asks again
	}
}

// write changes a flag here and, soon, everywhere. While there is no room for the change it
// waits until ctx ends. After an error nothing has changed.
func (r *replica) write(ctx context.Context, e entry) error {
	if !r.synced.Load() {
		return errUnsynced // it might draw a version below that of the value it replaces
	}
	if !e.deleted {
		if err := r.store.room(e.name); err != nil {
			return err
		}
	}
	e.writer = uint64(r.node.ID())
	for {
		var err error
		if e.version, err = r.store.next(time.Now()); err != nil {
			return err
		}
		err = r.node.SendData(e.append([]byte{kindChange}))
		if err == nil {
			r.store.take(e)
			return nil
		}
		if !errors.Is(err, gossip.ErrQueueFull) || r.node.WaitForRoom(ctx) != nil {
			return errNotNow
		}
	}
}

// metrics returns the counters of the flags and of the node.
func (r *replica) metrics() []metrics.Family {
	c, live, held := r.store.state()
	synced := 0.0
	if r.synced.Load() {
		synced = 1
	}
	return append(metrics.Gossip(r.node),
		metrics.Gauge("flags_synced", "Whether the replica has got the flags and answers.", synced),
		metrics.Gauge("flags_live", "Flags that have a value.", float64(live)),
		metrics.Gauge("flags_held", "Flags held, deleted ones included.", float64(held)),
		metrics.Counter("flags_taken_total", "Writes taken, own ones included.", c.taken),
		metrics.Counter("flags_older_total", "Writes not taken, because the same or a newer one was here.", c.older),
		metrics.Counter("flags_evicted_total", "Flags given up because there were too many.", c.evicted),
		metrics.Counter("flags_malformed_total", "Messages that are none of this program.", r.malformed.Load()),
		metrics.Counter("flags_syncs_total", "Comparisons with another replica that were completed.", r.syncs.Load()),
		metrics.Counter("flags_failed_syncs_total", "Comparisons with another replica that it refused or did not complete.", r.failedSyncs.Load()),
		metrics.Counter("flags_sent_pages_total", "Pages of flags sent to other replicas.", r.pages.Load()),
		metrics.Counter("flags_sent_refusals_total", "Questions of other replicas refused, because this one was not synced.", r.refusals.Load()),
	)
}
