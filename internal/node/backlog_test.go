package node

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// backlogBench is a backlog on its own.
type backlogBench struct {
	backlog
	log *datalog.Log
}

func newBacklogBench() *backlogBench { return &backlogBench{log: datalog.New(0)} }

// has adds messages with these numbers.
func (b *backlogBench) has(counters ...uint32) {
	for _, c := range counters {
		e := b.log.Detached(1, c, []byte("payload"), 0)
		b.add(e, Broadcast, b.log)
		b.log.Release(e)
	}
}

func TestBacklogFindsAMessageByItsNumber(t *testing.T) {
	for _, first := range []uint32{1, 1 << 31, 1<<32 - 8} {
		b := newBacklogBench()
		b.has(first, first+1, first+5) // the rest was skipped
		for back := range uint32(20) {
			c := first - 7 + back
			want := c == first || c == first+1 || c == first+5
			if m := b.at(c); (m != nil) != want || want && m.entry.Counter != c {
				t.Errorf("a backlog of %d, one more and 5 more has %d: %v", first, c, m != nil)
			}
		}
	}
}

func TestBacklogBeginsWithTheFirstMessageNotAcknowledged(t *testing.T) {
	b := newBacklogBench()
	b.has(1, 2, 5, 6)
	for _, c := range []uint32{2, 1, 6, 5} {
		b.queued(c)
		b.queued(c)
		b.settled(c, false, b.log)
		b.settled(c, true, b.log)
		b.settled(c, false, b.log) // late: it is gone
	}
	if b.own.Len() != 0 || b.waiting != 0 || b.bytes != 0 || b.first != 7 {
		t.Errorf("after the last Ack there are %d messages, %d waiting with %d bytes, from %d on", b.own.Len(), b.waiting, b.bytes, b.first)
	}
}

// Others keep track of only so many numbers of an origin.
func TestBacklogIsFullByNumbersNotByMessages(t *testing.T) {
	b := newBacklogBench()
	if b.full(1<<32 - 1) {
		t.Error("an empty backlog is full")
	}
	b.has(10)
	for _, c := range []struct {
		counter uint32
		full    bool
	}{{11, false}, {10 + mostOwn - 1, false}, {10 + mostOwn, true}, {1<<32 - 1, true}} {
		if b.full(c.counter) != c.full {
			t.Errorf("behind message 10 there is room for %d: %v", c.counter, c.full)
		}
	}
}

// Another node uses the numbers of the node, while its first message waits.
func TestBacklogRefusesWhatFollowsManySkippedNumbers(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	delete(s.responsive, peerAddr(10))
	s.publish([]byte("x"))
	s.receive(peerAddr(10), s.data(wire.Data{Origin: s.ID(), Counter: s.self.counter + mostOwn}))
	err := s.tryPublish([]byte("y"))
	s.want(err == ErrFull, "%d numbers behind one that no node has, Publish returns %v", mostOwn, err)
	for _, m := range s.sent(wire.TypeData, peerAddr(10)) {
		s.receive(m.To, s.ack(m.Seq))
	}
	s.publish([]byte("y"))
	s.want(s.self.backlog.own.Len() == 1, "the backlog of one message has %d numbers", s.self.backlog.own.Len())
}

// The only member is lost; the next one gets the message, even if the log has evicted it.
func TestBacklogKeepsAMessageUntilAnotherNodeHasIt(t *testing.T) {
	s := newSolo(t, Config{DataLogSize: 4 * (datalog.Overhead + 10)})
	s.withMembers(10, 20)
	s.receive(peerAddr(20), s.goodbye(s.peerID(20)))
	delete(s.responsive, peerAddr(10))
	s.publish([]byte("important"))
	s.want(s.self.backlog.waiting == 0 && s.Stats().QueuedData == 1, "a message with a copy on its way waits")
	for i := range uint32(9) {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: 1 + i, Payload: []byte("evicts it")}))
	}
	s.want(s.history.log.Get(s.ID(), 1) == nil, "the log has not evicted the message")
	s.run(10 * time.Second)
	s.want(s.Stats().MembersLost == 1 && s.self.backlog.waiting == 1 && s.Stats().QueuedData == 1, "without a member the message should wait: %+v", s.Stats())
	s.addMember(s.peerID(30), peerAddr(30))
	got := wiretest.Only(s.run(time.Second), wire.TypeData, peerAddr(30))
	s.want(len(got) == 1 && string(got[0].Data.Payload) == "important", "the next member is sent %v", got)
	s.want(s.self.backlog.own.Len() == 0 && s.Stats().QueuedData == 0, "the message is acknowledged, and the backlog has %d", s.self.backlog.own.Len())
}

