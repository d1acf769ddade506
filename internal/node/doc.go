// Package node is the protocol of one node of a cluster, without socket, clock, lock,
// goroutine or callback. Its owner drives it:
//
//	n.Join(now, seeds)                  // then, whenever something happens:
//	n.Handle(now, from, datagram)       // a datagram came in
//	n.Tick(now)                         // at Deadline, or later
//	for b, to := n.Next(now, buf); len(b) > 0; b, to = n.Next(now, buf) { send(b, to) }
//	for e, ok := n.Event(); ok; e, ok = n.Event() { act(e); n.Release(e) }
//
// Time is the owner's, counted from any moment, and never goes back. Randomness comes from the
// seeds given to New and SetKeys, so that the same calls give the same datagrams. Package gossip is the
// owner in production, internal/cluster the one in simulations.
//
// # Where things are
//
// Calls between files go down only; what must go up is a value.
//
//	node.go          the verbs of the owner, except Handle and Next
//	next.go          Next: what goes out
//	receive.go       Handle: open a datagram, read its messages, dispatch each to a handler
//	maintenance.go   what is due by the clock       retry.go        answers and timeouts
//	join.go          Hello and Welcome              antientropy.go  what was seen, compared and repaired
//	membership.go    who is a member                request.go      what is requested, and again
//	departure.go     who is one no more             sequence.go     the place of a message in its stream
//	exchange.go      what members tell of others    delivery.go     Data in, delivery
//	publish.go       messages of the node itself    broadcast.go    how a message spreads
//	probe.go         Hellos to silent members,      standby.go      arcs that another may cover
//	                 and to other addresses         send.go         the one way out
//	datagram.go, order.go, state.go, peers.go, share.go, backlog.go, coverage.go, schedule.go, seal.go, room.go, warn.go, config.go, stats.go
//
// Below are packages of their own: outbox (queues, windows, acknowledgements), view (the members
// on the ring), versions (which numbers were seen), datalog (the messages retained), repair
// (which messages two nodes lack), wire (bytes), seal (encryption), token, pace, ring.
//
// # How a Hello becomes a member
//
// Join sends a Hello to each seed. Its token is 0: it asks for one. The answer is a Welcome of
// at most three times its size, with a token that is a keyed hash of the source address and the
// time, so the answering node keeps no state for an unvalidated source (handleHello). The
// Welcome makes the answering node a member of the newcomer, which is CONNECTED then
// (handleWelcome), and sends a second Hello, with the token. That one validates the newcomer
// (admit): it becomes a member, gets the list of members in pages, and its arrival is
// announced.
//
// A member known only from a list is not validated. It is sent Hellos, never Data, is told to
// nobody and covers no arc until it answers. If it answers none of six it is forgotten, and what
// others say of its address is rarely taken after that. A node verifies up to 128 such members at
// once, then one after another. A page of members of which none is new is refused: that ends the
// pages.
//
// A seed is sent Hellos for ever. One that does not answer is asked less and less, at last once a
// minute; one that answers, after pauses that double up to eight minutes, because its address may
// lead to other nodes. If the node that answers gives another address it becomes a member there.
// A late answer counts for six seconds after its Hello was given up.
//
// # How a payload travels
//
// Publish numbers the message, puts it in the log and in the backlog, and divides the ring among
// a few members, the delegates (delegate, hand): each gets a copy and the arc of the ring that
// it is to cover, which it divides in the same way. Handle does the same with a copy from
// another node (handleData, take). The copies wait in the outbox until Next packs them.
//
// A copy is sent until its recipient acknowledges it or is lost. If one attempt gets no answer,
// two where loss is common, its arc goes to another member in it, unless all there are suspect
// (redelegate, patience). A node that has no room for the copies that a message needs refuses it,
// and its sender tries again later: so a slow member slows down the origin, which refuses in
// Publish, and loses nothing.
// A member with a smaller MaxMessageSize is not sent what it does not take (dropTooLong).
// The backlog keeps each message of the node itself until any other node has acknowledged it.
//
// A number far ahead of an origin may be forged. It is returned to the origin before the gap is
// given up (returnTo). An origin that has not used it takes no more messages until those that it
// has are acknowledged, and goes on with a new id, whose numbers begin at 1 (renew).
//
// # How distance counts
//
// A member is much nearer than another if its round trip is shorter by more than half and by more
// than 20 ms. Such a one becomes the delegate of a part of the ring in place of the first, and
// gets most offers.
//
// The id of a node with a Config.Zone begins with a hash of the zone's name, so that its nodes
// are neighbours on the ring and all that is done among neighbours stays in the zone. A node with
// a zone divides an arc at the borders of zones: its own part as usual, while each other zone
// goes whole to one member there. In zones of three and more a second member gets a copy to stand
// by with: it covers the arc if none came from inside within 25 ms. Across a border an arc is
// handed over at the first timeout, and no more when four members there are suspect: then the
// zone is probably cut off. For a member that was not measured lately the round trips of its zone
// count. Offers and most exchanges stay in the zone.
//
// A node that gives a wrong zone is itself reached late, and now and then takes a message into
// the zone that it gives.
//
// # How a loss is repaired
//
// A new message is offered to a near member about 30 ms later, by its number (offer); a
// member that lacks it requests it, and again each timeout, up to four times more (request). A
// message that came by repair, or whose arc had a silent delegate, is offered to the neighbours
// at once, because a lost copy leaves a whole arc without it (heal). What one of them does not
// answer goes to another member (sendElsewhere): so the living find one another when most have
// crashed. In the background a node sends a hash of what it has
// seen to one member after another; one that has seen anything else answers with a page of what
// it has seen, of the origins touched last first, and what is missing of these on either side is
// sent (handleStatus). While pages show that anything is missing, the next one follows at once.
// After a member is back, and while repairs arrive, members compare more often.
//
// A number that two members name in pages, or its origin, or the only member, is missing until the
// message comes, or for 30 seconds (with Ordered, OrderedWait): then it is given up, and counted.
// What members named before the node was connected is history, and counted apart. Where order is
// kept, messages that wait for their turn are pinned in the log, in a room of their own (order.go).
//
// Whether a message is new is decided by numbers, never by time. A message beyond the window of
// its origin is refused for two seconds, so that repair can close the gap; then the gap is
// given up, and counted.
//
// # How a member is lost
//
// A member that leaves Data unanswered twice is verified: it is sent Hellos, 400 ms apart
// (verify), and what it is sent meanwhile waits. If it answers none of nine, or of eighteen while
// it is heard, it is lost: it leaves the view, and its arcs go to others. Then it is sent single
// Hellos, the next after a 24th of its silence, for an hour; by a node that lost more members than
// it has, and so may be cut off, at least every ten seconds (probeCandidates). Only an answer brings it back. A
// member that answers Hellos but takes no Data for four seconds, or refuses it for ten, is lost too, and holds up no
// message when it is back, until it takes one.
//
// That a member was lost is passed on RumorFactor times, and more often in a view of more than
// 128; that it said goodbye, which it told nearly all nodes itself, in the next eight exchanges. A
// node believes it when the member does not answer for two seconds, to two Hellos or, where loss is
// common, to three. It is asked so at most once in ten seconds, whatever others say. The id of a
// node that said goodbye is not taken from a list again for an hour.
//
// # What a message can cause
//
// Besides one acknowledgement of it and one Hello to its source, at most:
//
//	Hello       without a token a Welcome; with one a page of members, or a Hello to the address
//	            that it gives; from a newcomer RumorFactor announcements
//	Welcome     a Hello, a page of members; from a newcomer RumorFactor announcements
//	MemberList  64 Hellos per TickInterval, of which one host causes half at most: to addresses
//	            that are new or contradict what is known, to members that it says are lost, eight
//	            in a turn;
//	            RumorFactor announcements of each member that it says is new, 16 in each
//	Ack         the next page of members
//	Data        a copy to each of BroadcastFactor + 1 members (an arc that spans the node is cut
//	            in two), or of RumorFactor, sent until acknowledged; of a node with a zone, to two
//	            more in each other zone, of 2 × BroadcastFactor zones or groups of zones
//	Status      a request, two pages or one and a hash; and, for all in a datagram together,
//	            repairs until they pass 16 KiB, 96 at most; of offers and requests in one datagram
//	            eight are looked at
//	Leave       a Hello to a member that it says is gone; from the member itself RumorFactor more
package node
