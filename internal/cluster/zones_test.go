package cluster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// threeRegions makes three regions of eight nodes that are zones.
func threeRegions(t *testing.T, seed uint64) *cluster {
	return wanCase{roundTrips: atlantic, sizes: even(3, 8), zones: true}.settle(t, seed)
}

func TestZoneThatWasCutOffHasAllMessagesSoon(t *testing.T) {
	for seed := range uint64(3) {
		c := threeRegions(t, seed)
		c.partition(8)
		sent := map[string]*simNode{}
		c.traffic(30*time.Second, 500*time.Millisecond, sent)
		c.net.Heal()
		took := c.awaitDeliveries(3*time.Second, sent)
		t.Logf("seed %d: messages %v after, views %v after that", seed, took, c.await(10*time.Second, "all know all again", c.complete))
		c.noDuplicates()
	}
}

// What is sent into a zone that is cut off goes to a few members there, not to all in turn.
func TestZoneThatIsCutOffCostsFewCopies(t *testing.T) {
	c := wanCase{roundTrips: atlantic, sizes: even(3, 16), zones: true}.settle(t, 1)
	c.partition(16)
	var y traffic
	c.net.SetTap(between(&y))
	c.nodes[20].publish()
	c.net.Run(300 * time.Millisecond)
	if copies := y.messages[wire.TypeData]; copies > 20 {
		t.Errorf("seed 1: while a zone of 16 is cut off %d copies of a message go to other zones in 300 ms", copies)
	}
}

func TestZoneThatCrashesAndReturnsHasAllMessages(t *testing.T) {
	for seed := range uint64(3) {
		c := threeRegions(t, seed)
		for _, n := range c.nodes[8:16] {
			n.crash()
		}
		sent := map[string]*simNode{}
		c.traffic(5*time.Second, 250*time.Millisecond, sent)
		c.awaitDeliveries(time.Second, sent)
		for _, n := range c.nodes[8:16] {
			n.restart(c.nodes[0], c.nodes[20])
		}
		c.awaitDeliveries(5*time.Second, sent)
		c.await(20*time.Second, "all know all again", c.complete)
		c.sequence(10, time.Second, sent)
		c.noDuplicates()
	}
}

// Of one node, of two, many of one, and some nodes without a zone.
func TestZonesOfAnySizeDeliverAtOnce(t *testing.T) {
	heavy(t)
	for _, sizes := range [][]int{{1, 1}, {1, 12, 2}, even(100, 1), {30}, even(20, 3)} {
		for _, without := range []int{0, 5} {
			c := newCluster(t, 0, lan(1), node.Config{})
			for z, size := range append([]int{without}, sizes...) {
				for i := range size {
					config := node.Config{}
					if z > 0 {
						config.Zone = fmt.Sprint("zone ", z)
					}
					c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(z), 0, byte(i)}), 7070), config)
				}
			}
			c.form()
			c.net.Run(5 * time.Second)
			sent, before := map[string]*simNode{}, c.duplicates()
			c.sequence(20, 150*time.Millisecond, sent)
			c.net.Run(time.Second)
			if more := c.duplicates() - before; more > 20*uint64(2*len(sizes)) {
				t.Errorf("seed 1: in zones of %v and %d nodes without, 20 messages arrived %d times where they were already", sizes, without, more)
			}
			c.noDuplicates()
		}
	}
}

// Nodes that claim to be in another zone are reached as fast as before, and harm no other much.
func TestZoneThatANodeLiesAboutHarmsNoOther(t *testing.T) {
	c := wanCase{roundTrips: atlantic, sizes: even(3, 8), zones: true}
	liar := node.Config{Zone: "region 0"}
	cluster := c.settle(t, 1)
	for i := range byte(2) {
		n := cluster.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 1, i}), 7070), liar)
		n.join(cluster.nodes[0])
	}
	cluster.await(20*time.Second, "all know all", cluster.complete)
	cluster.net.Run(10 * time.Second)
	for range 30 {
		now := map[string]*simNode{}
		cluster.traffic(time.Millisecond, time.Millisecond, now)
		cluster.awaitDeliveries(150*time.Millisecond, now)
	}
	cluster.noDuplicates()
}

// A node stands by for another one, and covers its zone when that one is dead.
func TestZoneIsEnteredByAnotherMemberWhenOneIsDead(t *testing.T) {
	for seed := range uint64(3) {
		c := wanCase{roundTrips: atlantic, sizes: even(3, 8), zones: true}
		cluster := c.settle(t, seed)
		cluster.nodes[20].crash()
		for range 12 {
			now := map[string]*simNode{}
			now[cluster.nodes[0].publish()] = cluster.nodes[0]
			if took := cluster.awaitDeliveries(time.Second, now); took > 75*time.Millisecond {
				t.Fatalf("seed %d: with a dead member of a zone 31 ms away a message took %v", seed, took)
			}
		}
	}
}
