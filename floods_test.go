package gossip

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/view"
	"example.com/gossip/internal/wire"
)

// How it goes at a node while one of its members floods it.
const (
	floodLasts   = time.Minute
	floodTurn    = 10 * time.Millisecond // of the caller's loop
	floodBurst   = 10                    // turns from one burst of the flood to the next
	floodPatient = 2 * time.Second       // is who wants an answer, and asks again every 100 ms
	floodOrigins = 5
	floodRate    = 200 // full datagrams in a second
)

var (
	floodHonest = [...]int{40, 110, 180} // steps of the honest members
	flooder     = peerAddr(200)
)

// flooded is a node with three honest members and one that is not. An answer of
// theirs comes with the next turn of the loop.
type flooded struct {
	*soloist
	stay   []int // steps of the members that must stay
	coming []fakeDatagram
	said   [floodOrigins]uint32  // how many messages each honest origin said
	heard  [floodOrigins][]uint8 // how often the node delivered each
	asked  []question            // and not answered yet, the oldest first
	got    map[mineTo]bool       // what the members have of what the node says
	full   time.Duration         // since when SendData is refused, 0: it is not
	made   uint64                // messages of the flood
}

// question is what an honest node says again until it gets the answer.
type question struct {
	what         string
	answer       said // its kind, and what it names: a sequence number, or a message
	since, again time.Duration
	from         netip.AddrPort
	b            []byte
}

type mineTo struct {
	counter uint32
	to      netip.AddrPort
}

func newFlooded(t *testing.T, config Config, more ...int) *flooded {
	f := &flooded{soloist: newSoloist(t, config), got: map[mineTo]bool{}, stay: floodHonest[:]}
	f.seedWith(slices.Concat(floodHonest[:], []int{200}, more)...)
	f.receiver = func(origin NodeID, payload []byte) {
		if i := uint64(origin) - 1; i < floodOrigins {
			f.heard[i][binary.BigEndian.Uint32(payload)-1]++
		}
	}
	f.fake.sink = f.arrives
	return f
}

// arrives is what the members make of a datagram of the node.
func (f *flooded) arrives(b []byte, to netip.AddrPort) {
	if to == flooder {
		f.acknowledged(b)
		return
	}
	for _, m := range f.read(fakeDatagram{b, to}) {
		f.asked = slices.DeleteFunc(f.asked, func(q question) bool {
			a := &q.answer
			return q.from == to && a.kind == m.kind && (m.kind == wire.TypeAck && slices.Contains(m.acks, a.seq) ||
				m.kind == wire.TypeWelcome && m.welcome.Hello == a.seq ||
				m.kind == wire.TypeData && m.data.Origin == a.data.Origin && m.data.Counter == a.data.Counter)
		})
		if m.kind == wire.TypeData && m.data.Origin == uint64(f.id) {
			f.got[mineTo{m.data.Counter, to}] = true
		}
		switch id := f.polite[to]; { // as soloist.answer, but later
		case id == 0:
		case m.kind == wire.TypeHello && m.hello.Token == 0:
			f.comes(to, f.welcome(m.seq, 7, id, to))
		case m.kind == wire.TypeHello, m.kind == wire.TypeMemberList,
			m.kind == wire.TypeData && m.data.Flags&wire.FlagPull == 0,
			m.kind == wire.TypeStatus && m.status.Mode == wire.Full:
			f.comes(to, f.ack(m.seq))
		}
	}
}

// acknowledged is the one duty that the flooder does, for else it would be lost.
func (f *flooded) acknowledged(b []byte) {
	for len(b) > 0 {
		h, _ := wire.ParseHeader(b)
		b = b[wire.HeaderSize:]
		if h.Type == wire.TypeData && b[12]&wire.FlagPull == 0 {
			f.comes(flooder, f.ack(h.Seq))
		}
		b = b[bodyLength(f.t.(*testing.T), h.Type, b):]
	}
}

func (f *flooded) comes(from netip.AddrPort, b []byte) {
	f.coming = append(f.coming, fakeDatagram{b, from})
}

func (f *flooded) asks(what string, from netip.AddrPort, answer said, b []byte) {
	f.asked = append(f.asked, question{what, answer, f.at, f.at, from, b})
}

// chat lets honest nodes say what they have to say now, and the node itself.
func (f *flooded) chat(turn int) {
	i := turn % floodOrigins
	f.said[i]++
	f.heard[i] = append(f.heard[i], 0)
	d := wire.Data{Origin: uint64(i + 1), Counter: f.said[i], Payload: binary.BigEndian.AppendUint32(nil, f.said[i])}
	b := f.data(d)
	f.asks("a message", peerAddr(floodHonest[i%3]), said{kind: wire.TypeAck, seq: f.seq}, b)
	if turn%100 == 50 {
		member, newcomer := peerAddr(floodHonest[turn/100%3]), peerAddr(1000+turn)
		for _, from := range []netip.AddrPort{member, newcomer} {
			b := f.hello(f.ever(), from, 0)
			f.asks("a Hello", from, said{kind: wire.TypeWelcome, seq: f.seq}, b)
		}
		b := f.status(wire.Status{Mode: wire.Full, First: 1, Last: 1})
		f.asks("a Status", member, said{kind: wire.TypeAck, seq: f.seq}, b)
		lacks := wire.Data{Origin: uint64(i + 1), Counter: f.said[i] - 1}
		b = f.request(lacks)
		f.asks("a request", member, said{kind: wire.TypeData, data: lacks}, b)
	}
	if turn%5 == 0 || f.full > 0 {
		err := f.SendData([]byte("mine"))
		switch {
		case err == nil:
			f.full = 0
		case f.full == 0:
			f.full = f.at
		}
		f.want(err == nil || errors.Is(err, ErrQueueFull) && f.at-f.full < floodPatient, "the node cannot speak itself: %v, %+v", err, f.Stats())
	}
}

