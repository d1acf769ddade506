package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// turnover is what it costs a cluster that nodes leave, crash and join all the time.
type turnover struct {
	datagrams float64   // of a node in a second
	dead      []float64 // parts of the entries of all views that are of nodes which are gone, at the end of each quarter
	missing   int       // entries that lack in the views of nodes that have been up for a while
}

// turnOver lets so many nodes leave, crash or join in each second.
func turnOver(t testing.TB, seed uint64, nodes, rate int, long time.Duration) (c *cluster, r turnover) {
	t.Helper()
	c = newCluster(t, nodes, lan(seed), node.Config{MaxMembers: max(nodes, 1024)})
	for _, n := range c.nodes {
		n.join()
	}
	for _, n := range c.nodes {
		for _, m := range c.nodes {
			n.Acquaint(0, m.ID(), m.addr)
		}
	}
	c.net.Run(4 * time.Second)
	sent := 0
	c.net.SetTap(func(e simnet.Event) {
		if e.Kind == simnet.Sent {
			sent++
		}
	})
	born := map[*simNode]time.Duration{}
	lived := 0
	steps := int(long/time.Second) * rate
	for i := range steps {
		c.change(born)
		c.net.Run(time.Second / time.Duration(rate))
		lived += len(c.up())
		if (i+1)%(steps/4) == 0 {
			r.dead = append(r.dead, c.deadEntries())
		}
	}
	r.datagrams = float64(sent) / float64(lived) * float64(rate)
	old := slices.DeleteFunc(c.up(), func(n *simNode) bool { return c.net.Now()-born[n] < patience })
	for _, n := range old {
		for _, m := range old {
			if n != m && !n.knows(m.ID()) {
				r.missing++
			}
		}
	}
	return c, r
}

// deadEntries returns which part of the entries of all views is of nodes that are gone.
func (c *cluster) deadEntries() float64 {
	alive := map[uint64]bool{}
	for _, n := range c.up() {
		alive[n.ID()] = true
	}
	all, dead := 0, 0
	for _, n := range c.up() {
		for i := range n.Members() {
			all++
			if !alive[n.Member(i).ID] {
				dead++
			}
		}
	}
	return float64(dead) / float64(all)
}

func BenchmarkSimTurnover(b *testing.B) {
	for _, nodes := range []int{100, 300, 1000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			for range b.N {
				_, r := turnOver(b, 1, nodes, 10, 3*time.Minute)
				b.ReportMetric(r.datagrams, "datagrams/node-s")
				b.ReportMetric(100*r.dead[0], "%dead-early")
				b.ReportMetric(100*r.dead[3], "%dead")
				b.ReportMetric(float64(r.missing), "missing")
			}
		})
	}
}

// Each second a node leaves, crashes or joins.
func TestTurnoverLeavesFewDeadAndCostsLittle(t *testing.T) {
	heavy(t)
	_, r := turnOver(t, 1, 100, 1, time.Minute)
	if slices.Max(r.dead) > 0.06 || r.datagrams > 12 || r.missing > 0 {
		t.Errorf("seed 1: among 100 nodes, of which one changes in each second: %+v", r)
	}
	t.Logf("%+v", r)
}
