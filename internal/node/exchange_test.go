package node

import (
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// What does not fit in a small datagram is announced with the next one.
func TestAnnounceInSmallDatagramsLeavesNobodyOut(t *testing.T) {
	s := newSolo(t, Config{MaxMessageSize: 144, RumorFactor: 1})
	s.withMembers(around(8)...)
	fresh := map[uint64]bool{}
	for i := range 16 {
		id := s.peerID(300 + i)
		m, _, _ := s.peers.members.Admit(id, peerAddr(300+i), s.at)
		s.responsive[peerAddr(300+i)] = id
		s.disseminate(s.at, m)
		fresh[id] = true
	}
	for _, m := range wiretest.Only(s.run(10*time.Second), wire.TypeMemberList, anyAddr) {
		for _, x := range m.Members {
			delete(fresh, x.ID)
		}
	}
	s.want(len(fresh) == 0, "%d of 16 new members were announced to nobody", len(fresh))
}

// One that is lost may be back: what it lacks stays in the backlog when the last other one leaves.
func TestLeaveOfTheLastMemberKeepsWhatIsOwedToTheLost(t *testing.T) {
	s := newSolo(t, Config{DataLogSize: 4096})
	s.withMembers(10, 20)
	n := s.peers.members.ByAddr(peerAddr(10))
	s.lose(s.at, n)
	s.receive(peerAddr(20), s.goodbye(s.peerID(20)))
	accepted := 0
	for range 100 {
		if s.Publish(s.at, make([]byte, 400), Spread{}) != nil {
			break
		}
		accepted++
	}
	s.want(accepted > 0 && accepted < 12, "with a lost member, who may be back, a log of 4 KiB takes %d messages of 400 bytes", accepted)
}

func TestExchangePassesAGoodbyeOn(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20, 30)
	leaver := s.peerID(20)
	s.receive(peerAddr(20), s.goodbye(leaver))
	passed := 0
	for _, m := range wiretest.Only(s.run(30*time.Second), wire.TypeLeave, anyAddr) {
		if m.Leave == leaver {
			passed++
		}
	}
	s.want(passed == 8, "a goodbye is passed on %d times and not 8 times", passed)
}

// Many members pass the same news on, so each list of it is sent once and expects no answer.
func TestNewsIsNotAcknowledged(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	for news, want := range map[bool]int{true: 0, false: 1} {
		s.receive(peerAddr(10), s.memberList(news, wire.Member{ID: s.peerID(20), Addr: peerAddr(20)}))
		acks := len(wiretest.Only(s.run(100*time.Millisecond), wire.TypeAck, peerAddr(10)))
		s.want(acks == want, "%d Acks answer a list of members, which is news: %v", acks, news)
	}
}

// Of a member that others say is gone, one Hello is enough, if it has time to answer it.
func TestDoubtCostsFewHellos(t *testing.T) {
	for loss, want := range map[[2]float64]int{{}: 2, {0.2, 0}: 3, {0, 0.2}: 3} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20, 30)
		delete(s.responsive, peerAddr(20))
		s.peers.loss, s.peers.retried = loss[0], loss[1]
		gone := wire.WriteList(nil, wire.Lost)
		gone.Add(wire.Member{ID: s.peerID(20), Addr: peerAddr(20)}, 1<<20)
		s.receive(peerAddr(10), s.message(wire.TypeMemberList, gone.Body()))
		hellos := 0
		for began := s.at; s.peers.members.Get(s.peerID(20)) != nil; {
			hellos += len(wiretest.Only(s.run(10*time.Millisecond), wire.TypeHello, peerAddr(20)))
			s.want(s.at-began < 3*time.Second, "it is still a member after 3 s")
			if s.peers.members.Get(s.peerID(20)) == nil {
				s.want(s.at-began > 1500*time.Millisecond, "it had only %v to answer", s.at-began)
			}
		}
		s.want(hellos == want, "where %v of Data and control is sent again, a member that is said to be gone was sent %d Hellos", loss, hellos)
	}
}

func TestAnswersOfControlTellHowMuchIsLost(t *testing.T) {
	for _, lost := range []bool{false, true} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		for i := range 2000 {
			s.responsive[peerAddr(10)], s.responsive[peerAddr(20)] = s.peerID(10), s.peerID(20)
			if lost && i%2 == 0 { // what is sent now is answered at another attempt
				clear(s.responsive)
			}
			s.run(10 * time.Millisecond)
		}
		s.want(s.peers.retried > 0 == lost, "of control of which some is lost, %v, a part of %v was sent again", lost, s.peers.retried)
	}
}
