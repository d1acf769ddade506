package node

import (
	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
)

// coverage remembers which arcs of the ring this node covered for a message.
//
// Bound: the limit messages noted last, and at most as many before these. When limit messages
// have been noted, all before them are forgotten at once, which costs less than to forget one
// at each.
type coverage struct {
	limit      int
	young, old map[messageID]covered
}

func newCoverage(limit int) coverage {
	return coverage{limit: limit, young: map[messageID]covered{}, old: map[messageID]covered{}}
}

type messageID struct {
	origin  uint64
	counter uint32
}

// covered is the last arc covered that the node lies in, and the last one that it does not; an
// empty one stands for none.
type covered struct{ inside, outside ring.Arc }

// of returns which of the two arcs is to hold an arc, for a node at pos.
func (c *covered) of(arc ring.Arc, pos uint32) *ring.Arc {
	if arc.Has(pos) {
		return &c.inside
	}
	return &c.outside
}

// get returns what was covered for e; ok is false if e is not known.
func (c *coverage) get(origin uint64, counter uint32) (arcs covered, ok bool) {
	id := messageID{origin, counter}
	if arcs, ok = c.young[id]; !ok {
		arcs, ok = c.old[id]
	}
	return arcs, ok
}

// set notes what is covered for e.
func (c *coverage) set(e *datalog.Entry, arcs covered) {
	if len(c.young) >= c.limit {
		c.young, c.old = c.old, c.young
		clear(c.young)
	}
	c.young[messageID{e.Origin, e.Counter}] = arcs
}
