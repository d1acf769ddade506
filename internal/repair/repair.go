// Package repair works out, from what two nodes have seen, which messages one of them
// should send and which it should ask for: anti-entropy (Demers et al., "Epidemic
// Algorithms for Replicated Database Maintenance", PODC 1987) on version vectors.
package repair

import (
	"iter"
	"math"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// Young is the age up to which a message counts as still on its way and is not advertised
// in a page. Epoch is half of it, see versions.Origin.MarkYoung. A message that another node
// does not advertise is pushed to it only from twice that age on: it may have arrived there
// later, and then stays hidden for as long again.
const (
	Young = 2 * Epoch
	Epoch = 30 * time.Millisecond
)

// Pusher sends a retained message to the node being answered. It returns false when it
// accepts no more.
type Pusher interface {
	Push(e *datalog.Entry) bool
}

// Reconciler compares on behalf of one node. The work of a call is bounded by the digest it is
// given, the table of origins and the log. It is for one goroutine at a time.
type Reconciler struct {
	log     *datalog.Log
	origins *versions.Table
	cursor  uint64 // the id at which the next page begins

	whole bool // the last page covered all origins

	skipUntil time.Duration // when skipping history ends
	joinedAt  time.Duration // when the node that skips it was CONNECTED
	newUntil  time.Duration // until when repairs from before that are skipped
	skipped   uint64        // the id up to which history was skipped

	// Scratch space. A digest that is returned is valid until the next call.
	digest  wire.Digest
	recent  News
	runs    []wire.Run
	theirs  []wire.Run
	unknown versions.Window // of an origin that is not known
}

// NewDesk returns a Reconciler over a node's log and origins.
func NewReconciler(log *datalog.Log, origins *versions.Table) *Reconciler {
	return &Reconciler{log: log, origins: origins}
}

// OriginIdle is how long an origin must be silent before it may make room for another.
const OriginIdle = time.Hour

// Origin returns the origin with this id, adding it if it is unknown, or nil if there is no
// room for it; introducer stands for the member that tells of it, as in versions.Table.Add. If
// another origin makes room, its retained messages are dropped.
func (d *Reconciler) Origin(now time.Duration, id, introducer uint64) *versions.Origin {
	o, evicted, ok := d.origins.Add(id, introducer, now, OriginIdle)
	if !ok {
		return nil
	}
	if evicted != 0 {
		d.log.Drop(evicted)
	}
	return o
}

// Page returns the next page of what has been seen, in room bytes, and the range of origins
// that it covers: up to the highest id possible if it reached the end. Successive pages cycle
// through all origins. Counters younger than Epoch are left out, because their messages are
// still on their way to others.
func (d *Reconciler) Page(now time.Duration, room int) (digest wire.Digest, first, last uint64) {
	first = d.cursor
	last = d.page(first, room, now, Epoch)
	d.cursor = last + 1 // after the highest id it wraps to 0
	d.whole = first == 0 && d.cursor == 0
	return d.digest, first, last
}

// page makes the digest the page from the id first on, and returns its last id.
func (d *Reconciler) page(first uint64, room int, now, age time.Duration) (last uint64) {
	d.digest.Reset()
	for i := d.origins.Search(first); i < d.origins.Len(); i++ {
		o := d.origins.At(i)
		floor, below := o.Seen.Floor(), o.YoungFrom(now, age)
		if below > 0 && floor >= below {
			floor = below - 1
		}
		d.runs = o.Seen.AppendRuns(d.runs[:0], below, wire.MaxRuns)
		// A truncated record makes messages seem missing: it begins the next page
		// instead, unless this one is empty.
		if d.digest.Len() > 0 && !d.digest.Fits(len(d.runs), room) || !d.digest.Add(o.ID, floor, d.runs, room) {
			return o.ID - 1
		}
	}
	return math.MaxUint64
}

// Compare answers a page: it pushes what the page's sender lacks, the oldest of each origin
// first, and returns, in room bytes, what this node lacks.
func (d *Reconciler) Compare(now time.Duration, page wire.Digest, first, last uint64, room int, to Pusher) wire.Digest {
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

// Want returns, in room bytes, which of the messages offered this node lacks. While it skips
// history, which an offer may contain, these are only messages of origins for which skipping
// is over: a page has covered them, or a message of theirs was taken.
func (d *Reconciler) Want(now time.Duration, offer wire.Digest, room int) wire.Digest {
	d.digest.Reset()
	for {
		origin, _, theirs, more := offer.Next(d.theirs)
		d.theirs = theirs
		if !more {
			return d.digest
		}
		if o := d.origins.Get(origin); d.Skipping(now) && origin > d.skipped && (o == nil || o.FirstSeen == 0) {
			continue
		}
		d.want(origin, 0, theirs, room)
	}
}

// Missing returns, in room bytes, the gaps in what was seen that have lasted for patience.
func (d *Reconciler) Missing(now, patience time.Duration, room int) wire.Digest {
	d.digest.Reset()
	for o := range d.StaleGap(now, patience) {
		d.want(o.ID, o.GapEnd(), nil, room)
	}
	return d.digest
}

// GiveUp moves the floor of an origin to at least floor and returns how many messages that
// gives up. Messages before the first one ever taken of the origin, or all if none was, are
// history and not counted.
func (d *Reconciler) GiveUp(o *versions.Origin, floor uint32) uint64 {
	o.Seen.Advance(min(floor, o.FirstSeen-1), d.origins.Pool()) // FirstSeen 0, none taken: no bound, for it wraps
	return uint64(o.Seen.Advance(floor, d.origins.Pool()))
}

// StaleGap yields the origins with a gap that has lasted for patience.
func (d *Reconciler) StaleGap(now, patience time.Duration) iter.Seq[*versions.Origin] {
	return func(yield func(*versions.Origin) bool) {
		for i := range d.origins.Len() {
			if o := d.origins.At(i); o.StaleGap(now, patience) && !yield(o) {
				return
			}
		}
	}
}

// Serve pushes the requested messages that are retained.
func (d *Reconciler) Serve(request wire.Digest, to Pusher) {
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

// seek returns the first retained message of e's origin, from e on, with at least this
// counter. It never goes back: however many runs ask for messages that are not there, the
// messages of an origin are passed once.
func (d *Reconciler) seek(e *datalog.Entry, counter uint32) *datalog.Entry {
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

// push gives the Pusher all retained messages of an origin that are not covered by floor and
// runs. It returns false when the Pusher accepts no more.
func (d *Reconciler) push(now time.Duration, origin uint64, floor uint32, runs []wire.Run, to Pusher) bool {
	if floor == 1<<32-1 {
		return true
	}
	for e := d.log.From(origin, floor+1); e != nil; e = d.log.Next(e) {
		if now-e.Born >= 2*Young && !wire.Covers(floor, runs, e.Counter) && !to.Push(e) {
			return false
		}
	}
	return true
}

// want adds to the digest what another node has of an origin and this one lacks.
func (d *Reconciler) want(origin uint64, floor uint32, runs []wire.Run, room int) {
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
