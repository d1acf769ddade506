package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// Looking sequence numbers up is work, and a datagram may name them by the thousands in a few
// bytes. Beyond what a node acknowledges in one datagram they are counted only.
func TestADatagramAcknowledgesABoundedNumberOfMessages(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(1)...)
	s.publish([]byte("waits for its Ack"))
	var seq uint32
	for _, m := range s.send() {
		if m.Kind == wire.TypeData {
			seq = m.Seq
		}
	}
	const most = 128 // numbers that one node has in an Ack
	stray := []wire.AckRun{{First: seq + 1000, More: most - 1}}
	strays := s.message(wire.TypeAck, wire.AppendAck(nil, stray, false))
	member := s.Member(0).Addr
	s.at += time.Millisecond
	before := s.Stats().DropAck
	s.receive(member, strays, s.ack(seq))
	s.want(s.Stats().QueuedData == 1, "after %d other numbers in its datagram an Ack still counts", most)
	s.want(s.Stats().DropAck-before == most+1, "%d numbers are counted instead of %d", s.Stats().DropAck-before, most+1)
	s.receive(member, s.ack(seq))
	s.want(s.Stats().QueuedData == 0, "an Ack in a datagram of its own does not count")
}

// A message that expects an answer and gets none is sent as often as Attempts says, any other
// once. Data to a member goes on until the member is verified.
func TestRetryFollowsAttempts(t *testing.T) {
	for _, attempts := range []int{1, 3, 5} {
		s := newSolo(t, Config{Attempts: attemptsOf(attempts)})
		s.withMembers(around(8)...)
		clear(s.responsive)
		newcomer, id := peerAddr(300), s.peerID(300)
		s.receive(newcomer, s.hello(id, newcomer, 0))
		s.receive(newcomer, s.hello(id, newcomer, s.tokens.Make(newcomer, s.at))) // is sent the members
		s.publish([]byte("for all"))
		s.publish([]byte("for one"), direct(newcomer))
		s.publish([]byte("for nobody"), direct(unknownAddr))
		s.receive(newcomer, s.status(wire.Status{Mode: wire.Summary, Mark: 1})) // is sent a page
		s.receive(newcomer, s.requestOf(s.ID(), 1, 1))
		s.at += time.Millisecond        // then it is silent
		const unanswered = wire.Type(0) // stands for messages that expect no answer
		type message struct {
			kind wire.Type
			to   netip.AddrPort
			seq  uint32 // of Data its counter and kind, as each attempt has a number of its own
		}
		times := map[message]int{}
		count := func(all []wiretest.Message, until time.Duration) {
			for _, m := range all {
				id := message{m.Kind, m.To, m.Seq}
				switch {
				case m.Kind == wire.TypeStatus && m.Status.Mode != wire.Full, m.Kind == wire.TypeData && m.Data.Flags&wire.FlagPull != 0, m.Kind == wire.TypeMemberList && m.News:
					id.kind = unanswered
				case m.Kind == wire.TypeData:
					id.seq = m.Data.Counter<<8 | uint32(m.Data.Flags&wire.FlagDirect)
				}
				if times[id] > 0 || m.At <= until {
					times[id]++
				}
			}
		}
		isHello := func(m wiretest.Message) bool { return m.Kind == wire.TypeHello } // also probes, which go on for ever
		all := slices.DeleteFunc(s.run(time.Minute), isHello)
		count(all, all[0].At+1500*time.Millisecond) // until then nobody is lost
		lonely := newSolo(t, Config{Attempts: attemptsOf(attempts)})
		lonely.join(newcomer)
		for lonely.State() == Joining {
			count(lonely.run(10*time.Millisecond), lonely.at)
		}
		seen := map[wire.Type]bool{}
		for m, n := range times {
			want := attempts
			switch m.kind {
			case unanswered, wire.TypeWelcome, wire.TypeAck:
				want = 1
			case wire.TypeData:
				if m.to != unknownAddr { // to a member once or twice, then it is verified
					want = min(n, 2)
				}
			}
			seen[m.kind] = true
			s.want(n == want, "with %d attempts a %v to %v was sent %d times instead of %d", attempts, m.kind, m.to, n, want)
		}
		for _, kind := range []wire.Type{unanswered, wire.TypeHello, wire.TypeWelcome, wire.TypeMemberList, wire.TypeAck, wire.TypeData, wire.TypeStatus} {
			s.want(seen[kind], "no %v was sent", kind)
		}
	}
}

