package node

import (
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
)

// What sealing adds to the messages of a datagram. A seal is bound to the node that the datagram is for, so that what is recorded opens nowhere
// else and in no later life of that node: see wire.Binding.
const (
	sealedFront = wire.HeaderSize + seal.NonceSize
	sealedSize  = wire.HeaderSize + seal.Overhead
)

// seals opens and seals datagrams.
type seals struct {
	keys       *seal.Keyring
	cluster    []byte // its name
	additional []byte // scratch space
}

// open returns the messages of a sealed datagram that is for the node id, and the random field
// of its nonce.
func (s *seals) open(datagram []byte, to wire.Binding, id uint64) (messages []byte, field uint64, ok bool) {
	node := uint64(0)
	switch to {
	case wire.ToAny:
	case wire.ToID:
		node = id
	case wire.ToField:
		node = s.keys.Field()
	default:
		return nil, 0, false
	}
	s.additional = wire.AppendBound(s.additional[:0], datagram, node, s.cluster)
	sealed := datagram[wire.HeaderSize:]
	if messages, ok = s.keys.Open(sealed, s.additional); ok {
		field = seal.FieldOf(sealed)
	}
	return messages, field, ok
}

// close seals the messages that follow the first sealedFront bytes of b, for a node.
func (s *seals) close(b []byte, tag uint16, to wire.Binding, node uint64) []byte {
	wire.Header{Type: wire.TypeSealed, Tag: tag, Seq: uint32(to)}.AppendTo(b[:0])
	s.additional = wire.AppendBound(s.additional[:0], b, node, s.cluster)
	return s.keys.Seal(b, wire.HeaderSize, s.additional)
}

// recipient returns what the seal of a datagram to an address is bound to: the id of the member
// there, or else what is noted of the node there. It is wire.ToAny if that is nothing, and for
// contact, which goes to any node.
func (n *Node) recipient(q *outbox.PeerQueue, contact bool) (to wire.Binding, node uint64) {
	if contact {
		return wire.ToAny, 0
	}
	if m := n.peers.members.ByAddr(q.To()); m != nil && m.Validated {
		return wire.ToID, m.ID
	}
	return q.Bound()
}
