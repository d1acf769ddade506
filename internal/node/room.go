package node

import (
	"net/netip"

	"example.com/gossip/internal/wire"
)

// roomAt returns how many bytes of messages a datagram to an address may hold, as far as is known
// of the member there. What it says that it takes is believed as far as a node can be configured so.
func (n *Node) roomAt(to netip.AddrPort) int {
	m := n.peers.members.ByAddr(to)
	if m == nil || m.Size == 0 {
		return wire.MaxDatagram
	}
	sealed := n.seals.keys.Seals()
	return max(int(m.Size), SmallestDatagram(n.config.Cluster, sealed)) - sealing(sealed)
}

// digestRoom returns how many bytes of a Status to an address its digest may take.
func (n *Node) digestRoom(to netip.AddrPort) int { return n.controlRoom(to) - wire.StatusOverhead }

// controlRoom returns how long a control message to an address may be.
func (n *Node) controlRoom(to netip.AddrPort) int { return min(n.out.room, n.roomAt(to)) }

// MaxPayloadTo is MaxPayload for a Direct message to an address, as far as it is known what the
// member there takes.
func (n *Node) MaxPayloadTo(to netip.AddrPort) int { return payloadIn(n.controlRoom(to)) }
