package gossip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// The columns in the order of the tables here, and what the public State of each is.
var columnNames = []string{"INITIALIZED", "JOINING", "CONNECTED", "DISCONNECTED", "left", "DESTROYED"}

var columnStates = []State{
	StateInitialized, StateJoining, StateConnected, StateDisconnected, StateDisconnected, StateDestroyed,
}

// inColumn brings a node into a column by what a caller and a network can do.
func inColumn(t *testing.T, column string) *soloist {
	t.Helper()
	s := newSoloist(t, Config{})
	switch column {
	case "JOINING":
		s.mustJoin(peerAddr(200).String())
		s.speak()
	case "CONNECTED":
		s.seedWith(10, 20)
	case "DISCONNECTED":
		s.mustJoin(peerAddr(200).String())
		for range 20 {
			if s.State() == StateDisconnected {
				break
			}
			s.run(100 * time.Millisecond)
		}
	case "left":
		s.seedWith(10, 20)
		s.want(s.Leave() == nil, "Leave failed")
		s.speak()
	case "DESTROYED":
		s.seedWith(10, 20)
		s.want(s.Close() == nil, "Close failed")
	}
	for i, name := range columnNames {
		if name == column {
			s.want(s.State() == columnStates[i], "the node should be %v and is %v", columnStates[i], s.State())
		}
	}
	return s
}

func (s *soloist) mustJoin(seeds ...string) {
	s.t.Helper()
	var addrs []Address
	for _, text := range seeds {
		a, err := ParseAddress(text)
		if err != nil {
			s.t.Fatal(err)
		}
		addrs = append(addrs, a)
	}
	if err := s.Join(addrs...); err != nil {
		s.t.Fatalf("Join %v: %v", seeds, err)
	}
}

// effects is all that a datagram could change, but for the counters.
func (s *soloist) effects() string {
	q := s.outbox.Stats()
	return fmt.Sprint(s.state, s.roster.Len(), s.roster.Seeds(), s.roster.Lost(), s.roster.HasNews(),
		q.Control, q.Data, q.Hellos, q.Acks, q.Recipients, s.outbox.Pending(),
		s.origins.Len(), s.log.Len(), s.events.Len(), s.observed, s.upkeep.probes, s.upkeep.newsAt, len(s.got), len(s.states))
}

func TestWhichMessageIsHandledInWhichState(t *testing.T) {
	// H handled, - not legal, . dropped unread after Leave, x not even received.
	cells := []struct {
		kind wire.Type
		row  string
		make func(s *soloist) []byte
	}{
		{wire.TypeHello, "-HHH.x", func(s *soloist) []byte { return s.hello(77, peerAddr(77), 0) }},
		{wire.TypeWelcome, "-HHH.x", func(s *soloist) []byte { return s.welcome(1, 2, 77, peerAddr(77)) }},
		{wire.TypeMemberList, "--HH.x", func(s *soloist) []byte {
			return s.memberList(true, wire.Member{ID: 78, Addr: peerAddr(78)})
		}},
		{wire.TypeAck, "-HHH.x", func(s *soloist) []byte { return s.ack(1, 2, 3) }},
		{wire.TypeData, "--HH.x", func(s *soloist) []byte {
			return s.data(wire.Data{Origin: 77, Counter: 1, Payload: []byte("hello")})
		}},
		{wire.TypeStatus, "--HH.x", func(s *soloist) []byte { return s.status(everything(map[uint64]uint32{77: 1})) }},
		{wire.TypeLeave, "--HH.x", func(s *soloist) []byte { return s.goodbye(77) }},
	}
	if len(cells) != int(wire.TypeSealed)-1 {
		t.Fatalf("the table has %d rows for %d types of message beside Sealed", len(cells), wire.TypeSealed-1)
	}
	for _, c := range cells {
		for i, column := range columnNames {
			t.Run(fmt.Sprint(c.kind, " in ", column), func(t *testing.T) {
				s := inColumn(t, column)
				from := peerAddr(77)
				b := c.make(s)
				before, was := s.Stats(), s.effects()
				s.fake.feed(from, b)
				handled, err := s.Receive(0)
				if c.row[i] == 'x' {
					s.want(errors.Is(err, ErrClosed), "Receive after Close returned %v", err)
					s.want(handled == 0 && s.Stats() == before && s.effects() == was, "a closed node took a %v", c.kind)
					return
				}
				s.want(err == nil && handled == 1, "Receive handled %d datagrams: %v", handled, err)
				// Of the counters exactly these may differ when it is dropped.
				after, expected := s.Stats(), before
				expected.DatagramsIn++
				expected.BytesIn += uint64(len(b))
				switch c.row[i] {
				case 'H':
					s.want(after.MessagesIn == before.MessagesIn+1, "the %v was not handled: %+v", c.kind, after)
					s.want(after.DropIllegal == before.DropIllegal && after.DropLeft == before.DropLeft, "the %v was handled and dropped", c.kind)
					return
				case '-':
					expected.DropIllegal++
				case '.':
					expected.DropLeft++
				}
				s.want(after == expected, "the %v should be dropped and counted once\nbefore %+v\nafter  %+v", c.kind, before, after)
				s.want(s.effects() == was, "the dropped %v changed something\nbefore %s\nafter  %s", c.kind, was, s.effects())
				s.want(len(s.speak()) == 0, "the dropped %v was answered", c.kind)
			})
		}
	}
}

