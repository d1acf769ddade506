// Package pace decides when a node's recurring duties are due.
package pace

import (
	"math/rand/v2"
	"time"
)

// Never is later than any time.
const Never = time.Duration(1<<63 - 1)

// Duty is something to be done repeatedly. Its zero value is due at once.
type Duty struct{ at time.Duration }

// Stop makes the duty not due until By or Resume is called.
func (d *Duty) Stop() { d.at = Never }

// By makes sure that the next time is no later than at.
func (d *Duty) By(at time.Duration) { d.at = min(d.at, at) }

// Resume schedules a stopped duty at a random moment of the interval from now.
func (d *Duty) Resume(now, interval time.Duration, rng *rand.Rand) {
	if d.at == Never {
		d.at = now + time.Duration(rng.Int64N(int64(interval)))
	}
}

// Next returns the next time.
func (d *Duty) Next() time.Duration { return d.at }

// Due reports whether the duty is due. If it is, the next time is an interval from now,
// give or take a tenth so that nodes started together do not stay in step; if the interval
// is Never the duty stops. Missed times are not made up for.
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
	Look, Exchange, Probe                             Duty // again and again
	Compare, Announce, Offer, Heal, Again, Cover, Ask Duty // when there is something to do
}

// Start schedules the recurring duties at random moments of the first interval and stops
// the others.
func (p *Plan) Start(now, interval time.Duration, rng *rand.Rand) {
	for _, d := range []*Duty{&p.Compare, &p.Announce, &p.Offer, &p.Heal, &p.Again, &p.Cover, &p.Ask} {
		d.Stop()
	}
	for _, d := range []*Duty{&p.Look, &p.Exchange, &p.Probe} {
		d.Stop()
		d.Resume(now, interval, rng)
	}
}

// Next returns when the next duty is due.
func (p *Plan) Next() time.Duration {
	return min(p.Look.Next(), p.Exchange.Next(), p.Probe.Next(),
		p.Compare.Next(), p.Announce.Next(), p.Offer.Next(), p.Heal.Next(), p.Again.Next(), p.Cover.Next(), p.Ask.Next())
}
