package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/wire"
)

// otherAddr is one that no node of a simCluster has.
var otherAddr = netip.MustParseAddrPort("10.1.0.0:7070")

// dataOf is a message that says its own number.
func dataOf(origin uint64, counter uint32) wire.Data {
	return wire.Data{Origin: origin, Counter: counter, Payload: []byte(fmt.Sprint(counter))}
}

// heardBy returns what a node will have got, in the order of arrival.
func heardBy(n *simNode) *[]string {
	var got []string
	n.hook = func(_ NodeID, payload []byte) { got = append(got, string(payload)) }
	return &got
}

func (n *simNode) sayExactly(text string) {
	n.c.t.Helper()
	if err := n.SendData([]byte(text)); err != nil {
		n.c.t.Fatalf("seed %d: %v", n.c.seed, err)
	}
	n.wakeAt(n.c.net.Now())
}

func TestSimANewcomerReceivesWhatIsRetained(t *testing.T) {
	for _, skip := range []bool{false, true} {
		c := newSimCluster(t, 8, lan(21), Config{})
		c.form()
		for i := range 200 {
			c.nodes[i%8].say()
			c.net.Run(5 * time.Millisecond)
		}
		c.net.Run(3 * time.Second)
		newcomer := c.add(otherAddr, Config{SkipHistory: skip})
		newcomer.join(c.nodes[3])
		c.net.Run(10 * time.Second)
		want := 200
		if skip {
			want = 0
		}
		if len(newcomer.got) != want {
			t.Fatalf("seed 21: with SkipHistory %v a newcomer got %d of 200 old messages instead of %d", skip, len(newcomer.got), want)
		}
		said := map[string]*simNode{}
		for i := range 50 {
			said[c.nodes[i%8].say()] = c.nodes[i%8]
			c.net.Run(20 * time.Millisecond)
		}
		c.everybodyGot(5*time.Second, said)
		if len(newcomer.got) != want+50 {
			t.Fatalf("seed 21: then it got %d messages instead of %d", len(newcomer.got), want+50)
		}
		c.noDuplicates()
	}
}

func TestAFounderSkipsNothing(t *testing.T) {
	s := newSoloist(t, Config{SkipHistory: true})
	s.want(s.Join() == nil, "Join failed")
	s.join(s.peerID(10), peerAddr(10))
	page := wire.Status{Mode: wire.Full, Last: wire.LastOrigin}
	page.Digest.Add(77, 3, nil, 485)
	s.hear(peerAddr(10), s.status(page))
	asked := false
	for _, m := range only(s.speak(), wire.TypeStatus, peerAddr(10)) {
		asked = asked || m.status.Mode == wire.Request
	}
	s.want(asked, "what the first newcomer says that it has seen is not asked for")
}

// What is said again, for it was said before the cluster was found, are no messages that
// were said since.
func TestWhatWasSaidSinceTheClusterWasFoundIsNotSaidAgain(t *testing.T) {
	s := newSoloist(t, Config{})
	s.want(s.Join(Address{peerAddr(10)}) == nil, "Join failed")
	payload := func(i int) []byte { return fmt.Append(nil, i) }
	for i := range 3 {
		s.want(s.SendData(payload(i), Random) == nil, "message %d is refused", i)
	}
	s.join(s.peerID(10), peerAddr(10))
	for i := range 3 {
		s.want(s.SendData(payload(3+i)) == nil, "message %d is refused", 3+i)
	}
	copies := map[uint32]int{}
	for _, m := range only(s.run(5*time.Second), wire.TypeData, peerAddr(10)) {
		copies[m.data.Counter]++
	}
	for i := range uint32(6) {
		s.want(copies[i+1] == 1, "message %d is sent %d times", i+1, copies[i+1])
	}
}

// Else who waits for an empty queue before it leaves would take its first words with it.
func TestWhatWasSaidBeforeTheClusterWasFoundCountsAsQueued(t *testing.T) {
	s := newSoloist(t, Config{DataLogSize: 3 * 256})
	queued := func(n int, when string) {
		t.Helper()
		s.want(s.Stats().QueuedData == n, "%s %d messages are queued instead of %d", when, s.Stats().QueuedData, n)
	}
	s.want(s.Join(Address{peerAddr(10)}) == nil, "Join failed")
	queued(0, "before anything was said")
	for i := range 2 {
		s.want(s.SendData(fmt.Append(nil, i)) == nil, "message %d is refused", i)
	}
	queued(2, "while the seed has not answered")
	for i := range 3 {
		s.want(s.SendData(fmt.Append(nil, i)) == nil, "message %d is refused", 2+i)
	}
	queued(3, "in a log that has room for three")
	s.join(s.peerID(10), peerAddr(10))
	queued(3, "when the seed has answered")
	s.run(time.Second)
	queued(0, "when the seed has acknowledged all")
}

