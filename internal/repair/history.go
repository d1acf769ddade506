package repair

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// SkipHistory makes the Reconciler skip what the next pages say was seen, until they have covered
// all origins once: see Skip. Joined bounds how long. Known origins count as if nothing had
// been taken of them yet.
func (d *Reconciler) SkipHistory() {
	d.skipped, d.skipUntil, d.joinedAt, d.newUntil = 0, forever, forever, forever
	for i := range d.origins.Len() {
		d.origins.At(i).FirstSeen = 0
	}
}

const forever = 1<<63 - 1

// Joined notes that the node found its cluster. If it skips history, that ends within most.
func (d *Reconciler) Joined(now, most time.Duration) {
	d.skipUntil, d.newUntil = min(d.skipUntil, now+most), min(d.newUntil, now+most)
	d.joinedAt = min(d.joinedAt, now)
}

// Skipping reports whether history is being skipped.
func (d *Reconciler) Skipping(now time.Duration) bool { return now < d.skipUntil }

// History reports whether a repair of that age is of a message that is to be skipped though
// the pages did not name it, for they may have come from members as new as this node. Ages
// are rounded to seconds and to a sixteenth. It is so only for as long as Joined said,
// because ages do not stop while this node does.
func (d *Reconciler) History(age, now time.Duration) bool {
	joined := max(now-d.joinedAt, 0)
	return now < d.newUntil && age > joined+joined/8+2*time.Second
}

// Skip skips what a page of a member says was seen, except what follows the first message
// taken of an origin; introducer stands for the member, as for Origin, and skipped is called with
// each origin of the page. When the pages have covered all ids from 0 to the highest,
// skipping ends. A member that knows of no origin at all does not count: it may be as new
// as this node.
func (d *Reconciler) Skip(now time.Duration, page wire.Digest, first, last, introducer uint64, skipped func(*versions.Origin)) {
	if page.Len() == 0 && first == 0 && last == 1<<64-1 {
		return
	}
	for {
		origin, floor, theirs, more := page.Next(d.theirs)
		d.theirs = theirs
		if !more {
			break
		}
		o := d.Origin(now, origin, introducer)
		if o == nil {
			continue
		}
		for _, r := range theirs {
			floor = max(floor, r.Last)
		}
		d.SkipTo(o, min(floor, o.FirstSeen-1)) // FirstSeen 0, none taken: no bound, for it wraps
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
func (d *Reconciler) SkipTo(o *versions.Origin, floor uint32) {
	o.Seen.Advance(floor, d.origins.Pool())
}

// InOrder yields the messages of an origin that are next in its order: those after the last
// one given, up to the floor. It returns how many are lost because they were seen but are no
// longer retained. These do not include the unseen messages that were given up on the way,
// which the caller has counted already.
func (d *Reconciler) InOrder(o *versions.Origin, unseen uint64, yield func(*datalog.Entry)) (lost uint64) {
	floor := o.Seen.Floor()
	if o.Delivered >= floor {
		return 0
	}
	for e := d.log.From(o.ID, o.Delivered+1); e != nil && e.Counter <= floor; e = d.log.Next(e) {
		if e.Counter >= o.FirstSeen {
			lost--
		}
		yield(e)
	}
	// What is missing before the first message taken is history, not loss.
	if first := max(o.Delivered+1, o.FirstSeen); o.FirstSeen > 0 && first <= floor {
		lost += uint64(floor-first) + 1
	} else {
		lost = 0
	}
	o.Delivered = floor
	return lost - min(lost, unseen)
}
