package node

import (
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// A silent member is verified: it is sent a Hello, again after a timeout and then each
	// verifyPause, and is lost when it answers none of them, or of twice as many while it is
	// heard: the way to it and back may have become long.
	verifyPause    = 400 * time.Millisecond
	mostUnanswered = 9

	// One that another member says is gone is lost sooner, and so is one known only by hearsay.
	// Its pauses are longer.
	mostDoubted   = 3
	mostOfHearsay = 6

	// rareRetries is which part of what is answered may need more than one attempt, if one Hello is to
	// decide.
	rareRetries = 0.1

	suspectedAt = 4 // Hellos without an answer: then it is announced as lost

	// deafAfter is how long a member that answers may take no Data, and deafRefusing how long
	// if it says that it has no room.
	deafAfter    = 4 * time.Second
	deafRefusing = 10 * time.Second
)

// handleLeave removes a member from the view at its own request. A Leave that a member passes
// on is hearsay.
func (n *Node) handleLeave(now time.Duration, in *datagram, id uint64) {
	switch m := in.member; {
	case m == nil:
		n.stats.DropLeave++
	case m.ID == id:
		in.member = nil
		n.left(now, m)
	case in.validated():
		n.doubt(now, in, n.peers.members.Get(id), view.Left)
	default:
		n.stats.DropLeave++
	}
}

// handleLost takes the hearsay that members do not answer.
func (n *Node) handleLost(now time.Duration, in *datagram, list wire.MemberList) {
	if !in.validated() {
		n.stats.DropStranger++
		return
	}
	for x, ok := list.Next(); ok; x, ok = list.Next() {
		if m := n.peers.members.Get(x.ID); m != nil && m.Addr == x.Addr {
			n.doubt(now, in, m, view.Lost)
		}
	}
}

// doubt verifies a member that another one says is gone, unless it is being asked: only its own
// silence proves it. It is asked rarely for that, however often it is said.
func (n *Node) doubt(now time.Duration, in *datagram, m *view.Member, gone view.Gone) {
	if m != nil && m != in.member && in.doubts > 0 && !n.out.queue.HasHello(m.Addr) && m.MayDoubt(now) && n.peers.mayAsk(in) {
		in.doubts--
		m.Gone = gone
		n.peers.members.Doubt(m.Addr, now)
		n.askSoon(now, m.Addr, Verify)
	}
}

// left removes a member that said goodbye, and passes that on.
func (n *Node) left(now time.Duration, m *view.Member) {
	n.recordMember("gossip: member left", m.ID, m.Addr)
	n.remove(now, m, n.peers.members.Leave)
	if n.peers.members.Len() == 0 && n.peers.members.Lost() == 0 {
		n.self.owes = false
	}
	n.disconnectIfAlone(now)
}

// remove removes a member from the view, as how says, and from the queue.
func (n *Node) remove(now time.Duration, m *view.Member, how func(*view.Member, time.Duration)) {
	n.changed(now)
	how(m, now)
	n.clearQueue(now, m.Addr)
}

// isDeaf reports whether m answers and has taken no Data for too long.
func (n *Node) isDeaf(now time.Duration, m *view.Member) bool {
	oldest := n.out.queue.Oldest(m.Addr)
	if oldest == nil {
		return false
	}
	most := deafAfter
	if now-m.RefusedAt < deafAfter && m.RefusedAt > 0 {
		most = deafRefusing
	}
	return now-max(oldest.FirstAt, m.TookAt) > max(most, 3*n.timeout(now, m.Addr))
}

// unverified deals with a Hello of verify that got no answer in time. Each counts only once
// the loop has turned since: a pause of this node loses nobody.
func (n *Node) unverified(now time.Duration, m *view.Member, e *outbox.Envelope) {
	if m == nil {
		n.out.queue.Drop(e)
		return
	}
	m.Probed++
	heard, hearsay, most := m.LastSeen > e.FirstAt, true, mostUnanswered
	switch {
	case m.Gone != view.Here:
		most = mostDoubted
	case !m.Validated:
		most = mostOfHearsay
	default:
		if hearsay = false; heard {
			most = 2 * mostUnanswered
		}
	}
	switch {
	case hearsay && heard: // it is there
		m.Gone, m.Probed = view.Here, 0
		n.out.queue.Drop(e)
	case int(m.Probed) < most:
		if m.Probed == suspectedAt || m.Gone != view.Here { // others begin to verify it meanwhile
			n.peers.members.Part(m, now)
			n.announceSoon(now)
		}
		switch {
		case m.Gone != view.Here:
			e.Wait = 2 * verifyPause
		case hearsay:
			e.Wait = verifyPause << m.Probed
		default:
			e.Wait = verifyPause
		}
		if m.Gone != view.Here && m.Probed == 1 && max(n.peers.loss, n.peers.retried) < rareRetries {
			n.out.queue.Hold(now, e) // the last Hello comes after a short cut, so that few are enough
		} else {
			n.out.queue.Resend(now, e)
		}
	case !m.Validated:
		n.remove(now, m, n.peers.members.Forget)
		n.disconnectIfAlone(now)
	case m.Gone == view.Left:
		n.left(now, m)
	default:
		n.lose(now, m)
	}
}

// lose removes a member that does not answer from the view.
func (n *Node) lose(now time.Duration, m *view.Member) {
	n.stats.MembersLost++
	n.recordMember("gossip: member lost", m.ID, m.Addr)
	n.remove(now, m, n.peers.members.Lose)
	n.announceSoon(now)
	n.disconnectIfAlone(now)
}