func TestNobodyWaitsForWhatALonelySeedOrOneThatLeftHasSaid(t *testing.T) {
	for what, end := range map[string]func(s *soloist) error{
		"a seed":                  func(s *soloist) error { return s.Join() },
		"a node after Leave":      func(s *soloist) error { return s.Leave() },
		"a node after Close":      func(s *soloist) error { return s.Close() },
		"a node that joins again": func(s *soloist) error { s.Leave(); return s.Join(Address{peerAddr(20)}) },
	} {
		s := newSoloist(t, Config{})
		s.want(s.Join(Address{peerAddr(10)}) == nil, "Join failed")
		s.want(s.SendData([]byte("early")) == nil, "the message is refused")
		s.want(end(s) == nil && s.Stats().QueuedData == 0, "%s has %d messages queued", what, s.Stats().QueuedData)
	}
}

func TestSimSkippingHistoryGoesRoundManyOrigins(t *testing.T) {
	c := newSimCluster(t, 60, lan(22), Config{})
	c.form()
	for _, n := range c.nodes {
		n.say()
	}
	c.net.Run(5 * time.Second)
	newcomer := c.add(otherAddr, Config{SkipHistory: true})
	newcomer.join(c.nodes[3])
	c.net.Run(20 * time.Second)
	if len(newcomer.got) > 0 {
		t.Fatalf("seed 22: a newcomer that skips history got %d old messages", len(newcomer.got))
	}
	if newcomer.repair.Skipping(c.net.Now()) {
		t.Fatal("seed 22: after 20 s it still skips")
	}
	said := map[string]*simNode{}
	for _, n := range c.nodes {
		said[n.say()] = n
	}
	c.everybodyGot(10*time.Second, said)
}

// However late its seed answers, what was said before is history to it.
func TestSimHistoryIsSkippedBehindASeedThatAnswersLate(t *testing.T) {
	c := newSimCluster(t, 4, lan(24), Config{})
	c.form()
	for i := range 20 {
		c.nodes[i%4].say()
		c.net.Run(50 * time.Millisecond)
	}
	newcomer := c.add(otherAddr, Config{SkipHistory: true})
	c.partition(4)
	newcomer.join(c.nodes[3])
	c.net.Run(time.Minute)
	c.net.Heal()
	c.await(20*time.Second, "the newcomer has skipped", func() bool { return !newcomer.repair.Skipping(c.net.Now()) })
	c.net.Run(10 * time.Second)
	if len(newcomer.got) > 0 {
		t.Fatalf("seed 24: whose seed answered after a minute got %d old messages", len(newcomer.got))
	}
	c.everybodyGot(5*time.Second, map[string]*simNode{c.nodes[1].say(): c.nodes[1]})
}

// Who left and joins again is a newcomer, though it knows the origins.
func TestSimHistoryIsSkippedByWhoComesBackToo(t *testing.T) {
	for seed := range uint64(10) {
		c := newSimCluster(t, 4, lan(seed), Config{})
		n := c.add(otherAddr, Config{SkipHistory: true, Ordered: seed%2 == 1})
		c.form()
		talk := func() {
			for i := range 20 {
				c.nodes[i%4].say()
				c.net.Run(50 * time.Millisecond)
			}
			c.net.Run(time.Second)
		}
		c.net.Run(5 * time.Second)
		talk()
		if err := n.Leave(); err != nil {
			t.Fatal(err)
		}
		n.wakeAt(c.net.Now())
		talk()
		n.join(c.nodes[1])
		c.await(20*time.Second, "the node has skipped", func() bool { return !n.repair.Skipping(c.net.Now()) })
		talk()
		if len(n.got) != 40 {
			t.Fatalf("seed %d: of 20 messages before it left, 20 meanwhile and 20 after, a node got %d instead of 40", seed, len(n.got))
		}
		c.noDuplicates()
	}
}

