package versions

import (
	"time"

	"example.com/gossip/internal/fifo"
)

// Table holds the origins a node knows. An ID is never 0.
//
// Bound: limit origins, each with two windows; and 32 bytes for each of them, but at least
// 4 KiB, for all windows that are wide, see Pool. The cost of a call does not grow with the
// number of origins, except that of StaleGaps and Unsettled.
//
// A full table takes a new origin only in place of one that was idle long enough, the idlest
// first, so that a flood of invented origins is refused instead of evicting active ones. Nor
// can one member keep the table filled with invented origins for that long: each origin is
// charged to its introducer, and one of another introducer replaces the idlest of the one that
// has the most. The node's own origin counts, and is never evicted.
type Table struct {
	limit int
	byID  map[uint64]*Origin
	all   recency
	kept  uint64
	pool  Pool
	looks uint64     // origins looked up
	stale []staleGap // scratch space

	introducers map[uint64]*introducer
	ranks       ranks // the introducers, the one with the most origins first

	tombstones map[uint64]tombstone
	order      fifo.Queue[tombstone] // in the order of leaving, including those that came back
	turn       uint64                // of the last that left
}

// tombstone is what is remembered of an evicted origin, so that none of its messages counts as
// new if another node still has it. The latest tombs*limit are remembered.
type tombstone struct {
	id           uint64
	turn         uint64 // of leaving, because an origin may come back and leave again
	seen, direct uint32
}

const tombs = 4

// NewTable returns an empty table for at most limit origins.
func NewTable(limit int) *Table {
	return &Table{
		limit: limit, pool: Pool{budget: max(4<<10, 32*limit)},
		byID: make(map[uint64]*Origin), introducers: make(map[uint64]*introducer), tombstones: make(map[uint64]tombstone),
	}
}

// Len returns the number of origins.
func (t *Table) Len() int { return len(t.byID) }

// Newest returns the origin that was touched last, nil if there is none.
func (t *Table) Newest() *Origin { return t.all.newest }

// Get returns the origin with this ID, or nil if it is unknown.
func (t *Table) Get(id uint64) *Origin {
	t.looks++
	return t.byID[id]
}

// Visits returns how many origins were looked up so far: a measure of work.
func (t *Table) Visits() uint64 { return t.looks }

// Pool returns the pool that the windows of all origins share.
func (t *Table) Pool() *Pool { return &t.pool }

// Hash returns a number that is the same for tables of whose origins the same was seen, and
// hardly ever for others.
func (t *Table) Hash() uint64 { return t.pool.hash }

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

// History returns how many counters of all origins are history and were not seen.
func (t *Table) History() uint64 { return uint64(max(t.pool.history, 0)) }

// Keep names the node's own origin, which is never evicted and always finds room, whether it
// is known already or added later. It replaces the one named before.
func (t *Table) Keep(id uint64) { t.kept = id }

// Kept returns the id that Keep named.
func (t *Table) Kept() uint64 { return t.kept }

// Touch notes that something was learned of an origin of the table now. It becomes the newest.
func (t *Table) Touch(o *Origin, now time.Duration) {
	o.touched = max(o.touched, now)
	t.all.remove(o)
	t.all.add(o)
	o.introducer.origins.remove(o)
	o.introducer.origins.add(o)
}

// Evicted is an origin that made room for another; with ID 0 there is none.
type Evicted struct {
	ID               uint64
	Missing, Waiting uint32 // as the Origin said; these can no longer be delivered
}

// Add returns the origin with this ID, adding it, touched now, if it is unknown; introducer stands
// for the member that told of it, 0 for none. If the table is full the idlest origin makes
// room, provided it has been idle for at least idle; or else, if another introducer has at least
// two more origins than this one, the idlest of the one with the most. If none can make room ok
// is false.
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
	if len(t.byID) >= t.limit {
		victim := t.all.idlest
		if victim != nil && victim.ID == t.kept {
			victim = victim.links[inTable].newer
		}
		switch {
		case victim != nil && victim.Idle(now) >= idle:
		case introducer != 0 && len(t.ranks) > 0 && t.ranks[0].origins.len > t.held(introducer)+1:
			victim = t.ranks[0].origins.idlest
		default:
			return nil, Evicted{}, false
		}
		evicted = Evicted{victim.ID, victim.Missing(), victim.Waiting()}
		t.retire(victim)
	}
	o = NewOrigin(id)
	o.touched = now
	t.charge(o, introducer)
	t.byID[id] = o
	t.all.add(o)
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
	past := tombstone{o.ID, t.turn, o.Seen.known, o.Direct.Highest()} // what is missing is counted as lost
	if o.From > past.seen {                                           // what is below is history, and remains so
		past.seen = o.From - 1
	}
	t.Remove(o.ID)
	if t.order.Len() == tombs*t.limit {
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
	o.Seen.Reset(0, &t.pool)
	o.Direct.Reset(0, &t.pool)
	delete(t.byID, id)
	t.all.remove(o)
	t.discharge(o)
}
