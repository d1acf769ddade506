package wire

import (
	"net/netip"
	"unicode/utf8"
)

// Member is a node's identity, never 0, and where it can be reached. An invalid Addr means
// "where this datagram came from".
type Member struct {
	ID   uint64
	Addr netip.AddrPort
}

// AppendTo appends the member to b.
func (m Member) AppendTo(b []byte) []byte {
	return appendAddr(be.AppendUint64(b, m.ID), m.Addr)
}

// ParseMember reads a member from the front of b.
func ParseMember(b []byte) (m Member, n int, ok bool) {
	if len(b) < 8 {
		return Member{}, 0, false
	}
	m.ID = be.Uint64(b)
	m.Addr, n, ok = parseAddr(b[8:])
	return m, 8 + n, ok && m.ID != 0
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	switch ip := a.Addr(); {
	case ip.Is4():
		raw := ip.As4()
		b = append(append(b, 4), raw[:]...)
	case ip.IsValid():
		raw := ip.As16()
		b = append(append(b, 16), raw[:]...)
	default:
		b = append(b, 0)
	}
	return be.AppendUint16(b, a.Port())
}

// parseAddr unmaps what it reads: ::ffff:192.0.2.1 is 192.0.2.1.
func parseAddr(b []byte) (a netip.AddrPort, n int, ok bool) {
	if len(b) < 1 {
		return a, 0, false
	}
	n = 1 + int(b[0]) + 2
	if len(b) < n {
		return a, 0, false
	}
	port := be.Uint16(b[n-2:])
	switch b[0] {
	case 0:
		return a, n, true
	case 4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[1:])), port), n, true
	case 16:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[1:])).Unmap(), port), n, true
	}
	return a, 0, false
}

// Hello asks to be admitted. Token 0 asks for a token first.
type Hello struct {
	Version uint16 // for later versions; nothing depends on it yet
	Size    uint16 // of the largest datagram that the node takes
	Token   uint64 // 0 asks for one
	From    Member
	Cluster []byte // at most 255 bytes of UTF-8
}

// AsksForToken reports whether the Hello with this body asks for a token.
func AsksForToken(body []byte) bool { return be.Uint64(body[4:]) == 0 }

// HelloFrom returns the id of the node that the Hello with this body claims to come from, 0 if
// the body is too short.
func HelloFrom(body []byte) uint64 {
	if len(body) < helloFixed+MinMemberSize {
		return 0
	}
	return be.Uint64(body[12:])
}

// AppendTo appends the body to b.
func (m Hello) AppendTo(b []byte) []byte {
	b = be.AppendUint16(b, m.Version)
	b = be.AppendUint16(b, m.Size)
	b = be.AppendUint64(b, m.Token)
	b = m.From.AppendTo(b)
	return append(append(b, uint8(len(m.Cluster))), m.Cluster...)
}

// ParseHello reads the body from the front of b.
func ParseHello(b []byte) (m Hello, n int, ok bool) {
	if len(b) < helloFixed {
		return Hello{}, 0, false
	}
	m.Version, m.Size, m.Token = be.Uint16(b), be.Uint16(b[2:]), be.Uint64(b[4:])
	m.From, n, ok = ParseMember(b[12:])
	if n += 12; !ok || len(b) < n+1 || len(b) < n+1+int(b[n]) {
		return Hello{}, 0, false
	}
	m.Cluster = b[n+1 : n+1+int(b[n])]
	return m, n + 1 + len(m.Cluster), utf8.Valid(m.Cluster)
}

// Welcome answers the Hello with the sequence number Hello. It gives the node that answers,
// the token to send in the next Hello, and the address that the Hello came from.
type Welcome struct {
	Hello    uint32
	Token    uint64
	Size     uint16 // as in Hello
	From     Member
	Observed netip.AddrPort
}

// AppendTo appends the body to b.
func (m Welcome) AppendTo(b []byte) []byte {
	b = be.AppendUint32(b, m.Hello)
	b = be.AppendUint64(b, m.Token)
	b = be.AppendUint16(b, m.Size)
	return appendAddr(m.From.AppendTo(b), m.Observed)
}

// ParseWelcome reads the body from the front of b.
func ParseWelcome(b []byte) (m Welcome, n int, ok bool) {
	if len(b) < welcomeFixed {
		return Welcome{}, 0, false
	}
	m.Hello, m.Token, m.Size = be.Uint32(b), be.Uint64(b[4:]), be.Uint16(b[12:])
	if m.From, n, ok = ParseMember(b[welcomeFixed:]); !ok {
		return Welcome{}, 0, false
	}
	n += welcomeFixed
	observed, k, ok := parseAddr(b[n:])
	m.Observed = observed
	return m, n + k, ok
}

// MemberList names members. News, the top bit of count, says that they are new to the
// cluster and to be passed on; Lost, the next bit, that they do not answer; without either
// they are one node's view, for the receiver alone. Both at once are malformed.
type MemberList struct {
	News  bool
	Lost  bool
	count int
	raw   []byte
}

// The flags of a MemberList, in its count.
const (
	News     = 1 << 15
	Lost     = 1 << 14
	allFlags = News | Lost
)

// Next removes the first member of the list and returns it.
func (m *MemberList) Next() (x Member, ok bool) {
	if m.count == 0 {
		return Member{}, false
	}
	x, n, _ := ParseMember(m.raw)
	m.raw, m.count = m.raw[n:], m.count-1
	return x, true
}

// ParseMemberList reads the body from the front of b.
func ParseMemberList(b []byte) (m MemberList, n int, ok bool) {
	if len(b) < 2 || be.Uint16(b)&allFlags == allFlags {
		return MemberList{}, 0, false
	}
	count := be.Uint16(b)
	m.News, m.Lost, m.count, n = count&News != 0, count&Lost != 0, int(count&^allFlags), 2
	for range m.count {
		_, k, ok := ParseMember(b[n:])
		if !ok {
			return MemberList{}, 0, false
		}
		n += k
	}
	m.raw = b[2:n]
	return m, n, true
}

// ListWriter writes the body of a MemberList.
type ListWriter struct {
	body  []byte
	count uint16 // including the flags, as in the body
}

// WriteList begins a list with News, Lost or neither, reusing the space of b.
func WriteList(b []byte, flags uint16) ListWriter { return ListWriter{append(b[:0], 0, 0), flags} }

// Len returns the number of members.
func (w *ListWriter) Len() int { return int(w.count &^ allFlags) }

// Add adds a member if the message stays within room bytes, and reports whether
// it did.
func (w *ListWriter) Add(x Member, room int) bool {
	longer := x.AppendTo(w.body)
	if HeaderSize+len(longer) > room || w.Len() == Lost-1 {
		return false
	}
	w.body = longer
	w.count++
	return true
}

// Body returns the body. It is in the space given to WriteList, if that was enough.
func (w *ListWriter) Body() []byte {
	be.PutUint16(w.body, w.count)
	return w.body
}

// MembersIn returns how many members a list in a datagram of room bytes holds at least.
func MembersIn(room int) int { return max((room-HeaderSize-2)/MaxMemberSize, 0) }

// AppendLeave appends the body of a Leave to b: the id of the node that leaves, or of one that left.
func AppendLeave(b []byte, id uint64) []byte { return be.AppendUint64(b, id) }

// ParseLeave reads the body of a Leave from the front of b.
func ParseLeave(b []byte) (id uint64, n int, ok bool) {
	if len(b) < leaveSize {
		return 0, 0, false
	}
	id = be.Uint64(b)
	return id, leaveSize, id != 0
}
