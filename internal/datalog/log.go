// Package datalog retains messages so that they can be sent again to nodes that missed
// them.
//
// Nothing here reads a clock, starts a goroutine or locks: time is an argument,
// and the caller lets one goroutine in at a time.
package datalog

import (
	"math"
	"time"
)

// Log retains the latest messages.
//
//	roots[A]   3, 4, 7                 by counter, in a tree
//	roots[B]   1, 2
//	ends       B1 ⇄ A3 ⇄ A7 ⇄ B2 ⇄ A4  by Born, the oldest first, in a ring
//
// Bound: the sizes of the retained messages, Overhead included, add up to at most limit, apart
// from those that are pinned; the oldest makes room. A payload's buffer is rounded up to 64 bytes or as much as twice
// its size, and messages evicted while referenced live on until released. What is free for
// reuse is bounded by its pool. The cost of a call does not grow with what is retained, except
// that Put pays for each message that it evicts.
type Log struct {
	limit, bytes, n int // without those that are pinned
	pinned          int // bytes
	evicted         uint64
	refused         uint64           // not retained by Put
	roots           map[uint64]*node // the tree of each origin that has messages
	visits          uint64           // messages looked for, or passed
	near            *node            // where the last search ended and the next begins, or nil
	nearOrigin      uint64
	ends            Entry // between the newest and the oldest
	pool            pool
	nodes           nodePool
}

// New returns a log that retains up to limit bytes; with 0 it retains nothing.
func New(limit int) *Log {
	l := &Log{limit: limit, roots: make(map[uint64]*node)}
	l.ends = Entry{Born: math.MinInt64, older: &l.ends, newer: &l.ends}
	return l
}

// Len returns the number of messages retained, without those that are pinned.
func (l *Log) Len() int { return l.n }

// Bytes returns how many bytes are charged for the retained messages, without those that are pinned.
func (l *Log) Bytes() int { return l.bytes }

// Pinned returns how many bytes are charged for those that are pinned.
func (l *Log) Pinned() int { return l.pinned }

// Visits returns how many messages were looked for, or passed, so far: a measure of work.
func (l *Log) Visits() uint64 { return l.visits }

// Evicted returns how many messages have made room for others.
func (l *Log) Evicted() uint64 { return l.evicted }

// Refused returns how many messages Put did not retain, for want of room.
func (l *Log) Refused() uint64 { return l.refused }

// Put retains a message, with a copy of payload, and evicts the oldest until it fits. If it
// is retained already nothing changes. If it is too large, or there is no room and it is
// older than all others, it is not retained, only returned. The caller must Release the
// entry returned.
//
// Messages need not come in the order of their birth, but the place of a new one is only
// looked for among the mostPassed oldest and newest. If it is not there, the message goes
// behind the mostPassed newest, and is evicted later than its age demands.
func (l *Log) Put(origin uint64, counter uint32, payload []byte, born time.Duration) *Entry {
	if e := l.Get(origin, counter); e != nil {
		return l.Retain(e)
	}
	e := l.Detached(origin, counter, payload, born)
	if l.admit(e) {
		l.index(e)
	}
	return e
}

// admit makes room for a message among those that are not pinned, if that is due to it.
func (l *Log) admit(e *Entry) bool {
	if e.size() > l.limit || l.bytes+e.size() > l.limit && e.Born < l.ends.newer.Born {
		l.refused++
		return false
	}
	for l.bytes+e.size() > l.limit {
		l.forget(l.ends.newer)
		l.evicted++
	}
	l.bytes += e.size()
	l.n++
	e.older = l.before(e.Born)
	e.newer = e.older.newer
	e.older.newer, e.newer.older = e, e
	return true
}

// Pin retains a message as Put does, but whatever its size and age, until Unpin.
func (l *Log) Pin(origin uint64, counter uint32, payload []byte, born time.Duration) *Entry {
	if e := l.Get(origin, counter); e != nil {
		return l.Retain(e)
	}
	e := l.Detached(origin, counter, payload, born)
	l.pinned += e.size()
	l.index(e)
	return e
}

// Unpin makes a pinned message one like others, which may be evicted at once.
func (l *Log) Unpin(e *Entry) {
	if !e.retained() || e.newer != nil {
		return
	}
	l.pinned -= e.size()
	if !l.admit(e) {
		l.remove(e)
	}
}

// Get returns the message, nil if it is not retained.
func (l *Log) Get(origin uint64, counter uint32) *Entry {
	if n := l.seek(origin, counter); n != nil {
		return n.get(counter)
	}
	return nil
}

// Next returns the retained message of the same origin with the next higher counter, nil
// at the end or if e is not retained.
func (l *Log) Next(e *Entry) *Entry {
	l.visits++
	return e.node.after(e.Counter)
}

// From returns the origin's first retained message with at least this counter, nil
// if there is none.
func (l *Log) From(origin uint64, counter uint32) *Entry {
	if n := l.seek(origin, counter); n != nil {
		return n.from(counter)
	}
	return nil
}

// Drop makes the messages of the origin impossible to find, and unpins them. Each makes room when
// its turn comes, so Drop costs the same however many there are, unless any is pinned.
func (l *Log) Drop(origin uint64) {
	for e := l.From(origin, 0); e != nil && l.pinned > 0; {
		next := l.Next(e)
		l.Unpin(e)
		e = next
	}
	delete(l.roots, origin)
	l.near = nil
}

// seek returns the lowest node that covers the counter, nil if nothing of the origin is
// retained. Successive searches often are for counters of one origin that lie close together.
func (l *Log) seek(origin uint64, counter uint32) *node {
	l.visits++
	if l.near == nil || l.nearOrigin != origin {
		l.near, l.nearOrigin = l.roots[origin], origin
	}
	if l.near != nil {
		l.near = l.near.seek(counter)
	}
	return l.near
}

// index makes e retained.
func (l *Log) index(e *Entry) {
	l.Retain(e)
	n := l.seek(e.Origin, e.Counter)
	if n == nil {
		n = l.nodes.get()
		n.shift = rootShift
		l.roots[e.Origin] = n
	}
	n.put(e, &l.nodes)
}

// mostPassed bounds how many messages, from either end, the search for the place of a new
// one passes.
const mostPassed = 32

// before returns the entry after which one born then has its place, which may be the ends.
func (l *Log) before(born time.Duration) *Entry {
	older, newer := l.ends.newer, l.ends.older
	for range mostPassed {
		switch {
		case newer.Born <= born: // holds for the ends
			return newer
		case older.Born > born:
			return older.older
		}
		older, newer = older.newer, newer.older
	}
	return newer
}

// forget undoes admit and index.
func (l *Log) forget(e *Entry) {
	l.bytes -= e.size()
	l.n--
	e.older.newer, e.newer.older = e.newer, e.older
	e.older, e.newer = nil, nil
	l.remove(e)
}

// remove undoes index.
func (l *Log) remove(e *Entry) {
	if n := e.node; n.remove(e) {
		if l.roots[e.Origin] == n {
			delete(l.roots, e.Origin)
		}
		if l.near == n {
			l.near = n.up
		}
		l.nodes.put(n)
	}
	l.Release(e)
}
