package node

import (
	"errors"
	"math"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/repair"
	"example.com/gossip/internal/versions"
)

// Numbers of messages do not wrap: a node that has used all of them says so, and goes on with a
// new id. The sequence numbers of envelopes are random and only compared for equality. Times
// are 63 bits of nanoseconds, which is 292 years.

// hasPublished makes it so that the node has published that many messages of each kind, and all
// others have them.
func (n *simNode) hasPublished(count uint32) {
	n.self.counter, n.self.directCounter = count, count
	n.self.directDone.Reset(count, n.history.origins.Pool())
	for _, x := range n.s.nodes {
		o, _, _ := x.history.origins.Add(n.ID(), 0, n.s.net.Now(), 0)
		o.Seen.Reset(count, x.history.origins.Pool())
		o.Direct.Reset(count, x.history.origins.Pool())
		o.From, o.Delivered = 1, count
	}
}

// refuses fails unless Publish returns ErrNumbers and changes nothing.
func (n *simNode) refuses(spread Spread) {
	n.s.t.Helper()
	before, counter, directs := n.Stats(), n.self.counter, n.self.directCounter
	if err := n.tryPublish("one too many", spread); !errors.Is(err, ErrNumbers) {
		n.s.t.Fatalf("seed %d: with all numbers used Publish returns %v", n.s.seed, err)
	}
	if after := n.Stats(); after != before || n.self.counter != counter || n.self.directCounter != directs {
		n.s.t.Fatalf("seed %d: a message that was refused leaves a trace: %+v became %+v", n.s.seed, before, after)
	}
}

// duplicates counts the copies of messages that arrived where the message was already.
func (s *sim) duplicates() (sum uint64) {
	for _, n := range s.nodes {
		sum += n.Stats().Duplicate
	}
	return sum
}

func TestNumbersThatAreUsedUpMakeTheNodeGoOnWithANewID(t *testing.T) {
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		for seed := range uint64(4) {
			s, config := newSim(t, seed, 0.2), simConfig()
			config.Ordered = ordered
			for range 8 {
				s.add(config)
			}
			s.form()
			n, sent := s.nodes[3], map[string]*simNode{}
			publish30 := func() {
				for range 30 {
					sent[n.publish()] = n
					s.net.Run(10 * time.Millisecond)
				}
			}
			n.hasPublished(math.MaxUint32 - 30)
			publish30()
			n.refuses(Spread{Kind: Broadcast})
			n.refuses(Spread{Kind: Random})
			n.refuses(Spread{Kind: Direct, To: s.nodes[0].config.Local})
			s.awaitDeliveries(20*time.Second, sent)
			s.net.Run(20 * time.Second)
			before := s.duplicates()
			s.net.Run(20 * time.Second)
			if again := s.duplicates() - before; again > 0 {
				t.Fatalf("seed %d: 20 s after the last message %d copies of delivered messages are sent", seed, again)
			}
			s.add(config).join(s.nodes[0])
			s.awaitDeliveries(20*time.Second, sent)

			old := n.ID()
			n.Leave(s.net.Now())
			n.turn()
			s.net.Run(time.Second)
			n.join(s.nodes[0])
			if n.ID() == old {
				t.Fatalf("seed %d: a node that left and joined is still %x", seed, old)
			}
			publish30()
			s.net.SetLoss(0) // a Direct message is given up after three attempts
			direct := n.publish(s.nodes[1])
			s.awaitDeliveries(20*time.Second, sent)
			s.await(20*time.Second, "all know all", s.complete)
			s.net.Run(5 * time.Second)
			s.noDuplicates()
			if s.nodes[1].got[direct] != 1 {
				t.Fatalf("seed %d: a Direct message with the new id arrived %d times", seed, s.nodes[1].got[direct])
			}
			for _, x := range s.nodes { // of which one came late
				if lost := x.Stats().GaveUpUnseen; lost > 0 {
					t.Fatalf("seed %d: %v counts %d messages as given up", seed, x.config.Local, lost)
				}
			}
		}
	}
}

func TestNumbersOfDirectMessagesAreUsedUpToTheLast(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		s := newSim(t, seed, 0)
		for range 4 {
			s.add(simConfig())
		}
		s.form()
		n := s.nodes[1]
		n.hasPublished(math.MaxUint32 - 40)
		n.self.counter = 5 // few messages of the other kind
		to := map[string]*simNode{}
		for i := range 40 {
			x := s.nodes[[]int{0, 2, 3}[i%3]]
			to[n.publish(x)] = x
		}
		n.refuses(Spread{Kind: Direct, To: s.nodes[0].config.Local})
		n.refuses(Spread{Kind: Broadcast})
		s.net.Run(2 * time.Second)
		for text, x := range to {
			if x.got[text] != 1 {
				t.Fatalf("seed %d: %q, one of the last Direct messages, arrived %d times", seed, text, x.got[text])
			}
		}
		if st := n.Stats(); st.GivenUp > 0 || st.QueuedData > 0 {
			t.Fatalf("seed %d: without loss the last Direct messages are not acknowledged: %+v", seed, st)
		}
	}
}

// A node lives 150 times at one address. The others have room for 64 origins, of which each
// makes room an hour after its last message.
func TestOriginsOfFormerLivesMakeRoomForLaterOnes(t *testing.T) {
	if underRace {
		t.Skip("a long simulation on one goroutine, which is run without the race detector")
	}
	t.Parallel()
	for seed := range uint64(3) {
		s, config := newSim(t, seed, 0), simConfig()
		config.DataLogSize, config.TickInterval = 8<<10, 10*time.Second
		for range 4 {
			n := s.add(config)
			n.history.origins = versions.NewTable(64)
			n.history.origins.Keep(n.ID())
			n.history.repair = repair.NewReconciler(n.history.log, n.history.origins)
		}
		s.form()
		n, others := s.nodes[3], s.nodes[:3]
		for life := range 150 {
			clear(n.got)
			n.start()
			n.join(others[life%3])
			other := others[s.net.Rand().IntN(3)]
			s.awaitDeliveries(time.Minute, map[string]*simNode{n.publish(): n, other.publish(): other})
			s.net.Run(90 * time.Second)
			for _, x := range others {
				st := x.Stats()
				if st.Members > 3 || st.Lost > 3 || st.Origins > min(64, life+5) ||
					st.RetainedBytes > config.DataLogSize || st.Retained > st.RetainedBytes/datalog.Overhead ||
					st.QueuedControl+st.AcksPending > 100 || x.out.queue.Stats().Recipients > 20 {
					t.Fatalf("seed %d: after %d lives at one address %v has grown: %+v", seed, life+1, x.config.Local, st)
				}
				if st.DropOrigin > 0 {
					t.Fatalf("seed %d: %v had no room for life %d at one address: %+v", seed, x.config.Local, life+1, st)
				}
			}
		}
		s.await(time.Minute, "all know all", s.complete)
		s.noDuplicates()
	}
}
