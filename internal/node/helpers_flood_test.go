package node

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// The flood of one member, and the traffic of honest nodes beside it.
const (
	floodLasts   = time.Minute
	floodTurn    = 10 * time.Millisecond  // of the owner's loop
	floodBurst   = 10                     // turns from one burst of the flood to the next
	floodPatient = 2 * time.Second        // until an honest node must have its answer
	floodRepeat  = 100 * time.Millisecond // between two attempts of an honest node
	floodOrigins = 5                      // honest ones
	floodRate    = 200                    // full datagrams in a second
	floodGrowth  = 2 << 20                // bytes that the node may take more: a full log and table of origins are 1.3 MB
)

var (
	floodHonest = [...]int{40, 110, 180} // steps of the honest members
	flooder     = peerAddr(200)
)

// flooded is a node with three honest members and one that floods it. The answers of the
// members come with the next turn of the loop.
type flooded struct {
	*solo
	stay     []int // steps of the members that must stay
	coming   []packet
	counters [floodOrigins]uint32  // the last number of each honest origin
	counts   [floodOrigins][]uint8 // how often the node delivered each
	requests []request             // without an answer yet, the oldest first
	copies   map[copyOf]bool       // of the node's messages, at the members
	refused  time.Duration         // since when Publish is refused, 0: it is not
	made     uint64                // messages of the flood
}

// request is a datagram that an honest node repeats until it has the answer.
type request struct {
	what         string
	answeredBy   func(m wiretest.Message) bool
	since, again time.Duration
	packet
}

// copyOf is a message of the node at a member.
type copyOf struct {
	counter uint32
	at      netip.AddrPort
}

func newFlooded(t *testing.T, config Config, more ...int) *flooded {
	f := &flooded{solo: newSolo(t, config), copies: map[copyOf]bool{}, stay: floodHonest[:]}
	f.withMembers(slices.Concat(floodHonest[:], []int{200}, more)...)
	f.act = func(e Event) {
		if e.Change != nil {
			return
		}
		if i := e.Origin() - 1; i < floodOrigins {
			f.counts[i][binary.BigEndian.Uint32(e.Payload())-1]++
		}
	}
	return f
}

// arrives is what the members make of a message of the node. The flooder acknowledges Data,
// for without that it would be lost.
func (f *flooded) arrives(m wiretest.Message) {
	if m.To == flooder {
		if m.Kind == wire.TypeData && m.Data.Flags&wire.FlagPull == 0 {
			f.comes(flooder, f.ack(m.Seq))
		}
		return
	}
	f.requests = slices.DeleteFunc(f.requests, func(r request) bool { return r.addr == m.To && r.answeredBy(m) })
	if m.Kind == wire.TypeData && m.Data.Origin == f.ID() {
		f.copies[copyOf{m.Data.Counter, m.To}] = true
	}
	if b := f.reply(m); b != nil {
		f.comes(m.To, b)
	}
}

// comes brings a datagram to the next turn.
func (f *flooded) comes(from netip.AddrPort, b []byte) {
	f.coming = append(f.coming, packet{b, from})
}

// expect sends a datagram until the node answers it.
func (f *flooded) expect(what string, from netip.AddrPort, b []byte, answeredBy func(m wiretest.Message) bool) {
	f.requests = append(f.requests, request{what, answeredBy, f.at, f.at, packet{b, from}})
}

// honestTraffic lets the honest nodes send what they have to send in a turn, and the node too.
func (f *flooded) honestTraffic(turn int) {
	i := turn % floodOrigins
	f.counters[i]++
	f.counts[i] = append(f.counts[i], 0)
	d := wire.Data{Origin: uint64(i + 1), Counter: f.counters[i], Payload: binary.BigEndian.AppendUint32(nil, f.counters[i])}
	f.expect("a message", peerAddr(floodHonest[i%3]), f.data(d), f.isAck())
	if turn%100 == 50 {
		member, newcomer := peerAddr(floodHonest[turn/100%3]), peerAddr(1000+turn)
		for _, from := range []netip.AddrPort{member, newcomer} {
			b, seq := f.hello(f.nextID(), from, 0), f.seq
			f.expect("a Hello", from, b, func(m wiretest.Message) bool { return m.Kind == wire.TypeWelcome && m.Welcome.Hello == seq })
		}
		f.expect("a Status", member, f.status(wire.Status{Mode: wire.Full}), f.isAck())
		lacks := d.Counter - 1
		f.expect("a request", member, f.request(d.Origin, lacks), func(m wiretest.Message) bool {
			return m.Kind == wire.TypeData && m.Data.Origin == d.Origin && m.Data.Counter == lacks
		})
	}
	if turn%5 == 0 || f.refused > 0 {
		err := f.tryPublish([]byte("mine"))
		switch {
		case err == nil:
			f.refused = 0
		case f.refused == 0:
			f.refused = f.at
		}
		f.want(err == nil || err == ErrFull && f.at-f.refused < floodPatient, "Publish has failed since %v: %v, %+v", f.refused, err, f.Stats())
	}
}

