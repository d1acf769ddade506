package cli

import (
	"testing"
	"time"

	"example.com/gossip"
)

// newNode returns a node whose loop only the test turns, by the function.
func newNode(t *testing.T, receiver func(gossip.NodeID, []byte)) (node *gossip.GossipService, turn func(most time.Duration) error) {
	t.Helper()
	node, err := gossip.New(loopback(t), receiver, gossip.Config{RetryAttempts: 255}) // it gives nothing up meanwhile
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return node, func(most time.Duration) error {
		wait, err := node.Tick()
		if err == nil {
			_, err = node.Send()
		}
		if err == nil {
			_, err = node.Receive(min(wait, most))
		}
		return err
	}
}

// acquainted returns two nodes that know each other, of which the first says a line that
// is not sent yet.
func acquainted(t *testing.T, receiver func(gossip.NodeID, []byte)) (node, other *gossip.GossipService, turn, turnOther func(time.Duration) error) {
	t.Helper()
	node, turn = newNode(t, func(gossip.NodeID, []byte) {})
	other, turnOther = newNode(t, receiver)
	if err := other.Join(); err != nil {
		t.Fatal(err)
	}
	if err := node.Join(other.Address()); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(time.Minute)
	for len(node.Members()) == 0 || len(other.Members()) == 0 {
		if time.Now().After(limit) {
			t.Fatalf("two nodes do not find each other: %v, %v", node.State(), other.State())
		}
		for _, turn := range []func(time.Duration) error{turn, turnOther} {
			if err := turn(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := node.SendData([]byte("the last line")); err != nil {
		t.Fatal(err)
	}
	return node, other, turn, turnOther
}

func TestWhatWasSaidLastIsHandedOverBeforeTheGoodbye(t *testing.T) {
	heard := ""
	node, other, turn, turnOther := acquainted(t, func(_ gossip.NodeID, payload []byte) { heard = string(payload) })
	both := func(most time.Duration) error {
		if err := turn(min(most, time.Millisecond)); err != nil {
			return err
		}
		return turnOther(time.Millisecond)
	}
	if err := Goodbye(node, both); err != nil {
		t.Fatal(err)
	}
	if heard != "the last line" {
		t.Errorf("the node left before its last line was heard, only %q", heard)
	}
	limit := time.Now().Add(time.Minute)
	for len(other.Members()) > 0 {
		if time.Now().After(limit) {
			t.Fatal("the node went without a goodbye")
		}
		if err := turnOther(time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if s := other.Stats(); s.MembersLost > 0 {
		t.Error("the node was taken for lost")
	}
}

func TestAGoodbyeDoesNotWaitForEver(t *testing.T) {
	node, _, turn, _ := acquainted(t, func(gossip.NodeID, []byte) {})
	began := time.Now()
	if err := Goodbye(node, turn); err != nil { // the other one's loop stands still
		t.Fatal(err)
	}
	if d := time.Since(began); d < handover {
		t.Errorf("the node left after %v, while its last line might have been acknowledged until %v", d, handover)
	}
	if state := node.State(); state != gossip.StateDisconnected {
		t.Errorf("a node that nobody answers any more should leave all the same, it is %v", state)
	}
}

func TestANodeThatNeverJoinedLeavesWithoutAWord(t *testing.T) {
	node, turn := newNode(t, func(gossip.NodeID, []byte) {})
	if err := Goodbye(node, turn); err != nil {
		t.Errorf("the goodbye of a node that never joined fails: %v", err)
	}
}