// One Ack of several copies is enough.
func TestBacklogEndsWithTheFirstAck(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(5)...)
	s.publish([]byte("x"))
	sent := s.sent(wire.TypeData, anyAddr)
	s.want(len(sent) == 5 && s.self.backlog.own.Len() == 1, "%d copies are on their way", len(sent))
	s.receive(sent[2].To, s.refusal(sent[2].Seq))
	s.want(s.self.backlog.own.Len() == 1, "a refused copy counts as taken")
	s.receive(sent[3].To, s.ack(sent[3].Seq))
	s.want(s.self.backlog.own.Len() == 0, "a message that another node has is kept")
	s.run(time.Second)
	s.want(s.Stats().QueuedData == 0, "%d copies are left", s.Stats().QueuedData)
}

// A node that lost its members keeps what it publishes, as much as its log holds. After two
// minutes the oldest messages make room.
func TestBacklogOfANodeWithoutMembersIsBoundedForTwoMinutes(t *testing.T) {
	const room = 5
	s := newSolo(t, Config{DataLogSize: room * (datalog.Overhead + 1)})
	s.withMembers(10)
	clear(s.responsive)
	s.publish([]byte("0"))
	s.run(10 * time.Second)
	s.want(s.Members() == 0, "the silent member is not lost: %+v", s.Stats())
	alone := s.self.aloneAt
	for i := range room - 1 {
		s.publish(fmt.Append(nil, i+1))
	}
	err := s.tryPublish([]byte("5"))
	s.want(err == ErrFull && s.Stats().Unheard == 0, "with its backlog full Publish returns %v", err)
	s.run(alone + owesFor - s.at - time.Millisecond)
	err = s.tryPublish([]byte("5"))
	s.want(err == ErrFull, "a little less than two minutes later Publish returns %v", err)
	s.run(time.Millisecond)
	s.publish([]byte("5"))
	s.want(s.Stats().Unheard == 1 && s.self.backlog.waiting == room, "then the oldest should make room: %d did, %d wait", s.Stats().Unheard, s.self.backlog.waiting)
	s.addMember(s.peerID(20), peerAddr(20))
	text := ""
	for _, m := range wiretest.Only(s.run(time.Second), wire.TypeData, peerAddr(20)) {
		text += string(m.Data.Payload)
	}
	s.want(text == "12345", "the next member is sent the messages %q", text)
}

// What does not fit in the log is a backlog of one.
func TestBacklogTakesOneMessageLargerThanTheLog(t *testing.T) {
	s := newSolo(t, Config{DataLogSize: 1})
	s.join(peerAddr(10))
	s.publish([]byte("first"))
	err := s.tryPublish([]byte("second"))
	s.want(err == ErrFull, "beside a message that waits Publish returns %v", err)
	s.addMember(s.peerID(10), peerAddr(10))
	sent := wiretest.Only(s.run(time.Second), wire.TypeData, peerAddr(10))
	s.want(len(sent) == 1 && s.Stats().QueuedData == 0, "the member is sent %v", sent)
}

func TestBacklogIsReleasedWithTheIdentity(t *testing.T) {
	for what, end := range map[string]func(s *solo){
		"Leave":          (*solo).leave,
		"Close":          (*solo).close,
		"Leave and Join": func(s *solo) { s.leave(); s.join(peerAddr(10)) },
	} {
		s := newSolo(t, Config{})
		s.withMembers(10)
		s.publish([]byte("on its way"))
		s.send()
		delete(s.responsive, peerAddr(10))
		s.run(10 * time.Second)
		s.publish([]byte("waits"))
		s.want(s.self.backlog.waiting == 2, "%d messages wait", s.self.backlog.waiting)
		end(s)
		b := &s.self.backlog
		s.want(b.own.Len() == 0 && b.waiting == 0 && b.bytes == 0 && s.Stats().QueuedData == 0, "after %s the backlog has %d messages", what, b.own.Len())
	}
}

// The smallest queue takes one message of each kind, and the next when that is sent.
func TestBacklogWithAQueueOfOne(t *testing.T) {
	for name, spread := range map[string]Spread{"Broadcast": {}, "Random": {Kind: Random}, "Direct": direct(peerAddr(10))} {
		for _, members := range [][]int{{10}, {10, 100, 200}} {
			s := newSolo(t, Config{MaxOutputMessages: 1, RumorFactor: 1})
			s.withMembers(members...)
			taken, start := 0, s.at
			for taken < 20 {
				if err := s.tryPublish([]byte("x"), spread); err == nil {
					taken++
				} else if !errors.Is(err, ErrFull) {
					t.Fatal(name, err)
				}
				s.want(s.at-start < time.Minute, "of a %s to one of %d members %d were taken in a minute", name, len(members), taken)
				s.run(5 * time.Millisecond)
			}
			s.run(5 * time.Second)
			s.want(s.Stats().QueuedData == 0 && s.Stats().GivenUp == 0, "%s: %+v", name, s.Stats())
		}
	}
}
