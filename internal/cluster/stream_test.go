package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// stream publishes as much as the queue takes for d, and returns how many messages that were.
func (n *simNode) stream(d time.Duration) (accepted int) {
	n.c.t.Helper()
	const step = 5 * time.Millisecond
	for range d / step {
		for range withDefaults(n.config).MaxOutputMessages {
			err := n.tryPublish(fmt.Appendf(nil, "%064d", n.c.published))
			if errors.Is(err, node.ErrFull) {
				break
			}
			if err != nil {
				n.c.t.Fatalf("seed %d: at %v node %v cannot continue its stream: %v", n.c.seed, n.c.net.Now(), n.addr, err)
			}
			n.c.published++
			accepted++
		}
		n.c.net.Run(step)
	}
	return accepted
}

// watchRetries watches the Data that a node sends, and returns a function that returns the
// longest time that a message has waited for its retry so far.
func (n *simNode) watchRetries() (longest func() time.Duration) {
	at, most := map[envelopeKey]time.Duration{}, time.Duration(0) // of the last attempts
	n.watch(func(m wiretest.Message) {
		if m.Kind != wire.TypeData || m.Data.Flags&wire.FlagPull != 0 { // repairs are sent once, with random numbers
			return
		}
		key := envelopeKey{m.To, m.Seq}
		if last, again := at[key]; again {
			most = max(most, m.At-last)
		}
		at[key] = m.At
	})
	return func() time.Duration { return most }
}

// Round trips take 30 ms. If the node took lost answers for late ones, it would wait ever longer,
// and the stream would dry up.
func TestStreamThroughALossyNetworkDoesNotRunDry(t *testing.T) {
	heavy(t)
	for _, nodes := range []int{2, 10} {
		for _, loss := range []float64{0.05, 0.2} {
			t.Run(fmt.Sprint(nodes, " nodes, loss ", loss), func(t *testing.T) {
				t.Parallel()
				net := lan(3)
				net.Loss = loss
				c := newCluster(t, nodes, net, node.Config{MaxOutputMessages: 256})
				c.form()
				n := c.nodes[0]
				wait := n.watchRetries()
				first := n.stream(time.Second)
				accepted := [4]int{first + n.stream(4*time.Second)} // in each quarter of 20 s
				for i := range accepted {
					if i > 0 {
						accepted[i] = n.stream(5 * time.Second)
					}
					for _, x := range c.nodes {
						clear(x.got)
					}
					if wait() > 1200*time.Millisecond { // a timeout below a second, and some time in the queue
						t.Fatalf("seed %d: a message to a member 30 ms away waited %v for its retry", c.seed, wait())
					}
				}
				sum := accepted[0] + accepted[1] + accepted[2] + accepted[3]
				if least := slices.Min(accepted[:]); least < max(sum/4/3, first/2) {
					t.Errorf("seed %d: a stream dries up: %d messages were accepted in the first second, and in each quarter %v", c.seed, first, accepted)
				}
				if lost := n.Stats().MembersLost; lost > 0 {
					t.Errorf("seed %d: %d living members were considered lost", c.seed, lost)
				}
			})
		}
	}
}

// A member that is known only from hearsay is sent few messages before it answers. Messages
// that are published meanwhile, faster than repair could follow, reach it through others.
func TestStreamRightAfterJoiningLosesNothing(t *testing.T) {
	heavy(t)
	hearsay := 0
	for seed := range uint64(5) {
		c := newCluster(t, 4, lan(seed), node.Config{})
		c.form()
		n := c.nodes[3]
		for i := range n.Members() {
			if n.Member(i).RTT == 0 {
				hearsay++
			}
		}
		sent := n.stream(time.Second)
		c.net.Run(20 * time.Second)
		for _, x := range c.nodes[:3] {
			if len(x.got) != sent || sent < 2000 {
				t.Errorf("seed %d: of %d messages %d were delivered to %v", seed, sent, len(x.got), x.addr)
			}
		}
	}
	if hearsay == 0 {
		t.Error("no member is known only from hearsay when the streams begin")
	}
}

// At the speed of a network without latency thousands of messages overtake one that is lost.
// Its recipient tracks only versions.Width messages of an origin, so it must not fall further
// behind than that.
func TestStreamOverAFastLossyNetworkLosesNothing(t *testing.T) {
	heavy(t)
	for _, size := range []int{2, 8} {
		for seed := range uint64(3) {
			net := simnet.Config{Seed: seed, LatencyMin: 50 * time.Microsecond, LatencyMax: 100 * time.Microsecond}
			c := newCluster(t, size, net, node.Config{Attempts: attempts(8)})
			c.form()
			c.net.Run(5 * time.Second) // all are validated
			c.net.SetLoss(0.01)
			sent := c.nodes[0].stream(500 * time.Millisecond)
			c.net.Run(5 * time.Second)
			for _, x := range c.nodes[1:] {
				if lost := x.Stats().GaveUpUnseen; len(x.got) != sent || lost > 0 || sent < 3000 {
					t.Errorf("seed %d: of %d messages %d were delivered to %v of %d nodes, which gave up %d", seed, sent, len(x.got), x.addr, size, lost)
				}
			}
			c.noDuplicates()
		}
	}
}

// The stream is much longer than the log, and some members stand still now and then. A
// publisher that waits while its queue is full loses nothing.
func TestStreamWaitsForMembersThatStandStill(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(3) {
		fast := lan(seed)
		fast.LatencyMin, fast.LatencyMax = 50*time.Microsecond, 100*time.Microsecond
		c := newCluster(t, 16, fast, node.Config{})
		c.form()
		c.net.Run(5 * time.Second)
		const messages = 8000
		sent := 0
		for _, n := range c.nodes[1:] {
			n.end.SetInbox(4096)
		}
		for start := c.net.Now(); sent < messages; c.net.Run(time.Millisecond) {
			for sent < messages && c.nodes[0].tryPublish(fmt.Appendf(nil, "%060d", sent)) == nil {
				sent++
			}
			if c.net.Rand().IntN(20) == 0 {
				n := c.nodes[1+c.net.Rand().IntN(15)]
				n.end.Freeze()
				c.net.After(time.Duration(50+c.net.Rand().IntN(250))*time.Millisecond, func() {
					n.end.Thaw()
					n.wakeAt(c.net.Now())
				})
			}
			if c.net.Now()-start > time.Minute {
				t.Fatalf("seed %d: in a minute only %d messages were accepted: %+v", seed, sent, c.nodes[0].Stats())
			}
		}
		c.net.Run(20 * time.Second)
		for _, n := range c.nodes[1:] {
			if s := n.Stats(); len(n.got) != messages || s.GaveUpUnseen > 0 {
				t.Errorf("seed %d: of %d messages %d were delivered to %v, which gave up %d", seed, messages, len(n.got), n.addr, s.GaveUpUnseen)
			}
		}
	}
}
