package node

import (
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// silentFor is how long a member stays suspect after anything was held for it; that is
	// renewed each second.
	silentFor = 2 * time.Second

	commonLoss = 0.03 // of answered Data, that needed more than one attempt
	lossWeight = 0.1  // of the latest, in the average

	massSilence   = 0.5 // of first attempts, that got no answer in time
	silenceWeight = 0.25
)

// handleAck takes the acknowledged envelopes out of the queue; those refused are sent again.
func (n *Node) handleAck(now time.Duration, in *datagram, ack wire.Ack) {
	var longest time.Duration // one Ack is one sample, or many of one burst would outweigh all before
	left := ack.Len
	for seq := range ack.Numbers() {
		if in.answers == 0 {
			n.stats.DropAck += uint64(left)
			break
		}
		left--
		in.answers--
		longest = max(longest, n.handleAnswer(now, in, seq, ack.Refused))
	}
	if longest > 0 && in.member != nil {
		n.peers.members.Measure(in.member, longest, now)
	}
}

// handleAnswer deals with the answer to one message. It returns how long the answer took, 0 if
// that is not known.
func (n *Node) handleAnswer(now time.Duration, in *datagram, seq uint32, refused bool) (took time.Duration) {
	e, sentAt, exact := n.answered(in, seq)
	if e == nil || refused && !e.IsData() && e.Kind != wire.TypeMemberList {
		n.stats.DropAck++
		return 0
	}
	if exact {
		took = max(now-sentAt, 1)
	}
	roundTrip := n.peers.members.RTT().Smoothed()
	if m := in.member; m != nil {
		m.Answered()
		roundTrip = m.RTT.Smoothed()
		if refused && e.IsData() {
			m.RefusedAt = now
		} else if e.IsData() {
			m.TookAt, m.Deaf = now, false
			average(&n.peers.loss, lossWeight, e.Attempt > 1)
			if e.Attempt == 1 {
				average(&n.peers.silence, silenceWeight, false)
			}
		} else {
			average(&n.peers.retried, lossWeight, e.Attempt > 1)
		}
	}
	if refused && e.IsData() {
		n.out.queue.Refused(e, now, roundTrip)
		if m := in.member; m != nil && n.isDeaf(now, m) { // nothing times out at one that refuses all
			m.Deaf, in.member = true, nil
			n.lose(now, m)
		}
		return took
	}
	note, to, kind := e.Note, e.To(), e.Kind
	n.settle(e, true)
	n.out.queue.Accepted(e, now, roundTrip)
	if note.Left > 0 && !refused && kind == wire.TypeMemberList {
		n.sendPage(in, to, note.Page, note.Left)
	}
	return took
}

// answered returns the envelope that the source of in acknowledges by a number: it was sent
// there, or to another address of the same member.
func (n *Node) answered(in *datagram, seq uint32) (e *outbox.Envelope, sentAt time.Duration, exact bool) {
	e, sentAt, exact = n.out.queue.Answered(in.from, seq)
	if e == nil && in.member != nil {
		e, sentAt, exact = n.out.queue.Answered(in.member.Other(in.from), seq)
	}
	return e, sentAt, exact
}

// unanswered deals with an envelope that got no answer in time.
func (n *Node) unanswered(now time.Duration, e *outbox.Envelope) {
	m := n.peers.members.ByAddr(e.To())
	switch {
	case e.Kind == wire.TypeStatus && e.Note.Left > 0:
		n.sendElsewhere(now, m, e)
	case e.IsLast():
		n.stats.GivenUp++
		to, firstAt := e.To(), e.FirstAt
		if e.Kind == wire.TypeHello {
			attempts, echoes := int(e.Attempt), int(e.Note.Echoes)
			n.giveUpHello(now, e)
			n.unansweredHello(now, to, attempts, echoes)
		} else {
			n.abandon(e)
		}
		if m != nil && m.LastSeen < firstAt {
			n.verify(m)
		}
	case e.IsData():
		n.unansweredData(now, m, e)
	case e.Attempts == UntilAnswered:
		n.unverified(now, m, e)
	default:
		n.out.queue.Resend(now, e)
	}
}

// patience returns after how many attempts the arc of Data goes to another member, and after
// how many its silent recipient is verified and Data waits. Where loss is rare a silent member
// is probably dead, and almost certainly so if most are silent: each copy to it is in vain.
func (p *peers) patience() (redelegate, verify, hold uint16) {
	switch {
	case p.loss >= commonLoss:
		return 2, 3, 8
	case p.silence >= massSilence:
		return 1, 1, 1
	}
	return 1, 2, 2
}

// unansweredData sends Data again, with the patience that is due. At an address where the
// member is no longer known only a Direct message is sent again, as a Stray.
func (n *Node) unansweredData(now time.Duration, m *view.Member, e *outbox.Envelope) {
	redelegate, verify, hold := n.peers.patience()
	if e.Attempt == 1 {
		average(&n.peers.silence, silenceWeight, true)
	}
	moved := e.Attempts == UntilAnswered && m == nil // its member is known elsewhere now, or was evicted
	if !e.Arc.Empty() && (moved || e.Attempt >= redelegate || n.peers.members.Abroad(e.Arc)) {
		n.redelegate(now, e.To(), &e.Copy)
	}
	switch direct := e.Flags&wire.FlagDirect != 0; {
	case moved && !direct:
		n.abandon(e)
		return
	case moved && int(e.Attempt) >= n.config.Attempts[Stray]: // the address is as good as any
		n.stats.GivenUp++
		n.abandon(e)
		return
	}
	if !n.nameRecipient(e) && e.Attempt == 0 && now-e.Entry.Born < askFor { // another node may be there by now
		n.out.queue.Hold(now, e)
		return
	}
	if m == nil || e.Attempt < verify {
		n.out.queue.Resend(now, e)
		return
	}
	n.verify(m)
	switch {
	case e.Attempt > 2 && n.isDeaf(now, m): // before, this node itself may have stood still
		m.Deaf = true
		n.lose(now, m)
	case m.LastSeen < e.FirstAt && e.Attempt >= hold:
		m.SuspectUntil = now + silentFor // no arc waits with what is held
		n.out.queue.Hold(now, e)
	default:
		n.out.queue.Resend(now, e)
	}
}
