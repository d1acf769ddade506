// Package wire encodes messages as bytes, big-endian, and decodes them.
//
// A datagram holds one or more messages back to back, each a header and a body:
//
//	0        2        4                 8
//	+--------+--------+-----------------+------ ...
//	| type   |reserved| sequence number | body
//	+--------+--------+-----------------+------ ...
//
// The reserved field is 0, or the tag of the cluster's name. In the bodies, a number in
// parentheses is a width in bytes. The types explain each field.
//
//	1 Hello       version (2), size (2), token (8), member, length (1), cluster name
//	2 Welcome     sequence number of the Hello (4), token (8), size (2), member, observed address
//	3 MemberList  count (2; top bits: news, lost), members
//	4 Ack         count (2; top bit: refused), runs of sequence numbers: first (4), more (1)
//	5 Data        origin (8), counter (4), flags (1), hops (1), length (2), arc or recipient (0 or 8), payload
//	6 Status      mode (1), hash or last origin (8), origin before (8), count (2), records
//	7 Leave       id (8)
//	8 Sealed      nonce (12), messages, encrypted, tag (16); nothing follows it
//
// In place of a sequence number Sealed tells its Binding.
//
// A member is id (8), address length (1: 0, 4 or 16), ip, port (2). A record is origin (8),
// floor (4), number of runs (1), and gap (2), length (2) for each run of numbers seen above
// the floor. Every message tells its own length. A type that a node does not know ends the
// reading of the datagram, counted: senders put types that a newer version added last.
//
// Each type of body has an AppendTo, which never fails, and a Parse function, which takes
// what follows the header, checks all lengths, and returns how many bytes the body took; ok
// is false if the bytes end early or are invalid. Slices in the result alias the bytes.
package wire

import (
	"encoding/binary"
	"hash/fnv"
)

// Version of the protocol, sent in every Hello. A node answers any version: what a newer one
// adds uses flags and types that an older one ignores.
const Version = 1

// Type is the first field of every message.
type Type uint16

// The types of message.
const (
	TypeHello Type = 1 + iota
	TypeWelcome
	TypeMemberList
	TypeAck
	TypeData
	TypeStatus
	TypeLeave
	TypeSealed // the body, in the layout of package seal, extends to the end of the datagram

	// Types is the number of types, 0 included.
	Types
)

var names = [Types]string{"Unknown", "Hello", "Welcome", "MemberList", "Ack", "Data", "Status", "Leave", "Sealed"}

// String returns the name of the type.
func (t Type) String() string {
	if t >= Types {
		t = 0
	}
	return names[t]
}

// IsContact reports whether nodes that do not know one another exchange messages of the type.
func (t Type) IsContact() bool { return t == TypeHello || t == TypeWelcome }

// Binding says what names the node that a sealed datagram is for. A seal is bound to that
// number: it is part of the additional data of the encryption, and opens at no other node.
type Binding uint32

// The bindings.
const (
	// ToAny binds to 0, for the first contact: Hellos and Welcomes, and nothing else.
	ToAny Binding = iota
	// ToID binds to the id of a member.
	ToID
	// ToField binds the answer to a node of unknown id to the random field of its nonces, 0
	// if it sends in clear.
	ToField
)

// AppendBound appends to b the additional data of a sealed datagram: its header, the number of the
// node and the name of the cluster.
func AppendBound(b, datagram []byte, node uint64, cluster []byte) []byte {
	b = append(b, datagram[:HeaderSize]...)
	b = be.AppendUint64(b, node)
	return append(b, cluster...)
}

// Sizes in bytes of encoded messages, or of parts of them.
const (
	HeaderSize = 8
	// MinMemberSize is that of a Member without an address, MaxMemberSize of
	// one with an IPv6 address.
	MinMemberSize = 8 + 1 + 2
	MaxMemberSize = 8 + maxAddrSize
	// MaxWelcomeSize is that of a Welcome with two of them.
	MaxWelcomeSize = HeaderSize + welcomeFixed + MaxMemberSize + maxAddrSize
	// AckOverhead is that of an Ack without runs of sequence numbers, each of which takes
	// AckSize.
	AckOverhead = HeaderSize + 2
	AckSize     = 4 + 1
	// StatusOverhead is that of a Status without records.
	StatusOverhead = HeaderSize + statusFixed
	// MaxDatagram is what UDP over IPv4 can carry.
	MaxDatagram = 65507

	maxAddrSize  = 1 + 16 + 2
	helloFixed   = 2 + 2 + 8 + 1
	welcomeFixed = 4 + 8 + 2
	dataFixed    = 8 + 4 + 1 + 1 + 2
	arcSize      = 4 + 4
	statusFixed  = 1 + 8 + 8 + 2
	leaveSize    = 8
)

// HelloSize returns the size of the largest Hello in a cluster of that name.
func HelloSize(cluster string) int {
	return HeaderSize + helloFixed + MaxMemberSize + len(cluster)
}

// DataSize returns the size of a Data with these flags and this much payload.
func DataSize(flags uint8, payload int) int {
	n := HeaderSize + dataFixed + payload
	if flags&FlagArc != 0 {
		n += arcSize
	}
	return n
}

var be = binary.BigEndian

// Header starts every message. Tag, in the reserved field, is ClusterTag. Seq is
// the sequence number of the envelope, by which it is acknowledged.
type Header struct {
	Type Type
	Tag  uint16
	Seq  uint32
}

// AppendTo appends the header to b.
func (h Header) AppendTo(b []byte) []byte {
	b = be.AppendUint16(b, uint16(h.Type))
	b = be.AppendUint16(b, h.Tag)
	return be.AppendUint32(b, h.Seq)
}

// ParseHeader reads a header from the front of b.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < HeaderSize {
		return Header{}, false
	}
	return Header{Type(be.Uint16(b)), be.Uint16(b[2:]), be.Uint32(b[4:])}, true
}

// ClusterTag hashes a cluster's name to 16 bits (FNV-1a). It is 0 only for no name. It is a
// cheap filter for stray datagrams; a member is admitted by the full name in its Hello.
func ClusterTag(name string) uint16 {
	if name == "" {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return max(1, uint16(h.Sum32()>>16)^uint16(h.Sum32()))
}
