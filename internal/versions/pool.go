package versions

import "math/bits"

// Pool has the memory of the gaps of all windows of a Table, and the list of the gaps that
// have an owner. With its zero value no window widens.
//
// Bound: the words of wide windows take at most budget bytes. For reuse it keeps 64 gaps of
// 192 bytes and 4 rings of words of each wide size, 19 KiB, until trim frees them.
type Pool struct {
	changes     uint64 // of any window that uses it
	budget, out int    // bytes of wide windows: allowed, in use
	gaps        []*gap

	free []*gap
	wide [3][][]uint64 // of 2, 4 and 8 times the narrow size
}

const (
	mostFree     = 64
	mostFreeWide = 4
)

// trim frees the memory that is kept for reuse.
func (p *Pool) trim() {
	p.free, p.wide = nil, [3][][]uint64{}
	if len(p.gaps) == 0 {
		p.gaps = nil
	}
}

// open returns an empty narrow gap.
func (p *Pool) open(owner *Origin) *gap {
	var g *gap
	if last := len(p.free) - 1; last >= 0 {
		g = p.free[last]
		p.free[last] = nil
		p.free = p.free[:last]
	} else {
		g = new(gap)
		g.words = g.small[:]
	}
	if g.owner = owner; owner != nil {
		g.index = len(p.gaps)
		p.gaps = append(p.gaps, g)
	}
	return g
}

// close takes back a gap, whose words are clear.
func (p *Pool) close(g *gap) {
	if g.owner != nil {
		last := p.gaps[len(p.gaps)-1]
		p.gaps[g.index], last.index = last, g.index
		p.gaps[len(p.gaps)-1] = nil
		p.gaps = p.gaps[:len(p.gaps)-1]
		g.owner = nil
	}
	if g.wide() > 0 {
		p.putWide(g.words)
		g.words = g.small[:]
	}
	g.marks = g.marks[:0]
	if len(p.free) < mostFree {
		p.free = append(p.free, g)
	}
}

// affords reports whether there is room for that many more words. A nil Pool has none.
func (p *Pool) affords(words int) bool { return p != nil && p.out+words*wordBits/8 <= p.budget }

// takeWide returns clear words of a wide window.
func (p *Pool) takeWide(words int) []uint64 {
	p.out += words * wordBits / 8
	free := p.freeWide(words)
	last := len(*free) - 1
	if last < 0 {
		return make([]uint64, words)
	}
	ring := (*free)[last]
	(*free)[last] = nil
	*free = (*free)[:last]
	return ring
}

// putWide takes back the words of a wide window, which must be clear.
func (p *Pool) putWide(ring []uint64) {
	p.out -= len(ring) * wordBits / 8
	if free := p.freeWide(len(ring)); len(*free) < mostFreeWide {
		*free = append(*free, ring)
	}
}

// freeWide returns the list of free rings of that size.
func (p *Pool) freeWide(words int) *[][]uint64 { return &p.wide[bits.Len(uint(words/narrowWords))-2] }
