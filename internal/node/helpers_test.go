package node

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// solo is one node without a network. Its peers are addresses that the test sends datagrams
// from, and its clock stands still until the test moves it.
type solo struct {
	*Node
	t          testing.TB
	at         time.Duration
	got        []string // payloads that were delivered
	states     []State  // that the node came to
	records    []Record
	responsive map[netip.AddrPort]uint64 // peers that answer in run, and their ids
	echoing    map[netip.AddrPort]int    // how many Hellos to these addresses come back in run, before any answer
	deaf       map[netip.AddrPort]bool   // those of them that take no Data, and whether they refuse it

	act      func(e Event)                     // on the node's events; note by default
	sink     func(b []byte, to netip.AddrPort) // takes the node's datagrams, if it is set
	seq      uint32                            // of the last message of any peer
	theirs   *seals                            // of the peers; nil: they send in clear
	incoming []byte
	outgoing []byte
}

// soloSeed is the seed of the randomness of every solo node: each run of a test is the same.
const soloSeed = 42

func newSolo(t testing.TB, config Config) *solo {
	t.Helper()
	return newSoloAt(t, netip.MustParseAddrPort("192.0.2.1:7070"), config)
}

func newSoloAt(t testing.TB, local netip.AddrPort, config Config) *solo {
	t.Helper()
	config.Local = local
	config = withDefaults(config)
	s := &solo{
		Node: New(0, config, [32]byte{soloSeed}), t: t, responsive: map[netip.AddrPort]uint64{}, echoing: map[netip.AddrPort]int{}, seq: 1000,
		incoming: make([]byte, config.MaxMessageSize+sealedSize+1), outgoing: make([]byte, BufferSize(config.MaxMessageSize)),
	}
	s.act = s.note
	return s
}

// withDefaults fills those fields of c that are zero with the defaults of gossip.Config.
func withDefaults(c Config) Config {
	preset(&c.TickInterval, time.Second)
	preset(&c.RetryInterval, 250*time.Millisecond)
	preset(&c.AckDelay, 10*time.Millisecond)
	preset(&c.OrderedWait, 5*time.Second)
	preset(&c.RumorFactor, 3)
	preset(&c.BroadcastFactor, 16)
	preset(&c.MaxMessageSize, 512)
	preset(&c.MaxOutputMessages, 1024)
	preset(&c.MaxMembers, 1024)
	preset(&c.DataLogSize, 256<<10)
	preset(&c.Attempts, attemptsOf(3))
	return c
}

