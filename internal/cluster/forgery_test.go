package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// forger is an address at which there is no node. Data from there is forged.
var forger = netip.MustParseAddrPort("203.0.113.9:999")

// One forged number must not move a node past the messages that it published just before.
func TestForgedOwnNumberCostsNoMessageInFlight(t *testing.T) {
	for seed := range uint64(5) {
		net := lan(seed)
		net.Loss = 0.3
		c := newCluster(t, 8, net, node.Config{})
		c.form()
		n := c.nodes[3]
		sent := map[string]*simNode{}
		for i := range 40 {
			if i == 20 {
				n.handleData(forger, wire.Data{Origin: n.ID(), Counter: uint32(n.Stats().Sent) + 2000})
			}
			sent[n.publish()] = n
			c.net.Run(time.Millisecond)
		}
		c.awaitDeliveries(time.Minute, sent)
	}
}

// A forger may use a node's first numbers before the node. The forged message must not be
// repaired at the node itself again and again.
func TestForgedFirstNumbersAreSkipped(t *testing.T) {
	c := newCluster(t, 8, lan(15), node.Config{})
	c.form()
	n := c.nodes[3]
	c.nodes[6].handleData(forger, wire.Data{Origin: n.ID(), Counter: 5, Payload: []byte("false")})
	c.net.Run(10 * time.Second)
	before := n.Stats().Duplicate
	c.net.Run(30 * time.Second)
	if again := n.Stats().Duplicate - before; again > 0 {
		t.Errorf("seed 15: a message that was forged in a node's name is repaired %d times more at the node itself", again)
	}
	sent := map[string]*simNode{}
	for range 10 {
		sent[n.publish()] = n
	}
	c.awaitDeliveries(5*time.Second, sent)
}

// A forger uses a member's next numbers. The messages of the member are delivered all the same.
func TestForgedNextNumbersSilenceNoMember(t *testing.T) {
	c := newCluster(t, 8, lan(14), node.Config{})
	c.form()
	n := c.nodes[3]
	sent := map[string]*simNode{n.publish(): n}
	c.awaitDeliveries(5*time.Second, sent)
	before := n.Stats().Duplicate
	c.nodes[6].handleData(forger, wire.Data{Origin: n.ID(), Counter: 30, Payload: []byte("false")})
	c.await(10*time.Second, "the forged message reaches the node itself", func() bool { return n.Stats().Duplicate > before })
	for range 40 {
		sent[n.publish()] = n
		c.net.Run(20 * time.Millisecond)
	}
	c.awaitDeliveries(10*time.Second, sent)
}
