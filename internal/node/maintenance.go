package node

import (
	"log/slog"
	"time"

	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/wire"
)

const (
	trimEvery = 16              // exchanges of an idle node between two calls of Trim
	longProbe = 4 * time.Second // between two rounds of Hellos of a node that is alone
)

// maintain does what is due by the clock.
func (n *Node) maintain(now time.Duration) {
	t, c := &n.timers, &n.config
	if n.self.backlog.First > 0 && n.peers.members.Len() > 0 {
		n.publishBacklog(now)
	}
	pause, most := c.TickInterval, exchanged
	if now-t.grewAt < growing {
		pause, most = t.compared, n.out.room/wire.MinMemberSize
	}
	if t.Exchange.Due(now, pause, n.rng) {
		n.exchangeAndCompare(now, most)
	}
	if t.Compare.Due(now, t.compared, n.rng) {
		if !t.news(now) {
			t.Compare.Stop()
		} else if m := n.peers.random(now, n.rng); m != nil {
			n.compare(now, m)
		}
	}
	if t.Announce.Due(now, announcePause, n.rng) {
		n.announce(now)
	}
	if t.Offer.Due(now, pace.Never, n.rng) {
		n.offer(now)
	}
	if t.Heal.Due(now, pace.Never, n.rng) {
		n.heal(now)
	}
	if n.self.state == Joining && n.out.queue.Stats().Hellos == 0 {
		n.record(slog.LevelWarn, "gossip: no seed answers", "seeds", n.peers.members.Seeds())
		n.disconnect(now)
	}
	if t.Probe.Due(now, n.probePause(now), n.rng) && n.self.state != Joining {
		t.round++
		n.probeCandidates(now)
	}
}

// probePause returns the time between two rounds of Hellos to seeds and lost members.
func (n *Node) probePause(now time.Duration) time.Duration {
	pause := n.config.TickInterval
	if now-n.timers.backAt < healing {
		pause /= 10
	}
	if n.self.state == Disconnected {
		pause = min(pause<<min(n.timers.round, 8), longProbe)
	}
	return pause
}

// exchangeAndCompare does what is due once in a TickInterval: it looks at gaps, and exchanges
// members and compares what was seen with one member.
func (n *Node) exchangeAndCompare(now time.Duration, most int) {
	t, news := &n.timers, n.timers.news(now)
	if !news && t.turn%trimEvery == 0 {
		n.out.queue.Trim()
		n.out.body = nil
	}
	n.peers.probes, n.history.skipped = mostProbes, 0
	if n.self.state == Connected { // a node that is cut off cannot ask for what is missing
		t.awake += min(now-t.lookedAt, 2*n.config.TickInterval)
	}
	t.lookedAt = now
	n.askForMissing(now)
	n.giveUpStale()
	t.turn++
	m := n.peers.members.Partner(t.turn, n.rng)
	if m == nil {
		return
	}
	// A queue of one message does not hold both, so they alternate.
	both, odd := n.config.MaxOutputMessages > 1, t.turn%2 == 1
	if both || news || odd {
		n.exchange(m, most)
		n.probeNeighbours()
	}
	if !news && (both || !odd) {
		n.compare(now, m)
	}
}