// What waits for its turn when a node leaves is no history when it comes back.
func TestWhatWaitsForAMissingMessageIsNotSkippedWithIt(t *testing.T) {
	s := newSoloist(t, Config{Ordered: true, SkipHistory: true, OrderedWait: time.Hour})
	s.seedWith(10, 20)
	s.hear(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
	s.want(s.Leave() == nil, "Leave failed")
	s.want(s.Join(Address{peerAddr(20)}) == nil, "Join failed")
	s.join(s.peerID(10), peerAddr(10))
	s.hear(peerAddr(10), s.status(everything(map[uint64]uint32{77: 9})))
	s.want(fmt.Sprint(s.got) == "[1 3]", "what waited for 2 was skipped with it: %v", s.got)
	s.hear(peerAddr(10), s.data(dataOf(77, 9)), s.data(dataOf(77, 10)))
	s.want(fmt.Sprint(s.got) == "[1 3 10]", "what follows history is not next: %v", s.got)
}

func TestSimOrderedKeepsTheOrderOfEachOrigin(t *testing.T) {
	for seed := range uint64(5) {
		c := newSimCluster(t, 16, rough(seed), Config{Ordered: true})
		c.form()
		listener := c.nodes[9]
		got := heardBy(listener)
		for i := range 300 {
			for k := range 2 {
				c.nodes[k].sayExactly(fmt.Sprintf("%c %03d", 'a'+k, i))
			}
			c.net.Run(4 * time.Millisecond)
		}
		c.await(time.Minute, "the listener got all", func() bool { return len(*got) == 600 })
		for k := range 2 {
			mine := slices.DeleteFunc(slices.Clone(*got), func(s string) bool { return !strings.HasPrefix(s, string(rune('a'+k))) })
			if !slices.IsSorted(mine) || len(mine) != 300 {
				t.Fatalf("seed %d: what origin %d said came as %v", seed, k, mine)
			}
		}
		c.noDuplicates()
	}
}

func TestSimOrderedGivesUpAGapInTime(t *testing.T) {
	s := newSoloist(t, Config{Ordered: true, OrderedWait: 2 * time.Second})
	s.seedWith(10, 20)
	for _, counter := range []uint32{1, 2, 4, 5} {
		s.hear(peerAddr(10), s.data(dataOf(77, counter)))
	}
	s.want(fmt.Sprint(s.got) == "[1 2]", "4 and 5 should wait for 3, but got %v", s.got)
	s.run(1500 * time.Millisecond)
	s.want(fmt.Sprint(s.got) == "[1 2]", "they should still wait, but got %v", s.got)
	s.run(4 * time.Second)
	s.want(fmt.Sprint(s.got) == "[1 2 4 5]" && s.Stats().GaveUpUnseen == 1, "after the wait they should come, but got %v, given up %d", s.got, s.Stats().GaveUpUnseen)
	s.hear(peerAddr(10), s.data(dataOf(77, 3)), s.data(dataOf(77, 6)))
	s.want(fmt.Sprint(s.got) == "[1 2 4 5 6]", "3 comes too late, 6 is next: %v", s.got)
}

func TestSimOrderedCountsWhatTheLogLost(t *testing.T) {
	s := newSoloist(t, Config{Ordered: true, DataLogSize: 3 * 300})
	s.seedWith(10, 20)
	for counter := uint32(2); counter <= 11; counter++ { // 1 is missing: all wait
		s.hear(peerAddr(10), s.data(dataOf(77, counter)))
	}
	s.hear(peerAddr(10), s.data(dataOf(77, 1)))
	got, lost := len(s.got), s.Stats().GaveUpUnseen
	s.want(got < 11 && uint64(got)+lost >= 10, "of 11 messages %d came and %d are counted as given up", got, lost)
}

func TestWhatANodeOnItsOwnCannotRetainIsCounted(t *testing.T) {
	s := newSoloist(t, Config{DataLogSize: 32 << 10})
	s.want(s.Join() == nil, "Join failed")
	for range 1000 {
		s.want(s.SendData(make([]byte, 100)) == nil, "a node on its own refused a message")
	}
	st := s.Stats()
	s.want(st.Evicted > 0 && st.Evicted+uint64(st.Retained) == 1000, "1000 messages were said, but %d are retained and %d evicted", st.Retained, st.Evicted)
}

func TestWhatFitsInNoLogIsCounted(t *testing.T) {
	s := newSoloist(t, Config{DataLogSize: 250})
	s.want(s.Join() == nil, "Join failed")
	s.want(s.SendData(make([]byte, 100)) == nil, "a node on its own refused a message")
	st := s.Stats()
	s.want(st.Retained == 0 && st.Evicted == 1, "a message that no log holds is counted %d times, and %d are retained", st.Evicted, st.Retained)
}

// History that came after a later message is no less taken for that.
func TestWhatIsMissingBehindHistoryThatCameIsCounted(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		s := newSoloist(t, Config{Ordered: ordered})
		s.seedWith(10, 20)
		for _, counter := range []uint32{5, 1, 2, 1034} { // 1034 leaves no room for 10
			s.hear(peerAddr(10), s.data(dataOf(77, counter)))
		}
		gaveUp := s.Stats().GaveUpUnseen
		s.want(gaveUp == 7, "with Ordered %v 3, 4 and 6 to 10 are given up, but %d are counted", ordered, gaveUp)
	}
}

