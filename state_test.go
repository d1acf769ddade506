package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The columns of the table in TestStateTellsWhichVerbIsLegal, and the State of each.
var (
	columns      = []string{"INITIALIZED", "JOINING", "CONNECTED", "DISCONNECTED", "left", "DESTROYED"}
	columnStates = []State{StateInitialized, StateJoining, StateConnected, StateDisconnected, StateDisconnected, StateDestroyed}
)

// inColumn brings a node into a column by what a caller and a network can do.
func inColumn(t *testing.T, column string) *virtualNode {
	t.Helper()
	v := newVirtualNet(t, 1)
	n, a, b := v.add(Config{Keys: [][]byte{nil}}), v.add(Config{}), v.add(Config{})
	switch column {
	case "JOINING", "DISCONNECTED":
		n.join(virtualAddr(77)) // where no node is
		v.Run(20 * time.Millisecond)
		if column == "DISCONNECTED" {
			v.Run(10 * time.Second)
		}
	case "CONNECTED", "left", "DESTROYED":
		v.form(n, a, b)
	}
	n.held = true
	switch column {
	case "left":
		n.want(n.Leave() == nil, "Leave failed")
	case "DESTROYED":
		n.want(n.Close() == nil, "Close failed")
	}
	n.Send()
	want := columnStates[slices.Index(columns, column)]
	n.want(n.State() == want, "the node should be %v and is %v", want, n.State())
	return n
}

// trace is what a verb could change.
func (n *virtualNode) trace() string {
	return fmt.Sprintf("%v %v %v %v %d sent %+v", n.State(), n.states, n.ID(), n.Members(), n.sock.sends, n.Stats())
}

func TestStateTellsWhichVerbIsLegal(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	verbs := []struct {
		name, row string // by column: 0 no error, S ErrState, C ErrClosed, . another error
		call      func(n *virtualNode) error
	}{
		{"Join", "00000C", func(n *virtualNode) error { return n.Join() }},
		{"Receive", "00000C", func(n *virtualNode) error { _, err := n.Receive(0); return err }},
		{"Send", "00000C", func(n *virtualNode) error { _, err := n.Send(); return err }},
		{"Tick", "00000C", func(n *virtualNode) error { _, err := n.Tick(); return err }},
		{"SendData", "S000SC", func(n *virtualNode) error { return n.SendData([]byte("x")) }},
		{"Leave", "S0000C", func(n *virtualNode) error { return n.Leave() }},
		{"SetKeys", "00000C", func(n *virtualNode) error { return n.SetKeys(testKey('k')) }},
		{"Run", "00000C", func(n *virtualNode) error { return n.Run(over) }},
		{"SyscallConn", ".....C", func(n *virtualNode) error { _, err := n.SyscallConn(); return err }},
		{"WaitForRoom", "S000SC", func(n *virtualNode) error { return n.WaitForRoom(over) }},
		{"WaitForAcks", "S000SC", func(n *virtualNode) error { return n.WaitForAcks(over) }},
		{"WaitForMember", "S.0.SC", func(n *virtualNode) error { return n.WaitForMember(over) }},
		{"Close", "000000", func(n *virtualNode) error { return n.Close() }},
	}
	failing := 0
	for m := range reflect.TypeFor[*GossipService]().Methods() {
		if out := m.Type.NumOut(); out > 0 && m.Type.Out(out-1) == reflect.TypeFor[error]() {
			failing++
		}
	}
	if failing != len(verbs) {
		t.Errorf("%d methods return an error, and the table has %d rows", failing, len(verbs))
	}
	for _, v := range verbs {
		for i, column := range columns {
			t.Run(v.name+" in "+column, func(t *testing.T) {
				n := inColumn(t, column)
				before := n.trace()
				err := v.call(n)
				switch v.row[i] {
				case '0':
					n.want(err == nil, "%s in %s returned %v", v.name, column, err)
					return
				case 'S':
					n.want(errors.Is(err, ErrState) && !errors.Is(err, ErrClosed), "%s in %s returned %v", v.name, column, err)
					n.want(strings.Contains(err.Error(), v.name) && strings.Contains(err.Error(), columnStates[i].String()),
						"the error %q does not name both the verb and the state", err)
				case 'C':
					n.want(errors.Is(err, ErrClosed) && !errors.Is(err, ErrState), "%s after Close returned %v", v.name, err)
				case '.':
					n.want(err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrClosed), "%s in %s returned %v", v.name, column, err)
				}
				n.want(n.trace() == before, "%s failed in %s and left a trace:\n%s\n%s", v.name, column, before, n.trace())
			})
		}
	}
}

func TestStateHasAName(t *testing.T) {
	for state, want := range map[State]string{
		StateInitialized: "INITIALIZED", StateJoining: "JOINING", StateConnected: "CONNECTED",
		StateDisconnected: "DISCONNECTED", StateDestroyed: "DESTROYED", 5: "State(5)", 255: "State(255)",
	} {
		if got := state.String(); got != want {
			t.Errorf("the name of state %d is %q instead of %q", uint8(state), got, want)
		}
	}
}

