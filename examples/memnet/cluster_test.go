package memnet_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"example.com/gossip/examples/memnet"
)

// The package comment says when a cluster repeats itself: then it does, to the nanosecond.
func TestClusterRepeatsItself(t *testing.T) {
	run := func(seed uint64) string {
		cryptotest.SetGlobalRandom(t, seed)
		var story strings.Builder
		synctest.Test(t, func(t *testing.T) {
			const size = 6
			start := time.Now()
			network := memnet.New(memnet.Config{Seed: seed, LatencyMin: 5 * ms, LatencyMax: 15 * ms, Loss: 0.1})
			var heard [size]strings.Builder // of each node's own goroutine
			nodes := cluster(t, network, size, func(i int, payload []byte) {
				fmt.Fprintf(&heard[i], "%d got %s at %v\n", i, payload, time.Since(start))
			})
			for second := range 20 {
				synctest.Wait()
				nodes[second%size].SendData(fmt.Appendf(nil, "message %d", second))
				if second == 5 {
					network.Partition([]netip.AddrPort{address(0), address(1)})
				}
				if second == 12 {
					network.Heal()
				}
				synctest.Wait()
				time.Sleep(time.Second)
			}
			synctest.Wait()
			for i, node := range nodes {
				fmt.Fprintf(&story, "%s%v %+v\n", heard[i].String(), node.ID(), node.Stats())
			}
			fmt.Fprintf(&story, "%+v\n", network.Counts())
		})
		return story.String()
	}
	for seed := range uint64(2) {
		first := run(seed)
		for range 3 {
			if again := run(seed); again != first {
				t.Fatalf("seed %d: first\n%s\nand then\n%s", seed, first, again)
			}
		}
		if run(seed+2) == first {
			t.Errorf("seeds %d and %d make the same cluster", seed, seed+2)
		}
	}
}