func TestTheSmallestDatagramsAreWhatTheConfigurationSays(t *testing.T) {
	key := [][]byte{make([]byte, 32)}
	for _, c := range []struct {
		config Config
		least  int
	}{
		{Config{}, 66}, {Config{Keys: key}, 102},
		{Config{Cluster: strings.Repeat("x", 20)}, 66}, {Config{Cluster: strings.Repeat("x", 100)}, 146},
		{Config{Cluster: strings.Repeat("x", 100), Keys: key}, 182},
	} {
		for _, size := range []int{c.least - 1, c.least} {
			c.config.MaxMessageSize = size
			if _, err := c.config.withDefaults(); (err == nil) != (size == c.least) {
				t.Errorf("with a name of %d bytes and %d keys MaxMessageSize %d gave %v", len(c.config.Cluster), len(c.config.Keys), size, err)
			}
		}
	}
}

// What comes in its turn need not wait, and so not fit in the log, whose size says
// only what is retained for others.
func TestSimOrderedDeliversWhatItsLogIsTooSmallFor(t *testing.T) {
	large := Config{MaxMessageSize: 1400}
	c := newSimCluster(t, 3, lan(23), large)
	small := large
	small.Ordered, small.DataLogSize = true, 1
	n := c.add(otherAddr, small)
	c.form()
	got := heardBy(n)
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("%0*d", 1000-10*i, i))
		c.nodes[0].sayExactly(want[i])
		c.net.Run(time.Second)
	}
	if s := n.Stats(); !slices.Equal(*got, want) || s.GaveUpUnseen != 0 {
		t.Fatalf("seed 23: a node that retains nothing got %d of 10 messages and gave up %d", len(*got), s.GaveUpUnseen)
	}
}

// However long the node lived before it left, a gap of that time is given up as soon
// as any other.
func TestOrderedGivesUpAGapFromBeforeLeave(t *testing.T) {
	s := newSoloist(t, Config{Ordered: true, OrderedWait: 2 * time.Second})
	s.seedWith(10, 20)
	s.run(time.Hour)
	s.hear(peerAddr(10), s.data(dataOf(77, 1)), s.data(dataOf(77, 3)))
	s.run(1500 * time.Millisecond)
	s.want(fmt.Sprint(s.got) == "[1]", "3 should wait for 2, but got %v", s.got)
	s.want(s.Leave() == nil, "Leave failed")
	s.want(s.Join() == nil, "Join failed")
	s.join(s.peerID(10), peerAddr(10))
	s.run(5 * time.Second)
	s.want(fmt.Sprint(s.got) == "[1 3]" && s.Stats().GaveUpUnseen == 1, "after the wait 3 should come, but got %v, given up %d", s.got, s.Stats().GaveUpUnseen)
}

// Newcomers that know nothing yet cannot tell what is history.
func TestSimHistoryIsSkippedAmongOtherNewcomers(t *testing.T) {
	for seed := range uint64(30) {
		c := newSimCluster(t, 4, lan(seed), Config{})
		c.form()
		for range 20 {
			c.nodes[c.net.Rand().IntN(4)].sayExactly("old")
		}
		c.net.Run(3 * time.Second)
		for i := range 12 {
			n := c.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), 7070), Config{SkipHistory: i%4 == 0})
			n.join(c.nodes[i%3])
		}
		c.net.Run(40 * time.Second)
		text := c.nodes[1].say()
		c.await(3*time.Second, "all have a new message", func() bool { return c.allGot(text, c.nodes[1]) })
		for i, n := range c.nodes[4:] {
			if old := n.got["old"]; old > 0 && i%4 == 0 || old == 0 && i%4 != 0 {
				t.Errorf("seed %d: newcomer %d, with SkipHistory %v, got %d old messages", seed, i, i%4 == 0, old)
			}
		}
	}
}
