package node

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/outbox"
	"example.com/gossip/internal/ring"
	"example.com/gossip/internal/wire"
)

// crammed is a node of which every table is full: the view and the lost members, origins, most
// of them with gaps, the log, and the queues of control and of Data.
type crammed struct {
	*solo
	rng     *rand.Rand
	members []uint64 // ids of validated members, at crammedAddr
	origins []uint64
	chatty  uint64 // the origin of most messages of the log
	last    uint32 // its last number
	fresh   uint64 // ids that were made up
	answers []uint32
	member  netip.AddrPort
}

func crammedAddr(host byte, i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, host, byte(i >> 8), byte(i)}), 7070)
}

// newCrammed returns a node of which every table is full, except that the view has room for
// more if it is to be roomy.
func newCrammed(t testing.TB, seed uint64, config Config, roomy bool) *crammed {
	s := &crammed{solo: newSolo(t, config), rng: rand.New(rand.NewPCG(seed, 1))}
	s.act = func(Event) {}
	s.join()
	s.at = time.Hour
	for i := range 1024 { // the lost ones
		id := s.rng.Uint64() | 1
		s.peers.members.Admit(id, crammedAddr(2, i), s.at)
		s.peers.members.Lose(s.peers.members.Get(id), s.at)
	}
	for i := range 8 * s.config.MaxMembers { // so many that octaves are as full as they get
		if roomy && 2*s.peers.members.Len() > s.config.MaxMembers {
			break
		}
		if id := s.rng.Uint64() | 1; s.peers.members.ByAddr(crammedAddr(1, i)) == nil {
			s.peers.members.Admit(id, crammedAddr(1, i), s.at)
		}
	}
	for i := range s.config.MaxMembers / 4 { // not validated
		s.peers.members.Learn(s.rng.Uint64()|1, crammedAddr(3, i), s.member, s.at)
	}
	for i := range s.peers.members.Len() {
		if m := s.peers.members.At(i); m.Validated {
			s.members = append(s.members, m.ID)
		}
	}
	s.member = s.peers.members.Get(s.members[0]).Addr
	s.self.owes = true
	h := &s.history
	for i := range s.config.origins() - 2 {
		id := s.rng.Uint64()
		o := h.repair.Origin(s.at, id, uint64(i%1500)|1<<63)
		s.origins = append(s.origins, id)
		for c := uint32(1); c < 40; c += 1 + uint32(i%3) {
			o.Seen.Add(c, h.origins.Pool())
			o.Taken(c, h.origins.Pool())
		}
	}
	slices.Sort(s.origins)
	s.chatty = s.origins[len(s.origins)/2]
	o := h.origins.Get(s.chatty)
	for h.log.Evicted() == 0 {
		for range 1000 {
			s.last++
			o.Seen.Add(s.last, h.origins.Pool())
			h.log.Release(h.log.Put(s.chatty, s.last, nil, s.at))
		}
		for range 10 {
			h.log.Release(h.log.Put(s.origins[s.rng.IntN(len(s.origins))], 1, nil, s.at))
		}
	}
	s.at += time.Hour - time.Second // nothing is idle long enough to make room
	return s
}

// load fills the queues, with messages that the peers may answer.
func (s *crammed) load() {
	s.out.queue.Clear()
	s.answers = s.answers[:0]
	s.peers.questions.refill(mostProbes)
	if m := s.peers.members.ByAddr(unknownAddr); m != nil { // a Hello made it one
		s.peers.members.Depart(m, s.at)
	}
	e := s.history.log.Detached(s.chatty, s.last, nil, s.at)
	defer s.history.log.Release(e)
	if s.peers.members.ByAddr(s.member) == nil {
		s.peers.members.Admit(s.newID(), s.member, s.at)
	}
	for i := range s.config.MaxOutputMessages {
		to := s.peers.members.At(i % s.peers.members.Len()).Addr
		s.out.body = wire.AppendLeave(s.out.body[:0], 1)
		s.out.queue.Emit(to, wire.TypeMemberList, s.out.body, 3)
		to = s.member
		if i%4 != 0 {
			to = s.peers.members.At(i % s.peers.members.Len()).Addr
		}
		s.out.queue.EmitData(to, outbox.Copy{Entry: e, Class: outbox.Relayed, Arc: ring.AllBut(s.ID())}, UntilAnswered)
	}
	for range 2 * s.config.MaxOutputMessages {
		if b, _ := s.Next(s.at, s.outgoing); len(b) == 0 {
			break
		}
	}
	for e := range s.out.queue.All() {
		if e.To() == s.member && e.IsData() && e.Seq != 0 {
			s.answers = append(s.answers, e.Seq)
		}
	}
	slices.Sort(s.answers)
}

