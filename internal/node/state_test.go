package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

func TestStateNames(t *testing.T) {
	for state, want := range map[State]string{
		Initialized: "INITIALIZED", Joining: "JOINING", Connected: "CONNECTED", Disconnected: "DISCONNECTED",
		Left: "DISCONNECTED", Destroyed: "DESTROYED", 6: "State(6)", 255: "State(255)",
	} {
		if got := state.String(); got != want {
			t.Errorf("state %d has the name %q instead of %q", uint8(state), got, want)
		}
	}
}

// inState brings a node to a state by what an owner and a network can do.
func inState(t *testing.T, state State) *solo {
	t.Helper()
	s := newSolo(t, Config{})
	switch state {
	case Joining:
		s.join(peerAddr(200))
		s.send()
	case Connected:
		s.withMembers(10, 20)
	case Disconnected:
		s.join(peerAddr(200))
		for range 20 {
			if s.State() == Disconnected {
				break
			}
			s.run(100 * time.Millisecond)
		}
	case Left:
		s.withMembers(10, 20)
		s.leave()
		s.send()
	case Destroyed:
		s.withMembers(10, 20)
		s.close()
	}
	s.want(s.State() == state, "the node should be in state %d and is in state %d", state, s.State())
	return s
}

// effects is all that a datagram could change, but for the counters.
func (s *solo) effects() string {
	q, members, h := s.out.queue.Stats(), s.peers.members, &s.history
	return fmt.Sprint(s.State(), members.Len(), members.Seeds(), members.Lost(), members.CountNews() > 0,
		q.Control, q.Data, q.Hellos, q.Acks, q.Recipients, s.Pending(), h.origins.Len(), h.log.Len(), s.Events(),
		s.self.observed, s.peers.questions.left, s.timers.compareTo, len(s.got), len(s.states))
}

func TestStateDecidesWhichMessagesAreHandled(t *testing.T) {
	// A row has a letter for each state: H handled, - dropped, . dropped unread.
	rows := []struct {
		kind  wire.Type
		cells string
		make  func(s *solo) []byte
	}{
		{wire.TypeHello, "-HHH.-", func(s *solo) []byte { return s.hello(77, peerAddr(77), 0) }},
		{wire.TypeWelcome, "-HHH.-", func(s *solo) []byte { return s.welcome(1, 2, 77, peerAddr(77)) }},
		{wire.TypeMemberList, "--HH.-", func(s *solo) []byte {
			return s.memberList(true, wire.Member{ID: 78, Addr: peerAddr(78)})
		}},
		{wire.TypeAck, "-HHH.-", func(s *solo) []byte { return s.ack(1, 2, 3) }},
		{wire.TypeData, "--HH.-", func(s *solo) []byte {
			return s.data(wire.Data{Origin: 77, Counter: 1, Payload: []byte("hello")})
		}},
		{wire.TypeStatus, "--HH.-", func(s *solo) []byte { return s.status(everything(map[uint64]uint32{77: 1})) }},
		{wire.TypeLeave, "--HH.-", func(s *solo) []byte { return s.goodbye(77) }},
	}
	if len(rows) != int(wire.TypeSealed)-1 {
		t.Fatalf("the table has %d rows for %d types of message beside Sealed", len(rows), wire.TypeSealed-1)
	}
	for _, row := range rows {
		for state := range states {
			t.Run(fmt.Sprintf("%v in state %d, %v", row.kind, state, state), func(t *testing.T) {
				s := inState(t, state)
				b := row.make(s)
				before, was := s.Stats(), s.effects()
				s.receive(peerAddr(77), b)
				after, dropped := s.Stats(), before // when it is dropped just these counters change
				dropped.DatagramsIn++
				dropped.BytesIn += uint64(len(b))
				switch row.cells[state] {
				case 'H':
					s.want(after.MessagesIn == before.MessagesIn+1, "the %v was not handled: %+v", row.kind, after)
					s.want(after.DropIllegal == before.DropIllegal && after.DropLeft == before.DropLeft, "the %v was handled and dropped", row.kind)
					return
				case '-':
					dropped.DropIllegal++
				case '.':
					dropped.DropLeft++
				}
				s.want(after == dropped, "the %v should be dropped and counted once\nbefore %+v\nafter  %+v", row.kind, before, after)
				s.want(s.effects() == was, "the dropped %v changed something\nbefore %s\nafter  %s", row.kind, was, s.effects())
				s.want(len(s.send()) == 0, "the dropped %v was answered", row.kind)
			})
		}
	}
}

func TestStateChangesAreEventsInOrder(t *testing.T) {
	s := newSolo(t, Config{})
	seed := peerAddr(1)
	s.join(seed)
	s.run(5 * time.Second) // the seed does not answer
	s.responsive[seed] = 11
	s.run(10 * time.Second)
	s.leave()
	s.join()
	s.close()
	want := []State{Joining, Disconnected, Connected, Left, Connected, Destroyed}
	s.want(fmt.Sprint(s.states) == fmt.Sprint(want), "the states were %v instead of %v", s.states, want)
}

// Somebody joins and leaves again and again.
func TestRecordsOfOneHostAreFew(t *testing.T) {
	s := newSolo(t, Config{Records: true})
	s.withMembers(10, 20)
	from, token := peerAddr(77), s.tokens.Make(peerAddr(77), s.at)
	before := len(s.records)
	for i := range 17001 {
		id := uint64(1+i%3) << 40
		s.receive(from, s.hello(id, netip.AddrPort{}, token))
		s.receive(from, s.goodbye(id))
		if i%100 == 0 {
			s.send()
		}
	}
	s.want(len(s.records)-before <= mostLines/2, "17,001 Hellos and goodbyes of one host wrote %d records", len(s.records)-before)
	other := s.peerID(30)
	s.addMember(other, peerAddr(30))
	s.want(s.records[len(s.records)-1].Args[1] == idText(other), "after them another newcomer is not recorded: %v", s.records[len(s.records)-1])
	s.run(time.Minute)
	last := s.records[len(s.records)-1]
	for _, r := range s.records[before:] {
		if r.Level > last.Level {
			last = r
		}
	}
	s.want(strings.Contains(last.Message, "left out"), "nothing says that records were left out: %v", last)
}
