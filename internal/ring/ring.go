// Package ring is the geometry of the ring on which members have their places.
//
// A place is the upper 32 bits of a member's id. An Arc is half open and runs clockwise,
// that is, upwards:
//
//	      self
//	  .----*----.
//	 /           \   [Lo, Hi): from Lo up to but without Hi,
//	*             *  across the top if Hi < Lo;
//	 \           /   Lo == Hi is empty
//	  '----*----'
//
// The members of a zone are neighbours: the upper 16 bits of their ids are a hash of its name,
// and the lowest bit is 0. The few members that another zone or none puts among them count as
// theirs.
package ring

import "hash/fnv"

// Pos returns the place of an id on the ring.
func Pos(id uint64) uint32 { return uint32(id >> 32) }

// ID returns the id that a random number makes for a node in a zone; an empty name is none.
func ID(zone string, random uint64) uint64 {
	if zone == "" {
		return random | 1
	}
	h := fnv.New64a()
	h.Write([]byte(zone))
	return h.Sum64()<<48 | random>>16&^1 | 2 // an id is never 0
}

// Zone returns the zone of an id, 0 if it has none.
func Zone(id uint64) uint32 {
	if id&1 != 0 {
		return 0
	}
	return 1<<16 | uint32(id>>48)
}

// ZoneArc returns the places of a zone.
func ZoneArc(zone uint32) Arc { return Arc{zone << 16, (zone + 1) << 16} }

// Clip moves the ends of a that lie outside of b to those of b, if they are in a.
func (a Arc) Clip(b Arc) Arc {
	c := a
	if a.Has(b.Lo) {
		c.Lo = b.Lo
	}
	if a.Has(b.Hi) {
		c.Hi = b.Hi
	}
	return c
}

// Arc is a part of the ring. The zero value is empty.
type Arc struct{ Lo, Hi uint32 }

// AllBut returns the whole ring without the place of id.
func AllBut(id uint64) Arc { return Arc{Pos(id) + 1, Pos(id)} }

// Empty reports whether a holds no place.
func (a Arc) Empty() bool { return a.Lo == a.Hi }

// Len returns the number of places in a.
func (a Arc) Len() uint32 { return a.Hi - a.Lo }

// Has reports whether pos lies in a.
func (a Arc) Has(pos uint32) bool { return pos-a.Lo < a.Hi-a.Lo }