func TestSilentMemberIsVerifiedBeforeItIsLost(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(4)...)
	step := around(4)[1]
	silent, id := peerAddr(step), s.peerID(step)
	delete(s.responsive, silent)
	start := s.at
	s.publish([]byte("x"))
	var all []wiretest.Message
	for s.Stats().MembersLost == 0 {
		all = append(all, s.run(100*time.Millisecond)...)
		s.want(s.at-start < time.Minute, "a member that is silent for a minute is not lost: %+v", s.Stats())
	}
	data, hellos := wiretest.Only(all, wire.TypeData, silent), wiretest.Only(all, wire.TypeHello, silent)
	s.want(len(data) == 2, "%d Data went to the silent member", len(data))
	for i, m := range data[1:] {
		s.want(m.Seq == data[i].Seq+1, "attempt %d has the number %d after %d", i+2, m.Seq, data[i].Seq)
	}
	s.want(len(hellos) >= mostUnanswered, "%d Hellos verified it", len(hellos))
	for i, m := range hellos[2:mostUnanswered] {
		s.want(m.At-hellos[i+1].At >= verifyPause, "one Hello follows another after %v", m.At-hellos[i+1].At)
	}
	s.want(s.peers.members.ByAddr(silent) == nil && s.Stats().Lost == 1, "then it should be lost: %+v", s.Stats())

	// It is probed less and less. A datagram of it causes a Hello, and only the answer brings it back.
	probes := len(wiretest.Only(s.run(30*time.Minute), wire.TypeHello, silent))
	s.want(probes >= 60 && probes <= 200, "in half an hour %d probes go to it", probes)
	for s.out.queue.HasHello(silent) {
		s.run(10 * time.Millisecond)
	}
	s.receive(silent, s.data(wire.Data{Origin: 77, Counter: 1}))
	s.want(s.peers.members.ByAddr(silent) == nil, "a datagram that may be forged brought it back")
	hello := wiretest.Only(s.run(10*time.Millisecond), wire.TypeHello, silent)
	s.want(len(hello) == 1, "%d Hellos answer the datagram of a lost member", len(hello))
	s.receive(silent, s.welcome(hello[0].Seq, 7, id, silent))
	s.want(s.peers.members.ByAddr(silent) != nil && s.Stats().Lost == 0 && s.Stats().MembersAgain == 1, "it answered and is not back: %+v", s.Stats())
}

func TestMemberThatAnswersAProbeStays(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(4)...)
	step := around(4)[1]
	silent, id := peerAddr(step), s.peerID(step)
	for range 5 {
		delete(s.responsive, silent)
		s.publish([]byte("x"))
		var hello []wiretest.Message
		for len(hello) == 0 {
			hello = wiretest.Only(s.run(10*time.Millisecond), wire.TypeHello, silent)
		}
		s.want(s.peers.members.ByAddr(silent).Suspect(s.at), "while it is probed it should get no arcs")
		s.receive(silent, s.welcome(hello[0].Seq, 7, id, silent))
		s.responsive[silent] = id
		s.run(3 * time.Second)
	}
	s.want(s.Stats().MembersLost == 0 && s.Members() == 4, "a member that answers was lost: %+v", s.Stats())
}

func TestOneUnansweredProbeLosesNoMember(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(4)...)
	doubted := peerAddr(around(4)[2])
	s.receive(peerAddr(around(4)[0]), s.memberList(false, wire.Member{ID: 903, Addr: doubted}))
	s.want(len(s.sent(wire.TypeHello, doubted)) == 1, "it should be probed")
	// That Hello is lost on its way; the next ones arrive.
	s.run(10 * time.Second)
	s.want(s.Stats().MembersLost == 0 && s.Members() == 4, "it was lost for one Hello: %+v", s.Stats())
}

func TestWindowLimitsTheBytesInFlight(t *testing.T) {
	const firstWindow = 16 << 10
	s := newSolo(t, Config{})
	s.withMembers(10)
	for range 600 {
		s.publish([]byte("x"))
	}
	burst := s.sent(wire.TypeData, peerAddr(10))
	size := wire.DataSize(burst[0].Data.Flags, 1)
	s.want(len(burst) == (firstWindow+size-1)/size, "before any answer %d of 600 messages are in flight", len(burst))
	for _, m := range burst[:10] {
		s.answer(m)
	}
	burst = s.sent(wire.TypeData, peerAddr(10))
	s.want(len(burst) == 20, "10 answers let %d more messages go", len(burst))
}
