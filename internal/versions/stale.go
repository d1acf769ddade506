package versions

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// mark says that the counters up to highest that are missing have been missing since at.
type mark struct {
	highest uint32
	at      time.Duration
}

// mostMarks bounds the marks of a gap. Beyond it, those of nearly the same time become one.
const mostMarks = 16

// StaleGaps yields, ascending by ID, the origins of which a message has been missing for
// patience, and up to where all that is missing has been. The caller may give up, meanwhile,
// what is missing of the origin yielded.
//
// The time of a message counts from the first call that finds it missing. So a caller that
// calls it at regular intervals learns of each late by at most one interval. If new ones have
// been found missing by more than 16 calls within patience, those found by neighbouring calls
// count from the last of these: later by a seventh of patience at most.
//
// A call costs as much as there are origins with a gap.
func (t *Table) StaleGaps(now, patience time.Duration) iter.Seq2[*Origin, uint32] {
	return func(yield func(*Origin, uint32) bool) {
		t.stale = t.stale[:0]
		for _, g := range t.pool.gaps {
			g.mark(now)
			if end := g.staleEnd(now, patience); end > 0 {
				t.stale = append(t.stale, staleGap{g.owner, end})
			}
		}
		slices.SortFunc(t.stale, func(a, b staleGap) int { return cmp.Compare(a.origin.ID, b.origin.ID) })
		for _, s := range t.stale {
			if !yield(s.origin, s.end) {
				break
			}
		}
		clear(t.stale)
	}
}

// staleGap is an origin with a gap that is stale up to end.
type staleGap struct {
	origin *Origin
	end    uint32
}

// staleEnd returns the counter up to which what is missing has been missing for patience, 0 if
// nothing has.
func (g *gap) staleEnd(now, patience time.Duration) (end uint32) {
	for _, m := range g.marks {
		if now-m.at < patience {
			break
		}
		end = m.highest
	}
	return end
}

// mark notes that what is missing is missing now.
func (g *gap) mark(now time.Duration) {
	w := &g.owner.Seen
	for len(g.marks) > 0 && g.marks[0].highest <= w.floor {
		g.marks = slices.Delete(g.marks, 0, 1)
	}
	marked := w.floor
	if last := len(g.marks) - 1; last >= 0 {
		marked = g.marks[last].highest
	}
	if !w.misses(marked, w.known) {
		return
	}
	if len(g.marks) == mostMarks {
		g.thin()
	}
	g.marks = append(g.marks, mark{w.known, now})
}

// misses reports whether a counter above low, up to high, is missing.
func (w *Window) misses(low, high uint32) bool {
	return w.find(uint64(low)+1, uint64(high), false) <= uint64(high)
}

// thin removes at least one mark: those before which nothing is missing that was not before
// the mark before it. If there are none, it divides time in the shortest parts, of a power of
// two, of which one holds two marks, and keeps the last mark of each part.
func (g *gap) thin() {
	most, low := len(g.marks), g.owner.Seen.floor
	g.marks = slices.DeleteFunc(g.marks, func(m mark) bool {
		none := !g.owner.Seen.misses(low, m.highest)
		low = m.highest
		return none
	})
	for shift := 0; len(g.marks) == most; shift++ {
		kept := g.marks[:0]
		for i, m := range g.marks {
			if i+1 == most || m.at>>shift != g.marks[i+1].at>>shift {
				kept = append(kept, m)
			}
		}
		g.marks = kept
	}
}
