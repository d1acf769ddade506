package versions

import (
	"cmp"
	"slices"
	"time"

	"example.com/gossip/internal/fifo"
)

// Origin is what a node knows of one origin.
//
// Bound: its size is fixed, apart from the bitmaps of its windows.
type Origin struct {
	ID        uint64
	Seen      Window // messages for everyone: Broadcast and Random
	Direct    Window // Direct messages, which have a counter of their own
	FirstSeen uint32 // lowest counter taken, 0 if none; what is missing below it is history, not loss
	Delivered uint32 // last counter that was delivered in order, where order is kept

	touched    time.Duration
	introducer uint64 // the member that told of it first, 0 for none

	epoch int64     // number of the current epoch of young messages
	young [2]uint32 // lowest counter received in it and in the one before; 0 if none

	gapSeen    bool          // the last call of StaleGap found a gap
	gapFloor   uint32        // the floor then
	gapHighest uint32        // Highest when the floor was first found there
	gapAt      time.Duration // when that was
}

// Touch notes that something was learned of the origin.
func (o *Origin) Touch(now time.Duration) { o.touched = max(o.touched, now) }

// Idle returns how long ago something was last learned of the origin.
func (o *Origin) Idle(now time.Duration) time.Duration { return max(0, now-o.touched) }

// MarkYoung notes that c was first received now. The age must be the same in
// every call of MarkYoung and YoungFrom.
func (o *Origin) MarkYoung(c uint32, now, age time.Duration) {
	if age <= 0 {
		return
	}
	o.turn(now, age)
	if o.young[0] == 0 || c < o.young[0] {
		o.young[0] = c
	}
}

// YoungFrom returns the lowest counter received less than age ago, 0 if there is none. Two
// numbers approximate all times of arrival: the lowest counter of the current epoch of
// length age and that of the epoch before. So a counter stays young for at least age and at
// most twice that.
func (o *Origin) YoungFrom(now, age time.Duration) uint32 {
	if age <= 0 {
		return 0
	}
	o.turn(now, age)
	if o.young[0] == 0 || o.young[1] == 0 {
		return max(o.young[0], o.young[1])
	}
	return min(o.young[0], o.young[1])
}

// turn begins the epoch that contains now, if it has not begun yet.
func (o *Origin) turn(now, age time.Duration) {
	switch epoch := int64(now / age); {
	case epoch <= o.epoch:
	case epoch == o.epoch+1:
		o.epoch, o.young = epoch, [2]uint32{0, o.young[0]}
	default:
		o.epoch, o.young = epoch, [2]uint32{}
	}
}

// StaleGap reports whether Seen has a gap and its floor has not moved for patience.
//
// Time counts from the first call that found a gap with the floor where it is now. So a
// caller that calls it at regular intervals learns of a gap late by at most one interval.
func (o *Origin) StaleGap(now, patience time.Duration) bool {
	floor := o.Seen.Floor()
	switch {
	case !o.Seen.Gap():
		o.gapSeen = false
		return false
	case !o.gapSeen || o.gapFloor != floor:
		o.gapSeen, o.gapFloor, o.gapHighest, o.gapAt = true, floor, o.Seen.Highest(), now
	}
	return now-o.gapAt >= patience
}

// GapEnd returns, when Seen is stuck, the highest counter seen when time began to count:
// whatever is missing up to it has been missing since then.
func (o *Origin) GapEnd() uint32 { return o.gapHighest }

// Table holds the origins a node knows, ascending by ID. An ID is never 0.
//
// Bound: limit origins, each with two windows. A full table takes a new origin only in
// place of one that was idle long enough, the idlest first, so that a flood of invented
// origins is refused instead of evicting active ones. Nor can one member keep the table
// filled with invented origins for that long: an origin told of by another member replaces
// the idlest of the member that told of the most, if that told of more. The node's own
// origin counts, and is never evicted.
type Table struct {
	limit  int
	byID   map[uint64]*Origin
	sorted []*Origin
	shares map[uint64]int // how many origins each member told of first
	kept   uint64
	pool   Pool

	tombstones map[uint64]tombstone
	order      fifo.Queue[tombstone] // in the order of leaving, including those that came back
	turn       uint64                // of the last that left

	// No origin that may be evicted was touched before this. It saves the search
	// for a victim as long as there can be none.
	quiet time.Duration
}

// tombstone is what is remembered of an evicted origin, so that none of its messages counts as
// new if another node still has it. The latest 8*limit are remembered.
type tombstone struct {
	id           uint64
	turn         uint64 // of leaving, because an origin may come back and leave again
	seen, direct uint32
}

// NewTable returns an empty table for at most limit origins.
func NewTable(limit int) *Table {
	return &Table{
		limit: limit, byID: make(map[uint64]*Origin), shares: make(map[uint64]int), tombstones: make(map[uint64]tombstone),
	}
}

