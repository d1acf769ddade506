package repair

import (
	"cmp"
	"slices"

	"example.com/gossip/internal/wire"
)

// mostNews bounds a list of News; beyond it the oldest are forgotten, because pages cover
// them too.
const mostNews = 256

// News is a list of messages to offer to others. The zero value is empty.
type News struct {
	items  []item
	oldest int // of a full list
}

type item struct {
	origin  uint64
	counter uint32
}

// Add puts a message on the list.
func (n *News) Add(origin uint64, counter uint32) {
	if len(n.items) < mostNews {
		n.items = append(n.items, item{origin, counter})
		return
	}
	n.items[n.oldest] = item{origin, counter}
	n.oldest = (n.oldest + 1) % mostNews
}

// Clear empties the list.
func (n *News) Clear() { n.items, n.oldest = n.items[:0], 0 }

// Offer returns what is on the list, as far as it fits in room bytes, and empties the list.
func (d *Reconciler) Offer(n *News, room int) wire.Digest {
	slices.SortFunc(n.items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.counter, b.counter))
	})
	d.digest.Reset()
	for i := 0; i < len(n.items); {
		origin := n.items[i].origin
		d.runs = d.runs[:0]
		for ; i < len(n.items) && n.items[i].origin == origin; i++ {
			c := n.items[i].counter
			if last := len(d.runs) - 1; last >= 0 && d.runs[last].Last+1 >= c {
				d.runs[last].Last = c
			} else {
				d.runs = append(d.runs, wire.Run{First: c, Last: c})
			}
		}
		d.digest.Add(origin, d.runs[0].First-1, d.runs, room)
	}
	n.Clear()
	return d.digest
}
