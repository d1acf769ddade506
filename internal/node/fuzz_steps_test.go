package node

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// comes brings a datagram, sealed or not, for the node to handle later.
func (f *fuzzed) comes(source int, how byte, b []byte) {
	if key := keySteps[f.keys][0]; how == 0 && key != nil {
		how = 2 + key[0] - 'a'
	}
	if s := f.peerSeals[how]; s != nil && how > 1 {
		to, node := wire.ToID, f.ID()
		if h, _ := wire.ParseHeader(b); h.Type.IsContact() {
			to, node = wire.ToAny, 0
		}
		b = s.close(slices.Concat(make([]byte, sealedFront), b), 0, to, node)
	}
	if source == 4 {
		f.bytesIn += len(b)
	}
	f.waiting = append(f.waiting, packet{b, f.sources[source]})
}

// arrives takes a datagram of the node.
func (f *fuzzed) arrives(b []byte, to netip.AddrPort) {
	if f.want(len(b) <= f.config.MaxMessageSize, "a datagram has %d bytes", len(b)); to == unknownAddr {
		f.bytesOut += len(b)
	}
	if h, _ := wire.ParseHeader(b); h.Type == wire.TypeSealed {
		nodes := []uint64{1, 2, 3} // fields of the nonces of peers
		for i := range byte(4) {
			nodes = append(nodes, f.idOf(2+i))
		}
		if m := f.peers.members.ByAddr(to); m != nil {
			nodes = append(nodes, m.ID)
		}
		var ok bool
		b, ok = wiretest.Open(f.peerSeals[0].keys, b, nil, nodes...)
		f.want(ok, "a datagram to %v is for no peer", to)
	}
	for _, m := range f.read(b, to) {
		if to == unknownAddr { // no other source can know its number
			continue
		}
		f.last[f.count%len(f.last)] = m
		f.count++
		if slices.Contains(f.sources[:4], to) && m.Kind != wire.TypeAck && m.Kind != wire.TypeWelcome {
			f.unsettled = append(f.unsettled, m)
		}
	}
}

// event acts on an event of the node, and may drive the node meanwhile, as a callback may.
func (f *fuzzed) event(e Event) {
	if e.Change == nil {
		f.deliver(e.Origin(), e.Payload())
	}
	step := f.callback
	if f.callback = 0; strings.IndexByte("toiuljez", step) >= 0 {
		f.do(step)
	}
}

func (f *fuzzed) deliver(origin uint64, payload []byte) {
	head := text(origin, 0, 0)
	n := len(head)
	if len(payload) < n || !bytes.HasPrefix(payload, head[:n-5]) {
		return // from bytes without a meaning
	}
	known, counter, direct := string(payload[:n]), binary.BigEndian.Uint32(payload[n-5:]), payload[n-1] > 0
	f.want(!f.delivered[known], "message %d of %x, direct %v, is delivered again", counter, origin, direct)
	f.delivered[known] = true
	if f.config.Ordered && !direct {
		f.want(f.latest[origin] < counter, "message %d of %x is delivered after %d", counter, origin, f.latest[origin])
		f.latest[origin] = counter
	}
}

// do does a step that is not a message, if the node's owner may do it in this state. A closed
// node may still be handed datagrams.
func (f *fuzzed) do(step byte) {
	state := f.State()
	closed, started := state == Destroyed, f.self.active()
	switch {
	case step == 'r':
		f.at += time.Millisecond << (f.argument() % 21)
	case step == 't' && !closed:
		wait := f.tick()
		f.want(wait > 0 && wait <= f.config.TickInterval || wait == 0 && f.Pending(), "the Deadline is %v from now, and something is to be sent: %v", wait, f.Pending())
	case step == 'o' && !closed:
		f.send()
	case step == 'i':
		waiting := f.waiting
		f.waiting = nil
		for _, p := range waiting {
			f.handle(p.addr, p.b)
		}
	case step == 'a':
		unsettled := f.unsettled
		f.unsettled = nil
		for _, m := range unsettled {
			i := slices.Index(f.sources, m.To)
			reply := f.ack(m.Seq)
			if m.Kind == wire.TypeHello && m.Hello.Token == 0 {
				reply = f.welcome(m.Seq, 7, f.idOf(byte(2+i)), m.To)
			}
			f.comes(i, 0, reply)
		}
		f.do('i')
	case step == 'u':
		how := f.argument()
		to := f.addrOf(how / 4)
		s := [...]Spread{{}, {}, {Kind: Random}, direct(to)}[how%4]
		if started && (s.Kind != Direct || Reachable(to) && to != f.Address()) {
			err := f.tryPublish(make([]byte, how), s)
			f.want(err == nil || err == ErrFull || err == ErrDirectFull, "Publish failed: %v", err)
		}
	case step == 'j':
		seeds := []netip.AddrPort{f.sources[3], f.sources[0]} // 0: the last, 1: none, 2: both
		if seeds = seeds[(1+f.argument()%3)%3:]; !closed {
			f.join(seeds...)
		}
	case step == 'l' && (started || state == Left):
		f.leave()
	case step == 'e':
		f.keys = int(f.argument()) % len(keySteps)
		if !closed && f.HasRoomForSeals() {
			f.want(f.SetKeys(keySteps[f.keys], [32]byte{byte(f.at)}) == nil, "SetKeys failed")
		}
		f.named = f.named || f.waits(unknownAddr) // the bytes counted in clear may be sent sealed
	case step == 'c':
		f.callback = f.argument()&31 | 0x60
	case step == 'z' && !closed:
		f.close()
	}
}

func (f *fuzzed) step() {
	step := f.argument()&31 | 0x60
	if strings.IndexByte("hwmkdsgb", step) < 0 {
		f.do(step)
		return
	}
	b := f.argument() // 0 to 7 the source, 8 more follows in the datagram, 16 how it is sealed, 64 it waits
	source := int(min(b%8, 4))
	if f.datagram = append(f.datagram, f.messageOf(step, source)...); b&8 != 0 {
		return
	}
	f.comes(source, b/16%4, f.datagram)
	if f.datagram = nil; b&64 == 0 {
		f.do('i')
	}
}

// waits reports whether something may wait to be sent to a recipient.
func (f *fuzzed) waits(to netip.AddrPort) bool {
	return f.out.queue.Any(to) != nil || f.out.queue.Stats().Acks > 0
}
