package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/simnet"
)

// extreme draws each field from the least, the most and what lies between. Of what must be
// alike in a cluster there is only size.
func extreme(r *rand.Rand, size int) Config {
	one := func(of ...int) int { return of[r.IntN(len(of))] }
	millis := func(of ...int) time.Duration { return time.Duration(one(of...)) * time.Millisecond }
	return Config{
		MaxMessageSize:    size,
		MaxOutputMessages: one(1, 2, 5, 16, 1024, 1<<24),
		DataLogSize:       one(1, 300, 1000, 5000, 256<<10, 1<<30),
		MaxMembers:        one(9, 64, 1<<20),
		RumorFactor:       one(1, 3, 64),
		BroadcastFactor:   one(1, 2, 8, 64),
		TickInterval:      millis(10, 100, 1000),
		RetryAttempts:     one(1, 3, 255),
		RetryInterval:     millis(1, 250, 1000),
		AckDelay:          max(1, millis(0, 10, 1000)),
		Ordered:           r.IntN(3) == 0,
	}
}

// heldBy counts who holds a reference to each message of a node.
func heldBy(n *simNode) map[*datalog.Entry]int64 {
	held := map[*datalog.Entry]int64{}
	for e := n.log.Newest(); e != nil; e = n.log.Older(e) {
		held[e] = 0
	}
	for e := range n.outbox.All() {
		if e.IsData() {
			held[e.Entry]++
		}
	}
	for range n.events.Len() {
		ev, _ := n.events.Pop()
		if ev.entry != nil {
			held[ev.entry]++
		}
		n.events.Push(ev)
	}
	return held
}

// balanced fails unless each message has a reference for everyone who holds it.
func (n *simNode) balanced() {
	n.c.t.Helper()
	for e, holders := range heldBy(n) {
		if refs := reflect.ValueOf(e).Elem().FieldByName("refs").Int(); refs != holders {
			n.c.t.Fatalf("seed %d: at %v message %d of %x has %d references and %d holders", n.c.seed, n.addr, e.Counter, e.Origin, refs, holders)
		}
	}
}

// retained reports whether anybody retains a message.
func (c *simCluster) retained(origin uint64, counter uint32) bool {
	for _, n := range c.nodes {
		if n.log.Get(origin, counter) != nil {
			return true
		}
	}
	return false
}

// Whatever the settings are: what anybody retains everybody has in the end, once.
func TestSimExtremeSettingsLoseNothingThatIsRetained(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			if seed > 1 {
				heavy(t)
			}
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			net := []simnet.Config{lan(seed), rough(seed)}[seed%2]
			size := []int{66, 66, 120, 512, 65507}[r.IntN(5)]
			c := newSimCluster(t, 0, net, Config{})
			addr := otherAddr.Addr()
			for range 2 + r.IntN(9) {
				c.add(netip.AddrPortFrom(addr, 7070), extreme(r, size))
				addr = addr.Next()
			}
			c.nodes[0].join()
			for _, n := range c.nodes[1:] {
				n.join(c.nodes[0])
			}
			c.net.Run(30 * time.Second)
			type message struct {
				by      *simNode
				origin  uint64
				counter uint32
			}
			said := map[string]message{}
			for i := range 100 {
				n := c.nodes[r.IntN(len(c.nodes))]
				text := fmt.Sprint(i)
				err := n.SendData([]byte(text), []Spread{Broadcast, Random}[r.IntN(2)])
				if err == nil {
					said[text] = message{n, uint64(n.id), n.counter}
				} else if !errors.Is(err, ErrQueueFull) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				n.wakeAt(c.net.Now())
				c.net.Run(time.Duration(r.IntN(60)) * time.Millisecond)
				n.balanced()
			}
			c.net.Run(2 * time.Minute)
			for _, n := range c.nodes {
				n.balanced()
				for text, m := range said {
					if o := n.origins.Get(m.origin); n.got[text] == 0 && n != m.by && c.retained(m.origin, m.counter) &&
						!(n.config.Ordered && o != nil && o.Seen.Has(m.counter)) { // then it is counted
						t.Errorf("seed %d: node %v, %+v, lacks %q, which somebody retains", seed, n.addr, n.config, text)
					}
				}
			}
			c.noDuplicates()
		})
	}
}
