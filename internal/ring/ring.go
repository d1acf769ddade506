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
package ring

// Pos returns the place of an id on the ring.
func Pos(id uint64) uint32 { return uint32(id >> 32) }

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
