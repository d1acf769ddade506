package cli

import (
	"errors"
	"time"

	"example.com/gossip"
)

// handover is how long Goodbye waits for acknowledgements.
const handover = time.Second

// Goodbye turns the loop until all messages of the node are acknowledged, for at most a
// second, and leaves: Leave alone would drop those that wait. turn is one turn of the loop,
// which waits no longer than most.
func Goodbye(node *gossip.GossipService, turn func(most time.Duration) error) error {
	end := time.Now().Add(handover)
	for left := handover; left > 0 && node.Stats().QueuedData > 0; left = time.Until(end) {
		if err := turn(left); err != nil {
			return err
		}
	}
	return Leave(node)
}

// Leave leaves at once and sends the goodbyes. A node that never joined sends none.
func Leave(node *gossip.GossipService) error {
	err := node.Leave()
	if errors.Is(err, gossip.ErrState) {
		return nil
	}
	for sent := 1; sent > 0 && err == nil; {
		sent, err = node.Send()
	}
	return err
}
