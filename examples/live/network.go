package main

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	mostWaiting  = 512 // datagrams on their way to one node; further ones are dropped
	mostArrivals = 256 // datagrams read from real sockets that wait for the loop; more wait in the kernel
)

// fate is what becomes of a datagram.
type fate string

const (
	carried fate = ""
	lost    fate = "lost"   // by chance
	cut     fate = "cut"    // by the partition
	nobody  fate = "nobody" // the recipient is down
	crowded fate = "full"   // the recipient's inbox is full
)

// passage is one datagram on its way, as the tap sees it.
type passage struct {
	from, to netip.AddrPort
	sent, at time.Duration // when it was sent, and when it arrives or would have
	fate     fate
	payload  []byte // valid during the call only
}

// network carries the datagrams of all nodes, in memory or between sockets of the system,
// and may lose, delay or block them. It belongs to the goroutine of the loop, and so does a
// socket, except its pump.
type network struct {
	clock   func() time.Duration
	rng     *rand.Rand
	loss    float64       // share of the datagrams, 0 to 1
	latency time.Duration // one way, give or take a quarter
	apart   func(from, to netip.AddrPort) bool
	tap     func(passage)

	sockets  map[netip.AddrPort]*socket
	arrivals chan arrival  // from the pumps of real sockets
	done     chan struct{} // ends the pumps
}

func newNetwork(clock func() time.Duration, seed uint64, latency time.Duration) *network {
	return &network{
		clock:    clock,
		rng:      rand.New(rand.NewPCG(seed, 0)),
		latency:  latency,
		sockets:  map[netip.AddrPort]*socket{},
		arrivals: make(chan arrival, mostArrivals),
		done:     make(chan struct{}),
	}
}

// delay draws how long the next datagram takes.
func (n *network) delay() time.Duration {
	return time.Duration((0.75 + n.rng.Float64()/2) * float64(n.latency))
}

func (n *network) fate(from, to netip.AddrPort) fate {
	there, ok := n.sockets[to]
	switch {
	case n.apart != nil && n.apart(from, to):
		return cut
	case n.rng.Float64() < n.loss:
		return lost
	case !ok:
		return nobody
	case len(there.inbox) >= mostWaiting:
		return crowded
	}
	return carried
}

// listen opens a socket in memory.
func (n *network) listen(addr netip.AddrPort, onArrival func(time.Duration)) (*socket, error) {
	if n.sockets[addr] != nil {
		return nil, fmt.Errorf("%v is in use", addr)
	}
	s := &socket{net: n, addr: addr, onArrival: onArrival}
	n.sockets[addr] = s
	return s, nil
}

// listenUDP opens a socket of the system.
func (n *network) listenUDP(addr netip.AddrPort, onArrival func(time.Duration)) (*socket, error) {
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	addr = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := n.listen(addr, onArrival)
	if err != nil {
		udp.Close()
		return nil, err
	}
	s.udp = udp
	go s.pump()
	return s, nil
}

// close ends the pumps, once the sockets are closed.
func (n *network) close() { close(n.done) }

// socket is the net.PacketConn of one node. It never waits: onArrival tells the loop when
// there is something to read.
type socket struct {
	net       *network
	addr      netip.AddrPort
	inbox     inbox
	onArrival func(at time.Duration)
	udp       *net.UDPConn // nil in memory
	closed    bool
}

var _ net.PacketConn = (*socket)(nil)

// ReadFrom returns a datagram whose time has come, or os.ErrDeadlineExceeded at
// once, whatever the deadline.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	if s.closed {
		return 0, nil, net.ErrClosed
	}
	if s.next() > s.net.clock() {
		return 0, nil, os.ErrDeadlineExceeded
	}
	a := heap.Pop(&s.inbox).(arrival)
	return copy(b, a.payload), net.UDPAddrFromAddrPort(a.from), nil
}

// WriteTo sends a datagram, which the network may delay or drop.
func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("%v is not a UDP address", addr)
	}
	to := netip.AddrPortFrom(udp.AddrPort().Addr().Unmap(), udp.AddrPort().Port())
	now := s.net.clock()
	p := passage{from: s.addr, to: to, sent: now, at: now + s.net.delay(), fate: s.net.fate(s.addr, to), payload: b}
	if s.net.tap != nil {
		s.net.tap(p)
	}
	if p.fate != carried {
		return len(b), nil // the sender of a datagram is not told
	}
	if s.udp != nil {
		return s.udp.WriteToUDPAddrPort(b, to)
	}
	s.net.sockets[to].put(arrival{at: p.at, from: s.addr, payload: bytes.Clone(b)})
	return len(b), nil
}

// put adds a datagram to the inbox, to be read at its time.
func (s *socket) put(a arrival) {
	if s.closed || len(s.inbox) >= mostWaiting {
		return
	}
	heap.Push(&s.inbox, a)
	s.onArrival(a.at)
}

// next returns when there will be something to read.
func (s *socket) next() time.Duration {
	if len(s.inbox) == 0 {
		return never
	}
	return s.inbox[0].at
}

// pump moves what a real socket receives to the loop, until it is closed.
func (s *socket) pump() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			continue // the error of one datagram, such as an ICMP message
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		select {
		case s.net.arrivals <- arrival{to: s, from: from, payload: bytes.Clone(buf[:n])}:
		case <-s.net.done:
			return
		}
	}
}

func (s *socket) Close() error {
	if s.closed {
		return nil
	}
	s.closed, s.inbox = true, nil
	delete(s.net.sockets, s.addr)
	if s.udp != nil {
		return s.udp.Close()
	}
	return nil
}

func (s *socket) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(s.addr) }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// arrival is a datagram to be read at its time.
type arrival struct {
	at      time.Duration
	to      *socket // of one from a pump, to which the loop gives its time
	from    netip.AddrPort
	payload []byte
}

// inbox is a heap of arrivals, the earliest first.
type inbox []arrival

func (b inbox) Len() int           { return len(b) }
func (b inbox) Less(i, j int) bool { return b[i].at < b[j].at }
func (b inbox) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b *inbox) Push(a any)        { *b = append(*b, a.(arrival)) }
func (b *inbox) Pop() any {
	last := len(*b) - 1
	a := (*b)[last]
	(*b)[last] = arrival{}
	*b = (*b)[:last]
	return a
}
