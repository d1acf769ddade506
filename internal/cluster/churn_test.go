package cluster

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// patience is until when under churn a message must be everywhere, and a node in all views.
const patience = 30 * time.Second

// published is a message under churn.
type published struct {
	text string
	at   time.Duration
	from *simNode
	up   map[*simNode]uint64 // the nodes that were CONNECTED then, and in which life
}

// churn lets nodes leave, crash and join, one each second, for so long, with 5 % loss, while a
// node publishes a message each second. Every message must reach every node that stays up, and
// no node that has been up for a while may be missing in a view. It returns the cluster and how
// many deliveries were checked.
func churn(t testing.TB, seed uint64, nodes int, long time.Duration) (c *cluster, checked int) {
	t.Helper()
	c = newCluster(t, nodes, lan(seed), node.Config{})
	c.form()
	c.net.SetLoss(0.05)
	var open []published
	born := map[*simNode]time.Duration{} // in this life
	for end := c.net.Now() + long; c.net.Now() < end; {
		c.change(born)
		up := c.up()
		m := published{from: up[c.net.Rand().IntN(len(up))], at: c.net.Now(), up: map[*simNode]uint64{}}
		for _, n := range up {
			if n.State() == node.Connected {
				m.up[n] = n.life
			}
		}
		if m.up[m.from] != 0 {
			m.text = m.from.publish()
			open = append(open, m)
		}
		c.net.Run(time.Second)
		c.nobodyMissing(born)
		for len(open) > 0 && c.net.Now()-open[0].at >= patience {
			checked += c.checkDelivered(open[0])
			open = open[1:]
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

// change lets a random node leave, crash or start again. At most a quarter of the nodes is
// down.
func (c *cluster) change(born map[*simNode]time.Duration) {
	c.t.Helper()
	up, rng := c.up(), c.net.Rand()
	n := c.nodes[rng.IntN(len(c.nodes))]
	for len(up) <= len(c.nodes)*3/4 && !n.down {
		n = c.nodes[rng.IntN(len(c.nodes))]
	}
	switch {
	case n.down:
		n.restart(up[rng.IntN(len(up))])
		born[n] = c.net.Now()
		clear(n.got) // a new life receives what is retained
	case rng.IntN(2) == 0:
		n.crash()
	default:
		n.leave()
		n.turn()
		n.crash()
	}
}

// nobodyMissing fails unless all that have been up for long enough know one another.
func (c *cluster) nobodyMissing(born map[*simNode]time.Duration) {
	c.t.Helper()
	old := slices.DeleteFunc(c.up(), func(n *simNode) bool { return c.net.Now()-born[n] < patience })
	for _, n := range old {
		for _, m := range old {
			if n != m && !n.knows(m.ID()) {
				c.t.Fatalf("seed %d: %v does not list %v, though it has been up since %v and it is %v: %+v", c.seed, n.addr, m.addr, born[m], c.net.Now(), n.Stats())
			}
		}
	}
}

// checkDelivered fails unless a message was delivered once to all nodes that have been up since
// it was published. It returns how many these are, and forgets the message.
func (c *cluster) checkDelivered(m published) (checked int) {
	c.t.Helper()
	arrived := func(n *simNode) bool { return !n.down && n.life == m.up[n] && n.got[m.text] > 0 }
	if (m.from.down || m.from.life != m.up[m.from]) && !slices.ContainsFunc(c.nodes, arrived) {
		return 0 // its publisher ended before it arrived anywhere
	}
	for n, life := range m.up {
		if n == m.from || n.down || n.life != life {
			continue
		}
		checked++
		if n.got[m.text] == 0 {
			c.t.Fatalf("seed %d: %v after it was published, %v, up all the time, lacks %q: %+v", c.seed, patience, n.addr, m.text, n.Stats())
		}
	}
	for _, n := range c.nodes {
		if n.got[m.text] > 1 {
			c.t.Fatalf("seed %d: %q was delivered to node %v %d times", c.seed, m.text, n.addr, n.got[m.text])
		}
		delete(n.got, m.text)
	}
	return checked
}

var churnFor = flag.Duration("churn", 3*time.Minute, "how long nodes come and go in TestChurnLosesNothing, in virtual `time`")

func TestChurnLosesNothing(t *testing.T) {
	heavy(t)
	t.Parallel()
	_, checked := churn(t, 1, 100, *churnFor)
	t.Logf("%d deliveries", checked)
}

// BenchmarkSimChurn is an hour and a day of it. The heap of the cluster is to be the same after
// both.
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