func (s *crammed) newID() uint64    { s.fresh++; return s.rng.Uint64() | 1 }
func (s *crammed) anOrigin() uint64 { return s.origins[s.rng.IntN(len(s.origins))] }
func (s *crammed) aMember() uint64  { return s.members[s.rng.IntN(len(s.members))] }

// records is a digest of origins, of which each has runs like those.
func (s *crammed) records(mode wire.Mode, most int, floor uint32, runs []wire.Run, next func() uint64) []byte {
	m := wire.Status{Mode: mode}
	var ids []uint64
	for range most {
		ids = append(ids, next())
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		m.Digest.Add(id, floor, runs, s.out.room-wire.StatusOverhead)
	}
	return s.status(m)
}

func holes(first, step, length uint32, n int) (runs []wire.Run) {
	for i := range uint32(n) {
		runs = append(runs, wire.Run{First: first + i*step, Last: first + i*step + length - 1})
	}
	return runs
}

var shapes = []struct {
	name string
	next func(s *crammed, from netip.AddrPort) []byte
}{
	{"Hello", func(s *crammed, from netip.AddrPort) []byte { return s.hello(s.newID(), netip.AddrPort{}, 0) }},
	{"Hello of a newcomer with a token", func(s *crammed, from netip.AddrPort) []byte {
		return s.hello(s.newID(), netip.AddrPort{}, s.tokens.Make(from, s.at))
	}},
	{"Hello of a member with a token", func(s *crammed, from netip.AddrPort) []byte {
		return s.hello(s.aMember(), netip.AddrPort{}, s.tokens.Make(from, s.at))
	}},
	{"Hello of a node elsewhere", func(s *crammed, from netip.AddrPort) []byte {
		return s.hello(s.newID(), crammedAddr(9, s.rng.IntN(60000)), s.tokens.Make(from, s.at))
	}},
	{"Welcome", func(s *crammed, from netip.AddrPort) []byte {
		return s.welcome(s.rng.Uint32(), 7, s.newID(), netip.AddrPort{})
	}},
	{"list of new members", func(s *crammed, from netip.AddrPort) []byte {
		var l []wire.Member
		for i := range 28 {
			l = append(l, wire.Member{ID: s.newID(), Addr: crammedAddr(10, s.rng.IntN(60000)+i)})
		}
		return s.memberList(true, l...)
	}},
	{"list of near members", func(s *crammed, from netip.AddrPort) []byte {
		var l []wire.Member
		for i := range 28 {
			l = append(l, wire.Member{ID: s.ID() + uint64(s.rng.Uint32())<<16, Addr: crammedAddr(10, s.rng.IntN(60000)+i)})
		}
		return s.memberList(true, l...)
	}},
	{"list of members elsewhere", func(s *crammed, from netip.AddrPort) []byte {
		var l []wire.Member
		for range 28 {
			l = append(l, wire.Member{ID: s.aMember(), Addr: crammedAddr(11, s.rng.IntN(60000))})
		}
		return s.memberList(true, l...)
	}},
	{"list of lost members", func(s *crammed, from netip.AddrPort) []byte {
		var l []wire.Member
		for range 28 {
			l = append(l, wire.Member{ID: s.newID(), Addr: crammedAddr(2, s.rng.IntN(1024))})
		}
		return s.memberList(true, l...)
	}},
	{"Ack of unknown numbers", func(s *crammed, from netip.AddrPort) []byte {
		var runs []wire.AckRun
		for i := range 8 {
			runs = append(runs, wire.AckRun{First: 1<<31 + uint32(256*i), More: 255})
		}
		return s.message(wire.TypeAck, wire.AppendAck(nil, runs, false))
	}},
	{"Ack of what waits", func(s *crammed, from netip.AddrPort) []byte {
		if len(s.answers) == 0 || from != s.member {
			return s.ack(1)
		}
		first := s.answers[0]
		n := 1
		for n < len(s.answers) && n < 256 && s.answers[n] == first+uint32(n) {
			n++
		}
		s.answers = s.answers[n:]
		return s.message(wire.TypeAck, wire.AppendAck(nil, []wire.AckRun{{First: first, More: uint8(n - 1)}}, false))
	}},
	{"Data of new origins", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.newID(), Counter: 1, Flags: wire.FlagPull})
	}},
	{"Data of known origins", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.anOrigin(), Counter: 40 + uint32(s.rng.IntN(900)), Flags: wire.FlagPull})
	}},
	{"Data that widens", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.anOrigin(), Counter: 1024 << s.rng.IntN(3), Flags: wire.FlagPull})
	}},
	{"Data far ahead", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.anOrigin(), Counter: s.rng.Uint32()})
	}},
	{"Broadcast to pass on", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.newID(), Counter: 1, Flags: wire.FlagArc, Lo: ring.Pos(s.ID()) + 1, Hi: ring.Pos(s.ID())})
	}},
	{"Broadcast to pass on, known origin", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.anOrigin(), Counter: 40 + uint32(s.rng.IntN(900)), Flags: wire.FlagArc, Lo: ring.Pos(s.ID()) + 1, Hi: ring.Pos(s.ID())})
	}},
	{"Random to pass on", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.anOrigin(), Counter: 40 + uint32(s.rng.IntN(900)), Flags: wire.FlagRumor})
	}},
	{"Direct", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.anOrigin(), Counter: 1 + uint32(s.rng.IntN(900)), Flags: wire.FlagDirect})
	}},
	{"Data in the node's own name", func(s *crammed, from netip.AddrPort) []byte {
		return s.data(wire.Data{Origin: s.ID(), Counter: s.rng.Uint32()})
	}},
	{"page that names nothing", func(s *crammed, from netip.AddrPort) []byte { return s.status(everything(nil)) }},
	{"page of many origins", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Full, 36, 0, nil, s.anOrigin)
	}},
	{"page of unknown origins", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Full, 36, 5, nil, s.newID)
	}},
	{"page with holes", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Full, 1, s.last-1000, holes(s.last-998, 2, 1, 115), func() uint64 { return s.chatty })
	}},
	{"page of the chatty origin", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Full, 1, 0, holes(2, 65536, 65535, 100), func() uint64 { return s.chatty })
	}},
	{"summary", func(s *crammed, from netip.AddrPort) []byte { return s.status(summaryOf(s.rng.Uint64())) }},
	{"offer of many", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Offer, 28, 0, holes(1, 1, 8192, 1), s.anOrigin)
	}},
	{"offer of unknown", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Offer, 28, 0, holes(1, 1, 8192, 1), s.newID)
	}},
	{"offer with holes", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Offer, 1, 0, holes(1, 8, 7, 115), s.anOrigin)
	}},
	{"short offers", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Offer, 1, 0, holes(1, 1, 8192, 1), s.anOrigin)
	}},
	{"request of all", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Request, 1, 0, holes(1, 65536, 65535, 100), func() uint64 { return s.chatty })
	}},
	{"request of the latest", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Request, 1, s.last-1000, holes(s.last-999, 1, 1000, 1), func() uint64 { return s.chatty })
	}},
	{"request of what is gone", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Request, 1, s.last-60000, holes(s.last-60000, 256, 1, 100), func() uint64 { return s.chatty + 1 })
	}},
	{"request of the first and of what does not exist", func(s *crammed, from netip.AddrPort) []byte {
		first := s.last - 500
		return s.records(wire.Request, 1, first-1, []wire.Run{{First: first + 60001, Last: first + 60001}, {First: first + 60001 + 65535, Last: first + 60001 + 65535}}, func() uint64 { return s.chatty })
	}},
	{"request of many", func(s *crammed, from netip.AddrPort) []byte {
		return s.records(wire.Request, 28, 0, holes(1, 1, 8192, 1), s.anOrigin)
	}},
	{"goodbye", func(s *crammed, from netip.AddrPort) []byte { return s.goodbye(s.newID()) }},
	{"goodbye of the source", func(s *crammed, from netip.AddrPort) []byte {
		if m := s.peers.members.ByAddr(from); m != nil {
			return s.goodbye(m.ID)
		}
		return s.goodbye(s.newID())
	}},
	{"goodbyes of members", func(s *crammed, from netip.AddrPort) []byte { return s.goodbye(s.aMember()) }},
	{"list of members that are gone", func(s *crammed, from netip.AddrPort) []byte {
		list := wire.WriteList(nil, wire.Lost)
		for range 28 {
			m := s.peers.members.At(s.rng.IntN(s.peers.members.Len()))
			list.Add(wire.Member{ID: m.ID, Addr: m.Addr}, s.out.room)
		}
		return s.message(wire.TypeMemberList, list.Body())
	}},
	{"news of new members", func(s *crammed, from netip.AddrPort) []byte {
		list := wire.WriteList(nil, wire.News)
		for i := range 28 {
			list.Add(wire.Member{ID: s.newID(), Addr: crammedAddr(10, s.rng.IntN(60000)+i)}, s.out.room)
		}
		return s.message(wire.TypeMemberList, list.Body())
	}},
}

