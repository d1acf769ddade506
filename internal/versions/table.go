package versions

import (
	"cmp"
	"slices"
	"time"

	"example.com/gossip/internal/fifo"
)

// Table holds the origins a node knows, ascending by ID. An ID is never 0.
//
// Bound: limit origins, each with two windows; and 32 bytes for each of them, but at least
// 4 KiB, for all windows that are wide. A window that finds no room stays as narrow as it is.
//
// A full table takes a new origin only in place of one that was idle long enough, the idlest
// first, so that a flood of invented origins is refused instead of evicting active ones. Nor
// can one member keep the table filled with invented origins for that long: an origin told of
// by another member replaces the idlest of the member that told of the most, if that told of
// more. The node's own origin counts, and is never evicted.
type Table struct {
	limit  int
	byID   map[uint64]*Origin
	sorted []*Origin
	shares map[uint64]int // how many origins each member told of first
	kept   uint64
	pool   Pool
	stale  []staleGap // scratch space

	tombstones map[uint64]tombstone
	order      fifo.Queue[tombstone] // in the order of leaving, including those that came back
	turn       uint64                // of the last that left

	hash   uint64
	hashOf uint64        // pool.changes then
	hashAt time.Duration // when it was worked out

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
		limit: limit, pool: Pool{budget: max(4<<10, 32*limit)},
		byID: make(map[uint64]*Origin), shares: make(map[uint64]int), tombstones: make(map[uint64]tombstone),
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

// Trim frees the memory that is kept for reuse.
func (t *Table) Trim() {
	t.pool.trim()
	t.stale = nil
}

// Unsettled returns how many counters of all origins are missing and, where order is kept,
// how many messages wait for their turn.
func (t *Table) Unsettled() (missing, waiting uint64) {
	for _, g := range t.pool.gaps {
		missing += uint64(g.owner.Missing())
		waiting += uint64(g.owner.Waiting())
	}
	return missing, waiting
}

// Keep names the node's own origin, which is never evicted and always finds room, whether it
// is known already or added later. It replaces the one named before.
func (t *Table) Keep(id uint64) {
	t.kept = id
	t.quiet = 0 // the one named before may be evicted now, and may have been idle for long
}

// Evicted is an origin that made room for another; with ID 0 there is none.
type Evicted struct {
	ID               uint64
	Missing, Waiting uint32 // as the Origin said; these can no longer be delivered
}

// Add returns the origin with this ID, adding it, touched now, if it is unknown; introducer stands
// for the member that told of it, 0 for none. If the table is full the idlest origin makes
// room, provided it has been idle for at least idle; or else, if another member told of more
// origins than introducer, the idlest of that member's. If none can make room ok is false.
//
// Of an origin that returns, what it said before counts as seen. Counting begins behind it.
func (t *Table) Add(id, introducer uint64, now, idle time.Duration) (o *Origin, evicted Evicted, ok bool) {
	if o := t.byID[id]; o != nil {
		return o, Evicted{}, true
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
			return nil, Evicted{}, false
		}
		evicted = Evicted{victim.ID, victim.Missing(), victim.Waiting()}
		t.retire(victim)
	}
	o = NewOrigin(id)
	o.introducer, o.touched = introducer, now
	if introducer != 0 {
		t.shares[introducer]++
	}
	t.byID[id] = o
	t.sorted = slices.Insert(t.sorted, t.Search(id), o)
	if again {
		delete(t.tombstones, id)
		o.From, o.Delivered = past.seen+1, past.seen
		o.Seen.Reset(past.seen, &t.pool)
		o.Direct.Reset(past.direct, &t.pool)
	}
	return o, evicted, true
}

// retire evicts an origin.
func (t *Table) retire(o *Origin) {
	t.turn++
	past := tombstone{o.ID, t.turn, o.Seen.Highest(), o.Direct.Highest()}
	if o.From > past.seen { // what is below is history, and remains so
		past.seen = o.From - 1
	}
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
