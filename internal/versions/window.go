// Package versions remembers which messages of which origin a node has seen.
//
// Every origin numbers its messages 1, 2, 3, … A Window holds what is known of
// one such sequence, an Origin what is known of one sender, a Table all of them.
//
// Nothing here reads a clock, starts a goroutine or locks: time is an argument,
// and the caller lets one goroutine in at a time.
package versions

import (
	"math/bits"

	"example.com/gossip/internal/wire"
)

// Width is how far above its floor a Window can record a counter.
const Width = 1024

const wordBits = 64

// Verdict is what a Window says of a counter.
type Verdict int

const (
	Seen  Verdict = iota // seen before, or given up
	New                  // never seen, and the window has room for it
	Ahead                // too far above the floor to be recorded
)

// Window is the set of counters seen of one sequence. Its zero value has seen
// nothing.
//
//	           floor          highest      floor+Width
//	             ↓               ↓              ↓
//	…█ █ █ █ █ █ █ · █ █ · · █ █ █ · · · · · · · ┊ Ahead
//	  everything │ └─── seen bits above ───┘     ┊
//	  seen or    │
//	  given up   └ floor+1 is never seen: a run that touches the floor is
//	               swallowed by it
//
// Counter c above the floor has bit c%Width, so the bitmap is a ring and a rising
// floor moves nothing. The bits of counters not above the floor are clear, ready
// for those that take their places.
//
// Bound: 16 bytes, and 128 more only while there is a gap. The floor moves only when a
// counter arrives or the caller advances it, never with time: what was once Seen stays Seen.
type Window struct {
	floor, highest uint32
	ring           *bitmap // nil exactly while highest == floor
}

// Floor returns the counter up to which everything is seen or given up.
func (w *Window) Floor() uint32 { return w.floor }

// Highest returns the highest counter seen or given up; it is at least Floor.
func (w *Window) Highest() uint32 { return w.highest }

// Gap reports whether something below Highest is missing.
func (w *Window) Gap() bool { return w.highest > w.floor }

// Has reports whether c is seen or given up. Counter 0 names no message and counts as seen.
func (w *Window) Has(c uint32) bool {
	if c <= w.floor || c > w.highest {
		return c <= w.floor
	}
	return w.ring[c%Width/wordBits]>>(c%wordBits)&1 != 0
}

// Check returns what Add would return for c, and changes nothing.
func (w *Window) Check(c uint32) Verdict {
	switch {
	case uint64(c) > uint64(w.floor)+Width:
		return Ahead
	case w.Has(c):
		return Seen
	}
	return New
}

// Add records c if it is New.
func (w *Window) Add(c uint32, p *Pool) Verdict {
	v := w.Check(c)
	switch {
	case v != New:
	case c == w.floor+1: // does not wrap: a New c is above the floor
		w.raise(c, p)
	default:
		if w.ring == nil {
			w.ring = p.get()
		}
		w.ring[c%Width/wordBits] |= 1 << (c % wordBits)
		w.highest = max(w.highest, c)
	}
	return v
}

// Advance raises the floor to at least floor, and further over what was seen right above it.
// It returns how many unseen counters it passed, which are thereby given up.
func (w *Window) Advance(floor uint32, p *Pool) (unseen uint32) {
	if floor <= w.floor {
		return 0
	}
	passed := floor - w.floor
	return passed - w.raise(floor, p)
}

// MakeRoom advances the floor just enough for c not to be Ahead, and returns how
// many counters were given up.
func (w *Window) MakeRoom(c uint32, p *Pool) (unseen uint32) {
	if c <= Width {
		return 0
	}
	return w.Advance(c-Width, p)
}

// Reset makes the window one that has seen everything up to floor and nothing above it.
func (w *Window) Reset(floor uint32, p *Pool) {
	w.floor, w.highest = floor, floor
	if w.ring != nil {
		p.put(w.ring)
		w.ring = nil
	}
}

// Release returns the bitmap to the pool and forgets what was seen above the floor.
func (w *Window) Release(p *Pool) { w.Reset(w.floor, p) }

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
func (w *Window) AppendMissing(dst []wire.Run, theirFloor uint32, theirRuns []wire.Run, limit int) []wire.Run {
	m := missing{w: w, dst: dst, from: uint64(w.floor) + 1, limit: limit}
	more := m.add(wire.Run{First: 0, Last: theirFloor})
	for i := 0; more && i < len(theirRuns); i++ {
		more = m.add(theirRuns[i])
	}
	return m.dst
}

// missing is an AppendMissing in progress. Everything below from is done, and from only
// rises: whatever the runs, each counter of the window is visited once.
type missing struct {
	w     *Window
	dst   []wire.Run
	from  uint64
	limit int
	last  uint64 // last counter appended, 0 if none
}

// add appends the unseen counters of r, and returns false once nothing can follow.
func (m *missing) add(r wire.Run) bool {
	top := uint64(m.w.floor) + Width
	m.from = max(m.from, uint64(r.First))
	for end := min(uint64(r.Last), top); m.from <= end; {
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
	return m.from <= top
}

// raise moves the floor up to f, then over the run seen right above it. It
// returns how many counters from the old floor to f had been seen.
func (w *Window) raise(f uint32, p *Pool) (seen uint32) {
	if w.ring == nil {
		w.floor, w.highest = f, f
		return 0
	}
	seen = w.clear(uint64(w.floor)+1, uint64(min(f, w.highest)))
	w.highest = max(w.highest, f)
	run := w.find(uint64(f)+1, uint64(w.highest), false) - 1
	w.clear(uint64(f)+1, run)
	w.floor = uint32(run)
	if w.floor == w.highest {
		p.put(w.ring)
		w.ring = nil
	}
	return seen
}

// clear clears the bits of the counters lo to hi, which lie in the window, and
// returns how many were set.
func (w *Window) clear(lo, hi uint64) (n uint32) {
	for lo <= hi {
		word, shift := &w.ring[lo%Width/wordBits], lo%wordBits
		width := min(wordBits-shift, hi-lo+1)
		mask := ^uint64(0) >> (wordBits - width) << shift
		n += uint32(bits.OnesCount64(*word & mask))
		*word &^= mask
		lo += width
	}
	return n
}

// find returns the first counter from c to end whose bit is set or, if set is false, not;
// or end+1. The counters must lie in the window: above the floor, by at most Width.
func (w *Window) find(c, end uint64, set bool) uint64 {
	if w.ring == nil && !set {
		return min(c, end+1)
	}
	for w.ring != nil && c <= end {
		word, shift := w.ring[c%Width/wordBits], c%wordBits
		if !set {
			word = ^word
		}
		if word >>= shift; word != 0 {
			return min(c+uint64(bits.TrailingZeros64(word)), end+1)
		}
		c += wordBits - shift
	}
	return end + 1
}

type bitmap [Width / wordBits]uint64

// Pool keeps bitmaps for the next window that has a gap. Its zero value is ready.
//
// Bound: 64 bitmaps of 128 bytes; those returned beyond that are left to the
// garbage collector.
type Pool struct{ free []*bitmap }

const mostFree = 64

func (p *Pool) get() *bitmap {
	last := len(p.free) - 1
	if last < 0 {
		return new(bitmap)
	}
	b := p.free[last]
	p.free[last] = nil
	p.free = p.free[:last]
	return b
}

func (p *Pool) put(b *bitmap) {
	if len(p.free) == mostFree {
		return
	}
	*b = bitmap{}
	p.free = append(p.free, b)
}
