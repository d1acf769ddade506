package repair

import (
	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
)

// GiveUp gives up the missing messages of an origin up to floor. They are lost, except those
// from before counting begins.
func (d *Reconciler) GiveUp(o *versions.Origin, floor uint32) {
	d.lost += uint64(o.GiveUp(floor, d.origins.Pool()))
}

// InOrder yields the messages of an origin that are next in its order: those after the last
// one delivered, up to the floor. Those that were seen but are not retained are lost. The
// message yielded may be unpinned.
func (d *Reconciler) InOrder(o *versions.Origin, yield func(*datalog.Entry)) {
	floor, delivered := o.Seen.Floor(), uint32(0)
	if o.Delivered >= floor {
		return
	}
	for e := d.log.From(o.ID, o.Delivered+1); e != nil && e.Counter <= floor; {
		next := d.log.Next(e)
		delivered++
		yield(e)
		e = next
	}
	d.lost += uint64(o.InTurn(delivered))
}

// Lost returns how many messages are lost: given up, no longer retained when their turn came,
// or of an origin that made room for another.
func (d *Reconciler) Lost() uint64 { return d.lost }

// Unsettled returns how many messages are neither delivered nor lost yet.
func (d *Reconciler) Unsettled() uint64 {
	return d.unsettled(d.origins.Unsettled())
}

// unsettled returns how many messages will not be delivered if what is missing does not come
// and what waits has no turn.
func (d *Reconciler) unsettled(missing, waiting uint64) uint64 {
	if d.Ordered {
		return missing + waiting
	}
	return missing // nothing waits
}
