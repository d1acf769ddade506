package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// meet lets a node join another for a while, over a network that carries all datagrams.
func meet(a, b *solo, lasts time.Duration) {
	a.join(b.config.Local)
	b.join()
	for ; a.at < lasts; a.at, b.at = a.at+10*time.Millisecond, b.at+10*time.Millisecond {
		for _, x := range []*solo{a, b} {
			to := a
			if x == a {
				to = b
			}
			x.tick()
			for _, p := range x.datagrams() {
				to.Handle(to.at, x.config.Local, p.b)
			}
			to.drain()
		}
	}
}

// said returns the warnings of a node as text, each once, and the most times that one came.
func (s *solo) said() (all []string, most int) {
	count := map[string]int{}
	for _, r := range s.records {
		if r.Level < slog.LevelWarn {
			continue
		}
		text := r.Message + fmt.Sprint(r.Args)
		if count[text]++; count[text] == 1 {
			all = append(all, text)
		}
		most = max(most, count[text])
	}
	return all, most
}

// The likeliest mistakes in settings show at the node that can tell, once a minute at most, with
// the address and what to check. These are the lines of the README's table.
func TestMistakeInSettingsIsWarnedOf(t *testing.T) {
	key, other := [][]byte{testKey('k')}, [][]byte{testKey('o')}
	for _, c := range []struct {
		what     string
		a, b     Config
		atA, atB string // words of the warning, separated by blanks; a joins b
	}{
		{"the same settings", Config{Keys: key}, Config{Keys: key}, "", ""},
		{"other keys", Config{Keys: key}, Config{Keys: other}, "no|seed|answers Keys", "sealed|datagram|that|no|key|opens Keys"},
		{"keys at the newcomer", Config{Keys: key}, Config{}, "no|seed|answers Keys", "sealed|datagram,|but|this|node|has|no|Keys"},
		{"keys at the seed", Config{}, Config{Keys: key}, "no|seed|answers Keys", "datagram|in|clear,|but|this|node|has|Keys Keys"},
		{"another cluster", Config{Cluster: "blue"}, Config{Cluster: "green"}, "no|seed|answers Cluster", "another|cluster blue green Cluster"},
		{"another cluster, with keys", Config{Cluster: "blue", Keys: key}, Config{Cluster: "green", Keys: key}, "no|seed|answers Cluster", "another|cluster green Cluster"},
		{"another cluster, with keys at the seed", Config{Cluster: "blue"}, Config{Cluster: "green", Keys: key}, "no|seed|answers Cluster", "another|cluster blue green Cluster"},
		{"a larger newcomer", Config{MaxMessageSize: 1400}, Config{}, "another|MaxMessageSize 512 1400", "another|MaxMessageSize 512 1400"},
		{"a smaller newcomer", Config{}, Config{MaxMessageSize: 65507}, "another|MaxMessageSize 512 65507", "another|MaxMessageSize 512 65507"},
	} {
		c.a.Records, c.b.Records = true, true
		a, b := newSoloAt(t, peerAddr(1), c.a), newSoloAt(t, peerAddr(2), c.b)
		config := withDefaults(c.b)
		config.Local = peerAddr(2)
		b.Node = New(0, config, [32]byte{soloSeed + 1}) // another id
		meet(a, b, 150*time.Second)
		for _, x := range []struct {
			*solo
			want string
			peer netip.AddrPort
		}{{a, c.atA, peerAddr(2)}, {b, c.atB, peerAddr(1)}} {
			said, most := x.said()
			if x.want == "" {
				x.want = "\x00"
				a.want(len(said) == 0, "with %s %v warns: %q", c.what, x.config.Local, said)
				continue
			}
			a.want(len(said) == 1 && most <= 3, "with %s %v warns %d times: %q", c.what, x.config.Local, most, said)
			for _, word := range append(strings.Fields(x.want), x.peer.String(), "check") {
				a.want(strings.Contains(said[0], strings.ReplaceAll(word, "|", " ")), "with %s the warning %q of %v does not say %q", c.what, said[0], x.config.Local, word)
			}
		}
	}
}

