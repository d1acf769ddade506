package versions

import "example.com/gossip/internal/wire"

// AppendRuns appends, ascending, at most limit runs of what was seen above the floor, and
// below the counter below unless that is 0.
func (w *Window) AppendRuns(dst []wire.Run, below uint32, limit int) []wire.Run {
	end := uint64(w.highest)
	if below != 0 {
		end = min(end, uint64(below)-1)
	}
	for c := uint64(w.floor) + 1; limit > 0; limit-- {
		first := w.find(c, end, true)
		if first > end {
			break
		}
		c = w.find(first, end, false)
		dst = append(dst, wire.Run{First: uint32(first), Last: uint32(c - 1)})
	}
	return dst
}

// AppendMissing appends, ascending, at most limit runs of counters that another node has
// seen (up to its floor, and its runs above) and that this window has not seen but could
// record. Their runs should ascend; parts that do not are ignored.
//
// Whatever the runs, it visits each word of the window once, and once more for each of their
// runs and each run appended.
func (w *Window) AppendMissing(dst []wire.Run, theirFloor uint32, theirRuns []wire.Run, limit int, p *Pool) []wire.Run {
	theirs := theirFloor
	if last := len(theirRuns) - 1; last >= 0 {
		theirs = max(theirs, theirRuns[last].Last)
	}
	if theirs <= w.floor {
		return dst
	}
	m := missing{w: w, dst: dst, from: uint64(w.floor) + 1, top: uint64(w.highest), limit: limit}
	if theirs > w.highest {
		m.top = uint64(w.floor) + uint64(w.reach(p))
	}
	more := m.add(wire.Run{First: 0, Last: theirFloor})
	for i := 0; more && i < len(theirRuns); i++ {
		more = m.add(theirRuns[i])
	}
	return m.dst
}

// missing is an AppendMissing in progress. Everything below from is done, and from only
// rises: whatever the runs, each counter of the window is visited once.
type missing struct {
	w         *Window
	dst       []wire.Run
	from, top uint64
	limit     int
	last      uint64 // last counter appended, 0 if none
}

// add appends the unseen counters of r, and returns false once nothing can follow.
func (m *missing) add(r wire.Run) bool {
	m.from = max(m.from, uint64(r.First))
	for end := min(uint64(r.Last), m.top); m.from <= end; {
		first := m.w.find(m.from, end, false)
		m.from = m.w.find(first, end, true)
		switch {
		case first > end:
			continue
		case m.last != 0 && first == m.last+1:
			m.dst[len(m.dst)-1].Last = uint32(m.from - 1)
		case m.limit <= 0:
			return false
		default:
			m.dst = append(m.dst, wire.Run{First: uint32(first), Last: uint32(m.from - 1)})
			m.limit--
		}
		m.last = m.from - 1
	}
	return m.from <= m.top
}

// HasAll reports whether all of a run are seen or given up.
func (w *Window) HasAll(r wire.Run) bool {
	if r.Last <= w.floor || r.Last > w.highest {
		return r.Last <= w.floor
	}
	return w.find(max(uint64(r.First), uint64(w.floor)+1), uint64(r.Last), false) > uint64(r.Last)
}
