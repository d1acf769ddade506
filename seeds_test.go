package gossip

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
)

// inViewsOf12 makes a cluster of 64 nodes that joined the first one, which most of them do
// not keep in their views.
func inViewsOf12(t *testing.T, seed uint64) *simCluster {
	c := newSimCluster(t, 64, lan(seed), Config{MaxMembers: 12})
	c.nodes[0].join()
	for _, n := range c.nodes[1:] {
		n.join(c.nodes[0])
	}
	c.net.Run(30 * time.Second)
	return c
}

func TestTheSeedOfALargeClusterIsNoBusierThanOthers(t *testing.T) {
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

// It knows nobody, and joins nobody.
func TestASeedThatStartsAgainByItselfIsFoundByALargeCluster(t *testing.T) {
	for seed := range uint64(3) {
		c := inViewsOf12(t, seed)
		c.nodes[0].crash()
		c.net.Run(5 * time.Second)
		c.nodes[0].start()
		c.nodes[0].join()
		c.await(5*time.Second, "the seed knows members", func() bool { return c.nodes[0].roster.Len() > 4 })
		text := c.nodes[40].say()
		c.await(3*time.Second, "all have a message", func() bool { return c.allGot(text, c.nodes[40]) })
	}
}

// In time most of those that were lost are not coming back.
func TestTwoNodesThatAreCutOffAmongManyDeadFindEachOther(t *testing.T) {
	heavy(t)
	for seed := range uint64(3) {
		c := newSimCluster(t, 202, lan(seed), Config{})
		c.nodes[0].join()
		for _, n := range c.nodes[1:] {
			n.join(c.nodes[0])
		}
		c.net.Run(30 * time.Second)
		for _, n := range c.nodes[2:] {
			n.crash()
		}
		c.net.Run(2 * time.Minute)
		c.net.Partition([]netip.AddrPort{c.nodes[0].addr}, []netip.AddrPort{c.nodes[1].addr})
		c.net.Run(10 * time.Minute)
		c.net.Heal()
		c.await(15*time.Second, "both are CONNECTED with each other", c.complete)
	}
}
