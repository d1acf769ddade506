package gossip

import (
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// churn lets nodes leave, crash and join, one each second, for so long, with 5 %
// loss, while somebody says something each second; every message must reach every
// node that stays up, and nobody who is up for a while may be missing from a view. It
// returns the cluster and how many deliveries were checked.
func churn(t testing.TB, seed uint64, nodes int, long time.Duration) (c *simCluster, checked int) {
	t.Helper()
	const patience = 30 * time.Second // until a message must be everywhere
	c = newSimCluster(t, nodes, lan(seed), Config{})
	c.form()
	c.net.SetLoss(0.05)
	rng := c.net.Rand()
	type said struct {
		text string
		at   time.Duration
		from *simNode
		// Who was up then, in which life.
		up map[*simNode]uint64
	}
	var open []said
	born := map[*simNode]time.Duration{} // in this life
	for end := c.net.Now() + long; c.net.Now() < end; {
		up := c.up()
		who := c.nodes[rng.IntN(len(c.nodes))]
		for len(up) <= nodes*3/4 && !who.down {
			who = c.nodes[rng.IntN(len(c.nodes))]
		}
		switch {
		case who.down:
			who.restart(up[rng.IntN(len(up))])
			born[who] = c.net.Now()
			clear(who.got) // a new life receives what is retained
		case rng.IntN(2) == 0:
			who.crash()
		default:
			if err := who.Leave(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			who.turn()
			who.crash()
		}
		up = c.up()
		m := said{from: up[rng.IntN(len(up))], at: c.net.Now(), up: map[*simNode]uint64{}}
		for _, n := range up {
			if n.State() == StateConnected {
				m.up[n] = n.life
			}
		}
		if m.up[m.from] != 0 {
			m.text = m.from.say()
			open = append(open, m)
		}
		c.net.Run(time.Second)
		c.nobodyMissing(born, patience)
		for len(open) > 0 && c.net.Now()-open[0].at >= patience {
			m := open[0]
			open = open[1:]
			heard := func(n *simNode) bool { return !n.down && n.life == m.up[n] && n.got[m.text] > 0 }
			if (m.from.down || m.from.life != m.up[m.from]) && !slices.ContainsFunc(c.nodes, heard) {
				continue // it ended before anybody heard it
			}
			for n, life := range m.up {
				if n == m.from || n.down || n.life != life {
					continue
				}
				checked++
				if n.got[m.text] == 0 {
					t.Fatalf("seed %d: %v after it was said, %v, up all the time, lacks %q: %+v", seed, patience, n.addr, m.text, n.Stats())
				}
			}
			for _, n := range c.nodes {
				if n.got[m.text] > 1 {
					t.Fatalf("seed %d: node %v got %q %d times", seed, n.addr, m.text, n.got[m.text])
				}
				delete(n.got, m.text)
			}
		}
	}
	for _, n := range c.up() {
		s := n.Stats()
		if s.QueuedControl > 200 || s.QueuedData > 200 || s.Origins > 8192 || s.RetainedBytes > 256<<10 {
			t.Errorf("seed %d: node %v has grown: %+v", seed, n.addr, s)
		}
	}
	return c, checked
}

// nobodyMissing fails unless all who have been up for so long know one another.
func (c *simCluster) nobodyMissing(born map[*simNode]time.Duration, long time.Duration) {
	c.t.Helper()
	old := slices.DeleteFunc(c.up(), func(n *simNode) bool { return c.net.Now()-born[n] < long })
	for _, n := range old {
		for _, m := range old {
			if n != m && n.roster.Get(uint64(m.id)) == nil {
				c.t.Fatalf("seed %d: %v does not list %v, though it has been up since %v and it is %v: %+v", c.seed, n.addr, m.addr, born[m], c.net.Now(), n.Stats())
			}
		}
	}
}

var churnFor = flag.Duration("churn", 3*time.Minute, "how long nodes come and go in TestSimChurn, in virtual `time`")

func TestSimChurn(t *testing.T) {
	heavy(t)
	t.Parallel()
	_, checked := churn(t, 1, 100, *churnFor)
	t.Logf("%d deliveries", checked)
}

// BenchmarkSimChurn is a day of it. The memory of the cluster at the end is to be that
// after an hour.
func BenchmarkSimChurn(b *testing.B) {
	for range b.N {
		for _, long := range []time.Duration{time.Hour, 24 * time.Hour} {
			c, checked := churn(b, 2, 100, long)
			b.ReportMetric(float64(heapInUse())/1e6, fmt.Sprintf("MB-after-%.0fh", long.Hours()))
			b.ReportMetric(float64(checked), "deliveries")
			runtime.KeepAlive(c)
		}
	}
}

// idler is a socket that sends everything but what its node should pass on.
type idler struct{ socket }

func (s idler) Send(b []byte, to netip.AddrPort) error {
	h, _ := wire.ParseHeader(b)
	if h.Type == wire.TypeData {
		return nil
	}
	return s.socket.Send(b, to)
}

func TestSimNodesThatAcknowledgeButPassNothingOn(t *testing.T) {
	heavy(t)
	t.Parallel()
	c := spreadCase{nodes: 500, messages: 10, idlers: 0.05}
	r := c.run(t, 1)
	t.Logf("99 %% of the nodes after %v, all after %v", r.t99, r.t100)
	if r.t99 > 160*time.Millisecond || r.missing > 0 {
		t.Errorf("seed 1: with 5 %% of such nodes 99 %% had it after %v, %d never", r.t99, r.missing)
	}
}

func TestSimHalvesOf256HealAtOnce(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			halvesHeal(t, seed)
		})
	}
}

func halvesHeal(t *testing.T, seed uint64) {
	cluster := gather(t, spreadCase{nodes: 256}, seed)
	cluster.partition(128)
	cluster.net.Run(time.Minute)
	said := map[string]*simNode{}
	for range 20 {
		n := cluster.nodes[cluster.net.Rand().IntN(256)]
		said[n.say()] = n
		cluster.net.Run(50 * time.Millisecond)
	}
	cluster.net.Run(5 * time.Second)
	cluster.net.Heal()
	took := cluster.everybodyGot(10*time.Second, said)
	t.Logf("the last node had the last message after %v", took)
	if took > 750*time.Millisecond {
		t.Errorf("seed %d: the last node had the last of 20 messages %v after the halves were joined", seed, took)
	}
}
