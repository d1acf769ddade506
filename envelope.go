// Between datagrams and messages: opening and reading what comes in, packing and sealing
// what goes out.

package gossip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

const (
	// amplification bounds the answer to a datagram of a source that has not proved
	// that it can be reached there, as a multiple of the datagram's bytes, as for a
	// QUIC server (RFC 9000, section 8.1).
	amplification = 3

	// pushBudget bounds the bytes of Data in answer to one datagram. The message that
	// exceeds it still goes out, so that messages of any size get through.
	pushBudget = 16 << 10
)

// envelopeIn is the datagram being handled: where it came from, and what may still be
// sent in answer.
type envelopeIn struct {
	from   netip.AddrPort
	member *view.Member // at from; nil: a stranger
	proved bool         // it came with a token
	credit int          // bytes of answer left to an unproven source
	push   int          // bytes of repairs left to the datagram

	compared bool // a full Status was compared
}

// proven reports whether the source has shown that it is where it seems to be.
func (e *envelopeIn) proven() bool { return e.proved || e.member != nil && e.member.ProvenAt(e.from) }

// handle reads the messages of a datagram, one after another.
func (g *GossipService) handle(now time.Duration, from netip.AddrPort, b []byte) {
	g.stats.DatagramsIn++
	g.stats.BytesIn += uint64(len(b))
	if len(b) > g.config.MaxMessageSize {
		g.stats.DropOversize++
		return
	}
	if g.left {
		g.stats.DropLeft++
		return
	}
	credit := amplification * len(b)
	if g.foreign(now, from, b) {
		return
	}
	b, ok := g.open(b)
	if !ok {
		return
	}
	in := &g.in
	*in = envelopeIn{from: from, credit: credit, push: pushBudget}
	defer func() { in.from = netip.AddrPort{} }()           // what is sent later is not an answer to it
	for first := true; len(b) > 0 || first; first = false { // an empty seal is malformed
		h, ok := wire.ParseHeader(b)
		switch {
		case !ok:
			g.stats.DropMalformed++
			return
		case h.Tag != g.tag:
			g.stats.DropTag++
			return
		}
		if first {
			g.heard(now, in, h, b[wire.HeaderSize:])
		}
		n, ok := g.dispatch(now, in, h, b[wire.HeaderSize:])
		if !ok {
			return
		}
		b = b[wire.HeaderSize+n:]
	}
}

// heard notes that a member is alive, because of a datagram that begins with this message.
// A lost member is back, unless the message is a Hello of another node at its address.
func (g *GossipService) heard(now time.Duration, in *envelopeIn, h wire.Header, b []byte) {
	var claimed uint64
	if h.Type == wire.TypeHello {
		if m, _, ok := wire.ParseHello(b); ok {
			claimed = m.From.ID
		}
	}
	m, again := g.roster.Heard(in.from, claimed, now)
	if in.member = m; again {
		g.stats.MembersAgain++
		g.inform(slog.LevelInfo, "gossip: member is back", "member", NodeID(m.ID), "address", m.Addr)
		g.upkeep.backAt = now // a partition may have healed: look for the others
		g.upkeep.Probe.By(now)
		g.compareOften(now) // and for their messages
		g.tell(now, m)
	}
	if m != nil { // until now it may have been known only by hearsay
		g.connect()
	}
}

// foreign reports whether a datagram is of another cluster, and counts it. A Hello in
// clear names that cluster: it is logged, for one of the two has a wrong address.
func (g *GossipService) foreign(now time.Duration, from netip.AddrPort, b []byte) bool {
	h, ok := wire.ParseHeader(b)
	if !ok || h.Tag == g.tag {
		return false
	}
	g.stats.DropTag++
	if h.Type == wire.TypeHello && g.ring.TakesClear() {
		if m, _, ok := wire.ParseHello(b[wire.HeaderSize:]); ok && string(m.Cluster) != g.config.Cluster {
			g.warnOfCluster(now, from, m.Cluster)
		}
	}
	return true
}

// warnOfCluster logs a Hello of another cluster, at most once a minute: anybody may send
// one.
func (g *GossipService) warnOfCluster(now time.Duration, from netip.AddrPort, name []byte) {
	if now >= g.upkeep.warnAt {
		g.upkeep.warnAt = now + time.Minute
		g.inform(slog.LevelWarn, "gossip: Hello of another cluster", "cluster", string(name), "address", from)
	}
}

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

// open returns the messages in a datagram, which is sealed or in clear. A datagram that
// cannot be opened, or is in clear and should not be, is counted and dropped. Sealed
// messages have headers of their own.
func (g *GossipService) open(b []byte) (messages []byte, ok bool) {
	h, ok := wire.ParseHeader(b)
	switch {
	case !ok:
		g.stats.DropMalformed++
	case h.Type == wire.TypeSealed:
		if messages, ok = g.ring.Open(b[wire.HeaderSize:], g.additionalData(b)); ok {
			return messages, true
		}
		g.stats.DropSealed++
	case g.ring.TakesClear():
		return b, true
	default:
		g.stats.DropClear++
	}
	return nil, false
}

