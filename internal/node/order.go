package node

import (
	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// tooEarly reports whether, where order is kept, a message has to wait for its turn and there is no
// room for another that waits. The message whose turn it is always has room, so those that
// wait do not wait for one another. They may take as much memory as the copies of a class, and none
// if they come from an unvalidated source.
func (n *Node) tooEarly(in *datagram, o *versions.Origin, d *wire.Data) bool {
	if !n.config.Ordered || d.Flags&wire.FlagDirect != 0 || d.Counter == o.Seen.Floor()+1 {
		return false
	}
	if !in.validated() {
		n.challenge(in)
		return true
	}
	return !o.MayWait(datalog.Overhead+len(d.Payload), n.history.log.Pinned(), n.out.queue.Bytes())
}

// deliverInOrder delivers, where order is kept, the next messages of an origin, as far as they
// are here and those before them are delivered or skipped.
func (n *Node) deliverInOrder(o *versions.Origin) {
	if !n.config.Ordered {
		return
	}
	log := n.history.log
	n.history.repair.InOrder(o, func(e *datalog.Entry) {
		o.Wait(-datalog.Overhead - len(e.Payload))
		n.deliver(log.Retain(e))
		log.Unpin(e)
	})
}

// giveUp gives up the missing messages of an origin up to floor.
func (n *Node) giveUp(o *versions.Origin, floor uint32) {
	n.history.repair.GiveUp(o, floor)
	n.deliverInOrder(o)
}
