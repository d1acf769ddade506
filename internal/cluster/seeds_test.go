package cluster

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

func TestSeedThatIsDownIsFoundWhenItStarts(t *testing.T) {
	c := newCluster(t, 2, lan(13), node.Config{})
	seed, n := c.nodes[0], c.nodes[1]
	seed.crash()
	n.join(seed)
	c.await(5*time.Second, "the node is DISCONNECTED", func() bool { return n.State() == node.Disconnected })
	c.net.Run(5 * time.Minute)
	seed.restart()
	t.Log(c.await(5*time.Second, "the node joins by itself", c.complete))
}

func TestSeedIsFoundByALonelyNodeWhateverItsTickInterval(t *testing.T) {
	c := newCluster(t, 2, lan(36), node.Config{TickInterval: 5 * time.Minute})
	c.form()
	seed, n := c.nodes[0], c.nodes[1]
	seed.crash()
	n.publish()
	c.await(10*time.Minute, "the node is DISCONNECTED", func() bool { return n.State() == node.Disconnected })
	before := c.net.Count(simnet.Sent).Datagrams
	c.await(2*time.Second, "a node that is alone sends Hellos", func() bool { return c.net.Count(simnet.Sent).Datagrams > before })
	seed.restart()
	c.await(5*time.Second, "the node is CONNECTED again", func() bool { return n.State() == node.Connected })
}

// A round of Hellos that is larger than the queue must not always displace the same one.
func TestSeedIsFoundAmongManyDeadOnesThroughATinyQueue(t *testing.T) {
	for _, limit := range []int{1, 2, 4} {
		c := newCluster(t, 16, lan(uint64(limit)), node.Config{})
		n := c.add(otherAddr, node.Config{MaxOutputMessages: limit})
		c.nodes[0].join()
		for _, down := range c.nodes[1:16] {
			down.crash()
		}
		n.join(c.nodes[:16]...)
		c.await(2*time.Minute, "the node has found the one seed that is up", func() bool { return n.State() == node.Connected })
	}
}

// inViewsOf12 makes a cluster of 64 nodes that joined the first one, which most of them do
// not keep in their views.
func inViewsOf12(t *testing.T, seed uint64) *cluster {
	c := newCluster(t, 64, lan(seed), node.Config{MaxMembers: 12})
	c.nodes[0].join()
	for _, n := range c.nodes[1:] {
		n.join(c.nodes[0])
	}
	c.net.Run(30 * time.Second)
	return c
}

func TestSeedOfALargeClusterIsNoBusierThanOthers(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		c := inViewsOf12(t, seed)
		toSeed, all := 0, 0
		c.net.SetTap(func(e simnet.Event) {
			if e.Kind == simnet.Sent {
				all++
				if e.To == c.nodes[0].addr {
					toSeed++
				}
			}
		})
		c.net.Run(time.Minute)
		if mean := all / len(c.nodes); toSeed > 3*mean {
			t.Errorf("seed %d: in a minute a node is sent %d datagrams, and the seed %d", seed, mean, toSeed)
		}
	}
}

// The seed knows no member after its restart, and has no seed of its own: the others must find
// it.
func TestSeedThatRestartsAloneIsFoundByALargeCluster(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		c := inViewsOf12(t, seed)
		c.nodes[0].crash()
		c.net.Run(5 * time.Second)
		c.nodes[0].restart()
		c.await(10*time.Second, "the seed knows members", func() bool { return c.nodes[0].Members() > 4 })
		text := c.nodes[40].publish()
		c.await(3*time.Second, "all have a message", func() bool { return c.delivered(text, c.nodes[40]) })
	}
}

// In each of three generations the seeds die and others start elsewhere, as a cluster of their
// own at first. The old members are given the new addresses by Join, as by a name that resolves
// to others: all of them or one.
func TestSeedsAreReplacedByOthersElsewhere(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(6) {
		c := newCluster(t, 12, lan(seed), node.Config{})
		seeds := slices.Clone(c.nodes[:3])
		for _, n := range c.nodes {
			n.join(seeds...)
		}
		c.await(time.Minute, "all know all", c.complete)
		sent := map[string]*simNode{}
		for generation := range byte(3) {
			for i, s := range seeds {
				s.crash()
				addr := netip.AddrFrom4([4]byte{10, 9, generation, byte(i)})
				seeds[i] = c.add(netip.AddrPortFrom(addr, 7070), node.Config{})
			}
			for _, s := range seeds {
				s.join(seeds...)
			}
			c.traffic(5*time.Second, 100*time.Millisecond, sent)
			old := slices.DeleteFunc(c.up(), func(n *simNode) bool { return slices.Contains(seeds, n) })
			joining := old
			if seed%2 == 0 {
				joining = joining[:1]
			}
			for _, n := range joining {
				entered := len(n.states)
				n.join(seeds...)
				if n.State() != node.Connected || len(n.states) != entered {
					t.Fatalf("seed %d: Join with new seeds makes a connected node %v", seed, n.State())
				}
			}
			c.await(10*time.Second, "each old member knows the new seeds", func() bool {
				return !slices.ContainsFunc(old, func(n *simNode) bool {
					return slices.ContainsFunc(seeds, func(s *simNode) bool { return !n.knows(s.ID()) })
				})
			})
			c.awaitDeliveries(5*time.Second, sent)
			newcomer := c.add(netip.AddrPortFrom(seeds[0].addr.Addr(), 7071), node.Config{})
			newcomer.join(seeds...)
			c.await(2*time.Second, "a newcomer knows all that live", func() bool { return newcomer.Members() >= len(c.up())-1 })
			c.sequence(10, 3*time.Second, sent)
		}
		c.await(5*time.Minute, "all know all that live", c.complete)
		lonely := c.nodes[3]
		c.partition(4) // the first seeds, which are dead, and this one
		c.await(5*time.Minute, "a node that is cut off is alone", func() bool { return lonely.State() == node.Disconnected })
		c.net.Heal()
		c.converge(10*time.Second, sent)
	}
}

// A shared address leads to one node, later to another.
func TestSeedAddressThatMovesToAnotherClusterUnitesThem(t *testing.T) {
	c := newCluster(t, 4, lan(1), node.Config{})
	shared := netip.MustParseAddrPort("10.9.0.1:7070")
	end := c.listenAt(shared)
	holder := c.nodes[1]
	end.OnReadable(func() {
		b := make([]byte, 1<<10)
		for length, from, err := end.Receive(b, 0); err == nil; length, from, err = end.Receive(b, 0) {
			holder.handle(from, b[:length])
		}
	})
	for i := range 2 {
		holder = c.nodes[2*i+1]
		holder.join()
		c.nodes[2*i].joinAt(shared)
		c.net.Run(10 * time.Second)
	}
	holder = c.nodes[1]
	c.await(3*time.Minute, "the two clusters are one", c.complete)
}
