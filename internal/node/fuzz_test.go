package node

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// fuzzed is a node that a program drives: settings, then steps, each a letter, of either
// case, and its arguments, a byte each.
//
//	hello welcome memberlist k(ack) data status goodbye bytes   a source sends
//	rest tick o(next) in(handle) answer (u)publish join leave e(keys) call z(close)
type fuzzed struct {
	*solo
	program           []byte
	sources           []netip.AddrPort // 3 members, one that may become a member, and one that never answers
	datagram          []byte           // to be completed by the next step
	waiting           []packet         // datagrams to handle
	last              [16]wiretest.Message
	count             int                // of the node's messages to sources that answer; last holds the latest
	unsettled         []wiretest.Message // to be answered
	peerSeals         [4]*seals          // with both keys, with none, with either
	keys              int                // index in keySteps
	callback          byte               // the step that the next event causes
	delivered         map[string]bool    // by text
	latest            map[uint64]uint32  // of each origin, in order
	bytesIn, bytesOut int                // bytes from and to the source that never answers
	named             bool               // another source named its address
}

var keyA, keyB = testKey('a'), testKey('b')

// keySteps are the steps from clear text to a key, and from that to another.
var keySteps = [][][]byte{{inClear}, {inClear, keyA}, {keyA, inClear}, {keyA}, {keyA, keyB}, {keyB, keyA}, {keyB}}

// text is a payload that names its message, and is not in a datagram by chance.
func text(origin uint64, counter uint32, direct uint8) []byte {
	b := binary.BigEndian.AppendUint64([]byte("a true story"), origin)
	return append(binary.BigEndian.AppendUint32(b, counter), direct)
}

// unhelped does not look for its callers each time that something holds.
type unhelped struct{ testing.TB }

func (unhelped) Helper() {}

func newFuzzed(t *testing.T, program []byte) *fuzzed {
	f := &fuzzed{program: program[1:], delivered: map[string]bool{}, latest: map[uint64]uint32{}}
	with := func(bit int) bool { return program[0]>>bit&1 == 1 }
	config := Config{Ordered: with(1), SkipHistory: with(2)}
	if with(0) {
		config.Keys = keySteps[0]
		for i, keys := range [][][]byte{{keyA, keyB}, {inClear}, {keyA}, {keyB}} {
			keyring, _ := seal.New(keys, func() uint64 { return uint64(i) })
			f.peerSeals[i] = &seals{keys: keyring}
		}
	}
	if with(3) {
		config.MaxOutputMessages, config.MaxMembers, config.DataLogSize = 16, 9, 2048
	}
	local := []string{"192.0.2.1:7070", "0.0.0.0:7070"}[program[0]>>4&1]
	f.solo = newSoloAt(unhelped{t}, netip.MustParseAddrPort(local), config)
	f.act, f.sink = f.event, f.arrives
	f.sources = []netip.AddrPort{peerAddr(60), peerAddr(120), peerAddr(180), peerAddr(240), unknownAddr}
	f.program = append([]byte{program[0]>>5&1 ^ 1}, f.program...)
	for _, step := range []byte("joa") { // by the first of them, or as a seed
		f.do(step)
	}
	for i, at := range f.sources[:3] {
		f.receive(at, f.hello(f.idOf(byte(2+i)), at, f.tokens.Make(at, f.at)))
	}
	return f
}

// argument takes the next byte of the program.
func (f *fuzzed) argument() (b byte) {
	if len(f.program) > 0 {
		b, f.program = f.program[0], f.program[1:]
	}
	return b
}

// idOf is the id of the node for 0 and 1, a source for 2 to 5, and no node for others.
func (f *fuzzed) idOf(b byte) uint64 {
	if b < 2 {
		return f.ID()
	}
	return uint64(b-1)*60<<56 | 1
}

// addrOf is the address of a source, of the node or of no node, or no address.
func (f *fuzzed) addrOf(b byte) netip.AddrPort {
	return append(f.sources[:4:4], f.config.Local, netip.AddrPort{}, peerAddr(int(b)))[min(b, 6)]
}

// number is the sequence number of a recent message of the node; the source that never answers
// knows none.
func (f *fuzzed) number(source int) uint32 {
	if b := f.argument(); source < 4 {
		return f.last[uint(f.count-1-int(b))%16].Seq
	}
	return 1
}

// messageOf makes the message of a step.
func (f *fuzzed) messageOf(step byte, source int) []byte {
	switch step {
	case 'h':
		token, b := uint64(0), f.argument()
		if b%2 == 1 && source < 4 {
			token = f.tokens.Make(f.sources[source], f.at)
		}
		if b >= 128 { // the node's own Hello, reflected
			f.seq = f.number(source) - 1
		}
		return f.hello(f.idOf(f.argument()), f.addrOf(f.argument()), token)
	case 'w':
		return f.welcome(f.number(source), uint64(f.argument()), f.idOf(f.argument()), f.addrOf(f.argument()))
	case 'm':
		n, list := f.argument(), []wire.Member(nil)
		for range n % 8 {
			list = append(list, wire.Member{ID: f.idOf(f.argument()), Addr: f.addrOf(f.argument())})
		}
		return f.memberList(n >= 128, list...)
	case 'k':
		seqs := make([]uint32, f.argument()%16)
		for i := range seqs {
			seqs[i] = f.number(source)
		}
		return f.ack(seqs...)
	case 'd':
		d := wire.Data{Origin: f.idOf(f.argument()), Counter: 1 + uint32(f.argument())<<(f.argument()%24), Flags: f.argument(), Hops: f.argument()}
		d.Lo, d.Hi = uint32(f.argument())<<24, uint32(f.argument())<<24
		d.Payload = append(text(d.Origin, d.Counter, d.Flags&wire.FlagDirect), make([]byte, f.argument())...)
		if _, named := d.Recipient(); named && d.Hi == 0 {
			d.SetRecipient(f.ID())
		}
		return f.data(d)
	case 's':
		m := wire.Status{Mode: wire.Mode(f.argument() % 3)}
		for range f.argument() % 4 {
			origin, floor, first := f.idOf(f.argument()), uint32(f.argument()), uint32(f.argument())
			first += floor + 1
			m.Digest.Add(origin, floor, []wire.Run{{First: first, Last: first + uint32(f.argument())}}, 400)
		}
		return f.status(m)
	case 'g':
		return f.goodbye(f.idOf(f.argument()))
	}
	n := min(int(f.argument()), len(f.program))
	b := f.program[:n]
	f.program, f.named = f.program[n:], f.named || bytes.Contains(b, unknownAddr.Addr().AsSlice())
	return b
}
