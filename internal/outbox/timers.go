package outbox

import (
	"container/heap"
	"time"
)

// schedule makes sure that Overdue looks at q at the given time.
func (o *Outbox) schedule(q *PeerQueue, at time.Duration) {
	switch {
	case q.index < 0:
		q.wake = at
		heap.Push(&o.timers, q)
	case at < q.wake:
		q.wake = at
		heap.Fix(&o.timers, q.index)
	}
}

// reschedule sets the wake of q, which has a timer, to what is due first.
func (o *Outbox) reschedule(q *PeerQueue) {
	at, any := q.due()
	if !any {
		heap.Remove(&o.timers, q.index)
		return
	}
	q.wake = at
	heap.Fix(&o.timers, q.index)
}

// timers orders peer queues by their wake, for container/heap.
type timers []*PeerQueue

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].wake < t[j].wake }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	q := x.(*PeerQueue)
	q.index = len(*t)
	*t = append(*t, q)
}

func (t *timers) Pop() any {
	old := *t
	q := old[len(old)-1]
	q.index = -1
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return q
}
