package node

import (
	"log/slog"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// verifications is how often a silent member is probed before it is considered lost.
	// For the time of a verification after each probe it gets no arc to cover.
	verifications = 2
	verification  = 5 * time.Second
)

// handleAck takes the acknowledged envelopes out of the queue.
func (n *Node) handleAck(now time.Duration, in *datagram, m wire.Ack) {
	for i := range m.Len() {
		e := n.out.queue.Acknowledged(in.from, m.Seq(i), n.peers.members.SameNode)
		if e == nil {
			n.stats.DropAck++
			continue
		}
		if in.member != nil {
			in.member.Validated = true
			n.peers.measure(now, in.member, e)
		}
		page, left, to := e.Page, e.Left, e.To()
		n.drop(e)
		if left > 0 {
			n.sendPage(in, to, page, left)
		}
	}
}

// measure records the round trip of an answered envelope. If it was sent more than once it
// is not known which attempt was answered (Karn's rule).
func (p *peers) measure(now time.Duration, m *view.Member, e *outbox.Envelope) {
	if e.Attempt == 1 {
		m.RTT.SampleLike(now-e.SentAt, &p.rtt)
		p.rtt.Sample(now - e.SentAt)
		return
	}
	m.RTT.Ambiguous(now-e.FirstAt, now)
	if p.rtt.Ambiguous(now-e.FirstAt, now) {
		// Round trips to all members have become longer. Finding that out for each
		// member separately would take many messages, each sent several times.
		p.members.Remeasure(p.rtt.Smoothed())
	}
}

// unanswered deals with an envelope that got no answer in time: it is sent again, and after
// the last attempt given up. Its arc goes to another member after the second attempt, or
// after the first if there are only two.
func (n *Node) unanswered(now time.Duration, e *outbox.Envelope) {
	if !e.Arc.Empty() && (e.Attempt > 1 || e.Attempt >= e.Attempts-1) {
		n.redelegate(now, e.To(), &e.Copy)
	}
	if e.Attempt < e.Attempts {
		n.nameRecipient(e) // another node may be there by now
		n.out.queue.Resend(now, e)
		return
	}
	if !e.InGrace() {
		n.hint(e)
		n.out.queue.Grace(e)
		return
	}
	n.stats.GivenUp++
	m, firstAt := n.peers.members.ByAddr(e.To()), e.FirstAt
	n.drop(e)
	if m == nil || m.LastSeen >= firstAt || n.out.queue.HasHello(m.Addr) {
		return
	}
	// On a bad network silence is common: probe the member before declaring it lost.
	if m.Probed == verifications {
		n.lose(now, m)
		return
	}
	m.Probed++
	m.SuspectUntil = now + verification
	n.sendHello(nil, m.Addr, 0, Hello)
}

// lose removes a member that does not answer from the view.
func (n *Node) lose(now time.Duration, m *view.Member) {
	n.stats.MembersLost++
	n.record(slog.LevelInfo, "gossip: member lost", "member", idText(m.ID), "address", m.Addr)
	n.peers.members.Lose(m, now)
	n.clearQueue(now, m.Addr)
	n.disconnectIfAlone(now)
}

// hint offers a message to a member that left the last copy of it unanswered: if it was
// the message that was lost every time, not its acknowledgement, the member asks for it.
func (n *Node) hint(e *outbox.Envelope) {
	if !e.IsData() || e.Flags&wire.FlagDirect != 0 {
		return
	}
	h := &n.history
	h.hints.Add(e.Entry.Origin, e.Entry.Counter)
	n.sendDigest(nil, e.To(), wire.Offer, h.repair.Offer(&h.hints, n.out.digestRoom()))
}