// datagram returns one of at most 512 bytes of messages of one shape.
func (s *crammed) datagram(from netip.AddrPort, next func(*crammed, netip.AddrPort) []byte) (b []byte) {
	for range 64 {
		if m := next(s, from); len(b)+len(m) <= s.out.room {
			b = append(b, m...)
		} else if len(b) > 0 {
			break
		}
	}
	return b
}

// mutated returns a datagram of messages of different shapes, of which some bits may be wrong.
func (s *crammed) mutated(from netip.AddrPort) (b []byte) {
	for range 64 {
		if m := shapes[s.rng.IntN(len(shapes))].next(s, from); len(b)+len(m) <= s.out.room {
			b = append(b, m...)
		}
	}
	for range s.rng.IntN(3) {
		i := s.rng.IntN(len(b))
		b[i] ^= 1 << s.rng.IntN(8)
	}
	return b
}

// costOf returns the least time, of several, that a node takes for a datagram of that kind, while
// its queues are full or empty, whichever is more.
func (s *crammed) costOf(from netip.AddrPort, datagram func() []byte) (most time.Duration) {
	for _, full := range []bool{true, false} {
		least := time.Hour
		s.load()
		for range 20 {
			b := s.arriving(datagram())
			if !full {
				s.out.queue.Clear()
			}
			s.peers.questions.refill(mostProbes)
			s.peers.eager = mostEager
			start := time.Now()
			s.Handle(s.at, from, b)
			least = min(least, time.Since(start))
			s.drain()
		}
		most = max(most, least)
	}
	return most
}

