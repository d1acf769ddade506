package gossip

import (
	"cmp"
	"runtime"
	"slices"
	"testing"
	"time"
)

// ringTicks is within how many ticks neighbours on the ring are to know one another.
const ringTicks = 8

// coldStart lets n nodes, with views of 96, join by three random others each, all
// in the same instant, and returns after how many ticks nearly all (all but one
// in a thousand) know their neighbours on the ring.
func coldStart(t testing.TB, seed uint64, n, limit int) (c *simCluster, ticks int) {
	t.Helper()
	c = newSimCluster(t, n, lan(seed), Config{MaxMembers: 96})
	for _, x := range c.nodes {
		x.join(c.nodes[c.net.Rand().IntN(n)], c.nodes[c.net.Rand().IntN(n)], c.nodes[c.net.Rand().IntN(n)])
	}
	ring := slices.SortedFunc(slices.Values(c.nodes), func(a, b *simNode) int { return cmp.Compare(a.id, b.id) })
	wrong := n
	for ticks = 0; ticks < limit && wrong*1000 > n; ticks++ {
		c.net.Run(time.Second)
		wrong = 0
		for i, x := range ring {
			next, last := ring[(i+1)%n], ring[(i+n-1)%n]
			if x.roster.Len() == 0 || x.roster.Clockwise(0).ID != uint64(next.id) || x.roster.Counterclockwise(0).ID != uint64(last.id) {
				wrong++
			}
		}
		t.Logf("after %d ticks %d nodes have a wrong neighbour; %.1f datagrams per node so far", ticks+1, wrong, float64(c.net.Totals().Sent.Datagrams)/float64(n))
	}
	if wrong*1000 > n {
		t.Errorf("seed %d: after %d ticks %d of %d nodes do not know their neighbours", seed, limit, wrong, n)
	}
	return c, ticks
}

func TestSimColdStart(t *testing.T) {
	heavy(t)
	t.Parallel()
	coldStart(t, 1, 500, ringTicks)
}

func BenchmarkSimColdStart(b *testing.B) {
	for range b.N {
		c, ticks := coldStart(b, 1, 10000, ringTicks)
		b.ReportMetric(float64(ticks), "ticks")
		c.net.Run(10 * time.Second)
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/float64(len(c.nodes)), "bytes/node")
		runtime.KeepAlive(c)
	}
}
