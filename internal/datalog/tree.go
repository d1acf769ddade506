package datalog

import "math/bits"

// node is a node of a radix tree, which holds the messages of one origin by counter. It covers
// the counters that agree in all bits above one digit, and has a slot for each value of that
// digit. Nodes that would only have one slot in use are left out, except for the root:
//
//	root            the first digit
//	├─ 0 ─ node     the last digit: covers 16 to 19
//	│      ├─ 1 ─ entry 17
//	│      └─ 2 ─ entry 18
//	└─ 3 ─ entry 4000000000
//
// Bound: a tree has at most as many nodes as entries, and at most 16 nodes lie above an
// entry. Both hold for any counters, added and removed in any order.
type node struct {
	up    *node  // nil for the root
	low   uint32 // the lowest counter that it covers
	shift uint8  // how many bits follow the digit
	used  uint8  // the slots in use, as bits
	slots [fanout]slot
}

const (
	digitBits = 2
	fanout    = 1 << digitBits
	rootShift = 32 - digitBits
)

// slot holds an entry, a node, or neither.
type slot struct {
	entry *Entry
	node  *node
}

// seek returns the lowest node that covers the counter. It starts at n, which can be any node
// of the tree.
func (n *node) seek(counter uint32) *node {
	for !n.covers(counter) { // ends at the root
		n = n.up
	}
	for {
		below := n.slots[n.digit(counter)].node
		if below == nil || !below.covers(counter) {
			return n
		}
		n = below
	}
}

// get returns the entry with this counter, nil if there is none. n is what seek returns.
func (n *node) get(counter uint32) *Entry {
	if e := n.slots[n.digit(counter)].entry; e != nil && e.Counter == counter {
		return e
	}
	return nil
}

// from returns the first entry with at least this counter, nil if there is none. n is what
// seek returns.
func (n *node) from(counter uint32) *Entry {
	if e := n.slots[n.digit(counter)].first(); e != nil && e.Counter >= counter {
		return e
	}
	return n.after(counter)
}

// after returns the first entry in the slots that follow the one of the counter, in n and in
// the nodes above it; nil if there is none.
func (n *node) after(counter uint32) *Entry {
	for ; n != nil; n = n.up {
		i := n.digit(counter) + 1
		if later := n.used >> i; later != 0 {
			return n.slots[i+bits.TrailingZeros8(later)].first()
		}
	}
	return nil
}

// put adds an entry. n is what seek returns. If the slot is in use, a new node takes it, and
// covers both what was there and the entry.
func (n *node) put(e *Entry, p *nodePool) {
	if n.used>>n.digit(e.Counter)&1 != 0 {
		there := n.clear(e.Counter)
		low := there.low()
		both := p.get()
		both.shift = uint8(bits.Len32(low^e.Counter)-1) / digitBits * digitBits
		both.low = low &^ (fanout<<both.shift - 1)
		both.set(low, there)
		n.set(low, slot{node: both})
		n = both
	}
	n.set(e.Counter, slot{entry: e})
}

// remove removes an entry of n. It reports whether that takes n itself out of the tree: a root
// without entries, or another node with one slot in use, which moves up to replace it.
func (n *node) remove(e *Entry) bool {
	n.clear(e.Counter)
	e.node = nil
	if n.up == nil {
		return n.used == 0
	}
	if n.used&(n.used-1) != 0 {
		return false
	}
	n.up.clear(n.low)
	n.up.set(n.low, n.slots[bits.TrailingZeros8(n.used)])
	return true
}

// covers reports whether the counter agrees with those below n in all bits above the digit.
func (n *node) covers(counter uint32) bool { return (counter^n.low)>>n.shift < fanout }

// digit returns the index of the slot of the counter.
func (n *node) digit(counter uint32) int { return int(counter >> n.shift % fanout) }

// set fills the slot of the counter, which is empty.
func (n *node) set(counter uint32, s slot) {
	i := n.digit(counter)
	n.slots[i] = s
	n.used |= 1 << i
	if s.node != nil {
		s.node.up = n
	} else {
		s.entry.node = n
	}
}

// clear empties the slot of the counter and returns what was there.
func (n *node) clear(counter uint32) slot {
	i := n.digit(counter)
	s := n.slots[i]
	n.slots[i] = slot{}
	n.used &^= 1 << i
	return s
}

// first returns the entry with the lowest counter, nil in an empty slot.
func (s slot) first() *Entry {
	for s.node != nil {
		s = s.node.slots[bits.TrailingZeros8(s.node.used)]
	}
	return s.entry
}

// low returns the lowest counter that a slot in use covers.
func (s slot) low() uint32 {
	if s.node != nil {
		return s.node.low
	}
	return s.entry.Counter
}