// BenchmarkDearestDatagram searches for the datagram of 512 bytes that costs a node with full
// tables most, of every shape and of mixed and mutated ones, and names it. Run it with -v and
// -benchtime 1x.
func BenchmarkDearestDatagram(b *testing.B) {
	for _, size := range []int{256 << 10, 64 << 20} {
		for i := range 3 {
			sealed, roomy := i == 1, i == 2
			b.Run(fmt.Sprint("log of ", size>>10, " KiB, sealed ", sealed, ", a view with room ", roomy), func(b *testing.B) {
				config := Config{DataLogSize: size}
				if sealed {
					config.Keys = [][]byte{testKey('k')}
				}
				s := newCrammed(b, 1, config, roomy)
				if sealed {
					s.sealWith(testKey('k'))
				}
				type kind struct {
					what string
					cost time.Duration
				}
				var kinds []kind
				for range b.N {
					kinds = kinds[:0]
					for who, from := range map[string]netip.AddrPort{"a member": s.member, "a stranger": unknownAddr} {
						for _, shape := range shapes {
							cost := s.costOf(from, func() []byte { return s.datagram(from, shape.next) })
							kinds = append(kinds, kind{shape.name + " of " + who, cost})
						}
						kinds = append(kinds, kind{"a mutation of " + who, s.costOf(from, func() []byte { return s.mutated(from) })})
					}
				}
				slices.SortFunc(kinds, func(a, b kind) int { return int(b.cost - a.cost) })
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(kinds[0].cost.Nanoseconds())/1e3, "µs-for-the-dearest")
				for _, k := range kinds[:16] {
					b.Logf("%7.1f µs  %s", float64(k.cost.Nanoseconds())/1e3, k.what)
				}
			})
		}
	}
}

