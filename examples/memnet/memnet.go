// Package memnet is a datagram network in memory, for tests of programs that use gossip. It
// has latency, loss and partitions. In a bubble of testing/synctest its time is virtual: ten
// idle nodes run for an hour in about a second, or in ten with the race detector.
//
//	func TestFlagReachesEveryReplica(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			network := memnet.New(memnet.Config{LatencyMin: 5 * time.Millisecond, LatencyMax: 15 * time.Millisecond, Loss: 0.01})
//			var loops sync.WaitGroup
//			t.Cleanup(loops.Wait) // Run ends with t.Context
//			nodes, flags := make([]*gossip.GossipService, 3), make(chan string, 2)
//			for i := range nodes {
//				conn, err := network.Listen(netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:7070", i+1)))
//				if err != nil {
//					t.Fatal(err)
//				}
//				nodes[i], err = gossip.New(gossip.Address{}, func(_ gossip.NodeID, payload []byte) {
//					flags <- string(payload)
//				}, gossip.Config{Conn: conn})
//				if err != nil {
//					t.Fatal(err)
//				}
//				loops.Go(func() { nodes[i].Run(t.Context()) })
//			}
//			nodes[0].Join() // a seed
//			nodes[1].Join(nodes[0].Address())
//			nodes[2].Join(nodes[0].Address())
//			for _, node := range nodes {
//				node.WaitForMember(t.Context())
//			}
//
//			nodes[0].SendData([]byte("dark-mode on"))
//			for range 2 {
//				if flag := <-flags; flag != "dark-mode on" {
//					t.Errorf("the flag of a replica is %q", flag)
//				}
//			}
//		})
//	}
//
// In its folder, example_test.go has a test of ten nodes, and flags_test.go one of a small
// application on both sides of a partition.
//
// # Time
//
// All time comes from package time. A bubble's clock stands still while any of its goroutines
// works, and jumps to the next timer when all wait. Make and use the Conns of a Net inside one
// bubble. Outside of bubbles the time is real.
//
// A bubble's clock stops when the test function and its cleanups have returned, and a
// goroutine that still waits then fails the test. So wait for all loops in a cleanup, as
// above: Run may take another millisecond to end.
//
// Gossip polls a Conn for more datagrams for a millisecond before it calls the receiver, so
// that a message takes a millisecond more than the latency of each hop.
//
// # Determinism
//
// The latency and the loss of the nth datagram from an address depend only on the seed, the
// address and n. Datagrams arrive in the order of their times of arrival, whichever goroutine
// ran first. So a Net repeats itself exactly if the same datagrams are sent at the same times.
// A cluster in a bubble, each node with one goroutine for its loop, sends the same if
//
//   - LatencyMin is above 0, so that no node depends on what another does at the same instant;
//   - the test calls synctest.Wait before and after whatever it does to a node, so that the
//     node does nothing else at the same instant;
//   - the nodes draw the same random numbers: see testing/cryptotest.SetGlobalRandom.
//
// Where goroutines do depend on others at the same instant, the scheduler decides.
package memnet

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config describes a Net. The zero value is a perfect network, without latency and loss.
type Config struct {
	// Seed decides every random choice. Any value is good.
	Seed uint64

	// LatencyMin and LatencyMax bound the one-way latency, which is drawn uniformly for each
	// datagram, so that some overtake others. 0 <= LatencyMin <= LatencyMax.
	LatencyMin, LatencyMax time.Duration

	// Loss is the probability that a datagram is lost, from 0 to 1.
	Loss float64
}

// Counts is what became of the datagrams of a Net. Sent is the sum of the others.
type Counts struct {
	Sent        uint64 // taken by WriteTo
	InFlight    uint64
	Arrived     uint64 // in the receive queue of a Conn, whether read or not
	Lost        uint64 // by chance
	Cut         uint64 // stopped by Partition, Cut or Down
	Unreachable uint64 // found no Conn at their address
	Overflowed  uint64 // found the receive queue full
}

// Net is a network, made by New. All its methods may be called from any goroutine.
//
// Partition, Cut and Down may name addresses without a Conn. They stop a datagram if they apply
// when it is sent or when it arrives.
//
// A Net holds the datagrams in flight, as many as are sent within LatencyMax, and about 500
// bytes for each address that was ever used.
type Net struct {
	mu     sync.Mutex // never held while waiting
	config Config
	hosts  map[netip.AddrPort]*host
	counts Counts
	cuts
}

// New makes a network. It panics if a value of c is out of its range.
func New(c Config) *Net {
	n := &Net{hosts: map[netip.AddrPort]*host{}}
	n.Set(c)
	n.config.Seed = c.Seed
	n.Heal()
	return n
}

// Set changes the latency and the loss of datagrams sent from now on. The seed stays. It
// panics if a value of c is out of its range.
func (n *Net) Set(c Config) {
	if c.LatencyMin < 0 || c.LatencyMax < c.LatencyMin {
		panic(fmt.Sprintf("memnet: latency from %v to %v: give 0 <= LatencyMin <= LatencyMax", c.LatencyMin, c.LatencyMax))
	}
	if !(c.Loss >= 0 && c.Loss <= 1) { // NaN is not
		panic(fmt.Sprintf("memnet: Loss %v: give a probability, from 0 to 1", c.Loss))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c.Seed = n.config.Seed
	n.config = c
}

// Listen makes a Conn at an address, of a single host and with a port, that no other Conn has.
func (n *Net) Listen(addr netip.AddrPort) (*Conn, error) {
	addr = unmap(addr)
	if ip := addr.Addr(); !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || addr.Port() == 0 {
		return nil, fmt.Errorf("memnet: listen on %v: give the address of one host with a port, such as 10.0.0.1:7070", addr)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(addr)
	if h.conn != nil {
		return nil, fmt.Errorf("memnet: listen on %v: address in use: close its Conn, or give another one", addr)
	}
	n.settle(h)
	h.conn = newConn(n, h)
	return h.conn, nil
}

// Counts returns the counts so far.
func (n *Net) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settleAll()
	c := n.counts
	for _, h := range n.hosts {
		c.InFlight += uint64(len(h.inFlight))
	}
	return c
}

// host returns the host of an address.
func (n *Net) host(addr netip.AddrPort) *host {
	h := n.hosts[addr]
	if h == nil {
		h = newHost(n.config.Seed, addr)
		n.hosts[addr] = h
	}
	return h
}

// send decides what becomes of a datagram.
func (n *Net) send(from, to *host, payload []byte) {
	n.settle(to)
	n.counts.Sent++
	d, lost := from.next(&n.config)
	switch {
	case n.stops(from.addr, to.addr):
		n.counts.Cut++
	case lost:
		n.counts.Lost++
	default:
		d.payload = slices.Clone(payload)
		to.expect(d)
	}
}

// settle lets all datagrams arrive at h that are due. It comes before every change of what
// they find there.
func (n *Net) settle(h *host) {
	for _, d := range h.due(time.Now()) {
		switch {
		case n.stops(d.from, h.addr):
			n.counts.Cut++
		case h.conn == nil:
			n.counts.Unreachable++
		case !h.conn.enqueue(d):
			n.counts.Overflowed++
		default:
			n.counts.Arrived++
		}
	}
}

func (n *Net) settleAll() {
	for _, h := range n.hosts {
		n.settle(h)
	}
}

// unmap returns a, as an IPv4 address if it is one mapped into IPv6.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
