package memnet_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"example.com/gossip"
	"example.com/gossip/examples/memnet"
)

// replica is a small application: feature flags without a leader. Every replica takes writes
// and spreads them, and the latest write of a flag wins at all of them.
type replica struct {
	node *gossip.GossipService

	mu    sync.Mutex
	clock uint64 // the highest version seen
	flags map[string]write
}

// write is a change of a flag, and the payload of a message.
type write struct {
	Flag, Value string
	Version     uint64 // higher than all that the writer had seen
	Writer      gossip.NodeID
}

// after reports whether w wins over another write of the flag.
func (w write) after(x write) bool {
	if w.Version != x.Version {
		return w.Version > x.Version
	}
	return w.Writer > x.Writer
}

// set writes a flag. If the node cannot send the write, nothing has changed.
func (r *replica) set(flag, value string) error {
	r.mu.Lock()
	w := write{flag, value, r.clock + 1, r.node.ID()}
	r.mu.Unlock()
	payload, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := r.node.SendData(payload); err != nil {
		return fmt.Errorf("flag %s is not set: %w", flag, err)
	}
	r.take(w)
	return nil
}

// receive takes a write of another replica.
func (r *replica) receive(payload []byte) {
	var w write
	if json.Unmarshal(payload, &w) == nil {
		r.take(w)
	}
}

func (r *replica) take(w write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = max(r.clock, w.Version)
	if old, ok := r.flags[w.Flag]; !ok || w.after(old) {
		r.flags[w.Flag] = w
	}
}

// values returns the flags that are set.
func (r *replica) values() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	values := map[string]string{}
	for flag, w := range r.flags {
		values[flag] = w.Value
	}
	return values
}

// The network is cut in two, both sides write flags, some of them the same, and the network
// heals. Where both wrote, the write of the higher version wins; no other write is lost.
func TestReplicasAgreeAfterAPartition(t *testing.T) {
	for _, lasts := range []time.Duration{time.Second, 20 * time.Second, 2 * time.Minute} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("lasts=%v/seed=%d", lasts, seed), func(t *testing.T) {
				cryptotest.SetGlobalRandom(t, seed) // a seed that fails once always fails
				synctest.Test(t, func(t *testing.T) { partition(t, lasts, seed) })
			})
		}
	}
}

// partition runs in a bubble, so it sleeps in virtual time.
func partition(t *testing.T, lasts time.Duration, seed uint64) {
	network := memnet.New(memnet.Config{
		Seed: seed, LatencyMin: 5 * time.Millisecond, LatencyMax: 50 * time.Millisecond, Loss: 0.05,
	})
	replicas := make([]*replica, 5)
	for i := range replicas {
		replicas[i] = &replica{flags: map[string]write{}}
	}
	for i, node := range cluster(t, network, len(replicas), func(i int, payload []byte) {
		replicas[i].receive(payload)
	}) {
		replicas[i].node = node
	}
	left, right := replicas[0], replicas[4]
	set := func(r *replica, flag, value string) {
		t.Helper()
		synctest.Wait()
		if err := r.set(flag, value); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		synctest.Wait()
	}
	agree := func(when string, on []*replica, want map[string]string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			lag := 0
			for _, r := range on {
				if !maps.Equal(r.values(), want) {
					lag++
				}
			}
			if lag == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("seed %d: %s, %d of %d replicas do not have %v after a minute", seed, when, lag, len(on), want)
			}
		}
	}

	set(left, "theme", "light")
	agree("before the cut", replicas, map[string]string{"theme": "light"})

	network.Partition([]netip.AddrPort{address(0), address(1), address(2)}) // from 3 and 4
	set(left, "owner", "left")                                              // of the same version as the next
	set(right, "owner", "right")
	set(left, "theme", "dark")
	set(right, "theme", "blue")
	set(right, "theme", "green") // of a higher version than on the left
	set(left, "beta", "on")
	set(right, "quota", "10")
	agree("in the left part", replicas[:3], map[string]string{"owner": "left", "theme": "dark", "beta": "on"})
	agree("in the right part", replicas[3:], map[string]string{"owner": "right", "theme": "green", "quota": "10"})
	time.Sleep(lasts)

	network.Heal()
	owner := "left"
	if right.node.ID() > left.node.ID() {
		owner = "right"
	}
	agree("after the cut", replicas, map[string]string{"owner": owner, "theme": "green", "beta": "on", "quota": "10"})
	set(left, "theme", "red") // after all that it has seen
	agree("in the end", replicas, map[string]string{"owner": owner, "theme": "red", "beta": "on", "quota": "10"})
}