// The work that a datagram causes is counted in messages of the log and origins that are looked
// at, and in what it queues, so that it can be held to bounds: it does not grow with the tables
// or the log.
func TestWorkForADatagramIsBounded(t *testing.T) {
	const mostVisits, mostCopies = 300, 16 * 17 // those of 16 empty messages to be passed on
	for _, size := range []int{256 << 10, 8 << 20} {
		s := newCrammed(t, 2, Config{DataLogSize: size, MaxMembers: 256}, false)
		for member := range 2 {
			for i, shape := range shapes {
				s.load()
				from := s.member
				if member == 0 {
					from = crammedAddr(77, i)
				}
				b := s.datagram(from, shape.next)
				visits, queued := s.history.log.Visits()+s.history.origins.Visits(), s.out.queue.Stats().Data
				s.handle(from, b)
				visits, queued = s.history.log.Visits()+s.history.origins.Visits()-visits, s.out.queue.Stats().Data-queued
				s.want(visits <= mostVisits, "%s of %v costs %d visits with a log of %d bytes", shape.name, from, visits, size)
				most := mostRepairs + 1 // the one that passes the budget
				if strings.Contains(shape.name, "pass on") {
					most = mostCopies
				}
				s.want(queued <= most && queued >= -128, "%s of %v adds %d messages to the queue", shape.name, from, queued)
			}
		}
	}
}

// What a datagram asks for is asked by the next turns, a few nodes in each.
func TestControlForADatagramIsBounded(t *testing.T) {
	const mostControl = 9
	for _, roomy := range []bool{false, true} {
		s := newCrammed(t, 2, Config{MaxMembers: 256}, roomy)
		for i, shape := range shapes {
			for _, from := range []netip.AddrPort{s.member, crammedAddr(77, i)} {
				s.load()
				b := s.datagram(from, shape.next)
				s.out.queue.Clear()
				s.peers.questions.refill(mostProbes)
				s.peers.eager = mostEager
				s.handle(from, b)
				s.want(s.out.queue.Stats().Control <= mostControl, "%s of %v queues %d messages of control", shape.name, from, s.out.queue.Stats().Control)
				for s.peers.asks.Len() > 0 {
					s.out.queue.Clear()
					s.sendAsks(s.at)
					s.want(s.out.queue.Stats().Hellos <= mostAsks, "after %s of %v, %d Hellos are queued in a turn", shape.name, from, s.out.queue.Stats().Hellos)
				}
			}
		}
	}
}

// To admit a node to a full view costs a search for a member to evict.
func TestDatagramBringsFewMembersToAFullView(t *testing.T) {
	s := newCrammed(t, 3, Config{MaxMembers: 256}, false)
	for what, least := range map[string]int{"list of new members": 28 - mostPassed/256, "list of near members": 28 - mostPassed/256, "Hello of a newcomer with a token": 11 - helloBudget} {
		for _, shape := range shapes {
			if shape.name == what {
				s.load()
				before := s.Stats().DropMember
				s.handle(s.member, s.datagram(s.member, shape.next))
				refused := s.Stats().DropMember - before
				s.want(refused >= uint64(least), "of what one datagram brings, a %s, %d are refused and not %d", what, refused, least)
			}
		}
	}
}
