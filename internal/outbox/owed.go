package outbox

import (
	"slices"
	"sort"

	"example.com/gossip/internal/wire"
)

// owed is the numbers of messages that wait to be acknowledged, or refused, as ascending runs.
//
// Bound: MostAcks runs of 128 numbers.
type owed struct {
	runs    []wire.AckRun
	numbers int
}

// mostMore is how many numbers follow the first of a run, so that any Ack has room for one.
const mostMore = 127

// empty returns o without numbers, with its memory.
func (o owed) empty() owed { return owed{runs: o.runs[:0]} }

// add adds a number. It returns false if there is no room for another run.
func (o *owed) add(seq uint32) bool {
	i := len(o.runs)
	if i > 0 && o.runs[i-1].First > seq { // it came out of order
		i = sort.Search(i, func(i int) bool { return o.runs[i].First > seq })
	}
	before := i > 0 && seq-o.runs[i-1].First <= uint32(o.runs[i-1].More)+1
	after := i < len(o.runs) && o.runs[i].First == seq+1
	switch {
	case before && seq-o.runs[i-1].First <= uint32(o.runs[i-1].More):
		return true // it is owed already
	case before && o.runs[i-1].More < mostMore:
		o.runs[i-1].More++
		if next := i; after && int(o.runs[i-1].More)+1+int(o.runs[next].More) <= mostMore {
			o.runs[i-1].More += 1 + o.runs[next].More
			o.runs = slices.Delete(o.runs, next, next+1)
		}
	case after && o.runs[i].More < mostMore:
		o.runs[i].First--
		o.runs[i].More++
	case len(o.runs) < MostAcks:
		o.runs = slices.Insert(o.runs, i, wire.AckRun{First: seq})
	default:
		return false
	}
	o.numbers++
	return true
}

// MostAcked is how many sequence numbers the Acks of a datagram of that many bytes hold at most: to
// look them up is to cost no more than other messages.
func MostAcked(room int) int { return min(max(128, room/4), wire.MostAcked) }

// front returns how many runs from the front on, at most a number, one Ack may hold, and how
// many numbers these are, at most another.
func (o *owed) front(most, mostNumbers int) (runs, numbers int) {
	for runs < min(len(o.runs), most) {
		n := numbers + 1 + int(o.runs[runs].More)
		if n > mostNumbers {
			break
		}
		runs, numbers = runs+1, n
	}
	return runs, numbers
}
