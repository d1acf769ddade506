package repair

import (
	"iter"
	"math"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// SkipHistory makes the Reconciler skip what the next pages say was seen, until one of them is
// the last: see Skip. Joined bounds how long. Known origins count as if nothing had been taken of
// them yet.
func (d *Reconciler) SkipHistory() {
	d.skipUntil, d.joinedAt, d.newUntil = forever, forever, forever
	for o := d.origins.Newest(); o != nil; o = o.Older() {
		o.Recount(d.origins.Pool())
	}
}

const (
	forever = 1<<63 - 1

	// settled is how long after CONNECTED an origin may be heard of for the first time that
	// sent messages before. For so long members send a newcomer their pages.
	settled = 10 * time.Second
)

// settling reports whether an origin heard of now may have a history.
func (d *Reconciler) settling(now time.Duration) bool {
	return now-d.joinedAt <= settled || d.Skipping(now)
}

// Rejoin notes that the node joins anew, so that what is said until Joined is history.
func (d *Reconciler) Rejoin() { d.joinedAt = forever }

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

// Heard notes what a page of a member names. While an origin may have a history it is taken for that:
// counting begins behind it, or with the lowest message that is taken all the same. What two members
// name, or the origin itself, or any member if it is the only one, exists, and is missing until it
// comes. introducer stands for the member, as for Origin, and from is its id.
func (d *Reconciler) Heard(now time.Duration, page wire.Digest, introducer, from uint64, only bool) {
	for origin, highest := range d.named(page) {
		o := d.Origin(now, origin, introducer)
		if o == nil || origin == d.origins.Kept() || highest == math.MaxUint32 {
			continue
		}
		first := uint32(1)
		if d.settling(now) {
			first = highest + 1
		}
		o.CountFrom(first, d.origins.Pool())
		o.Heard(highest, introducer, only || from == origin, d.origins.Pool())
	}
}

// named yields the origins that a page names, and the highest number seen of each.
func (d *Reconciler) named(page wire.Digest) iter.Seq2[uint64, uint32] {
	return func(yield func(uint64, uint32) bool) {
		for {
			origin, highest, theirs, more := page.Next(d.theirs)
			d.theirs = theirs
			for _, r := range theirs {
				highest = max(highest, r.Last)
			}
			if !more || !yield(origin, highest) {
				return
			}
		}
	}
}

// Begin is to be called before a message is taken. If nothing was heard of its origin while
// it might have had a history, all messages count.
func (d *Reconciler) Begin(now time.Duration, o *versions.Origin) {
	if !d.settling(now) {
		o.CountFrom(1, d.origins.Pool())
	}
}

// Skip skips what a page of a member says was seen, except what follows the first message
// taken of an origin; introducer stands for the member, as for Origin, and skipped is called with
// each origin of the page. The last page of a member ends skipping, unless it knows of no origin
// at all: it may be as new as this node.
func (d *Reconciler) Skip(now time.Duration, page wire.Digest, last bool, introducer uint64, skipped func(*versions.Origin)) {
	for origin, highest := range d.named(page) {
		if o := d.Origin(now, origin, introducer); o != nil {
			d.SkipTo(o, min(highest, o.From-1)) // From 0, none taken: no bound, for it wraps
			skipped(o)
		}
	}
	if last && page.Len() > 0 {
		d.skipUntil = 0
	}
}

// SkipTo skips all of an origin up to floor, which is no loss. Where order is kept, InOrder
// moves past it and yields what waits there.
func (d *Reconciler) SkipTo(o *versions.Origin, floor uint32) {
	o.Skip(floor, d.origins.Pool())
}
