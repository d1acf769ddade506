package cluster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/transport"
)

// twoNets is the socket of a host with an address in each of two networks, 10/8 and 20/8, that
// is bound to the wildcard address. It sends from the address in the recipient's network.
type twoNets struct{ ends [2]*simnet.Endpoint }

func (s *twoNets) Receive(b []byte, _ time.Duration) (n int, from netip.AddrPort, err error) {
	for _, e := range s.ends {
		if n, from, err = e.Receive(b, 0); err != transport.ErrNothing {
			break
		}
	}
	return n, from, err
}

func (s *twoNets) Send(b []byte, to netip.AddrPort) error {
	return s.ends[to.Addr().As4()[0]/10-1].Send(b, to)
}

// inNet returns the address of the i-th host in the first or second network.
func inNet(net, i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(10 * (net + 1)), 0, 0, byte(i)}), 7070)
}

// hosts makes a cluster of hosts with two addresses.
func hosts(t *testing.T, n int, seed uint64) *cluster {
	c := newCluster(t, 0, lan(seed), node.Config{})
	for i := range n {
		c.nodes = append(c.nodes, &simNode{c: c, addr: inNet(0, i), got: map[string]int{}})
		c.boot(i)
	}
	return c
}

// boot begins a life of the i-th host.
func (c *cluster) boot(i int) {
	c.t.Helper()
	n, s := c.nodes[i], &twoNets{}
	for net := range s.ends {
		s.ends[net] = c.listenAt(inNet(net, i))
	}
	n.begin(s.ends[0], wildcard)
	n.socket = s
	s.ends[1].OnReadable(func() { n.wakeAt(c.net.Now()) })
}

func TestTwoAddressesOfANodeThatRestartsAreOneMember(t *testing.T) {
	for seed := range uint64(6) {
		c := hosts(t, 8, seed)
		c.nodes[0].join()
		for i, n := range c.nodes[1:] {
			n.joinAt(inNet(i%2, 0))
		}
		c.await(time.Minute, "all know all", c.complete)
		for i := 3; i < 6; i++ {
			n := c.nodes[i]
			for _, end := range n.socket.(*twoNets).ends {
				end.Close()
			}
			c.boot(i)
			n.joinAt(inNet((i+int(seed))%2, 0))
			c.net.Run(2 * time.Second)
			c.nodes[1].publish()
		}
		c.await(2*time.Minute, "each is listed once, in its new life", c.complete)
		lives := map[uint64]bool{}
		for _, n := range c.nodes {
			lives[n.ID()] = true
		}
		for _, n := range c.nodes {
			for i := range n.Members() {
				if m := n.Member(i); !lives[m.ID] {
					t.Fatalf("seed %d: %v lists a former life, %x at %v", seed, n.addr, m.ID, m.Addr)
				}
			}
		}
	}
}

func TestTwoAddressesOfEachOfTwoSeedsCostFewDatagrams(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			c := hosts(t, 2, seed)
			c.nodes[0].joinAt(inNet(0, 1))
			c.nodes[1].joinAt(inNet(1, 0))
			c.net.Run(10 * time.Second)
			if each := float64(c.datagrams(time.Minute)) / 60 / 2; each > 10 {
				t.Errorf("seed %d: an idle node sends %.1f datagrams a second; the bound is 10", seed, each)
			}
		})
	}
}

// Some know a host at one address and others, which tell them of it, at the other one.
func TestTwoAddressesThatMembersDisagreeAboutCostFewDatagrams(t *testing.T) {
	for seed := range uint64(3) {
		c := hosts(t, 10, seed)
		c.nodes[0].join()
		for i, n := range c.nodes[1:] {
			n.joinAt(inNet(i%2, 0))
		}
		c.await(time.Minute, "all know all", c.complete)
		c.net.Run(30 * time.Second)
		if each := float64(c.datagrams(time.Minute)) / 60 / 10; each > 4 {
			t.Errorf("seed %d: an idle node sends %.1f datagrams a second; the bound is 4", seed, each)
		}
	}
}
