// Package repair works out, from what two nodes have seen, which messages one of them
// should send and which it should ask for: anti-entropy (Demers et al., "Epidemic
// Algorithms for Replicated Database Maintenance", PODC 1987) on version vectors.
package repair

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// Epoch is the least Reconciler.Epoch.
const Epoch = 30 * time.Millisecond

// young is the age, in epochs, up to which a message may count as still on its way and is not
// advertised in a page, see versions.Origin.MarkYoung. A message that another node does not
// advertise is pushed to it only from twice that age on: it may have arrived there later, and
// then stays hidden for as long again.
const young = 2

// mostVisited bounds the origins looked at for one page, and mostNamed those that a page should
// name.
const (
	mostVisited = 64
	mostNamed   = 32
)

// Reconciler compares on behalf of one node. It is for one goroutine at a time.
//
// Bound: a call for a page or a digest looks up each origin named and each run once, whatever the
// table of origins and the log hold, and visits no message of the log that it does not push, but
// one for each run. Page visits mostVisited origins.
type Reconciler struct {
	// Ordered says that messages are delivered in the order of their origin, by InOrder.
	Ordered bool

	// Epoch is half the time for which a message may be on its way: a message counts as young
	// for that long at least. It follows the round trips, and is never less than Epoch.
	Epoch time.Duration

	log     *datalog.Log
	origins *versions.Table
	lost    uint64

	joinedAt  time.Duration // when the node was CONNECTED
	skipUntil time.Duration // when skipping history ends
	newUntil  time.Duration // until when repairs from before joinedAt are skipped

	compared uint32 // how many pages were

	// Scratch space. A digest that is returned is valid until the next call.
	digest  wire.Digest
	runs    []wire.Run
	theirs  []wire.Run
	unknown *versions.Origin // in place of one that is not known
}

// NewReconciler returns a Reconciler over a node's log and origins.
func NewReconciler(log *datalog.Log, origins *versions.Table) *Reconciler {
	return &Reconciler{log: log, origins: origins, Epoch: Epoch, joinedAt: forever, unknown: versions.NewOrigin(0)}
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

// Page returns a page of what has been seen, in room bytes: of the origins touched before the
// origin after, or last of all if that is not known, and the origin with which it ends, 0 if there
// are no others. So what is missing because a node was away for a while is on the first pages,
// however many origins were silent. Counters younger than an Epoch are left out, because their
// messages are still on their way to others.
func (d *Reconciler) Page(now time.Duration, after uint64, room int) (digest wire.Digest, last uint64) {
	d.digest.Reset()
	o := d.origins.Newest()
	if known := d.origins.Get(after); known != nil {
		o = known.Older()
	}
	for visited := 0; o != nil && visited < mostVisited; visited++ {
		if !d.record(now, o, room) {
			return d.digest, last
		}
		last, o = o.ID, o.Older()
	}
	if o == nil {
		last = 0
	}
	return d.digest, last
}

// record adds to the digest what has been seen of an origin. It returns false if there is no room
// for all. A truncated record makes messages seem missing, so only the first one may be.
func (d *Reconciler) record(now time.Duration, o *versions.Origin, room int) bool {
	if o.Seen.Highest() == 0 {
		return true
	}
	floor, below := o.Seen.Floor(), o.YoungFrom(now, d.Epoch)
	if below > 0 && floor >= below {
		floor = below - 1
	}
	d.runs = o.Seen.AppendRuns(d.runs[:0], below, wire.MaxRuns)
	if d.digest.Len() > 0 && d.digest.Runs(room) < len(d.runs) {
		return false
	}
	return d.digest.Add(o.ID, floor, d.runs, room)
}

// Compare answers a page: it pushes what the page's sender lacks of the origins named, the oldest
// of each first, and returns, in room bytes, what this node lacks of them.
func (d *Reconciler) Compare(now time.Duration, page wire.Digest, room int, to Pusher) wire.Digest {
	d.digest.Reset()
	d.compared++
	for pushing := true; ; {
		origin, floor, theirs, more := page.Next(d.theirs)
		d.theirs = theirs
		if !more {
			return d.digest
		}
		o := d.origins.Get(origin)
		if o != nil {
			o.Named = d.compared
		}
		pushing = pushing && d.push(now, origin, floor, theirs, to)
		d.want(o, origin, floor, theirs, room)
	}
}

// Unnamed reports whether the last page compared named less than the first page of this node does,
// apart from what may be on its way: then its sender may lack origins altogether.
func (d *Reconciler) Unnamed(now time.Duration) bool {
	o := d.origins.Newest()
	for visited := 0; o != nil && visited < mostNamed; visited, o = visited+1, o.Older() {
		if o.Named != d.compared && o.Seen.Highest() > 0 && o.Idle(now) >= 2*young*d.Epoch {
			return true
		}
	}
	return false
}

// Want returns, in room bytes, which of the messages offered this node lacks. While it skips
// history, which an offer may contain, these are only messages of origins of which one was taken.
func (d *Reconciler) Want(now time.Duration, offer wire.Digest, room int) wire.Digest {
	d.digest.Reset()
	for {
		origin, _, theirs, more := offer.Next(d.theirs)
		d.theirs = theirs
		if !more {
			return d.digest
		}
		o := d.origins.Get(origin)
		if d.Skipping(now) && (o == nil || o.From == 0) {
			continue
		}
		if !d.want(o, origin, 0, theirs, room) {
			return d.digest
		}
	}
}

// MissingOf returns, in room bytes, the gaps in what was seen of an origin.
func (d *Reconciler) MissingOf(o *versions.Origin, room int) wire.Digest {
	d.digest.Reset()
	d.want(o, o.ID, o.Seen.Highest(), nil, room)
	return d.digest
}

// Lacks reports whether any of a run of an origin's messages was not seen.
func (d *Reconciler) Lacks(origin uint64, r wire.Run) bool {
	o := d.origins.Get(origin)
	return o == nil || !o.Seen.HasAll(r)
}

// Missing returns, in room bytes, what this node lacks of a run.
func (d *Reconciler) Missing(origin uint64, r wire.Run, room int) wire.Digest {
	d.digest.Reset()
	d.theirs = append(d.theirs[:0], r)
	d.want(d.origins.Get(origin), origin, 0, d.theirs, room)
	return d.digest
}

// want adds to the digest what another node has of an origin and this one lacks; o is nil if it is
// not known. It returns false if the digest has no room for another record.
func (d *Reconciler) want(o *versions.Origin, origin uint64, floor uint32, runs []wire.Run, room int) bool {
	limit := d.digest.Runs(room)
	if limit <= 0 {
		return false
	}
	pool := d.origins.Pool()
	if o == nil || o.Seen.Highest() == 0 {
		highest := floor
		if len(runs) > 0 {
			highest = runs[len(runs)-1].Last
		}
		o = d.unknown // of which the end is wanted
		o.Seen.Reset(0, pool)
		o.Seen.Reset(o.Seen.FloorFor(highest, pool), pool)
	}
	d.runs = o.Seen.AppendMissing(d.runs[:0], floor, runs, limit, pool)
	if len(d.runs) > 0 {
		d.digest.Add(origin, d.runs[0].First-1, d.runs, room)
	}
	return true
}
