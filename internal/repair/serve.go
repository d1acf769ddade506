package repair

import (
	"math"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/wire"
)

// Pusher sends a retained message to the node being answered. It returns false when it
// accepts no more.
type Pusher interface {
	Push(e *datalog.Entry) bool
}

// Serve pushes the requested messages that are retained.
func (d *Reconciler) Serve(request wire.Digest, to Pusher) {
	for {
		origin, _, theirs, more := request.Next(d.theirs)
		d.theirs = theirs
		if !more {
			return
		}
		for _, r := range theirs {
			for e := d.log.From(origin, r.First); e != nil && e.Counter <= r.Last; e = d.log.Next(e) {
				if !to.Push(e) {
					return
				}
			}
		}
	}
}

// push gives the Pusher all retained messages of an origin that are not covered by floor and
// runs, up to the first young one of each gap: those that follow are mostly younger. It returns
// false when the Pusher accepts no more.
func (d *Reconciler) push(now time.Duration, origin uint64, floor uint32, runs []wire.Run, to Pusher) bool {
	e := d.log.From(origin, 0)
	for i := 0; e != nil && floor < math.MaxUint32; i++ {
		end := uint32(math.MaxUint32)
		if i < len(runs) {
			end = runs[i].First - 1
		}
		if e.Counter <= floor {
			e = d.log.From(origin, floor+1)
		}
		for ; e != nil && e.Counter <= end && now-e.Born >= 2*young*d.Epoch; e = d.log.Next(e) {
			if !to.Push(e) {
				return false
			}
		}
		if i == len(runs) {
			break
		}
		floor = runs[i].Last
	}
	return true
}
