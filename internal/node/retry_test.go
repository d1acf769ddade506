package node

import (
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// A message that expects an answer and gets none is sent as often as Attempts says, any other
// once.
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
		request := wire.Status{Mode: wire.Request, Last: wire.LastOrigin}
		request.Digest.Add(s.ID(), 0, nil, 100)
		s.receive(newcomer, s.status(request))
		const unanswered = wire.Type(0) // stands for messages that expect no answer
		times, kinds := map[uint32]int{}, map[uint32]wire.Type{}
		for _, m := range s.run(time.Minute) {
			switch {
			case m.Kind == wire.TypeStatus && m.Status.Mode != wire.Full, m.Kind == wire.TypeData && m.Data.Flags&wire.FlagPull != 0:
				m.Kind = unanswered
			case m.Kind == wire.TypeHello: // also probes, which go on for ever
				continue
			}
			times[m.Seq]++
			kinds[m.Seq] = m.Kind
		}
		lonely := newSolo(t, Config{Attempts: attemptsOf(attempts)})
		lonely.join(newcomer)
		for lonely.State() == Joining {
			for _, m := range lonely.run(10 * time.Millisecond) {
				times[m.Seq]++
				kinds[m.Seq] = m.Kind
			}
		}
		seen := map[wire.Type]bool{}
		for seq, n := range times {
			kind, want := kinds[seq], attempts
			if kind == unanswered || kind == wire.TypeWelcome || kind == wire.TypeAck {
				want = 1
			}
			seen[kind] = true
			s.want(n == want, "a %v was sent %d times instead of %d", kind, n, want)
		}
		for _, kind := range []wire.Type{unanswered, wire.TypeHello, wire.TypeWelcome, wire.TypeMemberList, wire.TypeAck, wire.TypeData, wire.TypeStatus} {
			s.want(seen[kind], "no %v was sent", kind)
		}
	}
}

func TestSilentMemberIsProbedBeforeItIsLost(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(4)...)
	silent := peerAddr(around(4)[1])
	delete(s.responsive, silent)
	start := s.at
	s.publish([]byte("x"))
	var all []wiretest.Message
	for s.Stats().MembersLost == 0 {
		all = append(all, s.run(100*time.Millisecond)...)
		s.want(s.at-start < time.Minute, "a member that is silent for a minute is not lost: %+v", s.Stats())
	}
	data, hellos := wiretest.Only(all, wire.TypeData, silent), wiretest.Only(all, wire.TypeHello, silent)
	s.want(len(data) == 3 && len(hellos) == 3*verifications, "%d Data and %d Hellos went to the silent member", len(data), len(hellos))
	s.want(hellos[0].At-data[2].At >= outbox.GraceFor, "it was probed %v after the last attempt", hellos[0].At-data[2].At)
	s.want(s.peers.members.ByAddr(silent) == nil && s.Stats().Lost == 1, "then it should be lost: %+v", s.Stats())

	// It is probed for ever, and any message of it brings it back.
	s.run(2 * time.Hour)
	probes := len(wiretest.Only(s.run(time.Minute), wire.TypeHello, silent))
	s.want(probes >= 30 && probes <= 90, "two hours later %d probes go to it in a minute", probes)
	s.receive(silent, s.data(wire.Data{Origin: 77, Counter: 1}))
	s.want(s.peers.members.ByAddr(silent) != nil && s.Stats().Lost == 0 && s.Stats().MembersAgain == 1, "it sent a message and is not back: %+v", s.Stats())
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

func TestWindowLimitsMessagesThatAreSentOnce(t *testing.T) {
	s := newSolo(t, Config{Attempts: attemptsOf(1)})
	s.withMembers(10)
	for range 500 {
		s.publish([]byte("x"))
	}
	burst := s.sent(wire.TypeData, peerAddr(10))
	s.want(len(burst) == outbox.FirstWindow, "before any answer %d of 500 messages are in flight", len(burst))
	for _, m := range burst[:10] {
		s.answer(m)
	}
	burst = s.sent(wire.TypeData, peerAddr(10))
	s.want(len(burst) == 20, "10 answers let %d more messages go", len(burst))
}
