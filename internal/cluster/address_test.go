package cluster

import (
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
)

// addAt adds a node that is bound to the wildcard address, so that it does not know the
// address at which others see and reach it.
func (c *cluster) addAt(addr netip.AddrPort) *simNode {
	c.t.Helper()
	n := &simNode{c: c, addr: addr, got: map[string]int{}}
	n.begin(c.listenAt(addr), wildcard)
	c.nodes = append(c.nodes, n)
	return n
}

var wildcard = netip.MustParseAddrPort("0.0.0.0:7070")

// moveTo gives the node another address, as a network does to a host.
func (n *simNode) moveTo(addr netip.AddrPort) {
	n.c.t.Helper()
	n.end.Close()
	n.addr = addr
	n.listen(n.c.listenAt(addr))
	n.wakeAt(n.c.net.Now())
}

func TestAddressThatChangesLeavesTheNodeInItsCluster(t *testing.T) {
	for seed := range uint64(4) {
		c := newCluster(t, 8, lan(seed), node.Config{})
		old := netip.MustParseAddrPort("10.9.0.1:7070")
		n := c.addAt(old)
		c.form()
		c.net.Run(time.Duration(10+20*seed) * time.Second)
		id := n.ID()
		n.moveTo(netip.MustParseAddrPort("10.9.0.2:7070"))
		c.await(10*time.Second, "the node knows its new address", func() bool { return n.Address() == n.addr })
		c.seed += 100 // the ids of nodes at one address differ
		other := c.add(old, node.Config{})
		other.join(c.nodes[0])
		c.await(time.Minute, "all know the node at its new address, under its old id", func() bool {
			for _, x := range c.nodes {
				if m, ok := x.member(id); x != n && (!ok || m.Addr != n.addr) {
					return false
				}
			}
			return n.ID() == id && c.complete()
		})
		text := n.publish(direct(other))
		c.await(time.Second, "the new owner of its old address gets a message of the node", func() bool { return other.got[text] == 1 })
		sent := map[string]*simNode{n.publish(): n}
		sent[c.nodes[2].publish()] = c.nodes[2]
		c.awaitDeliveries(time.Second, sent)
		c.noDuplicates()
	}
}

// A seed on the wildcard address sends no Hello to join. It learns its address from its members,
// and again when that changes, from those that ask which node is at the new one.
func TestAddressOfASeedFollowsItsHost(t *testing.T) {
	for _, keys := range [][][]byte{nil, {testKey('k')}} {
		for _, nodes := range []int{2, 8} {
			c := newCluster(t, 0, lan(uint64(nodes)), node.Config{})
			n := c.addAt(netip.MustParseAddrPort("10.9.0.1:7070"))
			n.crash()
			n.config.Keys = keys
			n.begin(c.listenAt(n.addr), wildcard)
			for i := 1; i < nodes; i++ {
				c.add(hostAddr(i), node.Config{Keys: keys})
			}
			c.form()
			c.await(time.Second, "the seed knows its address", func() bool { return n.Address() == n.addr })
			for i := range byte(4) {
				c.net.Run(time.Duration(7*i) * time.Second)
				n.moveTo(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 1, i}), 7070))
				c.await(10*time.Second, "the seed knows its new address", func() bool { return n.Address() == n.addr })
				c.await(time.Minute, "all know all", c.complete)
			}
		}
	}
}

// A node on the wildcard address is told of a member at its own address, which it does not
// know yet.
func TestAddressOfTheNodeItselfIsNotAMember(t *testing.T) {
	c := newCluster(t, 3, lan(18), node.Config{})
	public, invented := netip.MustParseAddrPort("10.9.0.1:7070"), uint64(12345)<<40
	n := c.addAt(public)
	n.join() // a seed
	for _, m := range c.nodes[:3] {
		m.join(n)
	}
	c.await(10*time.Second, "all know all", c.complete)
	list := wire.WriteList(nil, wire.News)
	list.Add(wire.Member{ID: invented, Addr: public}, 1<<10)
	tell := func() {
		n.Handle(n.now(), c.nodes[0].addr, append(wire.Header{Type: wire.TypeMemberList, Seq: 5}.AppendTo(nil), list.Body()...))
	}
	listsItself := func() bool {
		for i := range n.Members() {
			if m := n.Member(i); m.Addr == public || m.ID == invented {
				return true
			}
		}
		return false
	}
	tell()
	c.await(10*time.Second, "the node does not list itself", func() bool { return !listsItself() })
	if n.Address() != public {
		t.Errorf("seed %d: a node that has met itself at %v takes %v for its address", c.seed, public, n.Address())
	}
	tell()
	if listsItself() {
		t.Errorf("seed %d: a node that knows its address lists itself", c.seed)
	}
	c.net.Run(time.Minute)
	if !c.complete() {
		t.Errorf("seed %d: the nodes do not all know one another any more:\n%s", c.seed, c.describe())
	}
}
