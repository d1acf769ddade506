package node

import (
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
)

// What sealing adds to the messages of a datagram.
//
//	0        8       20
//	+--------+-------+----------------------+-----+
//	| header | nonce | messages, encrypted  | tag |
//	+--------+-------+----------------------+-----+
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

// bound returns what a sealed datagram is bound to: its header and the cluster.
func (s *seals) bound(datagram []byte) []byte {
	s.additional = append(append(s.additional[:0], datagram[:wire.HeaderSize]...), s.cluster...)
	return s.additional
}

// open returns the messages of a sealed datagram.
func (s *seals) open(datagram []byte) (messages []byte, ok bool) {
	return s.keys.Open(datagram[wire.HeaderSize:], s.bound(datagram))
}

// close seals the messages that follow the first sealedFront bytes of b.
func (s *seals) close(b []byte, tag uint16) []byte {
	wire.Header{Type: wire.TypeSealed, Tag: tag}.AppendTo(b[:0])
	return s.keys.Seal(b, wire.HeaderSize, s.bound(b))
}
