package versions

import "math/bits"

const (
	narrowWords = NarrowWidth / wordBits
	wideWords   = Width / wordBits
)

// gap is what a Window holds above its floor while something there is missing.
//
// Counter c has bit c%wordBits of word c/wordBits modulo their number, a power of two. So the
// words are a ring, and a rising floor moves nothing. The bits of counters not above the
// floor are clear, ready for those that take their places.
//
// Bound: 192 bytes; while it is wide up to 1 KiB more from the Pool; and 16 marks of 16 bytes.
type gap struct {
	words []uint64
	small [narrowWords]uint64 // the words while it is narrow

	owner *Origin // whose Seen has the gap; nil for a window that stays narrow
	index int     // in Pool.gaps, if it has an owner
	marks []mark
}

// word returns the word that holds the bit of c.
func (g *gap) word(c uint64) *uint64 { return &g.words[c/wordBits&uint64(len(g.words)-1)] }

// wide returns how many words are the Pool's.
func (g *gap) wide() int {
	if g == nil || len(g.words) == narrowWords {
		return 0
	}
	return len(g.words)
}

// wordsFor returns how many words a window needs to record a counter that far above its floor.
func wordsFor(distance uint32) int {
	return max(narrowWords, 1<<bits.Len32((distance-1)/wordBits))
}

// fits reports whether the window can record a counter that far above its floor.
func (w *Window) fits(distance uint32, p *Pool) bool {
	words, wide := wordsFor(distance), w.gap.wide()
	switch {
	case words <= max(wide, narrowWords):
		return true
	case w.owner == nil || words > wideWords:
		return false
	}
	return p.affords(w.owner, words-wide)
}

// reach returns how far above its floor the window can record a counter.
func (w *Window) reach(p *Pool) uint32 {
	for d := uint32(Width); d > NarrowWidth; d /= 2 {
		if w.fits(d, p) {
			return d
		}
	}
	return NarrowWidth
}

// narrow makes a wide window half as wide, or less, when its gap takes a quarter at most. So
// it does not change with every counter.
func (w *Window) narrow(p *Pool) {
	if wide := w.gap.wide(); wide > 0 {
		if missing := w.highest - w.floor; missing <= uint32(wide*wordBits/4) {
			w.resize(wordsFor(max(2*missing, 1)), p)
		}
	}
}

// resize moves the bits to that many words, which must be enough.
func (w *Window) resize(words int, p *Pool) {
	g := w.gap
	old, wide := g.words, g.wide()
	if g.words = g.small[:]; words > narrowWords {
		g.words = make([]uint64, words)
	}
	p.account(w.owner, g.wide()-wide)
	first, last := uint64(w.floor)+1, uint64(w.highest)
	for k := first / wordBits; k <= last/wordBits; k++ {
		word := old[k&uint64(len(old)-1)]
		if k == first/wordBits { // its lower bits may be those of the last word
			word &= ^uint64(0) << (first % wordBits)
		}
		if k == last/wordBits {
			word &= ^uint64(0) >> (wordBits - 1 - last%wordBits)
		}
		*g.word(k * wordBits) |= word
	}
	clear(old)
}

// clear clears the bits of the counters lo to hi, which lie in the window, and
// returns how many were set.
func (w *Window) clear(lo, hi uint64) (n uint32) {
	for lo <= hi {
		word, mask, next := w.part(lo, hi)
		n += uint32(bits.OnesCount64(*word & mask))
		*word &^= mask
		lo = next
	}
	return n
}

// count returns how many of the counters lo to hi, which lie in the window, have been seen.
func (w *Window) count(lo, hi uint64) (n uint32) {
	for lo <= hi {
		word, mask, next := w.part(lo, hi)
		n += uint32(bits.OnesCount64(*word & mask))
		lo = next
	}
	return n
}

// part returns the word that holds the bit of lo, the mask of those from lo to hi in it, and
// the first counter behind it.
func (w *Window) part(lo, hi uint64) (word *uint64, mask, next uint64) {
	shift := lo % wordBits
	width := min(wordBits-shift, hi-lo+1)
	return w.gap.word(lo), ^uint64(0) >> (wordBits - width) << shift, lo + width
}

// find returns the first counter from c to end that has been seen or, if set is false, not;
// or end+1. The counters must be above the floor.
func (w *Window) find(c, end uint64, set bool) uint64 {
	first, last := c, min(end, uint64(w.highest)) // above highest nothing has been seen
	for c <= last {
		word, shift := *w.gap.word(c), c%wordBits
		if !set {
			word = ^word
		}
		if word >>= shift; word != 0 {
			if c += uint64(bits.TrailingZeros64(word)); c <= last {
				return c
			}
			break
		}
		c += wordBits - shift
	}
	if set {
		return end + 1
	}
	return min(max(first, last+1), end+1)
}
