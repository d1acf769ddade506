package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/wire"
)

const (
	mostMessages = 8                         // messages that are watched, the latest
	mostCopies   = 4096                      // copies kept of a message, and put in a frame; the rest are only counted
	mostUnacked  = mostMessages * mostCopies // copies whose acknowledgements are counted
	headers      = 28                        // bytes of IP and UDP around a datagram

	trafficPace = 500 * time.Millisecond
)

// trace watches what passes through the network and arrives at the nodes. It reads the
// datagrams, so the nodes need no instrumentation.
type trace struct {
	c         *cluster
	count     int        // messages sent
	messages  []*message // the latest, the newest last
	byPayload map[string]*message
	unacked   map[envelope]*message
	traffic   traffic
	trafficAt time.Duration // when it was last put in a frame

	// For the next frame.
	nodes    map[*node]bool
	changes  map[*message]bool
	copies   []copyView
	gots     []gotView
	settings bool
}

// message is a watched message.
type message struct {
	number  int
	payload []byte
	origin  *node
	target  *node // of a Direct one, else nil
	id      uint64
	counter uint32 // 0 until a copy was seen
	said    time.Duration
	got     map[*node]time.Duration // when each running node that has it got it
	copies  []copyView
	view    messageView
}

// envelope is a message of the protocol that awaits an acknowledgement.
type envelope struct {
	sender netip.AddrPort
	seq    uint32
}

func newTrace(c *cluster) *trace {
	return &trace{
		c: c, byPayload: map[string]*message{}, unacked: map[envelope]*message{},
		nodes: map[*node]bool{}, changes: map[*message]bool{},
		traffic: traffic{Messages: map[string]int{}},
	}
}

// compose makes the next message, which is watched once it is sent.
func (t *trace) compose(origin *node, spread string, target *node) *message {
	number := t.count + 1
	m := &message{
		number:  number,
		payload: fmt.Appendf(nil, "%-*s", payloadSize, fmt.Sprintf("message %d", number)),
		origin:  origin, target: target, id: uint64(origin.ID()),
		got:  map[*node]time.Duration{},
		view: messageView{Message: number, From: origin.index, To: anyNode, Spread: spread},
	}
	if target != nil {
		m.view.To = target.index
	}
	return m
}

// said begins to watch a message that was sent, and forgets the oldest.
func (t *trace) said(m *message) {
	t.count = m.number
	m.said = t.c.now()
	m.view.Said, m.view.Early = ms(m.said), !t.c.settled && m.target == nil
	t.messages = append(t.messages, m)
	t.byPayload[string(m.payload)] = m
	if len(t.messages) > mostMessages {
		old := t.messages[0]
		t.messages = slices.Delete(t.messages, 0, 1)
		delete(t.byPayload, string(old.payload))
		delete(t.changes, old)
		maps.DeleteFunc(t.unacked, func(_ envelope, m *message) bool { return m == old })
	}
	if m.target == nil {
		t.has(m, m.origin, m.said)
	}
	t.changes[m] = true
}

// got notes that a message was delivered to a node.
func (t *trace) got(n *node, payload []byte) {
	t.traffic.Delivered++
	if m := t.byPayload[string(payload)]; m != nil {
		m.view.Delivered++
		t.has(m, n, t.c.now())
	}
}

func (t *trace) has(m *message, n *node, at time.Duration) {
	m.got[n] = at
	t.gots = append(t.gots, gotView{m.number, n.index, ms(at)})
	t.changes[m] = true
	t.milestones(m, at)
}

// milestones notes when a message has first reached a share of the nodes.
func (t *trace) milestones(m *message, at time.Duration) {
	reached, of := len(m.got), t.audience(m)
	if reached == 0 {
		return
	}
	for _, stone := range []struct {
		percent int
		took    *float64
	}{{50, &m.view.Half}, {99, &m.view.Most}, {100, &m.view.All}} {
		if *stone.took == 0 && reached*100 >= of*stone.percent {
			*stone.took = max(ms(at-m.said), 0.01)
		}
	}
}

// audience returns how many nodes should get the message.
func (t *trace) audience(m *message) int {
	if m.target != nil {
		return 1
	}
	return t.c.alive
}

