// Package repair works out, from what two nodes have seen, which messages one of them
// should send and which it should ask for: anti-entropy (Demers et al., "Epidemic
// Algorithms for Replicated Database Maintenance", PODC 1987) on version vectors.
package repair

import (
	"iter"
	"math"
	"sort"
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
	// Ordered says that messages are delivered in the order of their origin, by InOrder.
	Ordered bool

	log     *datalog.Log
	origins *versions.Table
	cursor  uint64 // the id at which the next page begins
	lost    uint64

	whole bool // the last page covered all origins

	joinedAt  time.Duration // when the node was CONNECTED
	skipUntil time.Duration // when skipping history ends
	newUntil  time.Duration // until when repairs from before joinedAt are skipped
	skipped   uint64        // the id up to which history was skipped

	// Scratch space. A digest that is returned is valid until the next call.
	digest  wire.Digest
	recent  News
	runs    []wire.Run
	theirs  []wire.Run
	unknown *versions.Origin // in place of one that is not known
}

// NewReconciler returns a Reconciler over a node's log and origins.
func NewReconciler(log *datalog.Log, origins *versions.Table) *Reconciler {
	return &Reconciler{log: log, origins: origins, joinedAt: forever, unknown: versions.NewOrigin(0)}
}

// OriginIdle is how long an origin must be silent before it may make room for another.
const OriginIdle = time.Hour

// Origin returns the origin with this id, adding it if it is unknown, or nil if there is no
// room for it; introducer stands for the member that tells of it, as in versions.Table.Add. If
// another origin makes room, its retained messages are dropped, and those that it will not
// deliver any more are lost.
func (d *Reconciler) Origin(now time.Duration, id, introducer uint64) *versions.Origin {
	o, evicted, ok := d.origins.Add(id, introducer, now, OriginIdle)
	if !ok {
		return nil
	}
	if evicted.ID != 0 {
		d.log.Drop(evicted.ID)
		d.lost += d.unsettled(uint64(evicted.Missing), uint64(evicted.Waiting))
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
		if o := d.origins.Get(origin); d.Skipping(now) && origin > d.skipped && (o == nil || o.From == 0) {
			continue
		}
		if !d.want(origin, 0, theirs, room) {
			return d.digest
		}
	}
}

// Missing returns, in room bytes, the gaps in what was seen that have lasted for patience.
func (d *Reconciler) Missing(now, patience time.Duration, room int) wire.Digest {
	d.digest.Reset()
	for o, end := range d.StaleGaps(now, patience) {
		if !d.want(o.ID, end, nil, room) {
			break
		}
	}
	return d.digest
}

// MissingOf returns, in room bytes, the gaps in what was seen of an origin.
func (d *Reconciler) MissingOf(o *versions.Origin, room int) wire.Digest {
	d.digest.Reset()
	d.want(o.ID, o.Seen.Highest(), nil, room)
	return d.digest
}

// Lacks reports whether any of a run of an origin's messages was not seen.
func (d *Reconciler) Lacks(origin uint64, r wire.Run) bool {
	o := d.origins.Get(origin)
	return o == nil || !o.Seen.HasAll(r)
}

// One returns a digest of one run.
func (d *Reconciler) One(origin uint64, r wire.Run, room int) wire.Digest {
	d.digest.Reset()
	d.runs = append(d.runs[:0], r)
	d.digest.Add(origin, r.First-1, d.runs, room)
	return d.digest
}

// StaleGaps yields the origins of which a message has been missing for patience, and up to
// where all that is missing has been.
func (d *Reconciler) StaleGaps(now, patience time.Duration) iter.Seq2[*versions.Origin, uint32] {
	return d.origins.StaleGaps(now, patience)
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

// want adds to the digest what another node has of an origin and this one lacks. It returns
// false if the digest has no room for another record.
func (d *Reconciler) want(origin uint64, floor uint32, runs []wire.Run, room int) bool {
	limit := sort.Search(wire.MaxRuns, func(n int) bool { return !d.digest.Fits(n+1, room) })
	if limit == 0 {
		return false
	}
	o, pool := d.origins.Get(origin), d.origins.Pool()
	if o == nil || o.Seen.Highest() == 0 {
		o = d.unknown
		o.Seen.Reset(0, pool)
		o.Seen.Reset(o.Seen.FloorFor(floor, pool), pool)
	}
	d.runs = o.Seen.AppendMissing(d.runs[:0], floor, runs, limit, pool)
	if len(d.runs) > 0 {
		d.digest.Add(origin, d.runs[0].First-1, d.runs, room)
	}
	return true
}
