package cluster

import (
	"cmp"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

func TestJoinOf64NodesInOneInstantSucceeds(t *testing.T) {
	c := newCluster(t, 65, lan(9), node.Config{})
	c.nodes[0].join()
	for _, n := range c.nodes[1:] {
		n.join(c.nodes[0])
	}
	t.Log(c.await(time.Second, "all are CONNECTED", func() bool {
		for _, n := range c.nodes {
			if n.State() != node.Connected {
				return false
			}
		}
		return true
	}))
	t.Log(c.await(20*time.Second, "all know all", c.complete))
}

// small is the configuration of a node that is to take little memory in a large cluster: it
// retains three short messages and knows 10 members. Its queues hold 64 messages, because with
// fewer a seed displaces messages to newcomers that join all at once.
var small = node.Config{DataLogSize: 1024, MaxOutputMessages: 64, MaxMembers: 10, MaxMessageSize: 144}

func TestJoinOf64SmallNodesInOneInstantSucceeds(t *testing.T) {
	for seed := range uint64(3) {
		c := newCluster(t, 64, lan(seed), small)
		c.nodes[0].join()
		for _, n := range c.nodes[1:] {
			n.join(c.nodes[0])
		}
		c.net.Run(2 * time.Second)
		text := c.nodes[7].publish()
		c.await(time.Second, "all have a message", func() bool { return c.delivered(text, c.nodes[7]) })
		c.noDuplicates()
	}
}

// ringTicks is within how many ticks neighbours on the ring are to know one another.
const ringTicks = 8

// coldStart lets n nodes, with views of 96, join by three random others each, all in one
// instant, and returns after how many ticks all but one in a thousand know their neighbours on
// the ring.
func coldStart(t testing.TB, seed uint64, n, limit int) (c *cluster, ticks int) {
	t.Helper()
	c = newCluster(t, n, lan(seed), node.Config{MaxMembers: 96})
	for _, x := range c.nodes {
		x.join(c.nodes[c.net.Rand().IntN(n)], c.nodes[c.net.Rand().IntN(n)], c.nodes[c.net.Rand().IntN(n)])
	}
	ring := slices.SortedFunc(slices.Values(c.nodes), func(a, b *simNode) int { return cmp.Compare(a.ID(), b.ID()) })
	wrong := n
	for ticks = 0; ticks < limit && wrong*1000 > n; ticks++ {
		c.net.Run(time.Second)
		wrong = 0
		for i, x := range ring {
			next, last := ring[(i+1)%n], ring[(i+n-1)%n]
			if !x.isBetween(last, next) {
				wrong++
			}
		}
		t.Logf("after %d ticks %d nodes have a wrong neighbour; %.1f datagrams per node so far", ticks+1, wrong, float64(c.net.Count(simnet.Sent).Datagrams)/float64(n))
	}
	if wrong*1000 > n {
		t.Errorf("seed %d: after %d ticks %d of %d nodes do not know their neighbours", seed, limit, wrong, n)
	}
	return c, ticks
}

// isBetween reports whether the neighbours on the ring that the node knows are last and next.
func (n *simNode) isBetween(last, next *simNode) bool {
	size := n.Members()
	if size == 0 {
		return false
	}
	i := n.search(n.ID()) // of the next
	return n.Member((i+size-1)%size).ID == last.ID() && n.Member(i%size).ID == next.ID()
}

func TestJoinOf500NodesFormsTheRingWithin8Ticks(t *testing.T) {
	heavy(t)
	t.Parallel()
	coldStart(t, 1, 500, ringTicks)
}

// BenchmarkSimColdStart is a cold start of 10,000 nodes: the ticks that it takes, and the heap
// of each node after it.
func BenchmarkSimColdStart(b *testing.B) {
	for range b.N {
		c, ticks := coldStart(b, 1, 10000, ringTicks)
		b.ReportMetric(float64(ticks), "ticks")
		c.net.Run(10 * time.Second)
		b.ReportMetric(float64(heapInUse())/float64(len(c.nodes)), "bytes/node")
		runtime.KeepAlive(c)
	}
}

// heapInUse returns the size of the heap after a collection.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // collects what pools kept during the first
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