// Len returns the number of origins.
func (t *Table) Len() int { return len(t.sorted) }

// At returns the origin at index i, ascending by ID.
func (t *Table) At(i int) *Origin { return t.sorted[i] }

// Search returns the index of the first origin whose ID is at least id, or Len if there is
// none.
func (t *Table) Search(id uint64) int {
	i, _ := slices.BinarySearchFunc(t.sorted, id, func(o *Origin, id uint64) int {
		return cmp.Compare(o.ID, id)
	})
	return i
}

// Get returns the origin with this ID, or nil if it is unknown.
func (t *Table) Get(id uint64) *Origin { return t.byID[id] }

// Pool returns the pool that the windows of all origins share.
func (t *Table) Pool() *Pool { return &t.pool }

// Keep names the node's own origin, which is never evicted and always finds room, whether it
// is known already or added later. It replaces the one named before.
func (t *Table) Keep(id uint64) {
	t.kept = id
	t.quiet = 0 // the one named before may be evicted now, and may have been idle for long
}

// Add returns the origin with this ID, adding it, touched now, if it is unknown; introducer stands
// for the member that told of it, 0 for none. If the table is full the idlest origin makes
// room, provided it has been idle for at least idle; or else, if another member told of more
// origins than introducer, the idlest of that member's. evicted is its ID, 0 if there was room. If
// none can make room ok is false.
func (t *Table) Add(id, introducer uint64, now, idle time.Duration) (o *Origin, evicted uint64, ok bool) {
	if o := t.byID[id]; o != nil {
		return o, 0, true
	}
	past, again := t.tombstones[id]
	if id == t.kept {
		idle = 0
	}
	if len(t.sorted) >= t.limit {
		victim := t.idlest(now, idle)
		if victim == nil && introducer != 0 {
			victim = t.surplus(introducer)
		}
		if victim == nil {
			return nil, 0, false
		}
		evicted = victim.ID
		t.retire(victim)
	}
	o = &Origin{ID: id, introducer: introducer, touched: now}
	if introducer != 0 {
		t.shares[introducer]++
	}
	t.byID[id] = o
	t.sorted = slices.Insert(t.sorted, t.Search(id), o)
	if again {
		delete(t.tombstones, id)
		o.FirstSeen, o.Delivered = 1, past.seen
		o.Seen.Reset(past.seen, &t.pool)
		o.Direct.Reset(past.direct, &t.pool)
	}
	return o, evicted, true
}

// retire evicts an origin.
func (t *Table) retire(o *Origin) {
	t.turn++
	past := tombstone{o.ID, t.turn, o.Seen.Highest(), o.Direct.Highest()}
	t.Remove(o.ID)
	if t.order.Len() == 8*t.limit {
		if first, _ := t.order.Pop(); t.tombstones[first.id] == first {
			delete(t.tombstones, first.id)
		}
	}
	t.order.Push(past)
	t.tombstones[o.ID] = past
}

// Remove forgets the origin with this ID, the node's own too.
func (t *Table) Remove(id uint64) {
	o := t.byID[id]
	if o == nil {
		return
	}
	o.Seen.Release(&t.pool)
	o.Direct.Release(&t.pool)
	if t.shares[o.introducer]--; t.shares[o.introducer] <= 0 {
		delete(t.shares, o.introducer)
	}
	delete(t.byID, id)
	i := t.Search(id)
	t.sorted = slices.Delete(t.sorted, i, i+1)
}

// surplus returns the idlest origin of the member that told of the most, if those are at
// least two more than introducer told of, or else nil. It looks at all members and, if one
// qualifies, at all origins.
func (t *Table) surplus(introducer uint64) (victim *Origin) {
	var from uint64
	most := t.shares[introducer] + 1
	for member, n := range t.shares {
		if n > most || n == most && from != 0 && member < from {
			from, most = member, n
		}
	}
	if from == 0 {
		return nil
	}
	for _, o := range t.sorted {
		if o.introducer == from && o.ID != t.kept && (victim == nil || o.touched < victim.touched) {
			victim = o
		}
	}
	return victim
}

// idlest returns the origin idle for the longest time if that is at least idle, or else nil.
// It looks at all of them, but only once one can be idle enough: touching an origin only
// postpones that.
func (t *Table) idlest(now, idle time.Duration) *Origin {
	if now-t.quiet < idle {
		return nil
	}
	var victim *Origin
	for _, o := range t.sorted {
		if o.ID != t.kept && (victim == nil || o.touched < victim.touched) {
			victim = o
		}
	}
	if victim == nil {
		return nil
	}
	t.quiet = victim.touched
	if victim.Idle(now) < idle {
		return nil
	}
	return victim
}
