package outbox

import (
	"slices"
	"sort"

	"example.com/gossip/internal/wire"
)

// owed is the numbers of messages that wait to be acknowledged, or refused, as ascending runs.
//
// Bound: MostAcks runs.
type owed struct {
	runs    []wire.AckRun
	numbers int
}

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
	case before && o.runs[i-1].More < 255:
		o.runs[i-1].More++
		if next := i; after && int(o.runs[i-1].More)+1+int(o.runs[next].More) <= 255 {
			o.runs[i-1].More += 1 + o.runs[next].More
			o.runs = slices.Delete(o.runs, next, next+1)
		}
	case after && o.runs[i].More < 255:
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

// front returns how many runs from the front on, at most a number, one Ack may hold, and how
// many numbers these are.
func (o *owed) front(most int) (runs, numbers int) {
	for runs < min(len(o.runs), most) {
		n := numbers + 1 + int(o.runs[runs].More)
		if n > wire.MostAcked {
			break
		}
		runs, numbers = runs+1, n
	}
	return runs, numbers
}
