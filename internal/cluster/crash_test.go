package cluster

import (
	"testing"
	"time"

	"example.com/gossip/internal/node"
)

// crashMany crashes that many nodes, but never the first, in one instant, and returns their
// ids.
func (c *cluster) crashMany(count int) map[uint64]bool {
	dead := map[uint64]bool{}
	for _, i := range c.net.Rand().Perm(len(c.nodes) - 1)[:count] {
		n := c.nodes[i+1]
		dead[n.ID()] = true
		n.crash()
	}
	return dead
}

// listed counts the entries of dead nodes in the views of those that run.
func (c *cluster) listed(dead map[uint64]bool) (entries int) {
	for _, n := range c.up() {
		for i := range n.Members() {
			if dead[n.Member(i).ID] {
				entries++
			}
		}
	}
	return entries
}

// restartAll restarts all nodes that are down. They know only the first.
func (c *cluster) restartAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.down {
			clear(n.got) // a new life receives what is retained
			n.restart(c.nodes[0])
		}
	}
}

func TestCrashOfTwoFifthsOf64IsNoticedAndRestartsReplaceTheDead(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c, sent := gather(t, spreadCase{nodes: 64}, seed), map[string]*simNode{}
		dead := c.crashMany(25)
		c.sequence(20, 2*time.Second, sent)
		// Nothing is published from here on: maintenance alone must find the last.
		for start := c.net.Now(); c.listed(dead) > 0; c.net.Run(10 * time.Second) {
			if c.net.Now()-start > 30*time.Minute {
				t.Fatalf("seed %d: after half an hour %d entries of the dead are left\n%s", seed, c.listed(dead), c.describe())
			}
		}
		if !c.complete() {
			t.Fatalf("seed %d: with the dead some living nodes left the views\n%s", seed, c.describe())
		}
		c.restartAll()
		c.converge(2*time.Minute, sent)
		if entries := c.listed(dead); entries > 0 {
			t.Fatalf("seed %d: %d entries of the dead came back with their addresses", seed, entries)
		}
	}
}

func TestCrashOfTwoFifthsOf128LeavesViewsThatShrinkUnderTraffic(t *testing.T) {
	heavy(t)
	t.Parallel()
	for seed := range uint64(2) {
		c, sent := gather(t, spreadCase{nodes: 128}, seed), map[string]*simNode{}
		dead := c.crashMany(51)
		before := c.listed(dead)
		c.sequence(20, time.Second, sent)
		c.traffic(10*time.Second, 200*time.Millisecond, sent)
		if after := c.listed(dead); after > before*9/10 {
			t.Fatalf("seed %d: after 10 s of traffic %d of %d entries of the dead are left", seed, after, before)
		}
		if seed > 0 {
			c.noDuplicates()
			continue // for so many to join at once takes a second of the machine's time
		}
		c.restartAll()
		c.awaitDeliveries(5*time.Second, sent)
		c.sequence(10, time.Second, sent)
		c.noDuplicates()
		if after := c.listed(dead); after > before/3 {
			t.Fatalf("seed %d: when all run again %d of %d entries of their former lives are left", seed, after, before)
		}
	}
}

// Each survivor finds the few other survivors among the dead in its view.
func TestCrashOfMostNodesDelaysAMessageForSecondsOnly(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, c := range []struct {
		crash     float64
		view      int
		t99, t100 time.Duration
		copies    float64
	}{{0.8, 1024, time.Second, 2 * time.Second, 12}, {0.8, 96, 2 * time.Second, 6 * time.Second, 8}, {0.9, 96, 6 * time.Second, 8 * time.Second, 12}} {
		r := spreadCase{
			nodes: 500, messages: 1, crash: c.crash, clusters: 2, partial: c.view < 500, config: node.Config{MaxMembers: c.view},
		}.run(t, 1)
		t.Logf("%.0f %% of 500 crash, views of %d: 99 %% after %v, all after %v, %.1f copies", 100*c.crash, c.view, r.t99, r.t100, r.copies)
		if r.t99 > c.t99 || r.t100 > c.t100 || r.copies > c.copies || r.missing > 0 {
			t.Errorf("seed 1: %.0f %% of 500 crash, views of %d: 99 %% have a message after %v, all after %v, with %.1f copies each; %d never",
				100*c.crash, c.view, r.t99, r.t100, r.copies, r.missing)
		}
	}
}

func TestCrashOfAllMembersIsFollowedByAReunion(t *testing.T) {
	c := newCluster(t, 8, lan(15), node.Config{})
	c.form()
	last := c.nodes[7]
	for _, n := range c.nodes[:7] {
		n.crash()
	}
	c.await(2*time.Minute, "the last node is DISCONNECTED", func() bool { return last.State() == node.Disconnected })
	c.net.Run(time.Minute)
	for i, n := range c.nodes[:7] {
		if i == 0 {
			n.restart()
		} else {
			n.restart(c.nodes[0])
		}
	}
	t.Log(c.await(10*time.Second, "all know all", c.complete))
	text := c.nodes[2].publish()
	c.awaitDeliveries(5*time.Second, map[string]*simNode{text: c.nodes[2]})
}

// The address of a node that crashed for good may be somebody else's by then.
func TestCrashForGoodIsAskedLessAndLessAndForgotten(t *testing.T) {
	heavy(t)
	for seed := range uint64(2) {
		c := gather(t, spreadCase{nodes: 20}, seed)
		dead := c.nodes[7]
		toDead := c.countTo(dead.addr)
		dead.crash()
		c.net.Run(20 * time.Minute)
		early := toDead.hellos
		c.net.Run(20 * time.Minute)
		middle := toDead.hellos
		c.net.Run(22 * time.Minute)
		for _, n := range c.up() {
			if hellos := toDead.by[n.addr]; hellos > 250 {
				t.Errorf("seed %d: %v sent the address of a node that crashed %d Hellos in an hour", seed, n.addr, hellos)
			}
			if s := n.Stats(); s.Lost > 0 || s.MembersLost != 1 {
				t.Errorf("seed %d: an hour after the crash %v has lost %d and looks for %d", seed, n.addr, s.MembersLost, s.Lost)
			}
		}
		if middle-early > early/2 {
			t.Errorf("seed %d: %d Hellos in the first 20 minutes, %d in the next", seed, early, middle-early)
		}
		t.Logf("%d Hellos to the dead in 20 min, %d in 40, %d in an hour, of 19 nodes", early, middle, toDead.hellos)
		before := toDead.bytes
		if c.net.Run(time.Hour); toDead.bytes > before {
			t.Errorf("seed %d: in the second hour the dead is sent %d bytes", seed, toDead.bytes-before)
		}
	}
}