func TestStateChangesAreReportedInOrder(t *testing.T) {
	v := newVirtualNet(t, 1)
	var changes []string
	n := v.add(Config{OnStateChange: func(old, new State) { changes = append(changes, fmt.Sprint(old, " ", new)) }})
	seed := v.add(Config{})
	n.join(seed.Address())
	seed.held = true
	v.Run(5 * time.Second) // the seed does not answer
	seed.join()
	seed.release()
	v.Run(10 * time.Second)
	n.want(n.Leave() == nil, "Leave failed")
	n.want(n.Join() == nil, "Join after Leave failed")
	n.want(n.Close() == nil, "Close failed")
	want := []string{"INITIALIZED JOINING", "JOINING DISCONNECTED", "DISCONNECTED CONNECTED", "CONNECTED DISCONNECTED",
		"DISCONNECTED CONNECTED", "CONNECTED DESTROYED"}
	n.want(slices.Equal(changes, want), "the changes were %q instead of %q", changes, want)
}

func TestStateIsWhatTheNodeReports(t *testing.T) {
	v := newVirtualNet(t, 1)
	n := v.add(Config{Advertise: virtualAddr(0)})
	for range 4 {
		v.add(Config{})
	}
	v.form(v.nodes...)
	n.publish("to all")
	v.nodes[1].publish("to all too")
	v.Run(time.Second)

	members := n.Members()
	sorted := slices.IsSortedFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	n.want(sorted && len(members) == 4, "the members are not ordered by ID: %v", members)
	for _, x := range v.nodes[1:] {
		i := slices.IndexFunc(members, func(m Member) bool { return m.ID == x.ID() })
		n.want(i >= 0 && members[i].Address == x.Address(), "%v at %v is not among the members %v", x.ID(), x.Address(), members)
	}
	n.want(slices.ContainsFunc(members, func(m Member) bool { return m.RTT >= 10*time.Millisecond && m.RTT < 50*time.Millisecond }),
		"no round-trip time is known: %v", members)
	clear(members)
	n.want(n.Members()[0].ID != 0, "Members returns the node's own memory")
	s := n.Stats()
	n.want(n.ID() != 0 && n.Address() == virtualAddr(0) && n.State() == StateConnected && n.MaxPayload() == 480,
		"it is %v at %v, %v, MaxPayload %d", n.ID(), n.Address(), n.State(), n.MaxPayload())
	n.want(s.Sent == 1 && s.Delivered == 1 && s.Members == 4 && s.Origins == 2 && s.Retained == 2 && s.MessagesIn > 0 && s.DatagramsOut > 0 &&
		int(s.DatagramsOut) == n.sock.sends, "it counts %+v", s)
}

func TestServicePrintsItsIDAddressAndState(t *testing.T) {
	n, peer := pair(t, brisk)
	want := fmt.Sprintf("%v at %v, CONNECTED", n.ID(), n.Address())
	printed := make(chan string, 1)
	n.mu.Lock()
	n.hook = func(NodeID, []byte) { printed <- fmt.Sprint(n.GossipService) } // as from anywhere
	n.mu.Unlock()
	peer.publish("x")
	for _, got := range []string{<-printed, fmt.Sprintf("%+v", n.GossipService)} {
		if got != want {
			t.Errorf("a node prints as %.200q, not %q", got, want)
		}
	}
}

func TestMemberIsFoundByItsID(t *testing.T) {
	v := newVirtualNet(t, 1)
	a, b, c := v.add(Config{}), v.add(Config{}), v.add(Config{})
	v.form(a, b, c)
	for _, want := range a.Members() {
		got, ok := a.Member(want.ID)
		a.want(ok && got == want, "the member with the ID %v is %+v, not %+v", want.ID, got, want)
	}
	for _, id := range []NodeID{0, a.ID(), b.ID() + 1} {
		got, ok := a.Member(id)
		a.want(!ok && got == Member{}, "%v is no member, but found as %+v", id, got)
	}
}

// A GossipService that New did not make is a mistake that must not hang or panic.
func TestZeroServiceAnswersEveryMethod(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for name, m := range map[string]reflect.Value{"in use": reflect.ValueOf(context.Background()), "over": reflect.ValueOf(over)} {
		for i := range reflect.TypeFor[*GossipService]().NumMethod() {
			method := reflect.TypeFor[*GossipService]().Method(i)
			args := []reflect.Value{reflect.ValueOf(new(GossipService))}
			for in := 1; in < method.Type.NumIn() && !(method.Type.IsVariadic() && in == method.Type.NumIn()-1); in++ {
				if method.Type.In(in) == reflect.TypeFor[context.Context]() {
					args = append(args, m)
				} else {
					args = append(args, reflect.Zero(method.Type.In(in)))
				}
			}
			for i, result := range method.Func.Call(args) {
				if method.Type.Out(i) == reflect.TypeFor[error]() {
					if err, _ := result.Interface().(error); !errors.Is(err, ErrState) {
						t.Errorf("%s with a context %s, of the zero GossipService, returned %v", method.Name, name, err)
					}
				} else if !result.IsZero() && method.Name != "String" {
					t.Errorf("%s of the zero GossipService returned %v", method.Name, result)
				}
			}
		}
	}
}
