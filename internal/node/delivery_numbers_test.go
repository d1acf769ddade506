package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// Numbers of messages do not wrap: a node that has used all of them needs a new id, by Leave
// and Join.
const lastNumber = 1<<32 - 1

func TestOriginIsFollowedToItsLastNumber(t *testing.T) {
	heavy(t)
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		s := newSolo(t, Config{Ordered: ordered, DataLogSize: 1 << 20})
		s.withMembers(10, 20)
		receive := func(back uint32) { s.receive(peerAddr(10), s.data(dataOf(77, lastNumber-back))) }
		for _, back := range []uint32{1030, 1029, 1027, 3, 5, 4, 1, 0} { // without 1028, 2 and what is between
			receive(back)
		}
		o := s.history.origins.Get(77)
		s.want(o.Seen.Highest() == lastNumber, "the highest number is %d", o.Seen.Highest())
		s.run(2 * time.Second)
		receive(2)
		s.run(45 * time.Second)
		want := ""
		for _, back := range []uint32{1030, 1029, 1027, 5, 4, 3, 2, 1, 0} {
			want += fmt.Sprint(lastNumber-back) + " "
		}
		s.want(o.Seen.Floor() == lastNumber && !o.Seen.Gap(), "the missing messages are not given up: the floor is %d", o.Seen.Floor())
		s.want(len(s.got) == 9 && s.Stats().GaveUpUnseen == 1031-9, "of 1031 messages %d were delivered, %d given up", len(s.got), s.Stats().GaveUpUnseen)
		if ordered {
			s.want(strings.Join(s.got, " ")+" " == want, "in order they are %v", s.got)
		}
		for _, back := range []uint32{0, 1, 2, 1028, lastNumber - 1, lastNumber} { // the last two are 1 and 0
			receive(back)
		}
		s.want(len(s.got) == 9, "a message that was seen or given up is delivered: %v", s.got)
		s.receive(peerAddr(10), s.status(everything(map[uint64]uint32{77: lastNumber, s.ID(): 0})))
		answer := wiretest.Only(s.run(2*time.Second), wire.TypeData, anyAddr)
		s.want(len(answer) == 0, "a peer that has all is sent %v", answer)
		s.receive(peerAddr(10), s.status(everything(map[uint64]uint32{77: lastNumber - 1, s.ID(): 0})))
		answer = wiretest.Only(s.run(2*time.Second), wire.TypeData, peerAddr(10))
		s.want(len(answer) == 1 && answer[0].Data.Counter == lastNumber, "a peer that lacks the last message is sent %v", answer)
	}
}

// A node goes on behind the numbers that others used with its id.
func TestNumbersSkipThoseThatOthersUsed(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	number := func() uint32 {
		s.publish([]byte("true"))
		d := wiretest.Only(s.run(100*time.Millisecond), wire.TypeData, anyAddr)
		s.want(len(d) == 2, "a message went to %d of 2 members", len(d))
		return d[0].Data.Counter
	}
	s.want(number() == 1 && number() == 2, "the first messages are not 1 and 2")
	for _, counter := range []uint32{40, 7, 2} { // the next number is 41
		s.receive(peerAddr(10), s.data(wire.Data{Origin: s.ID(), Counter: counter, Payload: []byte("false")}))
	}
	s.want(len(s.got) == 0, "a node is delivered messages with its own id: %q", s.got)
	n := number()
	s.want(n == 41, "after a forged 40 the node goes on with %d", n)
	s.receive(unknownAddr, s.data(wire.Data{Origin: s.ID(), Counter: 1 << 30}))
	n = number()
	s.want(n == 42, "after a forged number of a stranger that is far too high the node goes on with %d", n)
}

// There are many numbers, but a forger is quick.
func TestNumbersSkipFewInATickInterval(t *testing.T) {
	for _, c := range []struct {
		from netip.AddrPort
		step uint32
		most uint32
	}{{unknownAddr, unvalidatedLead, unvalidatedLead}, {peerAddr(10), 1000, 2 * versions.Width}} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		for i := range uint32(10) {
			s.publish([]byte("true"))
			s.run(1100 * time.Millisecond) // a TickInterval or two
			before := s.self.counter
			for range 100 {
				s.receive(c.from, s.data(wire.Data{Origin: s.ID(), Counter: s.self.counter + c.step, Payload: []byte("false")}))
			}
			s.want(s.self.counter > before && s.self.counter-before <= 2*c.most, "in second %d %v moved the node from number %d to %d", i, c.from, before, s.self.counter)
		}
	}
}

func TestForgedNumberFarAheadSilencesNoOrigin(t *testing.T) {
	for _, lead := range []uint32{unvalidatedLead + 1, 500, versions.Width, versions.Width + 1, 1 << 31} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		id := s.peerID(10)
		receive := func(counter uint32) {
			s.receive(peerAddr(10), s.data(wire.Data{Origin: id, Counter: counter, Payload: fmt.Append(nil, counter)}))
		}
		for i := range uint32(5) {
			receive(1 + i)
		}
		s.receive(unknownAddr, s.data(wire.Data{Origin: id, Counter: 5 + lead}))
		s.receive(unknownAddr, s.data(wire.Data{Origin: s.peerID(20), Counter: lead}))
		s.run(40 * time.Second) // a gap would be given up
		for i := range uint32(1024) {
			receive(6 + i)
		}
		s.receive(peerAddr(20), s.data(wire.Data{Origin: s.peerID(20), Counter: 1, Payload: []byte("first words")}))
		s.want(len(s.got) == 5+1024+1, "after one forged message, %d ahead, %d of the next 1024 were delivered, and the first of another origin: %q",
			lead, len(s.got)-6, s.got[len(s.got)-1])
		s.want(s.Stats().DropAhead == 2 && s.Stats().GaveUpUnseen == 0, "they were counted as %+v", s.Stats())
	}
}

