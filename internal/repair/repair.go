// Package repair works out, from what two nodes say that they have seen, which
// messages one of them should send and which it should ask for: anti-entropy
// (Demers et al., "Epidemic Algorithms for Replicated Database Maintenance",
// PODC 1987) on version vectors.
package repair

import (
	"iter"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
)

// Young is the age up to which a message is taken to be still on its way, and is
// not advertised in a page. Epoch is half of it, see versions.Origin.MarkYoung.
// What somebody else does not advertise is pushed to it at twice that age: it may
// have come there later, and is hidden there for as long again.
const (
	Young = 2 * Epoch
	Epoch = 30 * time.Millisecond
)

// Pusher sends a retained message to the node that is being answered. It
// returns false when it takes no more.
type Pusher interface {
	Push(e *datalog.Entry) bool
}

// Desk compares on behalf of one node. Each call looks at no more than the
// digest it is given, the table of origins and the log. It is for one goroutine
// at a time.
type Desk struct {
	log     *datalog.Log
	origins *versions.Table
	cursor  uint64 // the id at which the next page begins

	whole bool // the last page spoke of all origins

	skipUntil time.Duration // when skipping history ends
	skipped   uint64        // up to which id pages were taken for that

	// Space to work in. A digest that is returned is valid until the next call.
	digest  versions.Digest
	recent  News
	runs    []versions.Run
	theirs  []versions.Run
	unknown versions.Window // of an origin that is not known
}

// NewDesk returns a Desk over a node's log and origins.
func NewDesk(log *datalog.Log, origins *versions.Table) *Desk {
	return &Desk{log: log, origins: origins}
}

// OriginIdle is how long nothing is learned of an origin until it may make room for
// another.
const OriginIdle = time.Hour

// Origin returns the origin with this id, known already or taken up now, or nil if
// there is no room for it; via stands for the member that tells of it, as for Add of
// a versions.Table. What is retained of one that makes room is forgotten.
func (d *Desk) Origin(now time.Duration, id, via uint64) *versions.Origin {
	o, evicted, ok := d.origins.Add(id, via, now, OriginIdle)
	if !ok {
		return nil
	}
	if evicted != 0 {
		d.log.Drop(evicted)
	}
	return o
}

// Page returns the next page of what has been seen, in room bytes, and the range
// of origins of which it speaks. Pages follow one another round all origins.
func (d *Desk) Page(now time.Duration, room int) (digest versions.Digest, first, last uint64) {
	d.digest.Reset()
	first = d.cursor
	last = d.digest.AddPage(d.origins, first, room, now, Epoch)
	d.cursor = last + 1 // behind the highest id comes 0
	d.whole = first == 0 && d.cursor == 0
	return d.digest, first, last
}

// Compare answers a page: it pushes what its sender lacks, the oldest of each
// origin first, and returns, in room bytes, what this node lacks itself.
func (d *Desk) Compare(now time.Duration, page versions.Digest, first, last uint64, room int, to Pusher) versions.Digest {
	d.digest.Reset()
	i, pushing := d.origins.Search(first), true
	for {
		origin, floor, theirs, more := page.Next(d.theirs)
		d.theirs = theirs
		if !more {
			break
		}
		for ; i < d.origins.Len() && d.origins.At(i).ID < origin; i++ {
			pushing = pushing && d.push(now, d.origins.At(i).ID, 0, nil, to)
		}
		if i < d.origins.Len() && d.origins.At(i).ID == origin {
			pushing = pushing && d.push(now, origin, floor, theirs, to)
			i++
		}
		d.want(origin, floor, theirs, room)
	}
	for ; pushing && i < d.origins.Len() && d.origins.At(i).ID <= last; i++ {
		pushing = d.push(now, d.origins.At(i).ID, 0, nil, to)
	}
	return d.digest
}

