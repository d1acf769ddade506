package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// What wants an answer and gets none is sent RetryAttempts times, anything else once.
func TestHowOftenEachTypeIsSent(t *testing.T) {
	for _, attempts := range []int{1, 3, 5} {
		s := newSoloist(t, Config{RetryAttempts: attempts})
		s.seedWith(around(8)...)
		clear(s.polite)
		newcomer, id := peerAddr(300), s.peerID(300)
		s.hear(newcomer, s.hello(id, newcomer, 0))
		s.hear(newcomer, s.hello(id, newcomer, s.tokens.Make(newcomer, s.at))) // is told the members
		s.want(s.SendData([]byte("for all")) == nil, "SendData failed")
		s.want(s.SendData([]byte("for one"), Direct(Address{newcomer})) == nil, "SendData failed")
		request := wire.Status{Mode: wire.Request, Last: wire.LastOrigin}
		request.Digest.Add(uint64(s.id), 0, nil, 100)
		s.hear(newcomer, s.status(request))
		times, kinds := map[uint32]int{}, map[uint32]wire.Type{}
		for _, m := range s.run(time.Minute) {
			switch {
			case m.kind == wire.TypeStatus && m.status.Mode != wire.Full, m.kind == wire.TypeData && m.data.Flags&wire.FlagPull != 0:
				m.kind = 0 // wants no answer
			case m.kind == wire.TypeHello: // also to the lost, for ever
				continue
			}
			times[m.seq]++
			kinds[m.seq] = m.kind
		}
		lonely := newSoloist(t, Config{RetryAttempts: attempts})
		lonely.mustJoin(newcomer.String())
		for lonely.State() == StateJoining {
			for _, m := range lonely.run(10 * time.Millisecond) {
				times[m.seq]++
				kinds[m.seq] = m.kind
			}
		}
		seen := map[wire.Type]bool{}
		for seq, n := range times {
			kind, want := kinds[seq], attempts
			if kind == 0 || kind == wire.TypeWelcome || kind == wire.TypeAck {
				want = 1
			}
			seen[kind] = true
			s.want(n == want, "a %v was sent %d times instead of %d", kind, n, want)
		}
		for _, kind := range []wire.Type{0, wire.TypeHello, wire.TypeWelcome, wire.TypeMemberList, wire.TypeAck, wire.TypeData, wire.TypeStatus} {
			s.want(seen[kind], "no %v was sent", kind)
		}
	}
}

// What is new is offered to one member, a moment later, and however much comes there is
// no offer sooner than 50 ms after the last.
func TestNewsIsOfferedToOneMemberNowAndThen(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	from := peerAddr(around(8)[0])
	offers := func(d time.Duration) []said {
		return slices.DeleteFunc(only(s.run(d), wire.TypeStatus, anybody), func(m said) bool { return m.status.Mode != wire.Offer })
	}
	start := s.at
	s.hear(from, s.data(wire.Data{Origin: 77, Counter: 1}))
	one := offers(200 * time.Millisecond)
	s.want(len(one) == 1 && one[0].at-start >= 27*time.Millisecond && one[0].at-start <= 33*time.Millisecond, "one new message is offered %v, and came at %v", one, start)

	var many []said
	for i := range uint32(1000) { // one in a millisecond
		s.hear(from, s.data(wire.Data{Origin: 77, Counter: 2 + i}))
		for _, m := range offers(time.Millisecond) {
			if origin, _, _, ok := m.status.Digest.Next(nil); ok && origin == 77 {
				many = append(many, m)
			}
		}
	}
	for i := range many[1:] {
		s.want(many[i+1].at-many[i].at >= 50*time.Millisecond, "two offers are %v apart", many[i+1].at-many[i].at)
	}
	s.want(len(many) >= 10, "what is new is offered %d times in a second", len(many))
}

