// Package pace decides when a node's recurring duties are due.
package pace

import (
	"math/rand/v2"
	"time"
)

// Never is later than any time.
const Never = time.Duration(1<<63 - 1)

// Duty is something that is done again and again. Its zero value is due at once.
type Duty struct{ at time.Duration }

// Stop puts the next time off for good.
func (d *Duty) Stop() { d.at = Never }

// By makes sure that the next time is no later than at.
func (d *Duty) By(at time.Duration) { d.at = min(d.at, at) }

// Resume puts a duty that was stopped at a random moment of an interval from now.
func (d *Duty) Resume(now, interval time.Duration, rng *rand.Rand) {
	if d.at == Never {
		d.at = now + time.Duration(rng.Int64N(int64(interval)))
	}
}

// Next returns the next time.
func (d *Duty) Next() time.Duration { return d.at }

// Due reports whether the time has come, and then sets the next one to an
// interval from now, give or take a tenth of it so that nodes that were started
// together do not stay in step, or never again if the interval is Never. What
// was missed meanwhile is not made up for.
func (d *Duty) Due(now, interval time.Duration, rng *rand.Rand) bool {
	if now < d.at {
		return false
	}
	if d.at = Never; interval < Never {
		d.at = now + Jitter(interval, rng)
	}
	return true
}

// Jitter returns d, give or take up to a tenth of it.
func Jitter(d time.Duration, rng *rand.Rand) time.Duration {
	tenth := d / 10
	return d - tenth + time.Duration(rng.Int64N(int64(2*tenth)+1))
}

// Plan is the duties of a node.
type Plan struct {
	Exchange, Probe                Duty // again and again
	Compare, Announce, Offer, Heal Duty // when there is something to do
}

// Start puts the recurring duties at random moments of the first interval.
func (p *Plan) Start(now, interval time.Duration, rng *rand.Rand) {
	for _, d := range []*Duty{&p.Compare, &p.Announce, &p.Offer, &p.Heal} {
		d.Stop()
	}
	for _, d := range []*Duty{&p.Exchange, &p.Probe} {
		d.Stop()
		d.Resume(now, interval, rng)
	}
}

// Next returns when the next of them is due.
func (p *Plan) Next() time.Duration {
	return min(p.Exchange.Next(), p.Compare.Next(), p.Probe.Next(), p.Announce.Next(), p.Offer.Next(), p.Heal.Next())
}
