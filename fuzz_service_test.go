package gossip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
)

// life is a service that lives through a program: settings, then steps, each a
// letter, of whatever case, and what it needs, a byte each.
//
//	hello welcome memberlist k(ack) data status goodbye bytes   are said by a source
//	rest tick o(send) in(receive) answer (u)tter join leave e(keys) call z(close)
type life struct {
	*soloist
	program   []byte
	sources   []netip.AddrPort  // 3 members, who may become one, and who never answers
	datagram  []byte            // to be fed
	heard     [16]said          // the last that the node said to who answers
	count     int               // of that
	owed      []said            // to be answered
	rings     [4]*seal.Ring     // of both keys, of none, of either
	keys      int               // of keySteps
	callback  byte              // the step that the next one does
	delivered map[string]bool   // by text
	latest    map[NodeID]uint32 // in order
	in, out   int               // bytes from and to who never answers
	named     bool              // others told the node of it
}

var keyA, keyB = testKey('a'), testKey('b')

// keySteps are two changes of keys.
var keySteps = [][][]byte{{inClear}, {inClear, keyA}, {keyA, inClear}, {keyA}, {keyA, keyB}, {keyB, keyA}, {keyB}}

// text is a payload that nobody says by chance, by which the message is known.
func text(origin uint64, counter uint32, direct uint8) []byte {
	b := binary.BigEndian.AppendUint64([]byte("a true story"), origin)
	return append(binary.BigEndian.AppendUint32(b, counter), direct)
}

// unhelped does not look for its callers each time that something is well.
type unhelped struct{ testing.TB }

func (unhelped) Helper() {}

func newLife(t *testing.T, program []byte) *life {
	l := &life{program: program[1:], delivered: map[string]bool{}, latest: map[NodeID]uint32{}}
	with := func(bit int) bool { return program[0]>>bit&1 == 1 }
	config := Config{Ordered: with(1), SkipHistory: with(2), OnStateChange: func(_, _ State) { l.call() }}
	if with(0) {
		config.Keys = keySteps[0]
		for i, keys := range [][][]byte{{keyA, keyB}, {inClear}, {keyA}, {keyB}} {
			l.rings[i], _ = seal.New(keys, func() uint64 { return uint64(i) })
		}
	}
	if with(3) {
		config.MaxOutputMessages, config.MaxMembers, config.DataLogSize = 16, 9, 2048
	}
	local := []string{"192.0.2.1:7070", "0.0.0.0:7070"}[program[0]>>4&1]
	l.soloist = newSoloistAt(unhelped{t}, netip.MustParseAddrPort(local), config)
	l.receiver, l.fake.sink = l.deliver, l.arrives
	l.sources = []netip.AddrPort{peerAddr(60), peerAddr(120), peerAddr(180), peerAddr(240), stranger}
	l.program = append([]byte{program[0]>>5&1 ^ 1}, l.program...)
	for _, step := range []byte("joa") { // by the first of them, or as a seed
		l.do(step)
	}
	for i, at := range l.sources[:3] {
		l.hear(at, l.hello(l.who(byte(2+i)), at, l.tokens.Make(at, l.at)))
	}
	return l
}

func (l *life) next() (b byte) {
	if len(l.program) > 0 {
		b, l.program = l.program[0], l.program[1:]
	}
	return b
}

// who is the service for 0 and 1, a source for 2 to 5, and nobody for others.
func (l *life) who(b byte) uint64 {
	if b < 2 {
		return uint64(l.id)
	}
	return uint64(b-1)*60<<56 | 1
}

// where is a source, the service, no address or that of nobody.
func (l *life) where(b byte) netip.AddrPort {
	return append(l.sources[:4:4], l.fake.local, netip.AddrPort{}, peerAddr(int(b)))[min(b, 6)]
}

// number is that of what the node said lately; who never answers knows none.
func (l *life) number(source int) uint32 {
	if b := l.next(); source < 4 {
		return l.heard[uint(l.count-1-int(b))%16].seq
	}
	return 1
}

