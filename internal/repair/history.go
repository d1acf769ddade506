package repair

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
)

// SkipHistory makes the Desk skip what the next pages say was seen, until they have covered
// all origins once: see Skip. Joined bounds how long. Known origins count as if nothing had
// been taken of them yet.
func (d *Desk) SkipHistory() {
	d.skipped, d.skipUntil, d.joinedAt, d.newUntil = 0, forever, forever, forever
	for i := range d.origins.Len() {
		d.origins.At(i).Since = 0
	}
}

const forever = 1<<63 - 1

// Joined notes that the node found its cluster. If it skips history, that ends within most.
func (d *Desk) Joined(now, most time.Duration) {
	d.skipUntil, d.newUntil = min(d.skipUntil, now+most), min(d.newUntil, now+most)
	d.joinedAt = min(d.joinedAt, now)
}

// Skipping reports whether history is being skipped.
func (d *Desk) Skipping(now time.Duration) bool { return now < d.skipUntil }

// History reports whether a repair of that age is of a message that is to be skipped though
// the pages did not name it, for they may have come from members as new as this node. Ages
// are rounded to seconds and to a sixteenth. It is so only for as long as Joined said,
// because ages do not stop while this node does.
func (d *Desk) History(age, now time.Duration) bool {
	joined := max(now-d.joinedAt, 0)
	return now < d.newUntil && age > joined+joined/8+2*time.Second
}

// Skip skips what a page of a member says was seen, except what follows the first message
// taken of an origin; via stands for the member, as for Origin, and skipped is called with
// each origin of the page. When the pages have covered all ids from 0 to the highest,
// skipping ends. A member that knows of no origin at all does not count: it may be as new
// as this node.
func (d *Desk) Skip(now time.Duration, page versions.Digest, first, last, via uint64, skipped func(*versions.Origin)) {
	if page.Len() == 0 && first == 0 && last == 1<<64-1 {
		return
	}
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