// changed notes a new state of a node. One that is not running has no messages.
func (t *trace) changed(n *node) {
	t.nodes[n] = true
	for _, m := range t.messages {
		t.changes[m] = true
		if !n.running() {
			delete(m.got, n)
			t.milestones(m, t.c.now()) // its audience has shrunk
		}
	}
}

func (t *trace) settingsChanged() { t.settings = true }

// saw looks at a datagram that is sent.
func (t *trace) saw(p passage) {
	t.traffic.Datagrams++
	t.traffic.Bytes += len(p.payload) + headers
	if p.fate != carried {
		t.traffic.Lost++
	}
	serves := make([]*message, 0, mostMessages)
	for rest := p.payload; len(rest) > 0; {
		h, ok := wire.ParseHeader(rest)
		if !ok {
			break
		}
		t.traffic.Messages[h.Type.String()]++
		n, about, ok := t.read(p, h, rest[wire.HeaderSize:])
		if !ok {
			break
		}
		for _, m := range about {
			if !slices.Contains(serves, m) {
				serves = append(serves, m)
			}
		}
		rest = rest[wire.HeaderSize+n:]
	}
	for _, m := range serves {
		m.view.Datagrams++
		m.view.Bytes += len(p.payload) + headers
		t.changes[m] = true
	}
}

// read reads the body of a message of the protocol, and returns its length and
// the watched messages that it is about.
func (t *trace) read(p passage, h wire.Header, body []byte) (n int, about []*message, ok bool) {
	switch h.Type {
	case wire.TypeData:
		var d wire.Data
		if d, n, ok = wire.ParseData(body); ok {
			about = t.carried(p, h.Seq, &d)
		}
	case wire.TypeAck:
		var a wire.Ack
		if a, n, ok = wire.ParseAck(body); ok {
			about = t.acknowledged(p.to, a)
		}
	case wire.TypeStatus:
		var s wire.Status
		if s, n, ok = wire.ParseStatus(body); ok && s.Mode != wire.Full {
			about = t.named(s.Digest)
		}
	case wire.TypeHello:
		_, n, ok = wire.ParseHello(body)
	case wire.TypeWelcome:
		_, n, ok = wire.ParseWelcome(body)
	case wire.TypeMemberList:
		_, n, ok = wire.ParseMemberList(body)
	case wire.TypeLeave:
		_, n, ok = wire.ParseLeave(body)
	}
	return n, about, ok
}

// carried notes a copy of a watched message.
func (t *trace) carried(p passage, seq uint32, d *wire.Data) []*message {
	m := t.byPayload[string(d.Payload)]
	from, to := t.c.byAddr[p.from], t.c.byAddr[p.to]
	if m == nil || from == nil || to == nil {
		return nil
	}
	m.counter = d.Counter
	m.view.Copies++
	v := copyView{
		Message: m.number, From: from.index, To: to.index,
		Sent: ms(p.sent), At: ms(p.at), Fate: p.fate,
	}
	if d.Flags&wire.FlagPull == 0 {
		v.Hop = int(d.Hops)
		if len(t.unacked) < mostUnacked {
			t.unacked[envelope{p.from, seq}] = m
		}
	}
	if d.Flags&wire.FlagArc != 0 && d.Flags&wire.FlagDirect == 0 {
		v.Lo, v.Hi = float64(d.Lo)/(1<<32), float64(d.Hi)/(1<<32)
	}
	if len(m.copies) < mostCopies {
		m.copies = append(m.copies, v)
	}
	if len(t.copies) < mostCopies {
		t.copies = append(t.copies, v)
	}
	return []*message{m}
}

// acknowledged returns the watched messages that an Ack to by is about.
func (t *trace) acknowledged(by netip.AddrPort, a wire.Ack) (about []*message) {
	for seq := range a.Numbers() {
		e := envelope{by, seq}
		if m := t.unacked[e]; m != nil {
			about = append(about, m)
		}
	}
	return about
}

// named returns the watched messages that a digest includes.
func (t *trace) named(d wire.Digest) (about []*message) {
	for {
		origin, _, runs, ok := d.Next(nil)
		if !ok {
			return about
		}
		for _, m := range t.messages {
			in := func(r wire.Run) bool { return r.First <= m.counter && m.counter <= r.Last }
			if m.id == origin && m.target == nil && m.counter > 0 && slices.ContainsFunc(runs, in) {
				about = append(about, m)
			}
		}
	}
}
