package node

import (
	"fmt"
	"testing"
	"time"

	"example.com/gossip/internal/versions"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// dataOf is a message whose payload is its number.
func dataOf(origin uint64, counter uint32) wire.Data {
	return wire.Data{Origin: origin, Counter: counter, Payload: []byte(fmt.Sprint(counter))}
}

func TestDataLongerThanAnyPayloadIsRefused(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(around(8)...)
	long := make([]byte, s.MaxPayload()+1)
	s.receive(peerAddr(99), s.data(wire.Data{Origin: 77, Counter: 1, Payload: long}))
	// Copies of it with an arc would fit in no datagram.
	s.want(s.Stats().DropOversize == 1 && s.Stats().Retained == 0, "a payload that is too long should be refused: %+v", s.Stats())
	s.receive(peerAddr(99), s.data(wire.Data{Origin: 77, Counter: 1, Flags: wire.FlagArc, Lo: 1, Hi: 0}))
	s.run(time.Second)
	s.want(len(s.got) == 1 && s.got[0] == "", "delivered were %d messages", len(s.got))
}

func TestDirectDataIsForItsRecipient(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10, 20)
	d := wire.Data{Origin: s.peerID(10), Counter: 1, Flags: wire.FlagDirect, Payload: []byte("for another")}
	d.SetRecipient(s.peerID(20))
	s.receive(peerAddr(10), s.data(d))
	all := s.send()
	s.want(len(s.got) == 0 && s.Stats().DropRecipient == 1, "a message for another node was taken: %v", s.got)
	s.want(len(wiretest.Only(all, wire.TypeAck, peerAddr(10))) == 0, "it was acknowledged")
	s.want(len(wiretest.Only(all, wire.TypeHello, peerAddr(10))) == 1, "the sender should learn which node is here: %v", all)
	d.SetRecipient(s.ID())
	s.receive(peerAddr(10), s.data(d))
	s.want(fmt.Sprint(s.got) == "[for another]", "a message for the node was not taken")

	s.publish([]byte("x"), direct(peerAddr(20)))
	sent := s.sent(wire.TypeData, peerAddr(20))
	to, named := sent[0].Data.Recipient()
	s.want(named && to == s.peerID(20), "a Direct message to a member is for %x", to)
	s.publish([]byte("x"), direct(peerAddr(99)))
	sent = s.sent(wire.TypeData, peerAddr(99))
	_, named = sent[0].Data.Recipient()
	s.want(!named, "a Direct message to an address without a member names a recipient")
}

func TestDataBeyondTheWindowIsCounted(t *testing.T) {
	s := newSolo(t, Config{})
	s.withMembers(10)
	for _, counter := range []uint32{1, 2, 4} {
		s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: counter}))
	}
	const ahead = versions.Width + 476
	s.receive(peerAddr(99), s.data(wire.Data{Origin: 77, Counter: ahead}))
	s.want(s.Stats().DropAhead == 1 && s.history.origins.Get(77).Seen.Floor() == 2, "an unvalidated source advanced the window")
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: ahead}))
	s.want(s.Stats().DropBusy == 1 && s.Stats().GaveUpUnseen == 0, "a message beyond the window should be refused at first")
	s.run(aheadFor)
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: ahead}))
	// 3 and what follows 5 is given up, as far as it cannot be on its way any more.
	const floor = ahead - span
	s.want(s.Stats().GaveUpUnseen == floor-3 && len(s.got) == 4, "%d were given up, %d delivered", s.Stats().GaveUpUnseen, len(s.got))
	s.receive(peerAddr(10), s.data(wire.Data{Origin: 77, Counter: floor + 1}), s.data(wire.Data{Origin: 77, Counter: floor}))
	s.want(len(s.got) == 5, "%d should be new and the one before should not", floor+1)
	// Direct messages of the origin may go to other nodes, so a gap in their numbers is no loss.
	s.receive(peerAddr(10), s.data(wire.Data{Origin: s.peerID(10), Counter: 3 * versions.Width, Flags: wire.FlagDirect}))
	s.want(s.Stats().GaveUpUnseen == floor-3 && len(s.got) == 6, "a Direct message far ahead should be taken from a member")
}

// Direct messages are numbered together, whatever their recipients are.
func TestDirectDataOfANonMemberReachesAFullView(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9})
	s.withMembers(1, 2, 3, 4, 128, 252, 253, 254, 255)
	from, id := peerAddr(77), s.peerID(77)
	s.responsive[from] = id
	for i := range uint32(20) {
		m := s.data(wire.Data{Origin: id, Counter: 2000 + i, Flags: wire.FlagDirect, Payload: fmt.Append(nil, i)})
		acks := 0
		for range 3 { // attempts, of which the first may be answered by a probe
			if acks == 0 {
				s.receive(from, m)
				acks = len(wiretest.Only(s.run(250*time.Millisecond), wire.TypeAck, from))
			}
		}
		s.want(acks == 1 && len(s.got) == int(i+1), "of %d Direct messages, numbered from 2000 on, %d were delivered and the last acknowledged %d times: %+v", i+1, len(s.got), acks, s.Stats())
	}
	s.want(s.Members() == 9, "the members are %v", s.list())
}

// A node that sends Direct messages to many leaves gaps between the numbers that each
// receives.
func TestDirectDataWithGapsReachesAFullView(t *testing.T) {
	s := newSolo(t, Config{MaxMembers: 9})
	s.withMembers(1, 2, 3, 4, 128, 252, 253, 254, 255)
	from, id := peerAddr(77), s.peerID(77)
	s.responsive[from] = id
	for i, counter := range []uint32{2000, 2001, 2100, 3000, 9000} {
		for range 3 { // attempts
			s.receive(from, s.data(wire.Data{Origin: id, Counter: counter, Flags: wire.FlagDirect, Payload: fmt.Append(nil, counter)}))
			s.run(250 * time.Millisecond)
		}
		s.want(len(s.got) == i+1, "of %d Direct messages, the last with the number %d, %v were delivered: %+v", i+1, counter, s.got, s.Stats())
	}
}

func TestLogCountsWhatItCannotRetain(t *testing.T) {
	s := newSolo(t, Config{DataLogSize: 32 << 10})
	s.join()
	for range 1000 {
		s.publish(make([]byte, 100))
	}
	st := s.Stats()
	s.want(st.Evicted > 0 && st.Evicted+uint64(st.Retained) == 1000, "of 1000 messages %d are retained and %d evicted", st.Retained, st.Evicted)
}

func TestLogCountsAMessageLargerThanItself(t *testing.T) {
	s := newSolo(t, Config{DataLogSize: 250})
	s.join()
	s.publish(make([]byte, 100))
	st := s.Stats()
	s.want(st.Retained == 0 && st.Evicted == 1, "a message that is larger than the log is counted %d times, and %d are retained", st.Evicted, st.Retained)
}
