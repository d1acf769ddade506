package node

import (
	"net/netip"
	"slices"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// peerAddr returns the address of the i-th peer.
func peerAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 7070)
}

// anyAddr stands, where messages are selected, for every recipient.
var anyAddr netip.AddrPort

// unknownAddr is an address without a member.
var unknownAddr = netip.MustParseAddrPort("203.0.113.9:999")

// peerID returns the id of a peer whose place on the ring is steps 1/256ths of it clockwise
// from the node.
func (s *solo) peerID(steps int) uint64 { return s.ID() + uint64(steps)<<56 }

// The messages of peers, each with the next sequence number.

func (s *solo) message(kind wire.Type, body []byte) []byte {
	s.seq++
	return append(wire.Header{Type: kind, Tag: s.out.tag, Seq: s.seq}.AppendTo(nil), body...)
}

func (s *solo) hello(id uint64, addr netip.AddrPort, token uint64) []byte {
	return s.message(wire.TypeHello, wire.Hello{
		Version: wire.Version, Size: uint16(s.config.MaxMessageSize), Token: token, From: wire.Member{ID: id, Addr: addr}, Cluster: s.seals.cluster,
	}.AppendTo(nil))
}

func (s *solo) welcome(hello uint32, token, id uint64, addr netip.AddrPort) []byte {
	return s.message(wire.TypeWelcome, wire.Welcome{
		Hello: hello, Token: token, Size: uint16(s.config.MaxMessageSize), From: wire.Member{ID: id, Addr: addr}, Observed: s.config.Local,
	}.AppendTo(nil))
}

func (s *solo) memberList(news bool, members ...wire.Member) []byte {
	l := wire.WriteList(nil, 0)
	if news {
		l = wire.WriteList(nil, wire.News)
	}
	for _, m := range members {
		s.want(l.Add(m, 1<<20), "member %v does not fit", m)
	}
	return s.message(wire.TypeMemberList, l.Body())
}

func (s *solo) ack(seqs ...uint32) []byte {
	return s.message(wire.TypeAck, wire.AppendAck(nil, single(seqs), false))
}

// refusal refuses messages for want of room.
func (s *solo) refusal(seqs ...uint32) []byte {
	return s.message(wire.TypeAck, wire.AppendAck(nil, single(seqs), true))
}

// single returns a run for each sequence number.
func single(seqs []uint32) (runs []wire.AckRun) {
	for _, seq := range seqs {
		runs = append(runs, wire.AckRun{First: seq})
	}
	return runs
}

func (s *solo) data(d wire.Data) []byte { return s.message(wire.TypeData, d.AppendTo(nil)) }

func (s *solo) status(m wire.Status) []byte { return s.message(wire.TypeStatus, m.AppendTo(nil)) }

func (s *solo) goodbye(id uint64) []byte {
	return s.message(wire.TypeLeave, wire.AppendLeave(nil, id))
}

// everything is a full Status that has seen all messages of each origin up to its floor.
func everything(floors map[uint64]uint32) wire.Status {
	m := wire.Status{Mode: wire.Full}
	ids := make([]uint64, 0, len(floors))
	for id := range floors {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		m.Digest.Add(id, floors[id], nil, 1<<16)
	}
	return m
}

// answer answers m if its recipient is responsive, after an echo if it echoes.
func (s *solo) answer(m wiretest.Message) {
	if m.Kind == wire.TypeHello && s.echoing[m.To] > 0 {
		s.echoing[m.To]--
		s.handle(m.To, m.Hello.AppendTo(wire.Header{Type: m.Kind, Tag: m.Tag, Seq: m.Seq}.AppendTo(nil)))
	}
	if b := s.reply(m); b != nil {
		s.handle(m.To, b)
	}
}

// reply returns the answer of a responsive peer to m, nil if there is none.
func (s *solo) reply(m wiretest.Message) []byte {
	id, ok := s.responsive[m.To]
	refuses, deaf := s.deaf[m.To]
	switch {
	case !ok:
	case deaf && m.Kind == wire.TypeData:
		if refuses {
			return s.refusal(m.Seq)
		}
	case m.Kind == wire.TypeHello && m.Hello.Token == 0:
		return s.welcome(m.Seq, 7, id, m.To)
	case m.Kind == wire.TypeHello, m.Kind == wire.TypeMemberList && !m.News && !m.Lost,
		m.Kind == wire.TypeData && m.Data.Flags&wire.FlagPull == 0,
		m.Kind == wire.TypeStatus && m.Status.Mode != wire.Offer && m.Status.Mode != wire.Request:
		return s.ack(m.Seq)
	}
	return nil
}

// addMember makes a responsive peer a member, by the two Hellos of a newcomer.
func (s *solo) addMember(id uint64, addr netip.AddrPort) {
	s.t.Helper()
	s.helloTwice(id, addr, addr)
	m := s.peers.members.Get(id)
	s.want(m != nil && m.Addr == addr && m.Validated, "a Hello with a token from %v did not make it a member: %+v", addr, m)
	s.responsive[addr] = id
}

// helloTwice sends the two Hellos of a newcomer from an address, which name its address as
// at.
func (s *solo) helloTwice(id uint64, from, at netip.AddrPort) {
	s.t.Helper()
	s.receive(from, s.hello(id, at, 0))
	w := s.sent(wire.TypeWelcome, from)
	s.want(len(w) == 1, "%d Welcomes answer a Hello from %v", len(w), from)
	s.receive(from, s.hello(id, at, w[0].Welcome.Token))
}

// withMembers makes the node a seed with responsive members around the ring, and waits until
// nothing is queued for them.
func (s *solo) withMembers(steps ...int) {
	s.t.Helper()
	s.join()
	for _, i := range steps {
		s.addMember(s.peerID(i), peerAddr(i))
	}
	s.run(6 * time.Second)
	s.want(s.out.queue.Stats().Recipients == 0, "6 s after the last Hello something is queued: %+v", s.Stats())
}