// isAck returns a function that reports whether a message acknowledges the last one that a
// peer sent.
func (f *flooded) isAck() func(m wiretest.Message) bool {
	seq := f.seq
	return func(m wiretest.Message) bool { return slices.Contains(m.Acks, seq) }
}

// repeatRequests repeats the datagrams without an answer.
func (f *flooded) repeatRequests() {
	for i := range f.requests {
		r := &f.requests[i]
		if f.at >= r.again {
			r.again = f.at + floodRepeat
			f.comes(r.addr, r.b)
		}
		f.want(f.at-r.since < floodPatient, "%s of %v has no answer after %v: %+v", r.what, r.addr, floodPatient, f.Stats())
	}
}

// request requests one message.
func (f *flooded) request(origin uint64, counter uint32) []byte {
	m := wire.Status{Mode: wire.Request}
	m.Digest.Add(origin, counter-1, []wire.Run{{First: counter, Last: counter}}, 100)
	return f.status(m)
}

// turn is one turn of the owner's loop, with that many datagrams of the flood.
func (f *flooded) turn(flood int, next func(f *flooded) []byte) {
	f.repeatRequests()
	came := slices.Clone(f.coming)
	f.coming = f.coming[:0]
	for i := range max(flood, len(came)) { // they come mixed
		if i < flood {
			f.handle(flooder, f.filled(next))
		}
		if i < len(came) {
			f.handle(came[i].addr, came[i].b)
		}
	}
	controls := 0
	for e := range f.out.queue.All() {
		if e.To() == flooder && !e.IsData() {
			controls++
		}
	}
	f.want(controls <= f.out.queue.Share(), "%d control messages are for the flooder", controls)
	f.tick()
	for _, m := range f.send() {
		f.arrives(m)
	}
	f.at += floodTurn
}

// filled returns a datagram with as many of the messages as fit.
func (f *flooded) filled(next func(f *flooded) []byte) (b []byte) {
	for {
		f.made++
		if m := next(f); len(b)+len(m) <= f.config.MaxMessageSize {
			b = append(b, m...)
		} else {
			return b
		}
	}
}

// bounded fails unless everything is within its bound and the members that must stay are
// there.
func (f *flooded) bounded() {
	f.t.Helper()
	c, q, h, members := &f.config, f.out.queue.Stats(), &f.history, f.peers.members
	f.want(q.Control <= c.MaxOutputMessages && q.Data <= c.MaxOutputMessages, "%d control messages and %d Data are queued", q.Control, q.Data)
	f.want(q.Recipients <= 4*c.MaxOutputMessages && q.Acks <= outbox.MostAcks*q.Recipients, "%d acknowledgements, and messages, are queued for %d recipients", q.Acks, q.Recipients)
	f.want(h.origins.Len() <= c.origins(), "there are %d origins", h.origins.Len())
	f.want(members.Len() <= c.MaxMembers && members.Lost() <= c.MaxMembers, "there are %d members and %d lost ones", members.Len(), members.Lost())
	f.want(h.log.Bytes() <= c.DataLogSize, "%d bytes are retained", h.log.Bytes())
	f.want(f.Events() == 0, "%d events wait", f.Events())
	for _, step := range f.stay {
		m := members.Get(f.peerID(step))
		f.want(m != nil && m.Validated && m.Addr == peerAddr(step), "the member at %v is %+v", peerAddr(step), m)
	}
}

// endure floods the node.
func (f *flooded) endure(rate int, next func(f *flooded) []byte) {
	f.t.Helper()
	before := footprint(f.Node)
	for turn := 1; turn <= int(floodLasts/floodTurn) || len(f.requests) > 0; turn++ {
		if turn <= int(floodLasts/floodTurn) {
			f.honestTraffic(turn)
		}
		if turn%floodBurst == 0 {
			f.turn(rate*floodBurst/100, next)
		} else {
			f.turn(0, nil)
		}
		if turn%50 == 0 {
			f.bounded()
		}
	}
	grown := footprint(f.Node) - before
	f.want(grown < floodGrowth, "the node takes %d bytes more", grown)
	for i, counts := range f.counts {
		for c, n := range counts {
			f.want(n == 1, "message %d of honest origin %d was delivered %d times: %+v", c+1, i+1, n, f.Stats())
		}
	}
	f.want(f.self.counter > 1000, "the node itself sent %d messages: %+v", f.self.counter, f.Stats())
	for c := range f.self.counter - 1 {
		for _, step := range f.stay {
			f.want(f.copies[copyOf{c + 1, peerAddr(step)}], "message %d of the node did not go to %v: %+v", c+1, peerAddr(step), f.Stats())
		}
	}
}
