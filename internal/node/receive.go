package node

import (
	"net/netip"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
)

// Handle handles a datagram. Whatever it holds is handled or counted; it is not used after
// the return.
func (n *Node) Handle(now time.Duration, from netip.AddrPort, b []byte) {
	n.stats.DatagramsIn++
	n.stats.BytesIn += uint64(len(b))
	switch {
	case len(b) > n.config.MaxMessageSize:
		n.stats.DropOversize++
		n.warnOfLength(now, from)
		return
	case n.self.state == Left:
		n.stats.DropLeft++
		return
	}
	in := &n.in
	*in = datagram{
		from: from, credit: amplification * len(b), repairs: repairBudget, hellos: helloBudget,
		answers: outbox.MostAcked(n.config.MaxMessageSize), doubts: doubtBudget, digests: digestBudget, gaps: gapBudget,
	}
	h, b, ok := n.open(now, in, b)
	if !ok {
		return
	}
	if !in.contact { // a recorded one is no sign of life
		n.markAlive(now, in, h, b)
	}
	for length := 0; ok; {
		if length, ok = n.dispatch(now, in, h, b); !ok || length == len(b) {
			break
		}
		h, b, ok = n.next(b[length:])
	}
	if n.seals.keys.Seals() {
		n.out.queue.Bind(from, wire.ToField, in.field) // what was queued in answer
	}
}

// open returns the header and what follows it of the first message of a datagram, which is
// sealed or in clear. A datagram that cannot be opened, or is in clear and should not be, or
// of another cluster, is counted and dropped. Sealed messages have headers of their own.
func (n *Node) open(now time.Duration, in *datagram, b []byte) (h wire.Header, rest []byte, ok bool) {
	h, ok = wire.ParseHeader(b)
	switch {
	case !ok, !Reachable(in.from):
		n.stats.DropMalformed++
	case h.Tag != n.out.tag:
		n.stats.DropTag++
		n.foreign(now, in.from, h, b[wire.HeaderSize:])
	case h.Type == wire.TypeSealed:
		to := wire.Binding(h.Seq)
		messages, field, ok := n.seals.open(b, to, n.self.id)
		if !ok {
			n.stats.DropSealed++
			if to == wire.ToAny { // what is for another life of this node does not open either
				n.warnOfSeal(now, in.from)
			}
			return h, nil, false
		}
		in.contact, in.field = to == wire.ToAny, field
		return n.next(messages)
	case n.seals.keys.TakesClear():
		return h, b[wire.HeaderSize:], true
	default:
		n.stats.DropClear++
		n.warnOfClear(now, in.from)
	}
	return h, nil, false
}

// next returns the header and what follows it of a message; an empty one is malformed.
func (n *Node) next(b []byte) (h wire.Header, rest []byte, ok bool) {
	h, ok = wire.ParseHeader(b)
	switch {
	case !ok:
		n.stats.DropMalformed++
		return h, nil, false
	case h.Tag != n.out.tag:
		n.stats.DropTag++
		return h, nil, false
	}
	return h, b[wire.HeaderSize:], true
}

// foreign handles a datagram of another cluster. A Hello in clear names that cluster; what is
// sealed, or in clear where that is not accepted, may be one too.
func (n *Node) foreign(now time.Duration, from netip.AddrPort, h wire.Header, body []byte) {
	switch m, _, ok := wire.ParseHello(body); {
	case h.Type == wire.TypeSealed:
		n.warnOfCluster(now, from, nil)
	case h.Type == wire.TypeHello && ok && string(m.Cluster) != n.config.Cluster:
		n.warnOfCluster(now, from, m.Cluster)
	}
}

// markAlive notes that a member is alive, because of a datagram that begins with this message.
// A lost member is sent a Hello, unless the message is a Hello of another node at its address.
func (n *Node) markAlive(now time.Duration, in *datagram, h wire.Header, body []byte) {
	var claimed uint64
	if h.Type == wire.TypeHello {
		claimed = wire.HelloFrom(body)
	}
	m, lost := n.peers.members.MarkAlive(in.from, claimed, now)
	in.member = m
	switch {
	case m != nil: // it may have been known only by hearsay
		n.connect(now)
		n.resume(m)
	case lost && n.peers.members.AskNext(in.from, now): // it is asked at once
		n.timers.Probe.By(now)
	}
}

// dispatch parses one message, whose body is at the front of b, and hands it to its handler
// if the state allows. It returns the length of the body, and false if the rest of the
// datagram cannot be read.
func (n *Node) dispatch(now time.Duration, in *datagram, h wire.Header, b []byte) (length int, ok bool) {
	in.member = n.peers.members.ByAddr(in.from) // the message before may have changed that
	legal := h.Type < wire.Types && messageLegal[h.Type]&(1<<n.self.state) != 0 && (!in.contact || h.Type.IsContact())
	switch h.Type {
	case wire.TypeHello:
		length, ok = read(b, legal, wire.ParseHello, func(m wire.Hello) { n.handleHello(now, in, h.Seq, m) })
	case wire.TypeWelcome:
		length, ok = read(b, legal, wire.ParseWelcome, func(m wire.Welcome) { n.handleWelcome(now, in, m) })
	case wire.TypeMemberList:
		length, ok = read(b, legal, wire.ParseMemberList, func(m wire.MemberList) {
			if m.Lost {
				n.handleLost(now, in, m)
			} else {
				n.handleMemberList(now, in, h.Seq, m)
			}
		})
	case wire.TypeAck:
		length, ok = read(b, legal, wire.ParseAck, func(m wire.Ack) { n.handleAck(now, in, m) })
	case wire.TypeData:
		length, ok = read(b, legal, wire.ParseData, func(m wire.Data) { n.handleData(now, in, h.Seq, m) })
	case wire.TypeStatus:
		length, ok = read(b, legal, wire.ParseStatus, func(m wire.Status) { n.handleStatus(now, in, h.Seq, m) })
	case wire.TypeLeave:
		length, ok = read(b, legal, wire.ParseLeave, func(id uint64) { n.handleLeave(now, in, id) })
	default:
		n.stats.DropUnknownType++
		return 0, false
	}
	switch {
	case !ok:
		n.stats.DropMalformed++
	case !legal:
		n.stats.DropIllegal++
	default:
		n.stats.MessagesIn++
	}
	return length, ok
}

// read parses the body of a message at the front of b, and handles it if that is legal.
func read[M any](b []byte, legal bool, parse func([]byte) (M, int, bool), handle func(M)) (length int, ok bool) {
	m, length, ok := parse(b)
	if ok && legal {
		handle(m)
	}
	return length, ok
}
