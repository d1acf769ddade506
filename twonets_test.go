package gossip

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/transport"
)

// twoNets is the socket of a host with an address in each of two nets, 10/8 and 20/8,
// bound to the wildcard. It sends from the address in the recipient's net.
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

func (s *twoNets) Wake()                                 {}
func (s *twoNets) LocalAddr() netip.AddrPort             { return netip.MustParseAddrPort("0.0.0.0:7070") }
func (s *twoNets) SyscallConn() (syscall.RawConn, error) { return nil, syscall.EINVAL }

func (s *twoNets) Close() error {
	s.ends[1].Close()
	return s.ends[0].Close()
}

// inNet returns the address of the i-th host in the first or second net.
func inNet(net, i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(10 * (net + 1)), 0, 0, byte(i)}), 7070)
}

// hosts makes a cluster of hosts with two addresses.
func hosts(t *testing.T, n int, seed uint64) *simCluster {
	c := newSimCluster(t, 0, lan(seed), Config{})
	for i := range n {
		h := &simNode{c: c, addr: inNet(0, i), got: map[string]int{}}
		c.nodes = append(c.nodes, h)
		c.boot(i)
	}
	return c
}

// boot begins a life of the i-th host.
func (c *simCluster) boot(i int) {
	c.t.Helper()
	n, s := c.nodes[i], &twoNets{}
	for net := range s.ends {
		end, err := c.net.Listen(inNet(net, i))
		if err != nil {
			c.t.Fatal(err)
		}
		s.ends[net] = end
	}
	n.begin(s.ends[0])
	n.socket = s
	s.ends[1].OnReadable(func() { n.wakeAt(c.net.Now()) })
}

// joinIn lets the i-th host join another by its address in one of the nets.
func (c *simCluster) joinIn(net, i, other int) {
	c.t.Helper()
	if err := c.nodes[i].Join(Address{inNet(net, other)}); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i].wakeAt(c.net.Now())
}

func TestAHostWithTwoAddressesThatRestartsIsListedOnce(t *testing.T) {
	for seed := range uint64(6) {
		c := hosts(t, 8, seed)
		c.nodes[0].join()
		for i := range c.nodes[1:] {
			c.joinIn(i%2, i+1, 0)
		}
		c.await(time.Minute, "all know all", c.complete)
		for i := 3; i < 6; i++ {
			c.nodes[i].down = true
			c.nodes[i].socket.Close()
			c.boot(i)
			c.joinIn((i+int(seed))%2, i, 0)
			c.net.Run(2 * time.Second)
			c.nodes[1].say()
		}
		c.await(2*time.Minute, "each is listed once, in its new life", c.complete)
		for _, n := range c.nodes {
			for _, m := range n.Members() {
				if !c.lives(m.ID) {
					t.Fatalf("seed %d: %v lists a former life, %v at %v", seed, n.addr, m.ID, m.Address)
				}
			}
		}
	}
}

func (c *simCluster) lives(id NodeID) bool {
	for _, n := range c.up() {
		if n.ID() == id {
			return true
		}
	}
	return false
}

func TestHostsThatKnowEachOtherInTwoNetsAreQuiet(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			c := hosts(t, 2, seed)
			c.joinIn(0, 0, 1)
			c.joinIn(1, 1, 0)
			c.net.Run(10 * time.Second)
			if each := float64(c.sent(time.Minute)) / 60 / 2; each > 10 {
				t.Errorf("seed %d: idle, each sends %.1f datagrams a second, not 10 at most", seed, each)
			}
		})
	}
}

// Each host is known by some at one address, and by others, who tell them, at the other one.
func TestHostsThatAreKnownAtOneAddressOrTheOtherAreQuiet(t *testing.T) {
	for seed := range uint64(3) {
		c := hosts(t, 10, seed)
		c.nodes[0].join()
		for i := range c.nodes[1:] {
			c.joinIn(i%2, i+1, 0)
		}
		c.await(time.Minute, "all know all", c.complete)
		c.net.Run(30 * time.Second)
		if each := float64(c.sent(time.Minute)) / 60 / 10; each > 4 {
			t.Errorf("seed %d: idle, each sends %.1f datagrams a second, not 4 at most", seed, each)
		}
	}
}
