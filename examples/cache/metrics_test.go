package main

import (
	"testing"

	"example.com/gossip/examples/internal/clitest"
)

func TestAReplicaServesItsCountersToPrometheus(t *testing.T) {
	r := idle(t)
	if err := r.node.Join(); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "PUT", "/cache/k", "v", 204, "")
	r.wants(t, "GET", "/cache/k", "", 200, "v")
	r.wants(t, "GET", "/cache/other", "", 404, "")
	samples := clitest.Exposition(t, r.ask("GET", "/metrics", "").Body.String())
	for _, name := range []string{"cache_entries", "cache_hits_total", "cache_misses_total", "cache_taken_total", "gossip_accepted_total", "gossip_connected"} {
		if samples[name] != 1 {
			t.Errorf("after a write, a hit and a miss %s is %v", name, samples[name])
		}
	}
}
