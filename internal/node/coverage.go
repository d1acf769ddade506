package node

import (
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// coverage remembers of which messages this node covered an arc of the ring. A copy may come late,
// after thousands of newer messages: from a member that refused it, or to take the place of one
// that was lost.
//
// Bound: the limit blocks noted last, and at most as many before these. When limit blocks have
// been noted, all before them are forgotten at once, which costs less than to forget one at each.
type coverage struct {
	limit      int
	young, old map[block]covered
}

func newCoverage(limit int) coverage {
	return coverage{limit: limit, young: map[block]covered{}, old: map[block]covered{}}
}

// block is blockSize successive numbers of an origin.
type block struct {
	origin uint64
	index  uint32
}

const blockSize = 64

// side tells on which side of an arc's ends the node lies.
type side uint8

const (
	noArc   side = iota // of a message that came without an arc
	inside              // the node lies in the arc
	outside             // it does not

	sides
)

// sideOf returns the side of a copy's arc on which the node lies.
func (n *Node) sideOf(d *wire.Data) side {
	arc := ring.Arc{Lo: d.Lo, Hi: d.Hi}
	switch {
	case d.Flags&wire.FlagArc == 0:
		return noArc
	case arc.Has(ring.Pos(n.self.id)):
		return inside
	}
	return outside
}

// covered holds the messages of a block, as bits: all that were noted, those of which an arc
// was covered that the node lies in, and those of which another one was.
type covered [sides]uint64

// covers reports whether an arc on a side was covered for a message, or the message is not known.
func (c *coverage) covers(origin uint64, counter uint32, s side) bool {
	b := c.get(block{origin, counter / blockSize})
	bit := uint64(1) << (counter % blockSize)
	return b[noArc]&bit == 0 || b[s]&bit != 0
}

// note notes a message, and that an arc on a side is covered for it.
func (c *coverage) note(origin uint64, counter uint32, s side) {
	id := block{origin, counter / blockSize}
	b := c.get(id)
	bit := uint64(1) << (counter % blockSize)
	b[noArc] |= bit
	b[s] |= bit
	if _, ok := c.young[id]; !ok && len(c.young) >= c.limit {
		c.young, c.old = c.old, c.young
		clear(c.young)
	}
	c.young[id] = b
}

func (c *coverage) get(id block) covered {
	if b, ok := c.young[id]; ok {
		return b
	}
	return c.old[id]
}