// additionalData returns what a sealed datagram is bound to: its header and the cluster.
func (g *GossipService) additionalData(datagram []byte) []byte {
	g.additional = append(append(g.additional[:0], datagram[:wire.HeaderSize]...), g.cluster...)
	return g.additional
}

// MaxPayload returns the length in bytes of the longest payload that SendData
// accepts. It does not change.
func (g *GossipService) MaxPayload() int { return payloadIn(g.room) }

// longestPayload returns the length of the longest payload that is accepted from others.
// If clear text is accepted it may come from a node without Keys.
func (g *GossipService) longestPayload() int {
	if g.ring.TakesClear() {
		return payloadIn(g.config.MaxMessageSize)
	}
	return payloadIn(g.room)
}

// pack returns the next datagram of a lane, or nil if nothing is due.
func (g *GossipService) pack(l *outbox.Lane) []byte {
	messages := g.outbox.Pack(g.outgoing[sealedFront:sealedFront], l, g.now(), g.timeout(l.To()))
	if len(messages) == 0 {
		return nil
	}
	datagram := messages
	if g.ring.Seals() {
		wire.Header{Type: wire.TypeSealed, Tag: g.tag}.AppendTo(g.outgoing[:0])
		datagram = g.ring.Seal(g.outgoing[:sealedFront+len(messages)], wire.HeaderSize, g.additionalData(g.outgoing))
	}
	g.stats.DatagramsOut++
	g.stats.BytesOut += uint64(len(datagram))
	return datagram
}

// SetKeys replaces Config.Keys while the node runs, for what is sent and handled
// from then on. A cluster changes its keys in three steps, each done at all nodes
// before the next begins, and loses no message:
//
//	replace key a by b   introduce key k
//	{a}                  {nil}             before
//	{a, b}               {nil, k}          all can open it
//	{b, a}               {k, nil}          all seal with it
//	{b}                  {k}               all drop the old one
//
// Replace a key before it has been put first 92,000 times, by New or SetKeys at any
// node: each time the random part of the nonces of the next 2^32 datagrams is drawn,
// and up to that number the chance that two are the same is below 1 in 2^32.
//
// Errors: ErrConfig for invalid keys or none, or if the node was made without
// Config.Keys and so has no room for seals ({nil} reserves it); ErrClosed.
func (g *GossipService) SetKeys(keys ...[]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.checkVerb(verbSetKeys); err != nil {
		return err
	}
	switch {
	case g.room == g.config.MaxMessageSize:
		return fmt.Errorf("%w: SetKeys of a node that was made without Keys", ErrConfig)
	case len(keys) == 0: // a list that came out empty must not open the cluster to everyone
		return fmt.Errorf("%w: SetKeys of no key: nil is the key that stands for clear text", ErrConfig)
	}
	return g.useKeys(keys)
}

// useKeys switches to other keys. What is queued but does not fit in a sealed datagram is
// dropped: it originates from a node without Keys.
func (g *GossipService) useKeys(keys [][]byte) error {
	ring, err := seal.New(keys, g.rng.Uint64)
	if err != nil {
		return fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	g.ring = ring
	room := g.config.MaxMessageSize
	if ring.Seals() {
		room = g.room
	}
	g.outbox.SetRoom(room, func(e *outbox.Envelope) {
		g.stats.DropRelay++
		g.finish(e)
	})
	return nil
}

// afford reports whether size bytes may be sent to an address now, and charges them if
// the address is that of the datagram being handled and not proven.
func (g *GossipService) afford(to netip.AddrPort, size int) bool {
	if to != g.in.from || g.in.proven() {
		return true
	}
	if g.ring.Seals() { // it may need a datagram of its own
		size += sealedSize
	}
	if g.in.credit < size {
		g.stats.DropAmplify++
		return false
	}
	g.in.credit -= size
	return true
}

// affordProbe is afford for a Hello to an address that in names: it is charged to the
// source of in, on whose word it is sent.
func (g *GossipService) affordProbe(in *envelopeIn, to netip.AddrPort) bool {
	return to == in.from || g.afford(in.from, wire.HelloSize(g.config.Cluster)) // for in.from itself emit charges it
}

// emit queues a control message whose body is in g.body. To an unproven source it is sent
// once at most, whatever attempts says.
func (g *GossipService) emit(to netip.AddrPort, kind wire.Type, attempts int) *outbox.Envelope {
	if !g.afford(to, wire.HeaderSize+len(g.body)) {
		return nil
	}
	if to == g.in.from && !g.in.proven() {
		attempts = min(attempts, 1)
	}
	return g.outbox.Emit(to, kind, g.body, attempts)
}

// acknowledge queues an Ack to the source of in.
func (g *GossipService) acknowledge(now time.Duration, in *envelopeIn, seq uint32) {
	if g.afford(in.from, wire.AckOverhead+wire.AckSize) {
		g.outbox.Acknowledge(now, in.from, seq)
	}
}
