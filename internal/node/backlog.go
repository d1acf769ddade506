package node

import (
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/fifo"
)

// backlog is the node's own messages that no other node has acknowledged, in the order of
// their numbers. They are kept whatever the log evicts. A message without copies on their way
// is waiting: it is spread when there is a member to send it to.
//
// Bound: Publish refuses a message whose number is mostOwn or more after the first, and one
// beside others that wait when they take the bytes of the log together.
type backlog struct {
	first   uint32 // number of the first message
	own     fifo.Queue[ownMessage]
	waiting int // messages without copies
	bytes   int // charges of these
}

// ownMessage is one message of the backlog. Once a node has acknowledged it, its entry is nil.
type ownMessage struct {
	entry  *datalog.Entry
	kind   SpreadKind
	copies int // on their way
}

// mostOwn is how many numbers of this node may follow one that no other node has: other nodes
// keep track of versions.Width.
const mostOwn = span

// full reports whether the message with a number is too far after the first.
func (b *backlog) full(counter uint32) bool { return b.own.Len() > 0 && counter-b.first >= mostOwn }

// add appends the next message, which waits, and takes a reference to it.
func (b *backlog) add(e *datalog.Entry, kind SpreadKind, log *datalog.Log) {
	if b.own.Len() == 0 {
		b.first = e.Counter
	}
	for b.first+uint32(b.own.Len()) < e.Counter { // numbers that were skipped
		b.own.Push(ownMessage{})
	}
	b.own.Push(ownMessage{entry: log.Retain(e), kind: kind})
	b.count(e, 1)
}

func (b *backlog) count(e *datalog.Entry, sign int) {
	b.waiting += sign
	b.bytes += sign * (datalog.Overhead + len(e.Payload))
}

// at returns the message with a number, nil if it is acknowledged.
func (b *backlog) at(counter uint32) *ownMessage {
	if i := counter - b.first; i < uint32(b.own.Len()) { // a number before the first wraps
		if m := b.own.At(int(i)); m.entry != nil {
			return m
		}
	}
	return nil
}

// queued notes that a copy of a message is on its way.
func (b *backlog) queued(counter uint32) {
	if m := b.at(counter); m != nil {
		if m.copies++; m.copies == 1 {
			b.count(m.entry, -1)
		}
	}
}

// settled notes that a copy of a message is no longer on its way, and whether it was
// acknowledged.
func (b *backlog) settled(counter uint32, acknowledged bool, log *datalog.Log) {
	m := b.at(counter)
	if m == nil {
		return
	}
	if m.copies--; m.copies == 0 {
		b.count(m.entry, 1)
	}
	if acknowledged {
		b.release(m, log)
	}
}

// giveUp releases a message of which no copy is on its way.
func (b *backlog) giveUp(counter uint32, log *datalog.Log) {
	if m := b.at(counter); m != nil && m.copies == 0 {
		b.release(m, log)
	}
}

// release gives up the entry of a message, and forgets the messages before the first that is
// not acknowledged.
func (b *backlog) release(m *ownMessage, log *datalog.Log) {
	if m.copies == 0 {
		b.count(m.entry, -1)
	}
	log.Release(m.entry)
	m.entry = nil
	for b.own.Len() > 0 && b.own.At(0).entry == nil {
		b.own.Pop()
		b.first++
	}
}

// clear releases all messages.
func (b *backlog) clear(log *datalog.Log) {
	for b.own.Len() > 0 {
		if m, _ := b.own.Pop(); m.entry != nil {
			log.Release(m.entry)
		}
	}
	b.waiting, b.bytes = 0, 0
}

// owesFor is how long a node that is without any member refuses messages beyond its backlog.
const owesFor = 2 * time.Minute
