// What a caller sends.

package gossip

import (
	"fmt"

	"example.com/gossip/internal/node"
)

// Spread says how far a message goes. The zero value means Config.Spread.
type Spread struct {
	chosen bool // it is not the zero value
	as     node.Spread
}

var (
	// Broadcast reaches every node of the cluster, each along one path, as
	// fast as the network carries it; what is lost on the way is repaired.
	Broadcast = Spread{true, node.Spread{Kind: node.Broadcast}}

	// Random is the classic rumor: it goes to RumorFactor random members, each of which passes it
	// on once in the same way. It reaches most nodes at once and the rest by repair. It costs
	// RumorFactor copies per node and needs no structure in the network.
	Random = Spread{true, node.Spread{Kind: node.Random}}
)

// Direct sends to one address only, which need not be a member's. The message is sent until the
// member there acknowledges it or is lost, or RetryAttempts times where no member is known, and
// never passed on or repaired by others. To answer an origin, find the Member with its ID, or let
// the payload name the address to answer to: in a large cluster Members does not list every node.
func Direct(to Address) Spread { return Spread{true, node.Spread{Kind: node.Direct, To: to.ap}} }

// String returns "Broadcast", "Random", "Direct" with the address, or "Config.Spread" for the
// zero value.
func (s Spread) String() string {
	switch {
	case !s.chosen:
		return "Config.Spread"
	case s.as.Kind == node.Direct:
		return fmt.Sprintf("Direct(%v)", addressOf(s.as.To))
	case s.as.Kind == node.Random:
		return "Random"
	}
	return "Broadcast"
}

// check returns an error if s is Direct to where no node can be.
func (s Spread) check() error {
	if s.as.Kind == node.Direct && !node.Reachable(s.as.To) {
		to := addressOf(s.as.To)
		return fmt.Errorf("%w: Direct to %q, which %s", ErrAddress, to, to.unreachable())
	}
	return nil
}

// SendData spreads a payload, which is copied, through the cluster as the Spread says, by default
// Config.Spread. It only queues the message. The node's own receiver is not called.
//
// The message is kept until another node has acknowledged it. While the node has no member, or
// none has answered yet, messages wait, within DataLogSize; beyond that SendData returns
// ErrQueueFull, but after two minutes without any member the oldest are given up instead, and
// counted in Stats.Unheard. A seed on its own, which expects nobody, only retains them.
//
// After an error nothing has changed: ErrTooLarge, also for Direct to a member that takes less;
// ErrQueueFull, also while the Direct message 1024 before this one is still on its way; ErrAddress
// for Direct to the node itself or to an address that cannot be sent to; ErrConfig for more than one
// Spread; ErrState before Join, after Leave, and when the 2^32 numbers of this ID are used up;
// ErrClosed.
func (g *GossipService) SendData(payload []byte, spread ...Spread) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check("SendData", started); err != nil {
		return err
	}
	s, err := g.config.choose(spread)
	if err != nil {
		return err
	}
	if s.as.Kind == node.Direct && s.as.To == g.node.Address() {
		return fmt.Errorf("%w: Direct to %v, the node itself", ErrAddress, s.as.To)
	}
	if most := g.node.MaxPayload(); len(payload) > most {
		return fmt.Errorf("%w: %d bytes, MaxPayload is %d", ErrTooLarge, len(payload), most)
	}
	if s.as.Kind == node.Direct && len(payload) > g.node.MaxPayloadTo(s.as.To) {
		return fmt.Errorf("%w: %d bytes, the member at %v takes %d: its MaxMessageSize is smaller", ErrTooLarge, len(payload), s.as.To, g.node.MaxPayloadTo(s.as.To))
	}
	if err := g.node.Publish(g.clock(), payload, s.as); err != nil {
		return g.refusal(err)
	}
	g.wakeForOutput()
	return nil
}

// choose returns the Spread that SendData was given, or the one in c.
func (c *Config) choose(given []Spread) (Spread, error) {
	switch {
	case len(given) > 1:
		return Spread{}, fmt.Errorf("%w: SendData takes one Spread, not %d", ErrConfig, len(given))
	case len(given) == 0 || !given[0].chosen:
		return c.Spread, nil
	}
	return given[0], given[0].check()
}

// refusal returns the error of SendData for that of Publish.
func (g *GossipService) refusal(err error) error {
	switch err {
	case node.ErrFull:
		g.waits.refused = true
		return g.errFull
	case node.ErrDirectFull:
		g.waits.refused = true
		return fmt.Errorf("%w: %w", ErrQueueFull, err)
	default:
		return fmt.Errorf("%w: SendData: %w: %v, Leave and Join", ErrState, err, NodeID(g.node.ID()))
	}
}

// MaxPayload returns the length in bytes of the longest payload that SendData
// accepts. It does not change.
func (g *GossipService) MaxPayload() int {
	if g.node == nil {
		return 0
	}
	return g.node.MaxPayload()
}
