package datalog

import "math/bits"

const (
	minClass = 6  // the smallest buffers hold 64 bytes
	maxClass = 16 // buffers larger than 64 KiB are not pooled
	keepSize = 256 << 10
)

// pool keeps entries for reuse, each with its payload's buffer, sorted by the size of that
// buffer: a power of two. Were they mixed, every buffer would in time grow to the size of
// the largest message.
//
// Bound: 256 KiB for each of 11 sizes. Each size has its own bound so that a flood of small
// messages leaves room for large ones that follow it.
type pool struct {
	free  [maxClass - minClass + 1]*Entry
	bytes [maxClass - minClass + 1]int
}

// class returns the smallest class whose buffers hold n bytes.
func class(n int) int {
	return max(minClass, bits.Len(uint(max(n, 1)-1)))
}

// get returns an entry, zero but for a buffer that holds n bytes.
func (p *pool) get(n int) *Entry {
	c := class(n)
	if c > maxClass {
		return &Entry{Payload: make([]byte, 0, n)}
	}
	e := p.free[c-minClass]
	if e == nil {
		return &Entry{Payload: make([]byte, 0, 1<<c)}
	}
	p.free[c-minClass], e.older = e.older, nil
	p.bytes[c-minClass] -= Overhead + cap(e.Payload)
	return e
}

// put takes an entry that is no longer used.
func (p *pool) put(e *Entry) {
	c, size := class(cap(e.Payload)), Overhead+cap(e.Payload)
	if c > maxClass || p.bytes[c-minClass]+size > keepSize {
		return
	}
	p.bytes[c-minClass] += size
	*e = Entry{Payload: e.Payload[:0], older: p.free[c-minClass]}
	p.free[c-minClass] = e
}

// nodePool keeps nodes for reuse.
//
// Bound: mostNodes, 256 KiB.
type nodePool struct {
	free *node // linked by up
	n    int
}

const mostNodes = keepSize / 80

// get returns a node that is zero.
func (p *nodePool) get() *node {
	n := p.free
	if n == nil {
		return new(node)
	}
	p.free, n.up = n.up, nil
	p.n--
	return n
}

// put takes a node that is no longer used.
func (p *nodePool) put(n *node) {
	if p.n == mostNodes {
		return
	}
	*n = node{up: p.free}
	p.free = n
	p.n++
}
