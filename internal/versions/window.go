// Package versions remembers which messages of which origin a node has seen.
//
// Every origin numbers its messages 1, 2, 3, … A Window holds what is known of
// one such sequence, an Origin what is known of one sender, a Table all of them.
//
// Nothing here reads a clock, starts a goroutine or locks: time is an argument,
// and the caller lets one goroutine in at a time.
package versions

// NarrowWidth is how far above its floor every Window can record a counter.
const NarrowWidth = 1024

// Width is how far above its floor the Seen of an Origin can record a counter while the Pool
// has room for it.
const Width = 8192

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
//	           floor          highest known floor+Width
//	             ↓               ↓     ↓        ↓
//	…█ █ █ █ █ █ █ · █ █ · · █ █ █ · · · · · · · ┊ Ahead
//	  everything │ └─── seen bits above ───┘     ┊
//	  seen or    │                       └ said to exist
//	  given up   └ floor+1 is never seen: a run that touches the floor is
//	               swallowed by it
//
// A window is NarrowWidth wide. That of an Origin widens up to Width, in steps of powers of
// two, for as long as its gap needs it and the Pool has room.
//
// Bound: 32 bytes, and while there is a gap those of the gap. The floor moves only when a
// counter arrives or the caller advances it, never with time: what was once Seen stays Seen.
type Window struct {
	gap            *gap    // nil exactly while known == floor
	owner          *Origin // whose Seen it is; nil for a window that stays narrow
	floor, highest uint32
	known          uint32 // at least highest
}

// Floor returns the counter up to which everything is seen or given up.
func (w *Window) Floor() uint32 { return w.floor }

// Highest returns the highest counter seen or given up; it is at least Floor.
func (w *Window) Highest() uint32 { return w.highest }

// Gap reports whether anything is missing, as far as is known.
func (w *Window) Gap() bool { return w.known > w.floor }

// Has reports whether c is seen or given up. Counter 0 names no message and counts as seen.
func (w *Window) Has(c uint32) bool {
	if c <= w.floor || c > w.highest {
		return c <= w.floor
	}
	return *w.gap.word(uint64(c))>>(c%wordBits)&1 != 0
}

// Check returns what Add would return for c, and changes nothing. Where p is nil it answers
// for a window that may not widen.
func (w *Window) Check(c uint32, p *Pool) Verdict {
	if c > w.highest && c-w.floor <= NarrowWidth { // nearly all are
		return New
	}
	return w.check(c, p)
}

func (w *Window) check(c uint32, p *Pool) Verdict {
	switch {
	case w.Has(c):
		return Seen
	case !w.fits(c-w.floor, p):
		return Ahead
	}
	return New
}

// Add records c if it is New.
func (w *Window) Add(c uint32, p *Pool) Verdict {
	if c == w.floor+1 && c != 0 { // in order; after the last counter it wraps
		w.raise(c, p)
		return New
	}
	if v := w.Check(c, p); v != New {
		return v
	}
	if w.gap == nil {
		w.gap = p.open(w.owner)
	}
	w.hash(uint64(c), uint64(c), 1, p)
	if distance := c - w.floor; distance > uint32(len(w.gap.words)*wordBits) {
		w.resize(wordsFor(distance), p)
	}
	*w.gap.word(uint64(c)) |= 1 << (c % wordBits)
	w.highest = max(w.highest, c)
	w.known = max(w.known, c)
	return New
}

// Expect notes that c exists, and all before it: what of that is not seen is missing. It notes no
// more than Width above the floor.
func (w *Window) Expect(c uint32, p *Pool) {
	if c = uint32(min(uint64(c), uint64(w.floor)+Width)); c <= w.known {
		return
	}
	if w.known = c; w.gap == nil {
		w.gap = p.open(w.owner)
	}
}

// FloorFor returns the lowest floor, from the present one on, above which the window has
// room for c.
func (w *Window) FloorFor(c uint32, p *Pool) uint32 {
	if w.Check(c, p) != Ahead {
		return w.floor
	}
	return c - w.reach(p)
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
	return w.Advance(w.FloorFor(c, p), p)
}

// Reset makes the window one that has seen everything up to floor and nothing above it.
func (w *Window) Reset(floor uint32, p *Pool) {
	w.hashSeen(uint64(w.floor)+1, uint64(w.highest), -1, p)
	w.hash(1, uint64(w.floor), -1, p)
	w.hash(1, uint64(floor), 1, p)
	w.floor, w.highest, w.known = floor, floor, floor
	if w.gap != nil {
		clear(w.gap.words)
		w.close(p)
	}
}

// raise moves the floor up to f, then over the run seen right above it. It
// returns how many counters from the old floor to f had been seen.
func (w *Window) raise(f uint32, p *Pool) (seen uint32) {
	w.hash(uint64(w.floor)+1, uint64(f), 1, p)
	w.known = max(w.known, f)
	if w.gap == nil {
		w.floor, w.highest = f, f
		return 0
	}
	w.hashSeen(uint64(w.floor)+1, uint64(min(f, w.highest)), -1, p)
	seen = w.clear(uint64(w.floor)+1, uint64(min(f, w.highest)))
	w.highest = max(w.highest, f)
	run := w.find(uint64(f)+1, uint64(w.highest), false) - 1
	w.clear(uint64(f)+1, run)
	w.floor = uint32(run)
	if w.floor == w.known {
		w.close(p)
	} else {
		w.narrow(p)
	}
	return seen
}

// close ends the gap, whose words are clear.
func (w *Window) close(p *Pool) {
	p.close(w.gap)
	w.gap = nil
}
