// Package datalog retains messages so that they can be sent again to nodes that missed
// them.
//
// Nothing here reads a clock, starts a goroutine or locks: time is an argument,
// and the caller lets one goroutine in at a time.
package datalog

import "time"

// Overhead is the number of bytes charged for an entry besides its payload: the Entry
// itself, and its share of the map of entries when that is at its emptiest.
const Overhead = 224

// Entry is a message. Nobody changes its first four fields. Without a reference it is only
// borrowed from the log, until the next Put or Drop; to keep it longer, hold a reference.
type Entry struct {
	Origin  uint64
	Counter uint32
	Payload []byte
	Born    time.Duration // when it was sent, as far as that is known, or else arrived

	refs         int32  // references held, of which the log holds one while retained
	retained     bool   // it is in the log
	older, newer *Entry // by Born, while retained
	prev, next   *Entry // by counter within the origin, while retained; next links free entries
}

// size is how many bytes are charged for the entry.
func (e *Entry) size() int { return Overhead + len(e.Payload) }

// Log retains the latest messages.
//
//	chains[A]   first → 3 ⇄ 4 ⇄ 7 ← last     by counter
//	chains[B]   first → 1 ⇄ 2 ← last
//	age        oldest → B1 ⇄ A3 ⇄ A7 ⇄ B2 ⇄ A4 ← newest
//
// Bound: the sizes of the retained messages, Overhead included, add up to at most limit;
// the oldest makes room. A payload's buffer is rounded up to as much as twice its size, and
// messages evicted while referenced live on until released. Entries free for reuse are
// bounded by their pool.
type Log struct {
	limit, bytes   int
	evicted        uint64
	refused        uint64 // not retained by Put
	entries        map[key]*Entry
	chains         map[uint64]chain
	oldest, newest *Entry
	pool           pool
}

type key struct {
	origin  uint64
	counter uint32
}

// chain is the retained messages of one origin; there is none without messages.
type chain struct{ first, last *Entry }

// New returns a log that retains up to limit bytes; with 0 it retains nothing.
func New(limit int) *Log {
	return &Log{
		limit:   limit,
		entries: make(map[key]*Entry),
		chains:  make(map[uint64]chain),
	}
}

// Len returns the number of messages retained.
func (l *Log) Len() int { return len(l.entries) }

// Bytes returns how many bytes are charged for the retained messages.
func (l *Log) Bytes() int { return l.bytes }

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
// looked for among the mostPassed oldest and newest: beyond these its age is approximate.
func (l *Log) Put(origin uint64, counter uint32, payload []byte, born time.Duration) *Entry {
	if e := l.Get(origin, counter); e != nil {
		return l.Retain(e)
	}
	size := Overhead + len(payload)
	if size > l.limit || l.bytes+size > l.limit && born < l.oldest.Born {
		l.refused++
		return l.Detached(origin, counter, payload, born)
	}
	for l.bytes+size > l.limit {
		l.forget(l.oldest)
		l.evicted++
	}
	e := l.Detached(origin, counter, payload, born)
	l.link(e)
	return e
}

// Brief reports whether messages are being evicted before they reach age.
func (l *Log) Brief(now, age time.Duration) bool {
	return l.evicted > 0 && l.oldest != nil && now-l.oldest.Born < age
}

// Newest returns the newest retained message, nil if there is none.
func (l *Log) Newest() *Entry { return l.newest }

// Older returns the next older retained message, nil if there is none.
func (l *Log) Older(e *Entry) *Entry { return e.older }

// Detached returns a message that is not retained and so cannot be found, with a copy of
// payload. The caller must Release it.
func (l *Log) Detached(origin uint64, counter uint32, payload []byte, born time.Duration) *Entry {
	e := l.pool.get(len(payload))
	e.Origin, e.Counter, e.Born = origin, counter, born
	e.Payload = append(e.Payload, payload...)
	e.refs = 1
	return e
}

// Get returns the message, nil if it is not retained.
func (l *Log) Get(origin uint64, counter uint32) *Entry {
	return l.entries[key{origin, counter}]
}

// First returns the origin's retained message with the lowest counter, nil if
// there is none.
func (l *Log) First(origin uint64) *Entry { return l.chains[origin].first }

// Next returns the retained message of the same origin with the next higher counter, nil
// at the end or if e is not retained.
func (l *Log) Next(e *Entry) *Entry { return e.next }

// From returns the origin's first retained message with at least this counter, nil
// if there is none.
func (l *Log) From(origin uint64, counter uint32) *Entry {
	if e := l.Get(origin, counter); e != nil {
		return e
	}
	return l.chains[origin].from(counter)
}

// Retain adds a reference and returns the entry.
func (l *Log) Retain(e *Entry) *Entry {
	if e.refs == 0 {
		panic("datalog: Retain of an entry that was released")
	}
	e.refs++
	return e
}

// Release gives a reference back. The last one recycles the entry.
func (l *Log) Release(e *Entry) {
	if e.refs == 0 || e.retained && e.refs == 1 {
		panic("datalog: Release without a reference")
	}
	if e.refs--; e.refs == 0 {
		l.pool.put(e)
	}
}

// Drop forgets all messages of the origin. It does not count them as evicted.
func (l *Log) Drop(origin uint64) {
	for e := l.First(origin); e != nil; e = l.First(origin) {
		l.forget(e)
	}
}

// from returns the first entry with at least this counter, searching from the nearer end.
func (c chain) from(counter uint32) *Entry {
	switch {
	case c.last == nil || counter > c.last.Counter:
		return nil
	case counter <= c.first.Counter:
		return c.first
	case counter-c.first.Counter < c.last.Counter-counter:
		e := c.first
		for e.Counter < counter {
			e = e.next
		}
		return e
	}
	e := c.last
	for e.prev.Counter >= counter {
		e = e.prev
	}
	return e
}

// link makes e retained.
func (l *Log) link(e *Entry) {
	e.retained = true
	l.Retain(e)
	l.bytes += e.size()
	l.entries[key{e.Origin, e.Counter}] = e

	c := l.chains[e.Origin]
	if e.next = c.from(e.Counter); e.next != nil {
		e.prev, e.next.prev = e.next.prev, e
	} else {
		e.prev, c.last = c.last, e
	}
	if e.prev != nil {
		e.prev.next = e
	} else {
		c.first = e
	}
	l.chains[e.Origin] = c

	e.older = l.before(e.Born)
	if e.older != nil {
		e.newer, e.older.newer = e.older.newer, e
	} else {
		e.newer, l.oldest = l.oldest, e
	}
	if e.newer != nil {
		e.newer.older = e
	} else {
		l.newest = e
	}
}

// mostPassed bounds how many messages, from either end, the search for the place of a new
// one passes.
const mostPassed = 256

// before returns the message after which one born then has its place, nil if that place is
// the first.
func (l *Log) before(born time.Duration) *Entry {
	older, newer := l.oldest, l.newest
	for range mostPassed {
		switch {
		case newer == nil || newer.Born <= born:
			return newer
		case older.Born > born:
			return older.older
		}
		older, newer = older.newer, newer.older
	}
	return newer
}

// forget undoes link.
func (l *Log) forget(e *Entry) {
	delete(l.entries, key{e.Origin, e.Counter})
	l.bytes -= e.size()

	c := l.chains[e.Origin]
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		c.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		c.last = e.prev
	}
	if c.first != nil {
		l.chains[e.Origin] = c
	} else {
		delete(l.chains, e.Origin)
	}

	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}

	e.prev, e.next, e.older, e.newer = nil, nil, nil, nil
	e.retained = false
	l.Release(e)
}