// says makes the message of a step, if it is one.
func (l *life) says(step byte, source int) []byte {
	switch step {
	case 'h':
		token, b := uint64(0), l.next()
		if b%2 == 1 && source < 4 {
			token = l.tokens.Make(l.sources[source], l.at)
		}
		if b >= 128 { // an echo of what the node said
			l.seq = l.number(source) - 1
		}
		return l.hello(l.who(l.next()), l.where(l.next()), token)
	case 'w':
		return l.welcome(l.number(source), uint64(l.next()), l.who(l.next()), l.where(l.next()))
	case 'm':
		n, list := l.next(), []wire.Member(nil)
		for range n % 8 {
			list = append(list, wire.Member{ID: l.who(l.next()), Addr: l.where(l.next())})
		}
		return l.memberList(n >= 128, list...)
	case 'k':
		seqs := make([]uint32, l.next()%16)
		for i := range seqs {
			seqs[i] = l.number(source)
		}
		return l.ack(seqs...)
	case 'd':
		d := wire.Data{Origin: l.who(l.next()), Counter: 1 + uint32(l.next())<<(l.next()%24), Flags: l.next(), Hops: l.next()}
		d.Lo, d.Hi = uint32(l.next())<<24, uint32(l.next())<<24
		d.Payload = append(text(d.Origin, d.Counter, d.Flags&wire.FlagDirect), make([]byte, l.next())...)
		if _, named := d.Recipient(); named && d.Hi == 0 {
			d.SetRecipient(uint64(l.id))
		}
		return l.data(d)
	case 's':
		m := wire.Status{Mode: wire.Mode(l.next() % 3), Last: 1<<64 - 1}
		for range l.next() % 4 {
			origin, floor, first := l.who(l.next()), uint32(l.next()), uint32(l.next())
			first += floor + 1
			m.Digest.Add(origin, floor, []versions.Run{{First: first, Last: first + uint32(l.next())}}, 400)
		}
		return l.status(m)
	case 'g':
		return l.goodbye(l.who(l.next()))
	}
	n := min(int(l.next()), len(l.program))
	b := l.program[:n]
	l.program, l.named = l.program[n:], l.named || bytes.Contains(b, stranger.Addr().AsSlice())
	return b
}

// feed brings a datagram to the node, sealed or not.
func (l *life) feed(source int, how byte, d []byte) {
	if key := keySteps[l.keys][0]; how == 0 && key != nil {
		how = 2 + key[0] - 'a'
	}
	if ring := l.rings[how]; ring != nil && how > 1 {
		front := wire.Header{Type: wire.TypeSealed}.AppendTo(nil)
		d = ring.Seal(slices.Concat(front, make([]byte, seal.NonceSize), d), wire.HeaderSize, front)
	}
	if source == 4 {
		l.in += len(d)
	}
	l.fake.feed(l.sources[source], d)
}

// arrives takes what the node sends.
func (l *life) arrives(b []byte, to netip.AddrPort) {
	if l.want(len(b) <= l.config.MaxMessageSize, "a datagram has %d bytes", len(b)); to == stranger {
		l.out += len(b)
	}
	if h, _ := wire.ParseHeader(b); h.Type == wire.TypeSealed {
		b, _ = l.rings[0].Open(b[wire.HeaderSize:], b[:wire.HeaderSize])
	}
	for _, m := range l.read(fakeDatagram{b, to}) {
		if to == stranger { // nobody else can know its number
			continue
		}
		l.heard[l.count%len(l.heard)] = m
		l.count++
		if slices.Contains(l.sources[:4], to) && m.kind != wire.TypeAck && m.kind != wire.TypeWelcome {
			l.owed = append(l.owed, m)
		}
	}
}

// deliver is the receiver.
func (l *life) deliver(origin NodeID, payload []byte) {
	defer l.call()
	head := text(uint64(origin), 0, 0)
	n := len(head)
	if len(payload) < n || !bytes.HasPrefix(payload, head[:n-5]) {
		return // said in bytes of no meaning
	}
	known, counter, direct := string(payload[:n]), binary.BigEndian.Uint32(payload[n-5:]), payload[n-1] > 0
	l.want(!l.delivered[known], "message %d of %v, direct %v, is delivered again", counter, origin, direct)
	l.delivered[known] = true
	if l.config.Ordered && !direct {
		l.want(l.latest[origin] < counter, "message %d of %v is delivered after %d", counter, origin, l.latest[origin])
		l.latest[origin] = counter
	}
}

// call is any callback, and may call back.
func (l *life) call() {
	if l.soloist == nil {
		return
	}
	l.want(l.unlocked(), "a callback is called with a lock held")
	step := l.callback
	if l.callback = 0; strings.IndexByte("toiuljez", step) >= 0 {
		l.do(step)
	}
}

// legal fails if a verb returned an error that it may not return now.
func (l *life) legal(verb string, err error, others ...error) {
	ok := err == nil || errors.Is(err, ErrClosed) && l.State() == StateDestroyed
	ok = ok || slices.ContainsFunc(others, func(other error) bool { return other != nil && errors.Is(err, other) })
	l.want(ok, "%s of a node that is %v: %v", verb, l.State(), err)
}

