// Package fifo is a first-in-first-out queue that keeps its memory.
package fifo

// Queue is a ring buffer that grows when it is full and never shrinks; its user must bound
// it. The zero value is an empty queue.
type Queue[T any] struct {
	ring       []T
	first, len int
}

// Len returns the number of values in q.
func (q *Queue[T]) Len() int { return q.len }

// At returns the i-th value of q, from 0, to read or change until the next Push.
func (q *Queue[T]) At(i int) *T { return &q.ring[(q.first+i)%len(q.ring)] }

// Push adds v at the end.
func (q *Queue[T]) Push(v T) {
	if q.len == len(q.ring) {
		grown := make([]T, max(8, 2*len(q.ring)))
		n := copy(grown, q.ring[q.first:])
		copy(grown[n:], q.ring[:q.first])
		q.ring, q.first = grown, 0
	}
	q.ring[(q.first+q.len)%len(q.ring)] = v
	q.len++
}

// Pop takes the first value off q; ok is false if q is empty.
func (q *Queue[T]) Pop() (v T, ok bool) {
	if q.len == 0 {
		return v, false
	}
	var none T
	v, q.ring[q.first] = q.ring[q.first], none
	q.first = (q.first + 1) % len(q.ring)
	q.len--
	return v, true
}
