package node

// Stats counts what a node has done and refused. gossip.Stats has the same fields and
// documents them.
type Stats struct {
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64
	MessagesIn, MessagesOut   uint64
	Retries                   uint64

	Sent, Delivered, Repaired, Duplicate, Relayed, Evicted uint64

	DropOversize, DropMalformed, DropUnknownType, DropTag, DropSealed, DropClear, DropLeft uint64

	DropCluster, DropIllegal, DropAck, DropWelcome, DropLeave, DropMember uint64
	DropStranger, DropRecipient, DropOrigin, DropAhead, DropForged        uint64

	DropAmplify, DropRelay, DropBusy, DropControl, DropPush uint64
	GivenUp, Unheard, GaveUpUnseen                          uint64
	SendErrors, ReceiveErrors                               uint64

	MembersLost, MembersAgain uint64

	Members, Lost             int
	QueuedControl, QueuedData int
	Origins                   int
	HistoryMissed             uint64
	Retained, RetainedBytes   int
	AcksPending, Arrived      int
}

// Stats returns the counts so far; the owner counts errors of its socket.
func (n *Node) Stats() Stats {
	s, q, h := n.stats, n.out.queue.Stats(), &n.history
	s.MessagesOut, s.Retries, s.DropControl = q.Messages, q.Retries, q.Dropped
	s.Members, s.Lost = n.peers.members.Len(), n.peers.members.Lost()
	s.QueuedControl, s.QueuedData = q.Control, q.Data+n.self.backlog.waiting
	s.Origins, s.Retained, s.RetainedBytes = h.origins.Len(), h.log.Len(), h.log.Bytes()
	s.HistoryMissed = h.origins.History()
	s.Evicted, s.GaveUpUnseen = h.log.Evicted()+h.log.Refused(), h.repair.Lost()
	s.AcksPending, s.Arrived = q.Acks, n.events.Len()
	return s
}
