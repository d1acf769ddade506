package wire

import (
	"iter"
	"math/bits"
	"time"
)

// Ack acknowledges messages of its recipient, by runs of their sequence numbers. Refused, the
// top bit of count, says that there was no room for them, and that they are to be sent again.
type Ack struct {
	Refused bool
	Len     int // how many sequence numbers there are
	raw     []byte
}

const refusedBit = 1 << 15

// AckRun is a run of sequence numbers: the first and those that follow it.
type AckRun struct {
	First uint32
	More  uint8 // how many follow the first
}

// MostAcked is how many sequence numbers one Ack may hold, which bounds the work that it is.
const MostAcked = 2048

// Numbers yields the sequence numbers.
func (m Ack) Numbers() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for b := m.raw; len(b) > 0; b = b[AckSize:] {
			for more := range uint32(b[4]) + 1 {
				if !yield(be.Uint32(b) + more) {
					return
				}
			}
		}
	}
}

// AppendAck appends to b the body of an Ack of at most 32,767 runs.
func AppendAck(b []byte, runs []AckRun, refused bool) []byte {
	count := uint16(len(runs))
	if refused {
		count |= refusedBit
	}
	b = be.AppendUint16(b, count)
	for _, r := range runs {
		b = append(be.AppendUint32(b, r.First), r.More)
	}
	return b
}

// ParseAck reads the body from the front of b.
func ParseAck(b []byte) (m Ack, n int, ok bool) {
	if len(b) < 2 {
		return Ack{}, 0, false
	}
	count := be.Uint16(b)
	n = 2 + AckSize*int(count&^refusedBit)
	if len(b) < n {
		return Ack{}, 0, false
	}
	m = Ack{Refused: count&refusedBit != 0, raw: b[2:n]}
	for b := m.raw; len(b) > 0; b = b[AckSize:] {
		m.Len += 1 + int(b[4])
	}
	return m, n, m.Len <= MostAcked
}

// Flags of Data. Unknown ones are ignored.
const (
	FlagArc     uint8 = 1 << iota // an arc of the ring follows: cover it; or a recipient, with FlagDirect
	FlagStandby                   // cover the arc only if no copy comes with another one that holds the receiver
	_                             // unused
	FlagNoOut                     // this arc must not be handed to a node outside it again
	FlagPull                      // sent by repair, and not to be acknowledged
	FlagRumor                     // Random: to be passed on once
	FlagDirect                    // Direct: numbered separately, never passed on
)

// Data carries one payload. Origin and Counter are never 0. The arc, present with FlagArc, is
// half open: its first position and the one after its last. In a Direct message it is instead
// the id of the only node that may accept it.
type Data struct {
	Origin  uint64
	Counter uint32
	Flags   uint8
	Hops    uint8 // taken so far; with FlagPull the age, see AgeCode
	Lo, Hi  uint32
	Payload []byte // at most 65535 bytes
}

// AgeCode returns the age of a message sent by repair as it is encoded in Hops, which repair
// does not need otherwise: in seconds, plus 8, as a number of 4 bits times a power of two,
// and so rounded by up to a sixteenth.
func AgeCode(age time.Duration) uint8 {
	v := uint64(max(age, 0)/time.Second) + 8
	shift := bits.Len64(v) - 4
	v += 1 << shift >> 1
	shift = bits.Len64(v) - 4
	return uint8(min(shift<<3|int(v>>shift&7), 255))
}

// Age returns how long ago the message was sent by its origin, 0 unless this copy is sent by
// repair.
func (m *Data) Age() time.Duration {
	if m.Flags&FlagPull == 0 {
		return 0
	}
	v := uint64(8|m.Hops&7)<<(m.Hops>>3) - 8
	return time.Duration(min(v, 1<<33)) * time.Second
}

// SetRecipient restricts a Direct message to the node with this id.
func (m *Data) SetRecipient(id uint64) {
	m.Flags |= FlagArc
	m.Lo, m.Hi = uint32(id>>32), uint32(id)
}

// Recipient returns the id of the only node that may accept a Direct message, if it is
// restricted to one.
func (m *Data) Recipient() (id uint64, ok bool) {
	const both = FlagDirect | FlagArc
	return uint64(m.Lo)<<32 | uint64(m.Hi), m.Flags&both == both
}

// PassedOn reports whether the recipient is to pass the message on: along an arc, or as a
// rumor.
func (m *Data) PassedOn() bool {
	return m.Flags&(FlagPull|FlagDirect|FlagStandby) == 0 && m.Flags&(FlagArc|FlagRumor) != 0
}

// AppendTo appends the body to b.
func (m Data) AppendTo(b []byte) []byte {
	b = be.AppendUint64(b, m.Origin)
	b = be.AppendUint32(b, m.Counter)
	b = append(b, m.Flags, m.Hops)
	b = be.AppendUint16(b, uint16(len(m.Payload)))
	if m.Flags&FlagArc != 0 {
		b = be.AppendUint32(b, m.Lo)
		b = be.AppendUint32(b, m.Hi)
	}
	return append(b, m.Payload...)
}

// ParseData reads the body from the front of b.
func ParseData(b []byte) (m Data, n int, ok bool) {
	if len(b) < dataFixed {
		return Data{}, 0, false
	}
	m.Origin, m.Counter, m.Flags, m.Hops = be.Uint64(b), be.Uint32(b[8:]), b[12], b[13]
	start := dataFixed
	if m.Flags&FlagArc != 0 {
		start += arcSize
	}
	end := start + int(be.Uint16(b[14:]))
	if len(b) < end || m.Origin == 0 || m.Counter == 0 {
		return Data{}, 0, false
	}
	if m.Flags&FlagArc != 0 {
		m.Lo, m.Hi = be.Uint32(b[16:]), be.Uint32(b[20:])
	}
	m.Payload = b[start:end]
	return m, end, true
}

// Mode says what the digest of a Status means.
type Mode uint8

// The modes of a Status.
const (
	Full    Mode = iota // all that was seen of the origins named
	Offer               // runs that the sender has: request what you lack
	Request             // runs that the sender lacks
	Summary             // Mark is a hash of all that was seen; there are no records
	Heal                // an Offer to be acknowledged

	modes
)

// InReturn is the After of a first page that answers another page.
const InReturn = 1<<64 - 1

// Status says what was seen, or is offered or requested, of some origins. A Summary asks for the
// page, a Full, of those that follow the origin After, or of the first ones if that is 0. A page
// ends with the origin Mark, or is the last if that is 0; its After is that of the Summary, or
// InReturn. In an Offer or a Request both are 0, and the floors of the digest have no meaning of
// their own.
type Status struct {
	Mode        Mode
	Mark, After uint64
	Digest      Digest
}

// AppendTo appends the body to b.
func (m Status) AppendTo(b []byte) []byte {
	b = append(b, uint8(m.Mode))
	b = be.AppendUint64(b, m.Mark)
	b = be.AppendUint64(b, m.After)
	b = be.AppendUint16(b, uint16(m.Digest.Len()))
	return append(b, m.Digest.Bytes()...)
}

// ParseStatus reads the body from the front of b.
func ParseStatus(b []byte) (m Status, n int, ok bool) {
	if len(b) < statusFixed {
		return Status{}, 0, false
	}
	m.Mode, m.Mark, m.After = Mode(b[0]), be.Uint64(b[1:]), be.Uint64(b[9:])
	m.Digest, n, ok = ParseDigest(b[statusFixed:], int(be.Uint16(b[17:])))
	return m, statusFixed + n, ok && m.Mode < modes
}