// insist lets those who have no answer yet ask again.
func (f *flooded) insist() {
	for i := range f.asked {
		q := &f.asked[i]
		if f.at >= q.again {
			q.again = f.at + 100*time.Millisecond
			f.comes(q.from, q.b)
		}
		f.want(f.at-q.since < floodPatient, "%s of %v has no answer after %v: %+v", q.what, q.from, floodPatient, f.Stats())
	}
}

// request asks for one message.
func (f *flooded) request(d wire.Data) []byte {
	m := wire.Status{Mode: wire.Request, Last: 1<<64 - 1}
	m.Digest.Add(d.Origin, d.Counter-1, []versions.Run{{First: d.Counter, Last: d.Counter}}, 100)
	return f.status(m)
}

// turn is one of the caller's loop, with so many datagrams of the flood.
func (f *flooded) turn(flood int, next func(f *flooded) []byte) {
	f.insist()
	came := slices.Clone(f.coming)
	f.coming = f.coming[:0]
	for i := range max(flood, len(came)) { // they come mixed
		if i < flood {
			f.fake.feed(flooder, f.filled(next))
		}
		if i < len(came) {
			f.fake.feed(came[i].peer, came[i].b)
		}
	}
	for left := flood + len(came); left > 0; {
		n, err := f.Receive(0)
		f.want(err == nil && n == min(left, receiveBurst), "Receive handled %d of %d datagrams: %v", n, left, err)
		left -= n
	}
	controls := 0
	for e := range f.outbox.All() {
		if e.To() == flooder && !e.IsData() {
			controls++
		}
	}
	f.want(controls <= f.outbox.Share(), "%d control messages are for the flooder", controls)
	wait, err := f.Tick()
	f.want(err == nil && wait >= 0, "Tick says %v: %v", wait, err)
	for sent := 1; sent > 0; {
		sent, err = f.Send()
		f.want(err == nil && sent <= sendBurst, "Send sent %d datagrams: %v", sent, err)
	}
	f.at += floodTurn
}

// filled is a datagram with as many of the messages as fit.
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

// bounded fails unless everything is within its bound, and everybody there.
func (f *flooded) bounded() {
	f.t.Helper()
	c, q := &f.config, f.outbox.Stats()
	f.want(q.Control <= c.MaxOutputMessages && q.Data <= c.MaxOutputMessages, "%d control and %d Data are queued", q.Control, q.Data)
	f.want(q.Recipients <= 4*c.MaxOutputMessages && q.Acks <= outbox.MostAcks*q.Recipients, "%d acknowledgements are queued, and messages, for %d recipients", q.Acks, q.Recipients)
	f.want(f.origins.Len() <= originsOf(c), "there are %d origins", f.origins.Len())
	f.want(f.roster.Len() <= c.MaxMembers && f.roster.Lost() <= c.MaxMembers, "there are %d members and %d lost ones", f.roster.Len(), f.roster.Lost())
	f.want(f.log.Bytes() <= c.DataLogSize, "%d bytes are retained", f.log.Bytes())
	f.want(f.events.Len() == 0, "%d calls wait", f.events.Len())
	for _, step := range f.stay {
		m := f.roster.Get(f.peerID(step))
		f.want(m != nil && m.Proven && m.Addr == peerAddr(step), "the member at %v is %+v", peerAddr(step), m)
	}
}

