package repair

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
)

// SkipHistory makes the Desk skip what the next pages say was seen, until they have covered
// all origins once: see Skip. SkipUntil bounds how long. Known origins count as if nothing
// had been taken of them yet.
func (d *Desk) SkipHistory() {
	d.skipped, d.skipUntil = 0, forever
	for i := range d.origins.Len() {
		d.origins.At(i).Since = 0
	}
}

const forever = 1<<63 - 1

// SkipUntil makes skipping history end at until, if it has not ended by then.
func (d *Desk) SkipUntil(until time.Duration) { d.skipUntil = min(d.skipUntil, until) }

// Skipping reports whether history is being skipped.
func (d *Desk) Skipping(now time.Duration) bool { return now < d.skipUntil }

// Skip skips what a page of a member says was seen, except what follows the first message
// taken of an origin; via stands for the member, as for Origin, and skipped is called with
// each origin of the page. When the pages have covered all ids from 0 to the highest,
// skipping ends.
func (d *Desk) Skip(now time.Duration, page versions.Digest, first, last, via uint64, skipped func(*versions.Origin)) {
	for {
		origin, floor, theirs, more := page.Next(d.theirs)
		d.theirs = theirs
		if !more {
			break
		}
		o := d.Origin(now, origin, via)
		if o == nil {
			continue
		}
		for _, r := range theirs {
			floor = max(floor, r.Last)
		}
		d.SkipTo(o, min(floor, o.Since-1)) // Since 0, none taken: no bound, for it wraps
		skipped(o)
	}
	if first == 0 || first-1 <= d.skipped {
		d.skipped = max(d.skipped, last)
	}
	if d.skipped == 1<<64-1 {
		d.skipUntil = 0
	}
}

// SkipTo skips all of an origin up to floor. Where order is kept, InOrder moves past it and
// yields what waits there.
func (d *Desk) SkipTo(o *versions.Origin, floor uint32) { o.Seen.Advance(floor, d.origins.Pool()) }

// InOrder yields the messages of an origin that are next in its order: those after the last
// one given, up to the floor. It returns how many are lost because they were seen but are no
// longer retained. These do not include the unseen messages that were given up on the way,
// which the caller has counted already.
func (d *Desk) InOrder(o *versions.Origin, unseen uint64, yield func(*datalog.Entry)) (lost uint64) {
	floor := o.Seen.Floor()
	if o.Given >= floor {
		return 0
	}
	for e := d.log.From(o.ID, o.Given+1); e != nil && e.Counter <= floor; e = d.log.Next(e) {
		if e.Counter >= o.Since {
			lost--
		}
		yield(e)
	}
	// What is missing before the first message taken is history, not loss.
	if first := max(o.Given+1, o.Since); o.Since > 0 && first <= floor {
		lost += uint64(floor-first) + 1
	} else {
		lost = 0
	}
	o.Given = floor
	return lost - min(lost, unseen)
}
