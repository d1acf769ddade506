package node

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// The backlog of a node is what it published before it had a member.

func TestBacklogIsPublishedOnce(t *testing.T) {
	s := newSolo(t, Config{})
	s.join(peerAddr(10))
	for i := range 3 {
		s.publish(fmt.Append(nil, i), Spread{Kind: Random})
	}
	s.addMember(s.peerID(10), peerAddr(10))
	for i := range 3 { // these follow the backlog
		s.publish(fmt.Append(nil, 3+i))
	}
	copies := map[uint32]int{}
	for _, m := range wiretest.Only(s.run(5*time.Second), wire.TypeData, peerAddr(10)) {
		copies[m.Data.Counter]++
	}
	for i := range uint32(6) {
		s.want(copies[i+1] == 1, "message %d is sent %d times", i+1, copies[i+1])
	}
}

// An owner that waits for an empty queue before it leaves loses no message then.
func TestBacklogCountsAsQueued(t *testing.T) {
	s := newSolo(t, Config{DataLogSize: 3 * 256})
	queued := func(n int, when string) {
		t.Helper()
		s.want(s.Stats().QueuedData == n, "%s %d messages are queued instead of %d", when, s.Stats().QueuedData, n)
	}
	s.join(peerAddr(10))
	queued(0, "before the first message")
	for i := range 2 {
		s.publish(fmt.Append(nil, i))
	}
	queued(2, "while the seed has not answered")
	s.publish(fmt.Append(nil, 2))
	err := s.tryPublish(fmt.Append(nil, 3))
	s.want(err == ErrFull, "a message beyond a backlog as large as the log led to %v", err)
	queued(3, "in a log that has room for three")
	s.addMember(s.peerID(10), peerAddr(10))
	queued(3, "when the seed has answered")
	s.run(time.Second)
	queued(0, "when the seed has acknowledged all")
}

func TestBacklogThatMayNeverBeSentDoesNotCount(t *testing.T) {
	for what, end := range map[string]func(s *solo){
		"a seed":                  func(s *solo) { s.join() },
		"a node after Leave":      (*solo).leave,
		"a node after Close":      (*solo).close,
		"a node that joins again": func(s *solo) { s.leave(); s.join(peerAddr(20)) },
	} {
		s := newSolo(t, Config{})
		s.join(peerAddr(10))
		s.publish([]byte("early"))
		end(s)
		s.want(s.Stats().QueuedData == 0, "%s has %d messages queued", what, s.Stats().QueuedData)
	}
}

// The history that the seed sends must not evict the backlog before it is sent.
func TestBacklogOutlivesTheHistoryOfTheSeed(t *testing.T) {
	t.Parallel()
	s := newSolo(t, Config{DataLogSize: 16 << 10})
	seed, id := peerAddr(10), s.peerID(10)
	s.join(seed)
	hello := s.sent(wire.TypeHello, seed)
	s.want(len(hello) == 1, "%d Hellos went to a seed", len(hello))
	s.publish([]byte("first words"))
	s.responsive[seed] = id
	s.receive(seed, s.welcome(hello[0].Seq, 7, id, seed))
	all := s.run(20 * time.Millisecond)
	for i := range uint32(100) { // 69 fill the log
		s.receive(seed, s.data(wire.Data{Origin: 77, Counter: 1 + i, Flags: wire.FlagPull, Payload: []byte("history")}))
	}
	all = append(all, s.run(5*time.Second)...)
	s.receive(seed, s.requestOf(s.ID(), 1, 1))
	own := 0
	for _, m := range wiretest.Only(append(all, s.run(time.Second)...), wire.TypeData, seed) {
		if m.Data.Origin == s.ID() {
			own++
		}
	}
	s.want(own > 0, "the first message of the node was never sent, and nothing counts it: %+v", s.Stats())
}