func preset[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// attemptsOf returns the Attempts that gossip.Config.RetryAttempts n stands for.
func attemptsOf(n int) Attempts {
	return Attempts{Hello: n, Verify: UntilAnswered, Probe: 1, MemberList: n, Data: UntilAnswered, Stray: n, Status: n, Anycast: UntilAnswered}
}

func direct(to netip.AddrPort) Spread { return Spread{Kind: Direct, To: to} }

// join joins seeds; without any the node is a seed.
func (s *solo) join(seeds ...netip.AddrPort) {
	s.t.Helper()
	err := s.Join(s.at, seeds)
	s.want(err == nil, "Join of %v failed: %v", seeds, err)
	s.drain()
}

func (s *solo) leave() {
	s.Leave(s.at)
	s.drain()
}

func (s *solo) close() {
	s.Close(s.at)
	s.drain()
}

// publish spreads a payload, as a Broadcast by default.
func (s *solo) publish(payload []byte, spread ...Spread) {
	s.t.Helper()
	err := s.tryPublish(payload, spread...)
	s.want(err == nil, "Publish failed: %v", err)
}

func (s *solo) tryPublish(payload []byte, spread ...Spread) error {
	room := s.HasRoom(s.at)
	err := s.Publish(s.at, payload, append(spread, Spread{})[0])
	s.want(!room || err != ErrFull && err != ErrDirectFull, "there is room, but Publish returns %v: %+v", err, s.Stats())
	return err
}

// handle lets the node handle a datagram that came from an address.
func (s *solo) handle(from netip.AddrPort, b []byte) {
	s.Handle(s.at, from, s.arriving(b))
	s.drain()
}

// arriving returns a datagram of a peer as it arrives, sealed if the peers seal.
func (s *solo) arriving(b []byte) []byte {
	if s.theirs != nil {
		n := copy(s.incoming[sealedFront:], b)
		to, node := wire.ToID, s.ID()
		if h, _ := wire.ParseHeader(b); h.Type.IsContact() {
			to, node = wire.ToAny, 0
		}
		return s.theirs.close(s.incoming[:sealedFront+n], s.out.tag, to, node)
	}
	return s.incoming[:copy(s.incoming, b)]
}

// receive lets the node handle one datagram of these messages.
func (s *solo) receive(from netip.AddrPort, messages ...[]byte) {
	s.handle(from, slices.Concat(messages...))
}

// tick lets the node do what is due, and returns how long the loop may wait then.
func (s *solo) tick() (wait time.Duration) {
	s.Tick(s.at)
	s.drain()
	return s.Deadline(s.at) - s.at
}

// drain acts on the events that wait.
func (s *solo) drain() {
	for e, ok := s.Event(); ok; e, ok = s.Event() {
		s.act(e)
		s.Release(e)
	}
}

func (s *solo) note(e Event) {
	switch {
	case e.Record != nil:
		s.records = append(s.records, *e.Record)
	case e.Change != nil:
		s.states = append(s.states, e.Change.New)
	default:
		s.got = append(s.got, string(e.Payload()))
	}
}

// send lets the node send what is due, and returns the messages unless sink takes them.
func (s *solo) send() (all []wiretest.Message) {
	s.t.Helper()
	for b, to := s.Next(s.at, s.outgoing); len(b) > 0; b, to = s.Next(s.at, s.outgoing) {
		if s.theirs != nil {
			var id uint64
			if m := s.peers.members.ByAddr(to); m != nil {
				id = m.ID
			}
			h, _ := wire.ParseHeader(b)
			var ok bool
			if b, _, ok = s.theirs.open(b, wire.Binding(h.Seq), id); !ok {
				s.want(false, "the peers cannot open a datagram to %v", to)
			}
		}
		if s.sink != nil {
			s.sink(b, to)
		} else {
			all = append(all, s.read(b, to)...)
		}
	}
	return all
}

// sent lets the node send what is due, and the Hellos that hearsay causes, and returns the messages
// of a kind to an address.
func (s *solo) sent(kind wire.Type, to netip.AddrPort) []wiretest.Message {
	s.t.Helper()
	for s.peers.asks.Len() > 0 {
		s.sendAsks(s.at)
	}
	return wiretest.Only(s.send(), kind, to)
}

// packet is a datagram, and where it goes to or comes from.
type packet struct {
	b    []byte
	addr netip.AddrPort
}

// datagrams lets the node send what is due, and returns the datagrams as they are.
func (s *solo) datagrams() (all []packet) {
	for b, to := s.Next(s.at, s.outgoing); len(b) > 0; b, to = s.Next(s.at, s.outgoing) {
		all = append(all, packet{slices.Clone(b), to})
	}
	return all
}

// read reads the messages of a datagram of the node.
func (s *solo) read(b []byte, to netip.AddrPort) []wiretest.Message {
	s.t.Helper()
	s.want(len(b) <= s.config.MaxMessageSize, "a datagram to %v has %d bytes, more than MaxMessageSize %d", to, len(b), s.config.MaxMessageSize)
	all, err := wiretest.Read(slices.Clone(b), to, s.at)
	s.want(err == nil, "%v", err)
	for _, m := range all {
		s.want(m.Tag == s.out.tag, "%v has the tag %d instead of %d", m, m.Tag, s.out.tag)
	}
	return all
}

// run is the owner's loop for d, in which the responsive peers answer at once. It returns
// the messages of the node.
func (s *solo) run(d time.Duration) (all []wiretest.Message) {
	s.t.Helper()
	end := s.at + d
	for turns := 0; ; turns++ {
		wait := s.tick()
		now := s.send()
		all = append(all, now...)
		for _, m := range now {
			s.answer(m)
		}
		s.want(turns <= 1000, "the loop does not come to rest")
		if len(now) > 0 || wait == 0 {
			continue
		}
		if s.at+wait > end {
			s.at = end
			return all
		}
		s.at, turns = s.at+wait, 0
	}
}

// list returns the members in the view.
func (s *solo) list() (all []Member) {
	for i := range s.Members() {
		all = append(all, s.Member(i))
	}
	return all
}

// want fails with a sentence unless it holds.
func (s *solo) want(holds bool, sentence string, args ...any) {
	if !holds {
		s.t.Helper()
		s.t.Fatalf("seed %d, at %v: %s", soloSeed, s.at, fmt.Sprintf(sentence, args...))
	}
}

// heavy skips a long test under the race detector, which makes it ten times as long and
// finds nothing in it, because one goroutine does all. Without the detector it runs.
func heavy(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("a long test on one goroutine, which runs without the race detector")
	}
}