// do does a step that is no message.
func (l *life) do(step byte) {
	switch step {
	case 'r':
		l.at += time.Millisecond << (l.next() % 21)
	case 't':
		wait, err := l.Tick()
		l.legal("Tick", err)
		l.want(err != nil || wait > 0 && wait <= l.config.TickInterval || wait == 0 && l.outbox.Pending(), "Tick says %v, and something is to be sent: %v", wait, l.outbox.Pending())
	case 'o':
		n, err := l.Send()
		l.legal("Send", err)
		l.want(n <= sendBurst, "Send sent %d datagrams", n)
	case 'i':
		n, err := l.Receive(0)
		l.legal("Receive", err, map[bool]error{true: ErrState}[l.calling])
		l.want(n <= receiveBurst, "Receive handled %d datagrams", n)
	case 'a':
		owed := l.owed
		l.owed = nil
		for _, m := range owed {
			i := slices.Index(l.sources, m.to)
			reply := l.ack(m.seq)
			if m.kind == wire.TypeHello && m.hello.Token == 0 {
				reply = l.welcome(m.seq, 7, l.who(byte(2+i)), m.to)
			}
			l.feed(i, 0, reply)
		}
		l.do('i')
	case 'u':
		how := l.next()
		spread := [...]Spread{{}, Broadcast, Random, Direct(Address{l.where(how / 4)})}[how%4]
		l.legal("SendData", l.SendData(make([]byte, how), spread), ErrState, ErrQueueFull, ErrAddress)
	case 'j':
		seeds := []Address{{l.sources[3]}, {l.sources[0]}} // 0: the last, 1: none, 2: both
		l.legal("Join", l.Join(seeds[(1+l.next()%3)%3:]...))
	case 'l':
		l.legal("Leave", l.Leave())
	case 'e':
		l.keys = int(l.next()) % len(keySteps)
		l.legal("SetKeys", l.SetKeys(keySteps[l.keys]...), map[bool]error{true: ErrConfig}[l.rings[0] == nil])
		l.named = l.named || l.waits(stranger) // what was measured in clear may go out sealed
	case 'c':
		l.callback = l.next()&31 | 0x60
	case 'z':
		l.want(l.Close() == nil, "Close failed")
	}
}

func (l *life) step() {
	step := l.next()&31 | 0x60
	if strings.IndexByte("hwmkdsgb", step) < 0 {
		l.do(step)
		return
	}
	b := l.next() // 0 to 7 the source, 8 more follows in the datagram, 16 how it is sealed, 64 it waits
	source := int(min(b%8, 4))
	if l.datagram = append(l.datagram, l.says(step, source)...); b&8 != 0 {
		return
	}
	l.feed(source, b/16%4, l.datagram)
	if l.datagram = nil; b&64 == 0 {
		l.do('i')
	}
}

// waits reports whether something may wait to be sent to a recipient.
func (l *life) waits(to netip.AddrPort) bool {
	return l.outbox.Any(to) != nil || l.outbox.Stats().Acks > 0
}

// tally fails unless the outbox holds what it says, in bounds, and all of it can go out.
func (l *life) tally() {
	q, room := l.outbox.Stats(), l.config.MaxMessageSize
	if l.ring.Seals() {
		room = l.room
	}
	control, data, hellos := 0, 0, 0
	for e := range l.outbox.All() {
		switch {
		case e.IsData():
			data++
		case e.Kind == wire.TypeHello:
			hellos++
			fallthrough
		default:
			control++
		}
		l.want(e.Size() <= room, "a %v of %d bytes waits for a datagram of %d", e.Kind, e.Size(), room)
		l.want(e.Seq == 0 || l.outbox.Find(e.Seq) == e, "the %v %d is not found", e.Kind, e.Seq)
		l.want(e.Attempt <= e.Attempts, "a %v waits after attempt %d of %d", e.Kind, e.Attempt, e.Attempts)
	}
	l.want(control == q.Control && data == q.Data && hellos == q.Hellos, "there are %d control, %d Data and %d Hellos, counted: %+v", control, data, hellos, q)
	most := l.config.MaxOutputMessages
	l.want(control <= most && data <= most && q.Recipients <= 4*most && q.Acks <= outbox.MostAcks*q.Recipients, "a bound is broken: %+v", q)
	_, any := l.outbox.Deadline()
	l.want(q.Recipients == 0 || any || l.outbox.Pending(), "what is queued waits for nothing: %+v", q)
}