// Want returns, in room bytes, which of the messages offered this node lacks. While it
// skips history, which an offer may be, only those of origins that it has come to
// count: by a page, or by a message that was taken.
func (d *Desk) Want(now time.Duration, offer versions.Digest, room int) versions.Digest {
	d.digest.Reset()
	for {
		origin, _, theirs, more := offer.Next(d.theirs)
		d.theirs = theirs
		if !more {
			return d.digest
		}
		if o := d.origins.Get(origin); d.Skipping(now) && origin > d.skipped && (o == nil || o.Since == 0) {
			continue
		}
		d.want(origin, 0, theirs, room)
	}
}

// Missing returns, in room bytes, what has been missing from the middle of what
// was seen for as long as patience.
func (d *Desk) Missing(now, patience time.Duration, room int) versions.Digest {
	d.digest.Reset()
	for o := range d.Stuck(now, patience) {
		d.want(o.ID, o.StuckUpTo(), nil, room)
	}
	return d.digest
}

// GiveUp moves the floor of an origin to at least floor and returns how many
// messages were given up by that. What it passes below the first message that was
// ever taken of the origin, and all while none was, is history, not loss.
func (d *Desk) GiveUp(o *versions.Origin, floor uint32) uint64 {
	o.Seen.Advance(min(floor, o.Since-1), d.origins.Pool()) // Since 0, none taken: no bound, for it wraps
	return uint64(o.Seen.Advance(floor, d.origins.Pool()))
}

// Stuck yields the origins of which something has been missing for as long as
// patience.
func (d *Desk) Stuck(now, patience time.Duration) iter.Seq[*versions.Origin] {
	return func(yield func(*versions.Origin) bool) {
		for i := range d.origins.Len() {
			if o := d.origins.At(i); o.Stuck(now, patience) && !yield(o) {
				return
			}
		}
	}
}

// Serve pushes what is asked for and retained.
func (d *Desk) Serve(request versions.Digest, to Pusher) {
	for {
		origin, _, theirs, more := request.Next(d.theirs)
		d.theirs = theirs
		if !more {
			return
		}
		var e *datalog.Entry
		for i, r := range theirs {
			if i == 0 {
				e = d.log.From(origin, r.First)
			} else {
				e = d.seek(e, r.First)
			}
			for ; e != nil && e.Counter <= r.Last; e = d.log.Next(e) {
				if !to.Push(e) {
					return
				}
			}
		}
	}
}

// seek returns the first message retained of e's origin, from e on, with at least
// this counter. It never turns back: however many runs ask for what is not there,
// an origin's messages are passed once.
func (d *Desk) seek(e *datalog.Entry, counter uint32) *datalog.Entry {
	if e == nil || e.Counter >= counter {
		return e
	}
	if asked := d.log.Get(e.Origin, counter); asked != nil {
		return asked
	}
	for e != nil && e.Counter < counter {
		e = d.log.Next(e)
	}
	return e
}

// push offers the Pusher all that is retained of an origin and not covered.
func (d *Desk) push(now time.Duration, origin uint64, floor uint32, runs []versions.Run, to Pusher) bool {
	if floor == 1<<32-1 {
		return true
	}
	for e := d.log.From(origin, floor+1); e != nil; e = d.log.Next(e) {
		if now-e.Born >= 2*Young && !versions.Covers(floor, runs, e.Counter) && !to.Push(e) {
			return false
		}
	}
	return true
}

// want adds to the digest what somebody has of an origin and this node lacks.
func (d *Desk) want(origin uint64, floor uint32, runs []versions.Run, room int) {
	d.unknown.Reset(0, d.origins.Pool())
	window := &d.unknown
	if o := d.origins.Get(origin); o != nil {
		window = &o.Seen
	}
	if window.Highest() == 0 && floor > versions.Width {
		d.unknown.Reset(floor-versions.Width, d.origins.Pool())
		window = &d.unknown
	}
	d.runs = window.AppendMissing(d.runs[:0], floor, runs, 255)
	if len(d.runs) > 0 {
		d.digest.Add(origin, d.runs[0].First-1, d.runs, room)
	}
}
