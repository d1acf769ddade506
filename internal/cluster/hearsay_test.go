package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// noNode is the address of a host that is no member.
var noNode = netip.MustParseAddrPort("192.0.2.99:53")

// lie makes a node handle a list of a member that names a node.
func (n *simNode) lie(from *simNode, x wire.Member) {
	list := wire.WriteList(nil, wire.News)
	list.Add(x, 1<<10)
	n.handle(from.addr, append(wire.Header{Type: wire.TypeMemberList, Seq: 5}.AppendTo(nil), list.Body()...))
}

// One lie is one node's question: nobody is told of a node that did not answer.
func TestHearsayOfAHostThatIsNoMemberCostsItAFewHundredBytes(t *testing.T) {
	c := gather(t, spreadCase{nodes: 48}, 1)
	victim := c.countTo(noNode)
	c.nodes[3].lie(c.nodes[5], wire.Member{ID: 1 << 60, Addr: noNode})
	sent := map[string]*simNode{}
	c.traffic(time.Minute, time.Second, sent)
	if victim.bytes == 0 || victim.bytes > 500 || victim.others > 0 {
		t.Errorf("seed 1: one entry of a list sent its victim %d bytes, and %d datagrams that are no Hello", victim.bytes, victim.others)
	}
	t.Logf("%d bytes", victim.bytes)
	before := victim.bytes
	if c.net.Run(10 * time.Minute); victim.bytes > before {
		t.Errorf("seed 1: later the victim is sent %d bytes more", victim.bytes-before)
	}
}

// The same lie each second to each node, with a new id each time.
func TestHearsayThatIsRepeatedIsRarelyTaken(t *testing.T) {
	c := gather(t, spreadCase{nodes: 48}, 2)
	victim := c.countTo(noNode)
	const rounds = 600
	for i := range uint64(rounds) {
		for _, n := range c.nodes {
			if n != c.nodes[5] {
				n.lie(c.nodes[5], wire.Member{ID: c.net.Rand().Uint64() | i | 1, Addr: noNode})
			}
		}
		c.net.Run(time.Second)
	}
	if most := 15 * 47; victim.hellos > most || victim.others > 0 {
		t.Errorf("seed 2: a lie that was repeated for 10 min at each of 47 nodes sent its victim %d Hellos and %d other datagrams; the bound is %d", victim.hellos, victim.others, most)
	}
	t.Logf("%d Hellos, %d bytes", victim.hellos, victim.bytes)
	before := victim.hellos
	if c.net.Run(10 * time.Minute); victim.hellos-before > 47 {
		t.Errorf("seed 2: after the last lie the victim is sent %d Hellos", victim.hellos-before)
	}
	if !c.complete() {
		t.Errorf("seed 2: lies removed members\n%s", c.describe())
	}
}
