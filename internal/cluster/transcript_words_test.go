package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// open returns the messages of a datagram, and with which key it was sealed.
func (x *transcript) open(b []byte) (messages []byte, by string) {
	if h, _ := wire.ParseHeader(b); h.Type != wire.TypeSealed {
		return b, ""
	}
	var ids []uint64
	for _, n := range x.nodes {
		ids = append(ids, n.ID())
	}
	for _, k := range x.keys {
		if messages, ok := wiretest.Open(k.ring, b, nil, ids...); ok {
			return messages, "sealed with " + k.name + ": "
		}
	}
	x.t.Fatal("no key of the scene opens a datagram")
	return nil, ""
}

// message describes a message of a node by its body; it is "" if the message is not to be shown.
func (x *transcript) message(from netip.AddrPort, m wiretest.Message, body []byte) string {
	if m.Kind != wire.TypeAck && x.show != nil && !x.show(from, m) {
		return ""
	}
	switch m.Kind {
	case wire.TypeHello:
		if m.Hello.Token == 0 {
			return x.numbered(from, m) + ", no token"
		}
		return x.numbered(from, m) + ", token " + x.token(m.Hello.Token)
	case wire.TypeWelcome:
		return fmt.Sprintf("Welcome to #%d, token %s, \"you are %v\"", x.mention(m.To, m.Welcome.Hello).number, x.token(m.Welcome.Token), m.Welcome.Observed)
	case wire.TypeMemberList:
		return x.list(from, m)
	case wire.TypeAck:
		return x.acks(m, body)
	case wire.TypeData:
		return x.data(from, m)
	case wire.TypeStatus:
		return x.status(from, m)
	case wire.TypeLeave:
		if id := x.whose(m.Leave); !strings.HasPrefix(id, x.names[from]) {
			return "Leave of " + id
		}
	}
	return m.Kind.String()
}

// mention is the number under which a message appears that is to be answered, and how often
// it was sent. A message with the number 0 is hidden.
type mention struct {
	number, times int
	arc           ring.Arc // of a copy of a message, empty if it has none
}

// copyKey names the copies of a message that one node sends to another one. Each attempt has
// a sequence number of its own.
type copyKey struct {
	from       netip.AddrPort
	to, origin uint64
	counter    uint32
}

// mention returns the mention of a message by its sequence number and its sender, which awaits
// an answer. A message that was sent before the scene began is hidden.
func (x *transcript) mention(sender netip.AddrPort, seq uint32) *mention {
	k := envelopeKey{sender, seq}
	if x.awaited[k] == nil {
		x.awaited[k] = new(mention)
	}
	return x.awaited[k]
}

// numbered names a message that is to be answered.
func (x *transcript) numbered(from netip.AddrPort, m wiretest.Message) string {
	return x.attempt(x.mention(from, m.Seq), m.Kind)
}

// attempt names one more attempt to send a message.
func (x *transcript) attempt(a *mention, kind wire.Type) string {
	if a.times++; a.times > 1 {
		return fmt.Sprintf("%v #%d again (%d)", kind, a.number, a.times)
	}
	x.numbers++
	a.number = x.numbers
	return fmt.Sprintf("%v #%d", kind, a.number)
}

func (x *transcript) token(token uint64) string {
	if x.tokens[token] == 0 {
		x.tokens[token] = len(x.tokens) + 1
	}
	return fmt.Sprintf("T%d", x.tokens[token])
}

func (x *transcript) list(from netip.AddrPort, m wiretest.Message) string {
	name := "MemberList, lost"
	if !m.Lost {
		name = x.numbered(from, m)
	}
	if m.News {
		name += ", news"
	}
	var names []string
	for _, member := range m.Members {
		names = append(names, x.whose(member.ID))
	}
	return name + ": " + strings.Join(names, ", ")
}

// acks describes an Ack, or a refusal.
func (x *transcript) acks(m wiretest.Message, body []byte) string {
	var numbers []string
	for _, seq := range m.Acks {
		if a := x.mention(m.To, seq); a.number > 0 {
			numbers = append(numbers, fmt.Sprintf("#%d", a.number))
		}
	}
	if len(numbers) == 0 {
		return ""
	}
	what := "Ack of "
	if ack, _, _ := wire.ParseAck(body); ack.Refused {
		what = "no room for "
	}
	return what + strings.Join(numbers, ", ")
}

func (x *transcript) data(from netip.AddrPort, m wiretest.Message) string {
	d := &m.Data
	what := fmt.Sprintf("%s/%d %q", x.whose(d.Origin), d.Counter, d.Payload)
	if d.Flags&wire.FlagPull != 0 {
		return "Data by repair: " + what
	}
	name := x.attempt(x.copy(from, m), m.Kind)
	if d.Flags&wire.FlagNoOut != 0 {
		what += " to outside"
	}
	if d.Flags&wire.FlagArc != 0 {
		what += ", covers " + x.arc(ring.Arc{Lo: d.Lo, Hi: d.Hi})
	}
	return name + ": " + what
}

// copy returns the mention of the copy of a message of which m is an attempt. A copy may lose
// its arc from one attempt to the next; with another arc it is another copy.
func (x *transcript) copy(from netip.AddrPort, m wiretest.Message) *mention {
	d := &m.Data
	k := copyKey{from: from, origin: d.Origin, counter: d.Counter}
	for _, n := range x.nodes {
		if n.addr == m.To {
			k.to = n.ID()
		}
	}
	arc := ring.Arc{}
	if d.Flags&wire.FlagArc != 0 {
		arc = ring.Arc{Lo: d.Lo, Hi: d.Hi}
	}
	if a := x.copies[k]; a == nil || !arc.Empty() && a.arc != arc {
		x.copies[k] = new(mention)
	}
	a := x.copies[k]
	a.arc = arc
	x.awaited[envelopeKey{from, m.Seq}] = a
	return a
}

// arc describes an arc by the nodes on it and its share of the ring.
func (x *transcript) arc(arc ring.Arc) string {
	var on []*simNode
	for _, n := range x.nodes {
		if n.State() != node.Left && arc.Has(ring.Pos(n.ID())) {
			on = append(on, n)
		}
	}
	slices.SortFunc(on, func(a, b *simNode) int {
		return cmp.Compare(ring.Pos(a.ID())-arc.Lo, ring.Pos(b.ID())-arc.Lo)
	})
	share := fmt.Sprintf("%d %%", (uint64(arc.Len())*100+1<<31)>>32)
	switch len(on) {
	case 0:
		return "nobody, " + share
	case 1:
		return x.names[on[0].addr] + ", " + share
	}
	return fmt.Sprintf("%s to %s, %s", x.names[on[0].addr], x.names[on[len(on)-1].addr], share)
}

func (x *transcript) status(from netip.AddrPort, m wiretest.Message) string {
	name := "Status offers"
	switch m.Status.Mode {
	case wire.Summary:
		return x.numbered(from, m) + " sums up what was seen"
	case wire.Full:
		name = x.numbered(from, m) + " has seen"
	case wire.Request:
		name = "Status asks for"
	}
	digest, some := m.Status.Digest, ""
	for {
		origin, floor, runs, more := digest.Next(nil)
		if !more {
			break
		}
		if m.Status.Mode == wire.Full && floor > 0 {
			runs = append([]wire.Run{{First: 1, Last: floor}}, runs...)
		}
		for _, r := range runs {
			some += fmt.Sprintf(" %s/%d", x.whose(origin), r.First)
			if r.Last > r.First {
				some += fmt.Sprintf("-%d", r.Last)
			}
		}
	}
	if some == "" {
		some = " nothing"
	}
	return name + some
}
