package view

import (
	"encoding/binary"
	"net/netip"
	"time"

	"example.com/gossip/internal/ring"
)

// Member is one entry of a View.
type Member struct {
	ID   uint64
	Addr netip.AddrPort

	RTT           RTT
	LastSeen      time.Duration // when something last came from Addr, since the service's start
	TookAt        time.Duration // when it last acknowledged Data, 0 if it never did
	RefusedAt     time.Duration // when it last had no room for Data, 0 if it always had
	SuspectUntil  time.Duration // until then it is presumed absent
	Validated     bool          // it has shown that it can be reached at Addr
	Deaf          bool          // it was lost because it acknowledged no Data, and has not done so since
	Size          uint16        // of the largest datagram that it takes, 0 if that is not known
	Probed        uint8         // how many Hellos it left unanswered since it last answered anything
	Gone          Gone          // what another member says of it
	DoubtedAt     time.Duration // when it was last verified because of what others say, if it was
	parted        bool          // its end is, or was, passed on
	told          bool          // others tell of another node at its address
	transmitsLeft uint8         // how many times its arrival is still to be passed on

	altAddrs *altAddrs // nil for most members, to save memory
}

// altAddrs holds other addresses of a member.
type altAddrs struct {
	advertised netip.AddrPort // where it says that it can be reached
	observed   netip.AddrPort // where its datagrams come from
	proven     bool           // it has answered a probe at its source
	also       netip.AddrPort // where else it last answered a probe
}

// ValidatedAt reports whether m has shown that it receives what is sent to addr, its address or
// its source. Datagrams from there do not show that, because a source can be forged.
func (m *Member) ValidatedAt(addr netip.AddrPort) bool {
	return m.Validated && (addr == m.Addr || m.isAt(addr) && m.altAddrs.proven)
}

// Answers notes that m answered a probe at addr, which is not its address.
func (m *Member) Answers(addr netip.AddrPort) {
	if observed, ok := m.observed(); ok && observed == addr {
		m.altAddrs.proven = true
		return
	}
	if m.altAddrs == nil {
		m.altAddrs = new(altAddrs)
	}
	m.altAddrs.also = addr
}

// AnswersAt reports whether addr is where m last answered a probe, other than its address
// and its source. It means only that there is no need to probe there again while m is alive:
// another node there may have answered in its name.
func (m *Member) AnswersAt(addr netip.AddrPort) bool {
	return m.altAddrs != nil && m.altAddrs.also == addr
}

// Says reports whether addr, which is not its known address, is where m last said that it
// can be reached.
func (m *Member) Says(addr netip.AddrPort) bool {
	return m.altAddrs != nil && m.altAddrs.advertised == addr
}

// Said notes where m said that it can be reached.
func (m *Member) Said(addr netip.AddrPort) {
	switch {
	case m.altAddrs != nil:
		m.altAddrs.advertised = addr
	case addr != m.Addr:
		m.altAddrs = &altAddrs{advertised: addr}
	}
}

// observed returns where the datagrams of m come from, if not from its address.
func (m *Member) observed() (addr netip.AddrPort, ok bool) {
	if m.altAddrs == nil {
		return netip.AddrPort{}, false
	}
	return m.altAddrs.observed, m.altAddrs.observed.IsValid()
}

// Other returns the one of the two addresses of m, to which it is sent and from which it sends,
// that addr is not.
func (m *Member) Other(addr netip.AddrPort) netip.AddrPort {
	if observed, ok := m.observed(); ok && addr == m.Addr {
		return observed
	}
	return m.Addr
}

// isAt reports whether m is at addr or sends from there.
func (m *Member) isAt(addr netip.AddrPort) bool {
	observed, ok := m.observed()
	return m.Addr == addr || ok && observed == addr
}

// Gone is what another member says of a member. It is verified before it is believed.
type Gone uint8

// What another member may say.
const (
	Here Gone = iota // nothing
	Lost             // it does not answer
	Left             // it said goodbye
)

// MayDoubt reports whether m may be verified because of what others say: once in toldPause.
func (m *Member) MayDoubt(now time.Duration) bool {
	return m.DoubtedAt == 0 || now-m.DoubtedAt >= toldPause
}

// Answered notes that m answers.
func (m *Member) Answered() { m.Probed, m.Gone, m.parted, m.told = 0, Here, false, false }

// Pos returns the member's position on the ring.
func (m *Member) Pos() uint32 { return ring.Pos(m.ID) }

// Zone returns the member's zone, 0 if it has none.
func (m *Member) Zone() uint32 { return ring.Zone(m.ID) }

// Suspect reports whether m is presumed not to take messages at now.
func (m *Member) Suspect(now time.Duration) bool { return m.Deaf || m.SuspectUntil > now }

// HashAddr returns a hash of an address, never 0.
func HashAddr(a netip.AddrPort) uint64 {
	b := a.Addr().As16()
	return (binary.BigEndian.Uint64(b[:8])*31^binary.BigEndian.Uint64(b[8:]))*31 ^ uint64(a.Port()) | 1<<63
}
