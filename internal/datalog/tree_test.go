package datalog

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// numberings are ways in which the counters of an origin can lie.
var numberings = []func(r *rand.Rand, step int) uint32{
	func(r *rand.Rand, step int) uint32 { return uint32(step) + r.Uint32N(4) }, // as they come
	func(r *rand.Rand, _ int) uint32 { return r.Uint32N(150) },
	func(r *rand.Rand, _ int) uint32 { return r.Uint32N(1000) * 4096 },
	func(r *rand.Rand, _ int) uint32 { return math.MaxUint32 - r.Uint32N(150) },
	func(r *rand.Rand, _ int) uint32 { return 1<<r.IntN(32) - r.Uint32N(2) }, // either side of a digit
	func(r *rand.Rand, _ int) uint32 { return r.Uint32() },
}

// wellFormed returns what is wrong with the trees of the log.
func (l *Log) wellFormed() error {
	total, nearby := 0, false
	for origin, root := range l.roots {
		if root.up != nil || root.shift != rootShift || root.low != 0 {
			return fmt.Errorf("the root of %d should cover all counters, and is %+v", origin, root)
		}
		entries, nodes := 0, 0
		var walk func(n *node, depth int) error
		walk = func(n *node, depth int) error {
			nodes++
			nearby = nearby || n == l.near && origin == l.nearOrigin
			if used := bits.OnesCount8(n.used); depth > 16 || used == 0 || used == 1 && n != root {
				return fmt.Errorf("a node at depth %d of %d should have two slots in use, but has %d", depth, origin, used)
			}
			for i, s := range n.slots {
				lowest := n.low + uint32(i)<<n.shift
				switch {
				case n.used>>i&1 != 0 != (s != slot{}):
					return fmt.Errorf("slot %d at %d of %d should be in use or not, but is %+v", i, n.low, origin, s)
				case s.entry != nil:
					if entries++; s.entry.node != n || s.entry.Origin != origin || (s.entry.Counter-lowest)>>n.shift != 0 {
						return fmt.Errorf("slot %d at %d of %d is not the place of %+v", i, n.low, origin, s.entry)
					}
				case s.node != nil:
					if s.node.up != n || s.node.shift >= n.shift || (s.node.low-lowest)>>n.shift != 0 {
						return fmt.Errorf("slot %d at %d of %d is not the place of %+v", i, n.low, origin, s.node)
					}
					if err := walk(s.node, depth+1); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err := walk(root, 1); err != nil {
			return err
		}
		if nodes > entries {
			return fmt.Errorf("%d messages of %d need at most as many nodes, but have %d", entries, origin, nodes)
		}
		total += entries
	}
	if total > l.Len() {
		return fmt.Errorf("%d messages are retained, but %d are in trees", l.Len(), total)
	}
	if l.near != nil && !nearby {
		return fmt.Errorf("the next search of %d would begin at a node that is in no tree of its", l.nearOrigin)
	}
	return nil
}

func TestTreeIsSmallAndShallowForAllCounters(t *testing.T) {
	for i, number := range numberings {
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 1))
			l := New(3000 * Overhead)
			for step := range 10000 {
				l.Release(l.Put(r.Uint64N(3), number(r, step), nil, 0))
			}
			if err := l.wellFormed(); err != nil {
				t.Fatalf("numbering %d seed %d: %v", i, seed, err)
			}
		}
	}
}

func TestTreeReachesTheDepthItIsBoundedBy(t *testing.T) {
	l := New(100 * Overhead)
	for bit := range 32 { // each differs from 0 in another digit first
		l.Release(l.Put(1, 1<<bit, nil, 0))
	}
	l.Release(l.Put(1, 0, nil, 0))
	depth := 0
	for n := l.Get(1, 0).node; n != nil; n = n.up {
		depth++
	}
	if depth != 16 {
		t.Errorf("32 counters that differ from 0 in each of 16 digits should put 16 nodes above it, not %d", depth)
	}
}

func TestOverheadCoversAnEntry(t *testing.T) {
	const slot = unsafe.Sizeof(uint64(0)) + unsafe.Sizeof((*node)(nil)) + 1 // and a control byte
	entry := (unsafe.Sizeof(Entry{}) + 15) / 16 * 16                        // as it is allocated
	if need := entry + unsafe.Sizeof(node{}) + slot*16/7; need > Overhead {
		t.Errorf("an entry takes %d bytes with a node of its own and the map at its emptiest, but Overhead charges %d", need, Overhead)
	}
}

func TestNodePoolIsBounded(t *testing.T) {
	l := New(3 * mostNodes * Overhead)
	for origin := range uint64(3 * mostNodes) {
		l.Release(l.Put(origin, 1, nil, 0))
	}
	for l.Len() > 0 {
		l.forget(l.ends.newer)
	}
	n := 0
	for free := l.nodes.free; free != nil; free = free.up {
		n++
	}
	if n != mostNodes || l.nodes.n != n || n*int(unsafe.Sizeof(node{})) > keepSize {
		t.Errorf("the pool should keep %d nodes and %d bytes, but counts %d and holds %d", mostNodes, keepSize, l.nodes.n, n)
	}
}