func TestWhichVerbIsLegalInWhichState(t *testing.T) {
	// 0 nil, S ErrState, C ErrClosed.
	over, cancel := context.WithCancel(context.Background())
	cancel()
	verbs := []struct {
		name, row string
		call      func(s *soloist) error
	}{
		{"Join", "00000C", func(s *soloist) error { return s.Join() }},
		{"Receive", "00000C", func(s *soloist) error { _, err := s.Receive(0); return err }},
		{"Send", "00000C", func(s *soloist) error { _, err := s.Send(); return err }},
		{"Tick", "00000C", func(s *soloist) error { _, err := s.Tick(); return err }},
		{"SendData", "S000SC", func(s *soloist) error { return s.SendData([]byte("x")) }},
		{"Leave", "S0000C", func(s *soloist) error { return s.Leave() }},
		{"Run", "00000C", func(s *soloist) error { return s.Run(over) }},
		{"SyscallConn", ".....C", func(s *soloist) error { _, err := s.SyscallConn(); return err }},
		{"Close", "000000", func(s *soloist) error { return s.Close() }},
	}
	for _, v := range verbs {
		for i, column := range columnNames {
			t.Run(v.name+" in "+column, func(t *testing.T) {
				s := inColumn(t, column)
				was := s.effects()
				err := v.call(s)
				switch v.row[i] {
				case '0':
					s.want(err == nil, "%s in %s returned %v", v.name, column, err)
				case 'S':
					s.want(errors.Is(err, ErrState), "%s in %s returned %v", v.name, column, err)
					s.want(strings.Contains(err.Error(), v.name) && strings.Contains(err.Error(), columnStates[i].String()),
						"the error %q names not both the verb and the state", err)
					s.want(s.effects() == was, "%s failed in %s and left a trace", v.name, column)
				case 'C':
					s.want(errors.Is(err, ErrClosed), "%s after Close returned %v", v.name, err)
					s.want(s.effects() == was, "%s after Close left a trace", v.name)
				}
			})
		}
	}
}

func TestAStateKnowsItsName(t *testing.T) {
	for state, want := range map[State]string{
		StateInitialized: "INITIALIZED", StateJoining: "JOINING", StateConnected: "CONNECTED",
		StateDisconnected: "DISCONNECTED", StateDestroyed: "DESTROYED", 5: "State(5)", 255: "State(255)",
	} {
		if got := state.String(); got != want {
			t.Errorf("state %d calls itself %q instead of %q", uint8(state), got, want)
		}
	}
}

func TestStateChangesAreToldInOrder(t *testing.T) {
	s := newSoloist(t, Config{})
	seed := peerAddr(1)
	s.mustJoin(seed.String())
	s.run(5 * time.Second) // nobody answers
	s.polite[seed] = 11
	s.run(10 * time.Second)
	s.want(s.Leave() == nil, "Leave failed")
	s.want(s.Join() == nil, "Join after Leave failed")
	s.want(s.Close() == nil, "Close failed")
	want := []State{StateJoining, StateDisconnected, StateConnected, StateDisconnected, StateConnected, StateDestroyed}
	s.want(fmt.Sprint(s.states) == fmt.Sprint(want), "the states were %v instead of %v", s.states, want)
}

func TestANodeThatLeftForgetsItsSeeds(t *testing.T) {
	s := newSoloist(t, Config{MaxMembers: 9})
	for i := range 30 { // more than it keeps, in all its lives
		seed := peerAddr(i)
		s.mustJoin(seed.String())
		for _, m := range only(s.run(10*time.Second), wire.TypeHello, anybody) {
			s.want(m.to == seed, "a node that joined %v asks %v, of a life before", seed, m.to)
		}
		s.want(s.Leave() == nil, "Leave failed")
	}
}

func TestAnUnknownTypeAndAForeignTagEndTheDatagram(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(10)
	text := func(i uint32) []byte {
		return s.data(wire.Data{Origin: 77, Counter: i, Payload: []byte{'0' + byte(i)}})
	}
	foreign := text(4)
	foreign[2]++
	s.hear(peerAddr(10), text(1), s.message(99, []byte("of a later version")), text(2))
	s.hear(peerAddr(10), text(3), foreign, text(5))
	s.hear(peerAddr(10), text(6)[:20])
	s.hear(peerAddr(10)) // an empty datagram
	s.want(fmt.Sprint(s.got) == "[1 3]", "what stood before the unreadable should be delivered, got %v", s.got)
	st := s.Stats()
	s.want(st.DropUnknownType == 1 && st.DropTag == 1 && st.DropMalformed == 2, "the causes were counted as %+v", st)
	var w versions.Window = s.origins.Get(77).Seen
	s.want(!w.Has(2) && !w.Has(5) && !w.Has(6), "something unread was taken for seen")
}

// Whoever comes with a token may tell of others before it is a member itself.
func TestANodeThatHearsAMemberIsConnected(t *testing.T) {
	s := newSoloist(t, Config{})
	s.mustJoin(peerAddr(77).String())
	s.run(10 * time.Second)
	s.want(s.State() == StateDisconnected, "without an answer for 10 s the node is %v", s.State())
	source, says, id := peerAddr(1), peerAddr(2), s.peerID(5)
	s.hear(source, s.hello(id, says, 0))
	w := only(s.speak(), wire.TypeWelcome, source)[0]
	s.hear(source, s.hello(id, says, w.welcome.Token), s.memberList(false, wire.Member{ID: s.peerID(9), Addr: peerAddr(9)}))
	s.want(s.State() == StateDisconnected, "hearsay alone makes the node %v", s.State())
	s.join(s.peerID(9), peerAddr(9))
	s.want(s.State() == StateConnected, "with the members %v, who answer, the node is %v", s.Members(), s.State())
}
