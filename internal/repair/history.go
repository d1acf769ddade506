package repair

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
)

// SkipHistory makes the Desk take what the next pages say was seen, round all
// origins once, as what need not be had: see Skip. SkipUntil bounds how long. It counts
// as if nothing had ever been taken of the origins that are known.
func (d *Desk) SkipHistory() {
	d.skipped, d.skipUntil = 0, forever
	for i := range d.origins.Len() {
		d.origins.At(i).Since = 0
	}
}

const forever = 1<<63 - 1

// SkipUntil makes skipping history end at that time, if it has not ended by then.
func (d *Desk) SkipUntil(until time.Duration) { d.skipUntil = min(d.skipUntil, until) }

// Skipping reports whether that is still going on.
func (d *Desk) Skipping(now time.Duration) bool { return now < d.skipUntil }

// Skip takes a page of a member as history, but for what follows the first message that
// was taken of an origin; via stands for the member, as for Origin, and skipped is called
// with each origin of the page. When the pages have gone round, from id 0 to the highest,
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

// SkipTo takes all of an origin up to floor as history. Where order is kept, InOrder
// goes past it, with what waits there.
func (d *Desk) SkipTo(o *versions.Origin, floor uint32) { o.Seen.Advance(floor, d.origins.Pool()) }

// InOrder yields the messages of an origin that are next in its order: those
// after the last one given, up to the floor. It returns how many are lost because they
// were seen but are not retained any more. The caller has counted the unseen ones that
// were given up on the way: these are not among them.
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