// memory returns what is in use, in bytes.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// drown floods the node.
func (f *flooded) drown(rate int, next func(f *flooded) []byte) {
	f.t.Helper()
	before := memory()
	for turn := 1; turn <= int(floodLasts/floodTurn) || len(f.asked) > 0; turn++ {
		if turn <= int(floodLasts/floodTurn) {
			f.chat(turn)
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
	grown := memory() - before
	f.want(grown < 16<<20, "%d bytes more are in use", grown)
	for i, heard := range f.heard {
		for c, n := range heard {
			f.want(n == 1, "message %d of honest origin %d was delivered %d times: %+v", c+1, i+1, n, f.Stats())
		}
	}
	f.want(f.counter > 1000, "the node itself got rid of %d messages: %+v", f.counter, f.Stats())
	for c := range f.counter - 1 {
		for _, step := range f.stay {
			f.want(f.got[mineTo{c + 1, peerAddr(step)}], "message %d of the node did not go to %v: %+v", c+1, peerAddr(step), f.Stats())
		}
	}
}

// ever returns ids that nobody has, all over the ring, and each time another.
func (f *flooded) ever() uint64 { return (f.made + 1000) * 0x9e3779b97f4a7c15 }

func (f *flooded) token() uint64 { return f.tokens.Make(flooder, f.at) }

// somebody is the id of an honest member.
func (f *flooded) somebody() uint64 { return f.peerID(floodHonest[f.made%3]) }

// nowhere is an address on the host of a victim.
func (f *flooded) nowhere() netip.AddrPort { return netip.AddrPortFrom(host, uint16(f.made)|1) }

// ofMany is a Status that offers or wants a lot of an origin.
func (f *flooded) ofMany(mode wire.Mode, origin uint64) []byte {
	m := wire.Status{Mode: mode, Last: 1<<64 - 1}
	m.Digest.Add(origin, 0, []versions.Run{{First: 1, Last: 1000}, {First: 1002, Last: 60_000}}, 100)
	return f.status(m)
}

// own is the next message of the flooder itself.
func (f *flooded) own(step uint32, flags uint8) []byte {
	beyond := view.Pos(f.peerID(200)) // the ring without the flooder
	return f.data(wire.Data{Origin: f.peerID(200), Counter: step * uint32(f.made), Flags: flags, Lo: beyond + 1, Hi: beyond, Payload: make([]byte, 20)})
}

var floods = []struct {
	what string
	slow int // how many times the usual rate is too much
	next func(f *flooded) []byte
}{
	{"Hellos of ever new nodes", 2, func(f *flooded) []byte { return f.hello(f.ever(), flooder, f.token()) }},
	{"Hellos of nodes elsewhere", 1, func(f *flooded) []byte { return f.hello(f.ever(), f.nowhere(), f.token()) }},
	{"Hellos of honest members", 1, func(f *flooded) []byte { return f.hello(f.somebody(), flooder, f.token()) }},
	{"Hellos without a token", 1, func(f *flooded) []byte { return f.hello(f.ever(), flooder, 0) }},
	{"Welcomes", 1, func(f *flooded) []byte { return f.welcome(uint32(f.ever()), f.ever(), f.somebody(), flooder) }},
	{"lists of members elsewhere", 1, func(f *flooded) []byte {
		return f.memberList(true, wire.Member{ID: f.somebody(), Addr: f.nowhere()})
	}},
	{"Acks", 1, func(f *flooded) []byte { return f.ack(uint32(f.ever()), uint32(f.ever()>>32)) }},
	{"Data of ever new origins", 1, func(f *flooded) []byte { return f.data(wire.Data{Origin: f.ever(), Counter: 1}) }},
	{"Data with ever higher numbers", 1, func(f *flooded) []byte { return f.own(1500, 0) }},
	{"Data to be passed on along the ring", 20, func(f *flooded) []byte { return f.own(1, wire.FlagArc) }},
	{"Data to be passed on at random", 20, func(f *flooded) []byte { return f.own(1, wire.FlagRumor) }},
	{"Direct Data", 1, func(f *flooded) []byte { return f.own(1, wire.FlagDirect) }},
	{"Direct Data of ever new origins for others", 1, func(f *flooded) []byte {
		d := wire.Data{Origin: f.ever(), Counter: 1, Flags: wire.FlagDirect}
		d.SetRecipient(f.ever())
		return f.data(d)
	}},
	{"Statuses that have seen nothing", 2, func(f *flooded) []byte { return f.status(everything(nil)) }},
	{"offers of what nobody has", 2, func(f *flooded) []byte { return f.ofMany(wire.Offer, f.ever()) }},
	{"requests", 2, func(f *flooded) []byte { return f.ofMany(wire.Request, f.made%floodOrigins+1) }},
	{"goodbyes of others", 1, func(f *flooded) []byte { return f.goodbye(f.somebody()) }},
}

// The bounds are small, so that a burst exceeds them if nothing holds it back.
func TestAFloodOfOneMemberDrownsNobody(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, flood := range floods {
		t.Run(flood.what, func(t *testing.T) {
			f := newFlooded(t, Config{MaxMembers: 64, MaxOutputMessages: 128})
			f.drown(floodRate/flood.slow, flood.next)
		})
	}
}

func TestAFloodOfInventedMembersDrivesNobodyOutOfAFullView(t *testing.T) {
	t.Parallel()
	f := newFlooded(t, Config{MaxMembers: 64}, around(60)...)
	members := f.roster.Len()
	f.stay = nil // up to a quarter of them may go, whoever that is
	f.drown(floodRate/10, func(f *flooded) []byte {
		if f.made%20 == 0 { // they push out the flooder too
			return f.hello(f.peerID(200), flooder, f.token())
		}
		return f.memberList(true, wire.Member{ID: f.ever(), Addr: f.nowhere()})
	})
	proven := 0
	for i := range f.roster.Len() {
		if f.roster.At(i).Proven {
			proven++
		}
	}
	f.want(4*proven >= 3*members, "of %d members %d are left, and %d invented ones", members, proven, f.roster.Len()-proven)
}
