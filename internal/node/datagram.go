package node

import (
	"net/netip"

	"example.com/gossip/internal/view"
)

const (
	// amplification bounds the answer to a datagram of an unvalidated source, as a multiple
	// of the datagram's bytes, as for a QUIC server (RFC 9000, section 8.1).
	amplification = 3

	// repairBudget bounds the bytes of Data in answer to one datagram. The message that
	// exceeds it still goes out, so that messages of any size get through.
	repairBudget = 16 << 10

	// mostRepairs bounds the messages in it.
	mostRepairs = 96

	// helloBudget bounds the Hellos and Welcomes that are handled in one datagram: each costs a
	// keyed hash, or the search for a member to evict.
	helloBudget = 3

	// doubtBudget bounds the Hellos to members that a datagram contradicts, digestBudget the offers
	// and requests in it that are looked at, and gapBudget the messages beyond a window for which
	// what precedes them is requested.
	doubtBudget  = 8
	digestBudget = 8
	gapBudget    = 2
)

// datagram is the datagram being handled: where it came from, and what may still be sent in
// answer. Where a datagram is an argument, nil means that the clock is the cause.
//
// Bound: one datagram costs the work of helloBudget Hellos, a look for each sequence number that its
// Acks may hold, the search for members to evict, one page, one hash and digestBudget others, a look
// for each origin and run that they name, and mostRepairs messages. None of it grows with the tables
// or the log.
type datagram struct {
	from     netip.AddrPort
	member   *view.Member // at from; nil: none is known there
	token    bool         // it came with a valid token
	credit   int          // bytes of answer left to an unvalidated source
	repairs  int          // bytes of repairs left
	hellos   int          // Hellos and Welcomes left to handle
	answers  int          // sequence numbers left to look up
	doubts   int          // members left to doubt
	digests  int          // offers and requests left to look at
	gaps     int          // gaps left to request
	compared uint8        // the modes of Status that were compared with, as bits
	contact  bool         // its seal is bound to no node
	field    uint64       // the random field of its nonce, 0 if it came in clear
}

// validated reports whether the source has shown that it receives what is sent to it.
func (d *datagram) validated() bool {
	return d.token || d.member != nil && d.member.ValidatedAt(d.from)
}

// unvalidatedAt reports whether what is sent to an address is an answer to an unvalidated
// source.
func (d *datagram) unvalidatedAt(to netip.AddrPort) bool {
	return d != nil && d.from == to && !d.validated()
}