// The first number of Direct messages may be any, and so may be forged.
func TestForgedDirectNumberSilencesNoOrigin(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	id := s.peerID(10)
	s.receive(unknownAddr, s.data(wire.Data{Origin: id, Counter: 1 << 31, Flags: wire.FlagDirect, Payload: []byte("forged")}))
	s.got = nil
	for i := range uint32(50) {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: id, Counter: i + 1, Flags: wire.FlagDirect}))
	}
	s.want(len(s.got) == 50, "after one forged Direct message %d of 50 of the member were delivered, and %d acknowledged as duplicates", len(s.got), s.Stats().Duplicate)
}

// Each number is a little ahead of the one before it.
func TestForgedNumbersThatClimbSilenceNoOrigin(t *testing.T) {
	for _, flags := range []uint8{0, wire.FlagDirect} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		id := s.peerID(10)
		const width = versions.NarrowWidth
		const forgeries = 40
		for i := range uint32(forgeries) {
			s.receive(unknownAddr, s.data(wire.Data{Origin: id, Counter: (i + 1) * unvalidatedLead, Flags: flags, Payload: []byte("forged")}))
		}
		forged := len(s.got)
		for i := range uint32(width) {
			s.receive(peerAddr(10), s.data(wire.Data{Origin: id, Counter: i + 1, Flags: flags}))
		}
		s.want(len(s.got) == width, "after %d of %d forged messages with flags %x, which climb, %d of %d numbers of the origin were delivered: %+v",
			forged, forgeries, flags, len(s.got), width, s.Stats())
		s.want(int(s.Stats().DropAhead+s.Stats().DropStranger) == forgeries-forged && forged <= 1 && s.Stats().GaveUpUnseen == 0, "they were counted as %+v", s.Stats())
	}
}

func TestNewOriginFarAheadNeedsAValidatedSource(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	from, id := peerAddr(99), s.peerID(99)
	d := wire.Data{Origin: id, Counter: 5000, Payload: []byte("x")}
	s.receive(from, s.data(d))
	all := s.run(100 * time.Millisecond)
	s.want(s.Stats().DropAhead == 1 && len(s.got) == 0 && s.history.origins.Get(id) == nil, "it should be refused without a trace")
	s.want(len(wiretest.Only(all, wire.TypeAck, from)) == 0, "a message that was refused is acknowledged")
	hello := wiretest.Only(all, wire.TypeHello, from)
	s.want(len(hello) == 1, "the unvalidated source should be probed: %v", all)
	s.receive(from, s.welcome(hello[0].Seq, 7, id, from))
	s.receive(from, s.data(d))
	s.want(fmt.Sprint(s.got) == "[x]", "of the validated source %v was delivered", s.got)
	s.want(s.Stats().GaveUpUnseen == 0, "earlier messages are history, not loss: %d", s.Stats().GaveUpUnseen)
}

// A stranger goes on from the next number of a member, without a gap.
func TestForgedNumbersInARowSilenceNoOrigin(t *testing.T) {
	for _, flags := range []uint8{0, wire.FlagDirect} {
		s := newSolo(t, Config{})
		s.withMembers(10, 20)
		id := s.peerID(10)
		for i := range uint32(100) {
			s.receive(peerAddr(10), s.data(wire.Data{Origin: id, Counter: i + 1, Flags: flags}))
		}
		for i := range uint32(1000) {
			s.receive(unknownAddr, s.data(wire.Data{Origin: id, Counter: 101 + i, Flags: flags, Payload: []byte("forged")}))
		}
		forged := len(s.got) - 100
		for i := range uint32(1000) {
			s.receive(peerAddr(10), s.data(wire.Data{Origin: id, Counter: 101 + i, Flags: flags}))
		}
		most := unvalidatedLead
		if flags == wire.FlagDirect {
			most = 0
		}
		s.want(forged <= most && len(s.got) == 1100, "with flags %x %d forged messages are delivered, at most %d should be, and %d in all", flags, forged, most, len(s.got))
	}
}

// A stranger sends Direct messages in the name of a node that is no member yet.
func TestDirectOfAStrangerUsesUpFewNumbers(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	origin, from := s.peerID(30), peerAddr(30)
	for c := range uint32(1000) {
		s.receive(unknownAddr, s.data(wire.Data{Origin: origin, Counter: c + 1, Flags: wire.FlagDirect, Payload: []byte("forged")}))
	}
	s.want(len(s.got) <= unvalidatedLead, "%d forged messages were delivered", len(s.got))
	s.addMember(origin, from)
	s.got = nil
	for c := range uint32(1000) {
		s.receive(from, s.data(wire.Data{Origin: origin, Counter: c + 1, Flags: wire.FlagDirect, Payload: []byte("true")}))
	}
	s.want(len(s.got) >= 1000-unvalidatedLead, "of 1000 messages of the node itself only %d were delivered", len(s.got))
}
