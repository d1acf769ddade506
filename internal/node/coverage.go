package node

import (
	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
)

// coverage remembers which arcs of the ring this node covered for a message.
//
// Bound: limit messages; the one that came first makes room.
type coverage struct {
	limit int
	arcs  map[messageID]covered
	order []messageID // as a ring once it is full
	first int
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
	arcs, ok = c.arcs[messageID{origin, counter}]
	return arcs, ok
}

// set notes what is covered for e.
func (c *coverage) set(e *datalog.Entry, arcs covered) {
	id := messageID{e.Origin, e.Counter}
	if _, again := c.arcs[id]; !again {
		if len(c.order) < c.limit {
			c.order = append(c.order, id)
		} else {
			delete(c.arcs, c.order[c.first])
			c.order[c.first] = id
			c.first = (c.first + 1) % c.limit
		}
	}
	c.arcs[id] = arcs
}
