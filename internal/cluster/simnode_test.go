package cluster

import (
	"encoding/binary"
	"net/netip"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
)

// Bounds of a turn of the loop, as those of gossip.GossipService.
const (
	receiveBurst = 64  // datagrams handled in a turn
	sendBurst    = 256 // datagrams sent in a turn
)

// simNode is a node and its owner: the loop that drives it, its socket and its clock. The
// node is a new one after every restart; the address stays the same.
type simNode struct {
	*node.Node
	c      *cluster
	addr   netip.AddrPort
	config node.Config
	end    *simnet.Endpoint
	socket socket
	clock  func() time.Duration
	last   time.Duration // of the clock, which never goes back
	life   uint64        // counts the restarts
	down   bool
	at     time.Duration // of the next turn of the loop; -1: none

	sendEvery time.Duration // the loop sends only at multiples of it; 0: in each turn

	got    map[string]int // deliveries by payload, in all lives
	states []node.State   // entered in this life

	onDeliver func(origin uint64, payload []byte)
	onRecord  func(node.Record)

	in, out []byte // buffers for datagrams
}

// socket is what a node sends and receives with: a simnet.Endpoint, or one with faults.
type socket interface {
	Receive(b []byte, maxWait time.Duration) (n int, from netip.AddrPort, err error)
	Send(b []byte, to netip.AddrPort) error
}

// start begins a life of the node.
func (n *simNode) start() {
	n.c.t.Helper()
	n.begin(n.c.listenAt(n.addr), n.addr)
}

// begin begins a life of the node on a socket that is bound to local.
func (n *simNode) begin(end *simnet.Endpoint, local netip.AddrPort) {
	n.life++
	n.down, n.states, n.clock, n.last = false, nil, n.c.net.Now, 0
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], n.c.seed)
	copy(seed[8:], n.addr.String())
	binary.BigEndian.PutUint32(seed[28:], uint32(n.life))
	config := withDefaults(n.config)
	config.Local = local
	n.Node = node.New(n.now(), config, seed)
	n.in, n.out = make([]byte, config.MaxMessageSize+1), make([]byte, node.BufferSize(config.MaxMessageSize))
	n.listen(end)
	n.at = -1
	n.wakeAt(n.c.net.Now())
}

// listen makes end the node's socket.
func (n *simNode) listen(end *simnet.Endpoint) {
	n.end, n.socket = end, end
	end.OnReadable(func() { n.wakeAt(n.c.net.Now()) })
}

// now reads the clock.
func (n *simNode) now() time.Duration {
	n.last = max(n.last, n.clock())
	return n.last
}

// wakeAt makes sure that the loop turns at t.
func (n *simNode) wakeAt(t time.Duration) {
	if n.at >= n.c.net.Now() && n.at <= t {
		return
	}
	n.at = t
	life := n.life
	n.c.net.At(t, func() {
		if n.life == life && n.at == t && !n.down {
			n.at = -1
			n.turn()
		}
	})
}

// turn runs the loop until it would wait.
func (n *simNode) turn() {
	if n.end.Frozen() {
		n.end.Wake() // what is due meanwhile is done at Thaw
		return
	}
	for {
		wait := n.tick()
		if n.sendEvery == 0 || n.c.net.Now()%n.sendEvery == 0 {
			n.send()
		} else if next := n.sendEvery - n.c.net.Now()%n.sendEvery; wait == 0 {
			wait = next
		} else {
			wait = min(wait, next)
		}
		if handled := n.receive(); handled == 0 && wait > 0 {
			n.wakeAt(n.c.net.Now() + wait)
			return
		}
	}
}

// tick does what is due by the clock, and returns how long the loop may wait then.
func (n *simNode) tick() time.Duration {
	n.Tick(n.now())
	n.drain()
	now := n.now()
	return n.Deadline(now) - now
}

// send sends what is due.
func (n *simNode) send() {
	for range sendBurst {
		datagram, to := n.Next(n.now(), n.out)
		if len(datagram) == 0 {
			return
		}
		n.socket.Send(datagram, to) // an error is for the owner to count
	}
}

// receive handles what is in the socket, and returns how many datagrams that were.
func (n *simNode) receive() (handled int) {
	defer n.drain()
	for handled < receiveBurst {
		length, from, err := n.socket.Receive(n.in, 0)
		if err != nil { // transport.ErrNothing, or for the owner to count
			break
		}
		n.Handle(n.now(), from, n.in[:length])
		handled++
	}
	return handled
}

// drain acts on the events of the node.
func (n *simNode) drain() {
	for e, ok := n.Event(); ok; e, ok = n.Event() {
		switch {
		case e.Record != nil:
			if n.onRecord != nil {
				n.onRecord(*e.Record)
			}
		case e.Change != nil:
			n.states = append(n.states, e.Change.New)
		default:
			n.got[string(e.Payload())]++
			if n.onDeliver != nil {
				n.onDeliver(e.Origin(), e.Payload())
			}
		}
		n.Release(e)
	}
}

// crash ends the node's life without a goodbye.
func (n *simNode) crash() {
	n.down = true
	n.end.Close()
}

// restart begins the next life of a node that crashed, which joins.
func (n *simNode) restart(seeds ...*simNode) {
	n.c.t.Helper()
	n.start()
	n.join(seeds...)
}