// The log of a busy node must not be full of single messages.
func TestTheLoggerIsNotToldOfMessages(t *testing.T) {
	t.Parallel()
	told := 0
	logger := slog.New(newsreader{slog.DiscardHandler, func(slog.Record) { told++ }})
	c := newSimCluster(t, 8, rough(1), Config{Logger: logger, Ordered: true})
	c.form()
	c.net.SetLoss(0)
	c.net.Run(10 * time.Second)
	members := func() (sum uint64) {
		for _, n := range c.nodes {
			sum += n.Stats().MembersLost + n.Stats().MembersAgain
		}
		return sum
	}
	before, changes := told, members()
	said := map[string]*simNode{}
	c.traffic(2*time.Second, 10*time.Millisecond, said, Broadcast, Random)
	c.everybodyGot(10*time.Second, said)
	if told != before || members() != changes || before == 0 {
		t.Errorf("seed 1: the loggers were told %d things of %d messages, and %d before", told-before, len(said), before)
	}
}

// The tag in the header keeps the names of other clusters out, but for one in 65,536: it
// must not keep them from the owner.
func TestAHelloOfAnotherClusterIsToldByNameOnceInAMinute(t *testing.T) {
	for _, keys := range [][][]byte{nil, {testKey('k')}} {
		var names []string
		tell := func(r slog.Record) {
			r.Attrs(func(a slog.Attr) bool {
				if a.Key == "cluster" {
					names = append(names, a.Value.String())
				}
				return true
			})
		}
		s := newSoloist(t, Config{Cluster: "blue", Keys: keys, Logger: slog.New(newsreader{slog.DiscardHandler, tell})})
		s.want(s.Join() == nil, "Join failed")
		foreign := func(name string) []byte {
			hello := wire.Hello{Version: wire.Version, From: wire.Member{ID: 20}, Cluster: []byte(name)}
			return hello.AppendTo(wire.Header{Type: wire.TypeHello, Tag: wire.ClusterTag(name), Seq: 1}.AppendTo(nil))
		}
		for range 100 {
			s.hear(peerAddr(20), foreign("green"))
		}
		s.at += time.Minute
		s.hear(peerAddr(20), foreign(""), foreign("red"))
		want := "[green ]"
		if keys != nil { // then anybody may have made it up
			want = "[]"
		}
		s.want(fmt.Sprint(names) == want, "of 101 Hellos of clusters green and without a name %q were told", names)
		s.want(s.Stats().DropTag == 101 && s.Stats().DropClear == 0, "they were counted as %+v", s.Stats())
		s.want(len(only(s.speak(), wire.TypeWelcome, anybody)) == 0, "they were answered")
	}
}

// The verbs may come in any order: none needs another to have an effect.
func TestTheVerbsMayComeInAnyOrder(t *testing.T) {
	for _, order := range []string{"TSR", "TRS", "STR", "SRT", "RTS", "RST"} {
		s := newSoloist(t, Config{})
		peer := newSoloistAt(t, netip.MustParseAddrPort("192.0.2.2:7070"), Config{})
		peer.newIdentity() // else, for it has the same randomness
		wire := func(from, to *soloist) {
			from.fake.sink = func(b []byte, _ netip.AddrPort) { to.fake.feed(from.fake.local, slices.Clone(b)) }
		}
		wire(s, peer)
		wire(peer, s)
		turn := func(n *soloist) (wait time.Duration) {
			for _, verb := range order {
				var err error
				switch verb {
				case 'T':
					wait, err = n.Tick()
				case 'S':
					_, err = n.Send()
				case 'R':
					_, err = n.Receive(0)
				}
				n.want(err == nil, "in the order %s %c fails: %v", order, verb, err)
			}
			return wait
		}
		await := func(what string, cond func() bool) {
			start := s.at
			for turns := 0; !cond(); turns++ {
				s.want(turns < 100 && s.at-start < time.Second, "in the order %s it takes %d turns and %v, and still not %s", order, turns, s.at-start, what)
				wait := min(turn(s), turn(peer))
				s.at, peer.at = s.at+wait, peer.at+wait
			}
		}
		s.want(s.Join() == nil && peer.Join(s.Address()) == nil, "Join failed")
		await("they know each other", func() bool { return s.roster.Len() == 1 && peer.roster.Len() == 1 })
		s.want(s.SendData([]byte("there")) == nil && peer.SendData([]byte("and back")) == nil, "SendData failed")
		await("they hear each other", func() bool {
			return slices.Equal(peer.got, []string{"there"}) && slices.Equal(s.got, []string{"and back"})
		})
		await("all is acknowledged", func() bool { return s.Stats().QueuedData+peer.Stats().QueuedData == 0 })
	}
}

