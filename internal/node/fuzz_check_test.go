package node

import (
	"strings"
	"testing"

	"example.com/gossip/internal/datalog"
	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/wire"
)

// check fails unless what must hold between two steps holds.
func (f *fuzzed) check() {
	c, members, h := &f.config, f.peers.members, &f.history
	f.want(f.Events() == 0, "%d events wait", f.Events())
	f.checkQueue()
	f.want(members.Len() <= c.MaxMembers && members.Lost() <= c.MaxMembers && members.Seeds() <= c.MaxMembers,
		"there are %d members, %d lost ones and %d seeds", members.Len(), members.Lost(), members.Seeds())
	f.want(h.log.Bytes() <= c.DataLogSize && h.origins.Len() <= c.origins(), "%d bytes of %d origins are retained", h.log.Bytes(), h.origins.Len())
	for i := range members.Len() {
		m := members.At(i)
		f.want(members.Get(m.ID) == m && members.ByAddr(m.Addr) == m && m.ID != f.ID(), "the member %x at %v is not found", m.ID, m.Addr)
	}
	f.want(f.named || f.bytesOut <= timesMost*f.bytesIn, "%d bytes went to an unvalidated source for %d", f.bytesOut, f.bytesIn)
	switch f.State() {
	case Connected:
		f.want(members.Len() > 0 || f.isSeed(), "a node without members is CONNECTED")
	case Joining, Disconnected, Left, Initialized:
		f.want(members.Len() == 0, "a node with %d members is %v", members.Len(), f.State())
	}
}

// checkQueue fails unless the outbox holds what it counts, within its bounds, and all of it
// can be sent.
func (f *fuzzed) checkQueue() {
	q, room := f.out.queue.Stats(), f.config.MaxMessageSize
	if f.seals.keys.Seals() {
		room = f.out.room
	}
	control, data, hellos := 0, 0, 0
	onTheirWay := map[uint32]int{} // copies of messages of the node
	for e := range f.out.queue.All() {
		switch {
		case e.IsData():
			data++
			if e.Class == outbox.Own && e.Flags&wire.FlagDirect == 0 {
				onTheirWay[e.Entry.Counter]++
			}
		case e.Kind == wire.TypeHello:
			hellos++
			fallthrough
		default:
			control++
		}
		f.want(e.Size() <= room, "a %v of %d bytes waits for a datagram of %d", e.Kind, e.Size(), room)
		found := e
		if e.Seq != 0 {
			found, _, _ = f.out.queue.Answered(e.To(), e.Seq)
		}
		f.want(found == e, "the %v %d is not found", e.Kind, e.Seq)
		f.want(e.Attempts == UntilAnswered || int(e.Attempt) <= int(e.Attempts), "a %v waits after attempt %d of %d", e.Kind, e.Attempt, e.Attempts)
	}
	f.want(control == q.Control && data == q.Data && hellos == q.Hellos, "there are %d control messages, %d Data and %d Hellos, counted: %+v", control, data, hellos, q)
	f.checkBacklog(onTheirWay)
	most := f.config.MaxOutputMessages
	f.want(control <= most && data <= most && q.Recipients <= 4*most && q.Acks <= outbox.MostAcks*q.Recipients, "a bound is exceeded: %+v", q)
	_, any := f.out.queue.Deadline()
	f.want(q.Recipients == 0 || any || f.Pending(), "nothing will cause what is queued to be sent: %+v", q)
}

// checkBacklog fails unless the backlog holds what it counts.
func (f *fuzzed) checkBacklog(copies map[uint32]int) {
	b, waiting, bytes := &f.self.backlog, 0, 0
	for i := range b.own.Len() {
		m, counter := b.own.At(i), b.first+uint32(i)
		if m.entry == nil {
			f.want(i > 0, "the backlog begins with message %d, which is not there", counter)
			continue
		}
		f.want(m.entry.Counter == counter, "message %d is in the place of %d", m.entry.Counter, counter)
		f.want(m.copies == copies[counter], "message %d counts %d copies and has %d", counter, m.copies, copies[counter])
		if m.copies == 0 {
			waiting, bytes = waiting+1, bytes+datalog.Overhead+len(m.entry.Payload)
		}
	}
	f.want(b.waiting == waiting && b.bytes == bytes, "%d messages of %d bytes wait, counted: %d of %d", waiting, bytes, b.waiting, b.bytes)
	f.want(b.own.Len() <= mostOwn, "the backlog has %d numbers", b.own.Len())
}

func FuzzNode(f *testing.F) {
	data := func(source, counter, flags byte) string {
		return string([]byte{'d', source, 2, counter, 0, flags, 1, 0, 255, 5})
	}
	turns := func(rest byte) string { return strings.Repeat("tor"+string(rune(rest)), 12) + "ai" }
	for _, program := range []string{
		"\x20r\x0atoaj\x01lj\x00oh\x00\x80\x02\x00\x05lj\x02" + turns(9),                                                      // joins, reaches itself, joins in vain
		"\x00h\x03\x00\x05\x05oh\x03\x01\x05\x05oatoah\x03\x01\x06\x06h\x01\x01\x05\x05toa",                                   // admits a node
		"\x00u\x05oau\x06oau\x03u\x1foa" + turns(8),                                                                           // sends to all, to one, to an address without a node
		"\x08u\x05u\x05" + turns(10) + turns(10) + data(0, 1, 0) + "toa",                                                      // has no answer, then one
		"\x00" + data(0, 0, wire.FlagArc) + "o" + turns(8) + data(0, 0, wire.FlagArc|wire.FlagNoOut),                          // forwards an arc
		"\x00" + data(0, 0, wire.FlagRumor) + "oa" + data(1, 0, wire.FlagRumor) + turns(6),                                    // forwards a rumor
		"\x00" + data(0, 0, wire.FlagPull) + "r\x08s\x01\x00\x00s\x02\x02\x01\x02\x00\x00\x03oau\x05d\x00\x00\x09" + turns(5), // repairs, and skips numbers used by others
		"\x02" + data(0, 1, 0) + data(0, 0, 0) + data(0, 9, 0) + turns(11),                                                    // keeps the order
		"\x04s\x00\x00\x01\x02\x09\x01\x01" + data(0, 4, 0) + data(0, 12, 0),                                                  // skips history
		"\x00m\x00\x83\x06\x06\x07\x07\x03\x08" + turns(7) + "u\x05g\x00\x02g\x01\x03g\x02\x04toa",                            // learns of members, which leave
		"\x01u\x05oae\x01u\x05oae\x02u\x05oae\x03u\x05oae\x04u\x05oae\x05u\x05oae\x06u\x05oa",                                 // changes its keys
		"\x10h\x04\x00\x06\x05" + data(12, 0, wire.FlagArc) + "s\x04\x00\x00k\x04\x02\x00\x01or\x0cto",                        // answers an unvalidated source
		"\x00cu" + data(0, 0, 0) + "\x05ci" + data(0, 1, 0) + "cl" + data(0, 2, 0) + "oj\x01cz" + data(0, 3, 0),               // is driven while an event is acted on
		"0m70ow00000o", // is answered in the name of the unvalidated source
		"\x00b\x00\x0c\x00\x05\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00b\x04\x01\x07toi", // handles bytes without a meaning
	} {
		f.Add([]byte(program))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 || len(program) > 300 {
			return
		}
		n := newFuzzed(t, program)
		for n.check(); len(n.program) > 0; n.check() {
			n.step()
		}
	})
}
