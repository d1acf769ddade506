package cluster

import (
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// TestSeedThatIsFarIsJoined lets a node join a seed over round trips of up to five seconds; the
// seed starts later, too.
func TestSeedThatIsFarIsJoined(t *testing.T) {
	for _, roundTrip := range []time.Duration{time.Second, 2 * time.Second, 3500 * time.Millisecond, 5 * time.Second} {
		for _, late := range []time.Duration{0, 20 * time.Second} {
			net := simnet.Config{Seed: 1, LatencyMin: roundTrip / 2, LatencyMax: roundTrip / 2}
			c := newCluster(t, 2, net, node.Config{})
			seed, n := c.nodes[0], c.nodes[1]
			seed.crash()
			if late == 0 {
				seed.restart()
			}
			n.join(seed)
			if c.net.Run(late); late > 0 {
				seed.restart()
			}
			took := c.await(4*roundTrip+5*time.Second, "both know one another", c.complete)
			text := n.publish()
			c.await(3*roundTrip+5*time.Second, "the seed has a message", func() bool { return seed.got[text] > 0 })
			c.net.Run(time.Minute)
			t.Logf("round trip %v, late %v: %v; then %d and %d lost", roundTrip, late, took, seed.Stats().MembersLost, n.Stats().MembersLost)
		}
	}
}
