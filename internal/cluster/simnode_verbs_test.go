package cluster

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sort"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// join calls Join with the addresses of other nodes.
func (n *simNode) join(seeds ...*simNode) {
	n.c.t.Helper()
	var addrs []netip.AddrPort
	for _, s := range seeds {
		addrs = append(addrs, s.addr)
	}
	n.joinAt(addrs...)
}

// joinAt calls Join with addresses.
func (n *simNode) joinAt(seeds ...netip.AddrPort) {
	n.c.t.Helper()
	if err := n.Join(n.now(), seeds); err != nil {
		n.c.t.Fatalf("seed %d: node %v cannot join: %v", n.c.seed, n.addr, err)
	}
	n.drain()
	n.wakeAt(n.c.net.Now())
}

// leave calls Leave.
func (n *simNode) leave() {
	n.Leave(n.now())
	n.drain()
	n.wakeAt(n.c.net.Now())
}

// setKeys calls SetKeys.
func (n *simNode) setKeys(keys ...[]byte) {
	n.c.t.Helper()
	var seed [32]byte
	for i := range 4 {
		binary.BigEndian.PutUint64(seed[8*i:], n.c.net.Rand().Uint64())
	}
	if err := n.SetKeys(keys, seed); err != nil {
		n.c.t.Fatalf("seed %d: node %v refuses keys: %v", n.c.seed, n.addr, err)
	}
	n.wakeAt(n.c.net.Now())
}

// watch calls f with each message that the node sends in clear.
func (n *simNode) watch(f func(m wiretest.Message)) {
	n.c.net.SetTap(func(e simnet.Event) {
		if e.Kind != simnet.Sent || e.From != n.addr {
			return
		}
		all, err := wiretest.Read(e.Payload, e.To, e.Time)
		if err != nil {
			n.c.t.Fatalf("seed %d: %v", n.c.seed, err)
		}
		for _, m := range all {
			f(m)
		}
	})
}

// handle makes the node handle a datagram.
func (n *simNode) handle(from netip.AddrPort, datagram []byte) {
	n.Handle(n.now(), from, datagram)
	n.wakeAt(n.c.net.Now())
}

// handleData makes the node handle Data from an address.
func (n *simNode) handleData(from netip.AddrPort, d wire.Data) {
	n.handle(from, append(wire.Header{Type: wire.TypeData, Seq: 1}.AppendTo(nil), d.AppendTo(nil)...))
}

// The ways to spread.
var (
	broadcast = node.Spread{Kind: node.Broadcast}
	random    = node.Spread{Kind: node.Random}
)

func direct(to *simNode) node.Spread { return node.Spread{Kind: node.Direct, To: to.addr} }

// publish publishes a text that no node has published before, as a Broadcast unless a spread
// is given, and returns it.
func (n *simNode) publish(spread ...node.Spread) string {
	n.c.t.Helper()
	n.c.published++
	text := fmt.Sprintf("message %d", n.c.published)
	n.publishText(text, spread...)
	return text
}

// publishText publishes a text.
func (n *simNode) publishText(text string, spread ...node.Spread) {
	n.c.t.Helper()
	if err := n.tryPublish([]byte(text), spread...); err != nil {
		n.c.t.Fatalf("seed %d: node %v cannot publish %q: %v", n.c.seed, n.addr, text, err)
	}
}

// tryPublish publishes a payload, unless the node refuses. It must not while it has room.
func (n *simNode) tryPublish(payload []byte, spread ...node.Spread) error {
	room := n.HasRoom(n.now())
	err := n.Publish(n.now(), payload, append(spread, broadcast)[0])
	if room && (err == node.ErrFull || err == node.ErrDirectFull) {
		n.c.t.Fatalf("seed %d: node %v has room, but refuses a message: %+v", n.c.seed, n.addr, n.Stats())
	}
	n.wakeAt(n.c.net.Now())
	return err
}

// search returns the index of the first member whose id is at least id.
func (n *simNode) search(id uint64) int {
	return sort.Search(n.Members(), func(i int) bool { return n.Member(i).ID >= id })
}

// member returns the member with an id; ok is false if the node knows none.
func (n *simNode) member(id uint64) (m node.Member, ok bool) {
	i := n.search(id)
	if i < n.Members() {
		m = n.Member(i)
	}
	return m, i < n.Members() && m.ID == id
}

// knows reports whether the node with an id is among the members.
func (n *simNode) knows(id uint64) bool {
	_, ok := n.member(id)
	return ok
}
