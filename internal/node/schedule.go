package node

import (
	"math/rand/v2"
	"time"

	"example.com/gossip/internal/pace"
)

const (
	newsLasts = 1500 * time.Millisecond // after the last news: until then comparisons are more frequent
	healing   = 3 * time.Second         // after a lost member came back: until then others are probed more often
	growing   = 8 * time.Second         // after the last new member: until then more are exchanged, and more often
)

// timers is the schedule of a node's recurring duties, and the times it remembers for them.
type timers struct {
	pace.Plan
	interval time.Duration // Config.TickInterval
	compared time.Duration // the interval between two comparisons while there is news

	turn      int           // of the exchange
	recent    bool          // the last comparison was of recent messages
	round     int           // of a node that is alone
	awake     time.Duration // how long the loop has turned while CONNECTED; the age of gaps is counted by it
	lookedAt  time.Duration // when gaps were last looked at
	newsAt    time.Duration // when a message was last new, here or there
	warnAt    time.Duration // when to record a Hello of another cluster again
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
		newsAt: -newsLasts, grewAt: -growing, backAt: -healing,
	}
	t.Start(now, t.interval, rng)
}

// compareOften begins or extends the period in which the node compares what it has seen
// with random members, because there may be news.
func (t *timers) compareOften(now time.Duration, rng *rand.Rand) {
	t.newsAt = now
	t.Compare.Resume(now, t.compared, rng)
}

// news reports whether there is news.
func (t *timers) news(now time.Duration) bool { return now-t.newsAt < newsLasts }
