package node

import (
	"time"

	"example.com/gossip/internal/pace"
	"example.com/gossip/internal/wire"
)

const trimEvery = 16 // TickIntervals between two calls of Trim

// maintain does what is due by the clock.
func (n *Node) maintain(now time.Duration) {
	t, c := &n.timers, &n.config
	if n.self.backlog.waiting > 0 && n.peers.members.Len() > 0 {
		n.publishBacklog(now)
	}
	if n.self.forged && now >= t.renewAt && n.Settled() {
		n.renew(now)
	}
	if t.Look.Due(now, c.TickInterval, n.rng) {
		n.look(now)
	}
	pause, most := calm*c.TickInterval, exchanged
	switch {
	case now-t.grewAt < growing:
		pause, most = t.compared, n.out.room/wire.MinMemberSize
	case now-t.changedAt < changing:
		pause = c.TickInterval
	}
	if t.Exchange.Due(now, pause, n.rng) {
		n.exchangeAndCompare(now, most)
	}
	if t.Compare.Due(now, t.compared, n.rng) {
		if !t.comparesOften(now) {
			t.Compare.Stop()
		} else if m := n.peers.randomIn(now, n.rng, n.peers.members.StaysIn(n.rng), 1); m != nil {
			n.compare(now, m.Addr)
		}
	}
	if t.Again.Due(now, pace.Never, n.rng) {
		n.requestAgain(now)
	}
	if t.Cover.Due(now, pace.Never, n.rng) {
		n.coverStandby(now)
	}
	if t.Ask.Due(now, pace.Never, n.rng) {
		n.sendAsks(now)
	}
	if t.Announce.Due(now, n.announcePause(now), n.rng) {
		n.announce(now)
	}
	if t.Offer.Due(now, pace.Never, n.rng) {
		n.offer(now)
	}
	if t.Heal.Due(now, pace.Never, n.rng) {
		n.heal(now)
	}
	if n.self.state == Joining && n.out.queue.Stats().Hellos == 0 {
		n.warnOfSilence()
		n.disconnect(now)
	}
	if t.Probe.Due(now, n.probePause(now), n.rng) && n.self.state != Joining {
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
		pause = min(pause, time.Second)
	}
	return pause
}

// look does what is due once in a TickInterval whatever happens: it refills budgets, and deals
// with what has been missing for long.
func (n *Node) look(now time.Duration) {
	t := &n.timers
	if t.looks++; t.looks%trimEvery == 0 {
		n.out.queue.Trim()
		n.history.origins.Trim()
		n.out.body = nil
	}
	n.peers.questions.refill(mostProbes)
	n.refillLines(now)
	if now-t.changedAt > changing {
		n.peers.eager = mostEager
	}
	n.history.skipped = 0
	if n.self.state == Connected { // a node that is cut off cannot ask for what is missing
		t.awake += min(now-t.lookedAt, 2*n.config.TickInterval)
	}
	t.lookedAt = now
	n.giveUpStale()
	n.verifyHearsay()
}

// exchangeAndCompare exchanges members and compares what was seen with one member.
func (n *Node) exchangeAndCompare(now time.Duration, most int) {
	t := &n.timers
	t.turn++
	m := n.peers.members.Partner(t.turn, n.rng)
	switch {
	case m == nil:
		return
	case !m.Validated:
		n.verify(m)
		return
	}
	// A queue of one message does not hold both, so they alternate.
	both, odd := n.config.MaxOutputMessages > 1, t.turn%2 == 1
	if both || odd {
		n.exchange(now, m, most)
		n.verifyNeighbours()
	}
	if both || !odd {
		n.compare(now, m.Addr)
	}
}
