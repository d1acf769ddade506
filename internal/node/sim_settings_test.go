package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
)

// extreme draws each setting from the least, the most and some between. The size of datagrams
// is that of the whole cluster.
func extreme(r *rand.Rand, size int) Config {
	one := func(of ...int) int { return of[r.IntN(len(of))] }
	millis := func(of ...int) time.Duration { return time.Duration(one(of...)) * time.Millisecond }
	c := simConfig()
	c.MaxMessageSize = size
	c.MaxOutputMessages = one(1, 2, 5, 16, 1024, 1<<24)
	c.DataLogSize = one(1, 300, 1000, 5000, 256<<10, 1<<30)
	c.MaxMembers = one(9, 64, 1<<20)
	c.RumorFactor = one(1, 3, 64)
	c.BroadcastFactor = one(1, 2, 8, 64)
	c.TickInterval = millis(10, 100, 1000)
	c.Attempts = simAttempts(one(1, 3, 255))
	c.RetryInterval = millis(1, 250, 1000)
	c.AckDelay = max(1, millis(0, 10, 1000))
	c.Ordered = r.IntN(3) == 0
	return c
}

// holders counts the references to each message of a node, of which the log holds one.
func (n *simNode) holders() map[*datalog.Entry]int64 {
	held := map[*datalog.Entry]int64{}
	for o := n.history.origins.Newest(); o != nil; o = o.Older() {
		for e := n.history.log.From(o.ID, 0); e != nil; e = n.history.log.Next(e) {
			held[e] = 1
		}
	}
	for e := range n.out.queue.All() {
		if e.IsData() {
			held[e.Entry]++
		}
	}
	for b, i := &n.self.backlog, 0; i < b.own.Len(); i++ {
		if e := b.own.At(i).entry; e != nil {
			held[e]++
		}
	}
	for range n.events.Len() {
		e, _ := n.events.Pop()
		if e.entry != nil {
			held[e.entry]++
		}
		n.events.Push(e)
	}
	return held
}

// balanced fails unless each message has a reference for each of its holders.
func (n *simNode) balanced() {
	n.s.t.Helper()
	for e, holders := range n.holders() {
		if refs := reflect.ValueOf(e).Elem().FieldByName("refs").Int(); refs != holders {
			n.s.t.Fatalf("seed %d: at %v message %d of %x has %d references and %d holders", n.s.seed, n.config.Local, e.Counter, e.Origin, refs, holders)
		}
	}
}

// retained reports whether any node retains a message.
func (s *sim) retained(origin uint64, counter uint32) bool {
	for _, n := range s.nodes {
		if n.history.log.Get(origin, counter) != nil {
			return true
		}
	}
	return false
}

// Whatever the settings are: each message that any node retains is delivered to all in the end,
// once.
func TestSettingsThatAreExtremeLoseNothingThatIsRetained(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			if seed > 1 && underRace {
				t.Skip("a long simulation on one goroutine, which is run without the race detector")
			}
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			size := []int{66, 66, 120, 512, 65507}[r.IntN(5)]
			s := newSim(t, seed, []float64{0, 0.2}[seed%2])
			for range 2 + r.IntN(9) {
				s.add(extreme(r, size))
			}
			for i, n := range s.nodes {
				n.join(s.nodes[:min(i, 1)]...)
			}
			s.net.Run(30 * time.Second)
			type message struct {
				by      *simNode
				origin  uint64
				counter uint32
			}
			sent := map[string]message{}
			for i := range 100 {
				n := s.nodes[r.IntN(len(s.nodes))]
				text := fmt.Sprint(i)
				err := n.tryPublish(text, Spread{Kind: []SpreadKind{Broadcast, Random}[r.IntN(2)]})
				if err == nil {
					sent[text] = message{n, n.ID(), n.self.counter}
				} else if !errors.Is(err, ErrFull) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				s.net.Run(time.Duration(r.IntN(60)) * time.Millisecond)
				n.balanced()
			}
			s.net.Run(2 * time.Minute)
			for _, n := range s.nodes {
				n.balanced()
				for text, m := range sent {
					if o := n.history.origins.Get(m.origin); n.got[text] == 0 && n != m.by && s.retained(m.origin, m.counter) &&
						!(n.config.Ordered && o != nil && o.Seen.Has(m.counter)) { // then it is counted
						t.Errorf("seed %d: node %v, %+v, lacks %q, which a node retains", seed, n.config.Local, n.config, text)
					}
				}
			}
			s.noDuplicates()
		})
	}
}
