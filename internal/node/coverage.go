package node

import (
	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/ring"
)

// coverage remembers which arc of the ring this node covered for a message.
//
// Bound: limit messages; the one covered first makes room.
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

type covered struct {
	arc     ring.Arc // not noted for a message of the node itself
	outside bool     // an arc that the node lies outside of was covered too
}

// get returns what was covered for e; ok is false if nothing was.
func (c *coverage) get(e *datalog.Entry) (arc covered, ok bool) {
	arc, ok = c.arcs[messageID{e.Origin, e.Counter}]
	return arc, ok
}

// add notes that an arc is covered for e.
func (c *coverage) add(e *datalog.Entry, arc ring.Arc, outside bool) {
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
	c.arcs[id] = covered{arc, outside}
}
