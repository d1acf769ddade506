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
