package datalog

import "time"

// Overhead is the number of bytes charged for an entry besides its payload. It covers the
// Entry itself, a node of its tree, and a share of the map of trees at its emptiest.
const Overhead = 224

// Entry is a message. Nobody changes its exported fields. Without a reference it is only
// borrowed from the log, until the next Put or Drop; to keep it longer, hold a reference.
type Entry struct {
	Origin  uint64
	Counter uint32
	refs    int32 // references held, of which the log holds one while retained
	Payload []byte
	Born    time.Duration // when it was sent, as far as that is known, or else arrived

	older, newer *Entry // by Born, while retained and not pinned; older links free entries
	node         *node  // the one that holds it, while retained
}

// retained reports whether the log retains it.
func (e *Entry) retained() bool { return e.node != nil }

// size is how many bytes are charged for the entry.
func (e *Entry) size() int { return Overhead + len(e.Payload) }

// Detached returns a message that is not retained and so cannot be found, with a copy of
// payload. The caller must Release it.
func (l *Log) Detached(origin uint64, counter uint32, payload []byte, born time.Duration) *Entry {
	e := l.pool.get(len(payload))
	e.Origin, e.Counter, e.Born = origin, counter, born
	e.Payload = append(e.Payload, payload...)
	e.refs = 1
	return e
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
	if e.refs == 0 || e.retained() && e.refs == 1 {
		panic("datalog: Release without a reference")
	}
	if e.refs--; e.refs == 0 {
		l.pool.put(e)
	}
}
