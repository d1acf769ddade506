package versions

import "container/heap"

// introducer is a member that told of origins before others did, and what it is charged for.
type introducer struct {
	id      uint64 // 0 stands for none, which is not ranked
	origins recency
	wide    int // bytes of their wide windows
	waiting int // bytes of their messages that wait for their turn
	index   int // in the ranks
}

// held returns how many origins an introducer is charged for.
func (t *Table) held(id uint64) int {
	if i := t.introducers[id]; i != nil {
		return i.origins.len
	}
	return 0
}

// charge charges an introducer for a new origin.
func (t *Table) charge(o *Origin, id uint64) {
	i := t.introducers[id]
	if i == nil {
		i = &introducer{id: id, origins: recency{kind: ofIntroducer}}
		t.introducers[id] = i
		if id != 0 {
			heap.Push(&t.ranks, i)
		}
	}
	o.introducer = i
	i.origins.add(o)
	t.rank(i)
}

// discharge undoes charge.
func (t *Table) discharge(o *Origin) {
	i := o.introducer
	i.waiting -= o.waiting
	i.origins.remove(o)
	t.rank(i)
	if i.origins.len == 0 {
		delete(t.introducers, i.id)
		if i.id != 0 {
			heap.Remove(&t.ranks, i.index)
		}
	}
}

func (t *Table) rank(i *introducer) {
	if i.id != 0 {
		heap.Fix(&t.ranks, i.index)
	}
}

// ranks orders introducers by the number of their origins, for container/heap.
type ranks []*introducer

func (r ranks) Len() int           { return len(r) }
func (r ranks) Less(i, j int) bool { return r[i].origins.len > r[j].origins.len }

func (r ranks) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].index, r[j].index = i, j
}

func (r *ranks) Push(x any) {
	i := x.(*introducer)
	i.index = len(*r)
	*r = append(*r, i)
}

func (r *ranks) Pop() any {
	last := len(*r) - 1
	i := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	return i
}

// The two lists that an origin is in.
const (
	inTable = iota
	ofIntroducer
	lists
)

// recency is a list of origins in the order in which they were touched.
type recency struct {
	kind           int
	newest, idlest *Origin
	len            int
}

type links struct{ newer, older *Origin }

// add adds an origin, as the newest.
func (l *recency) add(o *Origin) {
	o.links[l.kind] = links{older: l.newest}
	if l.newest != nil {
		l.newest.links[l.kind].newer = o
	} else {
		l.idlest = o
	}
	l.newest = o
	l.len++
}

func (l *recency) remove(o *Origin) {
	at := &o.links[l.kind]
	if at.newer != nil {
		at.newer.links[l.kind].older = at.older
	} else {
		l.newest = at.older
	}
	if at.older != nil {
		at.older.links[l.kind].newer = at.newer
	} else {
		l.idlest = at.newer
	}
	*at = links{}
	l.len--
}
