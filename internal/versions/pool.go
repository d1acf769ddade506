package versions

// Pool has the memory of the gaps of all windows of a Table, and the list of the gaps that
// have an owner. With its zero value no window widens.
//
// Bound: the words of wide windows take at most budget bytes, and those of one introducer at
// most half of what others leave, so that none takes all. For reuse it keeps 64 gaps of
// 192 bytes, until trim frees them.
type Pool struct {
	hash        uint64 // of what was seen of all origins
	history     int64  // counters that are history, of all origins, and were not seen
	budget, out int    // bytes of wide windows: allowed, in use
	gaps        []*gap
	free        []*gap // at most mostFree
}

const mostFree = 64

// trim frees the memory that is kept for reuse.
func (p *Pool) trim() {
	p.free = nil
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
	}
	if wide := g.wide(); wide > 0 {
		p.account(g.owner, -wide)
		g.words = g.small[:]
	}
	g.owner = nil
	g.marks = g.marks[:0]
	if len(p.free) < mostFree {
		p.free = append(p.free, g)
	}
}

// affords reports whether there is room for that many more words of an origin. A nil Pool has
// none.
func (p *Pool) affords(o *Origin, words int) bool {
	if p == nil {
		return false
	}
	more, i := words*wordBits/8, o.introducer
	if i != nil && i.id != 0 && i.wide+more > (p.budget-p.out+i.wide)/2 {
		return false
	}
	return p.out+more <= p.budget
}

// account charges an origin for more words of a wide window, or for fewer.
func (p *Pool) account(o *Origin, words int) {
	p.out += words * wordBits / 8
	if o.introducer != nil {
		o.introducer.wide += words * wordBits / 8
	}
}