// check fails unless everything is as it must be between two steps.
func (l *life) check() {
	c, members := &l.config, l.roster.Len()
	l.want(l.unlocked() && !l.calling && l.events.Len() == 0, "a lock is held, or %d calls wait", l.events.Len())
	l.tally()
	l.want(members <= c.MaxMembers && l.roster.Lost() <= c.MaxMembers && l.roster.Seeds() <= c.MaxMembers, "there are %d members and %d lost ones", members, l.roster.Lost())
	l.want(l.log.Bytes() <= c.DataLogSize && l.origins.Len() <= originsOf(c), "%d bytes of %d origins are retained", l.log.Bytes(), l.origins.Len())
	for i := range members {
		m := l.roster.At(i)
		l.want(l.roster.Get(m.ID) == m && l.roster.ByAddr(m.Addr) == m && m.ID != uint64(l.id), "the member %x at %v is not found", m.ID, m.Addr)
	}
	l.want(l.named || l.out <= timesMost*l.in, "%d bytes went to a stranger for %d", l.out, l.in)
	switch l.state {
	case StateConnected:
		l.want(!l.left && (members > 0 || l.isSeed()), "a node without members, left %v, is CONNECTED", l.left)
	case StateJoining, StateDisconnected, StateInitialized:
		l.want(members == 0, "a node with %d members is %v", members, l.state)
	}
}

func FuzzService(f *testing.F) {
	data := func(source, counter, flags byte) string {
		return string([]byte{'d', source, 2, counter, 0, flags, 1, 0, 255, 5})
	}
	turns := func(rest byte) string { return strings.Repeat("tor"+string(rune(rest)), 12) + "ai" }
	for _, program := range []string{
		"\x20r\x0atoaj\x01lj\x00oh\x00\x80\x02\x00\x05lj\x02" + turns(9),                                                      // joins, meets itself, joins in vain
		"\x00h\x03\x00\x05\x05oh\x03\x01\x05\x05oatoah\x03\x01\x06\x06h\x01\x01\x05\x05toa",                                   // takes somebody in
		"\x00u\x05oau\x06oau\x03u\x1foa" + turns(8),                                                                           // speaks to all, to one, to nobody
		"\x08u\x05u\x05" + turns(10) + turns(10) + data(0, 1, 0) + "toa",                                                      // has no answer, then one
		"\x00" + data(0, 0, wire.FlagArc) + "o" + turns(8) + data(0, 0, wire.FlagArc|wire.FlagOut),                            // covers an arc
		"\x00" + data(0, 0, wire.FlagRumor) + "oa" + data(1, 0, wire.FlagRumor) + turns(6),                                    // passes on a rumor
		"\x00" + data(0, 0, wire.FlagPull) + "r\x08s\x01\x00\x00s\x02\x02\x01\x02\x00\x00\x03oau\x05d\x00\x00\x09" + turns(5), // repairs, and goes on behind others
		"\x02" + data(0, 1, 0) + data(0, 0, 0) + data(0, 9, 0) + turns(11),                                                    // keeps the order
		"\x04s\x00\x00\x01\x02\x09\x01\x01" + data(0, 4, 0) + data(0, 12, 0),                                                  // skips history
		"\x00m\x00\x83\x06\x06\x07\x07\x03\x08" + turns(7) + "u\x05g\x00\x02g\x01\x03g\x02\x04toa",                            // hears of members, and of their end
		"\x01u\x05oae\x01u\x05oae\x02u\x05oae\x03u\x05oae\x04u\x05oae\x05u\x05oae\x06u\x05oa",                                 // changes its keys
		"\x10h\x04\x00\x06\x05" + data(12, 0, wire.FlagArc) + "s\x04\x00\x00k\x04\x02\x00\x01or\x0cto",                        // hears a stranger
		"\x00cu" + data(0, 0, 0) + "\x05ci" + data(0, 1, 0) + "cl" + data(0, 2, 0) + "oj\x01cz" + data(0, 3, 0),               // is called from callbacks
		"0m70ow00000o", // is answered in a stranger's name
		"\x00b\x00\x0c\x00\x05\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00b\x04\x01\x07toi", // hears nonsense
	} {
		f.Add([]byte(program))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 || len(program) > 300 {
			return
		}
		l := newLife(t, program)
		for l.check(); len(l.program) > 0; l.check() {
			l.step()
		}
	})
}