// counting is a socket that counts what it is asked for.
type counting struct {
	*fakeSocket
	reads, writes int
}

func (c *counting) Receive(b []byte, d time.Duration) (int, netip.AddrPort, error) {
	c.reads++
	return c.fakeSocket.Receive(b, d)
}

func (c *counting) Send(b []byte, to netip.AddrPort) error {
	c.writes++
	return c.fakeSocket.Send(b, to)
}

// Each costs a call of the system: one for each datagram, and the wait.
func TestATurnOfTheLoopCostsTheSocketNoMoreThanItsDatagrams(t *testing.T) {
	s := newSoloist(t, Config{})
	s.seedWith(around(8)...)
	c := &counting{fakeSocket: s.fake}
	s.socket = c
	turn := func() (in, out int) {
		s.Tick()
		out, _ = s.Send()
		in, _ = s.Receive(time.Second)
		return in, out
	}
	in, out := turn()
	s.want(in == 0 && out == 0 && c.reads == 1 && c.writes == 0, "an idle turn reads %d times and writes %d times", c.reads, c.writes)
	c.reads = 0
	for i := range uint32(10) {
		s.fake.feed(peerAddr(around(8)[0]), s.data(wire.Data{Origin: 77, Counter: i + 1}))
	}
	s.want(s.SendData([]byte("x")) == nil, "SendData failed")
	in, out = turn()
	s.want(in == 10 && out == 8 && c.reads == 11 && c.writes == 8, "a turn with %d datagrams in and %d out reads %d times and writes %d times", in, out, c.reads, c.writes)
}

// Every method from many goroutines at once: the race detector looks on.
func TestAllMethodsMayBeCalledAtOnce(t *testing.T) {
	n, peer := pair(t, brisk)
	for _, x := range []*loopNode{n, peer} {
		x.mu.Lock()
		x.hook = func(NodeID, []byte) { x.Members(); x.Stats() }
		x.mu.Unlock()
	}
	n.pause()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var all sync.WaitGroup
	for _, call := range []func() error{
		func() error { return n.SendData([]byte("x")) },
		func() error { return n.SendData([]byte("x"), Direct(peer.Address())) },
		func() error { return n.Join(peer.Address()) },
		func() error { return n.SetKeys(nil) },
		func() error { _, err := n.Tick(); return err },
		func() error { _, err := n.Send(); return err },
		func() error { _, err := n.Receive(0); return err },
		func() error { _, err := n.SyscallConn(); return err },
		func() error { n.Wake(); return nil },
		func() error { clear(n.Members()); return nil }, // a copy, the caller's own
		func() error {
			if n.ID() == 0 || n.MaxPayload() == 0 || n.Stats().DatagramsIn == math.MaxUint64 {
				return errors.New("the accessors make no sense")
			}
			n.State()
			n.Address()
			return nil
		},
		func() error { return n.Leave() },
		func() error { return n.Run(over) },
	} {
		all.Go(func() {
			for range 300 {
				switch err := call(); {
				case err == nil, errors.Is(err, ErrState), errors.Is(err, ErrQueueFull), errors.Is(err, ErrConfig):
				default:
					t.Errorf("a call beside others returned %v", err)
				}
			}
		})
	}
	all.Wait()
}