// The seeds are named, and the first error of the operating system.
func TestSilenceOfSeedsIsExplained(t *testing.T) {
	s := newSoloAt(t, peerAddr(1), Config{Records: true})
	six := netip.MustParseAddrPort("[2001:db8::1]:7070")
	s.join(six, peerAddr(3))
	s.SendFailed(s.at, peerAddr(99), errors.New("not a seed"))
	s.SendFailed(s.at, six, errors.New("no route"))
	s.SendFailed(s.at, peerAddr(3), errors.New("refused"))
	s.run(5 * time.Second)
	said, most := s.said()
	s.want(len(said) == 3 && most == 1, "the warnings are %q", said)
	for _, word := range []string{"no seed answers", six.String(), peerAddr(3).String(), "no route"} {
		s.want(strings.Contains(said[2], word), "the warning %q does not say %q", said[2], word)
	}
	s.want(strings.Contains(said[1], "cannot send") && strings.Contains(said[1], "[::]") && strings.Contains(said[1], six.String()), "the warning is %q", said[1])

	many := newSolo(t, Config{Records: true})
	for i := range 100 {
		many.join(peerAddr(10 + i))
	}
	many.run(5 * time.Second)
	said, _ = many.said()
	many.want(len(said) == 1 && len(said[0]) < 500 && strings.Contains(said[0], "100"), "the warning of 100 seeds is %q", said)
}

// Anybody may send what makes a warning. A flood makes one a minute of each kind, and hides none
// about a member.
func TestFloodOfStrangersHidesNoWarning(t *testing.T) {
	s := newSolo(t, Config{Cluster: "blue", Records: true, Keys: [][]byte{nil, testKey('k')}})
	s.withMembers(10)
	s.records = nil
	flood := [][]byte{
		wire.Header{Type: wire.TypeSealed, Tag: s.out.tag}.AppendTo(make([]byte, 0, 100))[:60],
		wire.Header{Type: wire.TypeSealed, Tag: s.out.tag + 1}.AppendTo(nil),
		s.message(wire.TypeHello, wire.Hello{Size: 77, From: wire.Member{ID: 5}, Cluster: []byte("blue")}.AppendTo(nil)),
	}
	for i := range 2900 {
		for _, b := range flood {
			s.handle(peerAddr(100+i), b)
		}
		s.at += 20 * time.Millisecond
	}
	s.handle(peerAddr(99), make([]byte, 513)) // as the Hello of another size
	strangers := len(s.records)
	s.want(strangers == len(flood), "a flood of a minute makes %d warnings", strangers)
	for _, b := range flood {
		s.handle(peerAddr(10), b)
		s.handle(peerAddr(10), b)
	}
	s.want(len(s.records) == 2*len(flood), "a member's mistakes make %d warnings", len(s.records)-strangers)
	s.at += time.Minute
	s.handle(peerAddr(99), make([]byte, 513))
	s.want(len(s.records) == 2*len(flood)+1, "a datagram that is too long makes no warning")
	if allocs := testing.AllocsPerRun(100, func() { s.Handle(s.at, peerAddr(100), flood[1]) }); allocs > 0 {
		t.Errorf("a warning that is not due allocates %v times", allocs)
	}
}

// What its peers have sealed for the life before does not open at a node that has restarted.
func TestSealForAnotherLifeIsNoMistake(t *testing.T) {
	s := newSolo(t, Config{Records: true, Keys: [][]byte{testKey('k')}})
	s.join()
	buf := make([]byte, sealedFront+100)
	b := s.seals.close(buf, s.out.tag, wire.ToID, s.ID()+1)
	s.Handle(s.at, peerAddr(1), b)
	s.drain()
	said, _ := s.said()
	s.want(s.Stats().DropSealed == 1 && len(said) == 0, "a datagram for another life makes the warnings %q: %+v", said, s.Stats())
}
