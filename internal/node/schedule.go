package node

import (
	"math/rand/v2"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/pace"
)

const (
	comparesAfterReturn = 1500 * time.Millisecond // how long comparisons are frequent after a member is back
	comparesAfterRepair = 700 * time.Millisecond  // and after a message came by repair
	healing             = 3 * time.Second         // after a lost member came back: until then others are probed more often
	growing             = 8 * time.Second         // after the last new member: until then more are exchanged, and more often
	changing            = 15 * time.Second        // after the last change of the view: until then exchanges are frequent
	calm                = 4                       // times TickInterval is the time between exchanges after that
)

// timers is the schedule of a node's recurring duties, and the times it remembers for them.
type timers struct {
	pace.Plan
	interval time.Duration // Config.TickInterval
	compared time.Duration // the interval between two comparisons while there is news

	turn      int           // of the exchange
	newsSince time.Duration // since when there is something to announce
	hurries   bool          // the last announcement was full
	looks     int           // how many there were
	awake     time.Duration // how long the loop has turned while CONNECTED; the age of gaps is counted by it
	lookedAt  time.Duration // when gaps were last looked at
	compareTo time.Duration // until then comparisons are frequent
	changedAt time.Duration // when the view last changed
	addressAt time.Duration // when the node may ask for its own address again
	linesAt   time.Duration // when lines are refilled
	forgedAt  time.Duration // when to record a forged message again
	renewAt   time.Duration // when the node may renew itself again
	grewAt    time.Duration // when hearsay last brought a member
	backAt    time.Duration // when a lost member was last heard again
	offeredAt time.Duration // when offer was last done
	healAt    time.Duration // and heal
}

// reset starts the schedule of a new identity. The age of gaps goes on, because known origins
// outlive the identity.
func (t *timers) reset(now time.Duration, rng *rand.Rand) {
	*t = timers{
		interval: t.interval, compared: t.compared, awake: t.awake, lookedAt: t.lookedAt,
		grewAt: -growing, backAt: -healing, changedAt: now,
	}
	t.Start(now, t.interval, rng)
}

// compareOften begins or extends a period in which the node compares what it has seen with
// random members, because messages may be missing here or there.
func (t *timers) compareOften(now, lasts time.Duration, rng *rand.Rand) {
	t.compareTo = max(t.compareTo, now+lasts)
	t.Compare.Resume(now, t.compared, rng)
}

// comparesOften reports whether such a period goes on.
func (t *timers) comparesOften(now time.Duration) bool { return now < t.compareTo }

// scheduleOffer schedules a message that is new here to be offered to others: soon to a
// random member, for which it may have been lost; or, if it came by repair, at once to the
// neighbours, for it was then probably lost to a whole arc.
func (n *Node) scheduleOffer(now time.Duration, e *datalog.Entry, repaired bool) {
	t := &n.timers
	if repaired {
		t.compareOften(now, comparesAfterRepair, n.rng)
		t.Compare.By(now + max(offerAge, n.peers.members.RTT().Smoothed())) // more may be missing
		n.healSoon(now, e)
	} else {
		n.history.news.Add(e.Origin, e.Counter)
		t.Offer.By(max(now+pace.Jitter(max(offerAge, 5*n.peers.offered/4), n.rng), t.offeredAt+offerPause))
	}
}

// healSoon makes a message one that heal offers.
func (n *Node) healSoon(now time.Duration, e *datalog.Entry) {
	n.history.repaired.Add(e.Origin, e.Counter)
	n.timers.Heal.By(max(now, n.timers.healAt+offerPause))
}

// Deadline returns when Tick is to be called next; now while output waits to be sent.
func (n *Node) Deadline(now time.Duration) time.Duration {
	at := now + n.config.TickInterval
	if n.self.active() {
		at = min(at, n.timers.Next())
	}
	if n.out.queue.Pending() {
		at = now
	}
	if due, any := n.out.queue.Deadline(); any {
		at = min(at, due)
	}
	return max(now, at)
}
