package gossip

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/wire"
)

var update = flag.Bool("update", false, "write the files in testdata/transcripts anew")

func TestTranscripts(t *testing.T) {
	for _, story := range []struct {
		name string
		tell func(*testing.T) *transcript
	}{
		{"join", tellJoin},
		{"retry", tellRetry},
		{"broadcast", tellBroadcast},
		{"repair", tellRepair},
		{"leave", tellLeave},
		{"keys", tellKeys},
	} {
		t.Run(story.name, func(t *testing.T) {
			file := filepath.Join("testdata", "transcripts", story.name+".txt")
			got := story.tell(t).text.String()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			compareTranscript(t, file, got)
		})
	}
}

func compareTranscript(t *testing.T, file, got string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(string(b), "\r\n", "\n") // a checkout may have changed them
	gots, wants := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(gots), len(wants)) {
		g, w := "(the end)", "(the end)"
		if i < len(gots) {
			g = gots[i]
		}
		if i < len(wants) {
			w = wants[i]
		}
		if g != w {
			t.Fatalf("%s, line %d: expected\n\t%s\ngot\n\t%s\nIf this is meant: go test -run TestTranscripts -update .", file, i+1, w, g)
		}
	}
}

// settled runs a new cluster until it has come to rest.
func (x *transcript) settled() {
	x.t.Helper()
	x.form()
	x.net.Run(20 * time.Second)
}

func tellJoin(t *testing.T) *transcript {
	x := newTranscript(t, `
Joining: how a node becomes a member.

A node sends a Hello without a token. The Welcome brings one, for which its sender keeps no
state: the source address of a datagram can be forged. A second Hello, with the token,
proves that the node receives at its address. Only then does it become a member.`)
	x.scene(`
c joins a cluster of a and b, of which it knows a. a tells c of the members, and others that
c is new; each node to which that is new passes it on three times (RumorFactor), each time to
a random member, but sends nothing if that is c. To b this is hearsay. At its next exchange
of members, at 828, it sends a Hello itself: neighbours on the ring must know each other at
first hand.`, 1, 3, Config{})
	a, b, c := x.nodes[0], x.nodes[1], x.nodes[2]
	a.join()
	b.join(a)
	x.net.Run(20 * time.Second)
	x.begin()
	x.joins(c, a)
	x.net.Run(880 * time.Millisecond)
	x.end()

	x.scene(`
The same with datagrams of 100 bytes, which have room for 6 members: the list comes in
pages, each sent when the one before is acknowledged. Members are in ring order, starting
after the newcomer. Only the messages between a and m are shown.`, 1, 13, Config{MaxMessageSize: 100})
	rest, m := x.nodes[:12], x.nodes[12]
	x.nodes = rest
	x.settled()
	x.nodes = append(rest, m)
	a = x.nodes[0]
	pair := []netip.AddrPort{a.addr, m.addr}
	x.show = func(from netip.AddrPort, m said) bool {
		return slices.Contains(pair, from) && slices.Contains(pair, m.to)
	}
	x.begin()
	x.joins(m, a)
	x.net.Run(100 * time.Millisecond)
	x.end()
	return x
}

func tellRetry(t *testing.T) *transcript {
	x := newTranscript(t, `
Silence: a message that is not answered is sent three times (RetryAttempts), then given up.`)
	x.scene(`
A seed is down. b waits 250 ms for an answer (RetryInterval), because it does not know yet
how long one takes, and after the last attempt a second, in case of a slow loop. Then it
is DISCONNECTED and keeps asking, at most 4.4 s apart: so it finds a in the end.`, 1, 2, Config{})
	a, b := x.nodes[0], x.nodes[1]
	a.crash()
	x.begin()
	x.joins(b, a)
	x.net.Run(4 * time.Second)
	x.restarts(a)
	x.net.Run(780 * time.Millisecond)
	x.end()

	x.scene(`
A member crashes. a sends a message three times, 45 ms apart: answers of b have taken 30 ms
so far (10 ms there, 10 ms AckDelay, 10 ms back), and a allows 15 ms more. Before the third
time it takes the arc from b, and would give it to another member if there were one. After
waiting a second it probes b twice, with three Hellos each time, and then considers it lost.
Meanwhile it keeps sending b what it has seen, three times each.

A lost member is probed for ever. But b comes back by itself, with a new id, as b', and gets
the message, which a retains.`, 2, 2, Config{})
	a, b = x.nodes[0], x.nodes[1]
	x.settled()
	x.begin()
	x.crashes(b)
	x.says(a, "hello")
	x.net.Run(5 * time.Second)
	x.restarts(b, a)
	x.net.Run(400 * time.Millisecond)
	x.end()
	x.everybodyGotOnce("hello", a)
	return x
}

func tellBroadcast(t *testing.T) *transcript {
	x := newTranscript(t, `
A Broadcast among 20 nodes, one of which has just died without the others knowing.

The nodes are named in the order of their places on the ring. The origin, n01, divides the
ring into 16 equal parts: the first node in each is a delegate and covers the arc from itself
to the next delegate. Each delegate does the same within its arc, with 8 parts
(BroadcastFactor). So each node gets one copy.

Only Data and its Acks are shown, not the members exchanged meanwhile, nor Status: the
message is offered and compared too, as repair.txt shows. An Ack waits 10 ms (AckDelay) to
share a datagram.`)
	x.scene(`
n06 does not acknowledge, so n01 tries again, and the next time gives its arc to another
node inside it, n07. Then n06 is sent the message without an arc; for half a second, as a
suspect, it gets no arcs of other messages either. n07 does not know of that, and tries n06
as well. How long each waits depends on the answers it has had: n01 30 ms, n07 49. n08 gets
two copies, one of them by repair, because n13 has offered it the message meanwhile. It
delivers the first.`, 1, 20, Config{})
	x.settled()
	x.nameByRing()
	x.show = func(_ netip.AddrPort, m said) bool { return m.kind == wire.TypeData }
	x.begin()
	x.crashes(x.nodes[5])
	x.says(x.nodes[0], "hello")
	x.net.Run(200 * time.Millisecond)
	x.end()
	x.everybodyGotOnce("hello", x.nodes[0])
	return x
}

// everybodyGotOnce fails unless a text was delivered once to each living node but the
// one that said it.
func (x *transcript) everybodyGotOnce(text string, from *simNode) {
	x.t.Helper()
	if !x.allGot(text, from) {
		x.t.Fatalf("%q is not everywhere:\n%s", text, x.text.String())
	}
	x.noDuplicates()
}

func tellRepair(t *testing.T) *transcript {
	x := newTranscript(t, `
Repair: a message that was lost on one path arrives by another.

Status has three modes. It offers new messages, tells what was seen of each origin (except
what came less than 30 to 60 ms ago, which may still be on its way to others), or requests
what is missing. The answer is Data by repair, which is not acknowledged: if it is lost, it
is still missing and requested again.`)
	x.scene(`
Nothing that a sends to c arrives, but d offers c the message. Each node offers a new message
to a random member, once, a little more than a round trip after it came. What came by repair
may be missing at other nodes nearby too, so c offers it to its neighbours at once. The last
offer of a goes to a member that does not acknowledge: it may be alive, and only the copies
lost.`, 83, 4, Config{})
	x.settled()
	a, c := x.nodes[0], x.nodes[2]
	x.begin()
	x.filters("loses from now on what a sends to c", func(from, to netip.AddrPort) bool { return from != a.addr || to != c.addr })
	x.says(a, "hello")
	x.net.Run(140 * time.Millisecond)
	x.end()
	x.everybodyGotOnce("hello", a)

	x.scene(`
c is cut off while a sends a message. Afterwards b tells it what it has seen: while there is
news each node does that three times (RumorFactor) in a TickInterval, to a random member, and
later once.`, 40, 3, Config{})
	x.settled()
	a, c = x.nodes[0], x.nodes[2]
	x.begin()
	x.filters("loses from now on what is from or to c", func(from, to netip.AddrPort) bool { return from != c.addr && to != c.addr })
	x.says(a, "hello")
	x.net.Run(200 * time.Millisecond)
	x.filters("loses nothing any more", nil)
	x.net.Run(80 * time.Millisecond)
	x.end()
	x.everybodyGotOnce("hello", a)
	return x
}

func tellLeave(t *testing.T) *transcript {
	x := newTranscript(t, `
Leaving, and coming back.`)
	x.scene(`
c says goodbye to each member, once. From then on nobody sends to it any more, and c sends
nothing: what is still on its way to it is dropped. A node that misses the goodbye finds out
as if c had crashed. At 96 a does not yet list its own message as seen: for 30 to 60 ms it
may still be on its way.`, 1, 3, Config{})
	x.settled()
	x.begin()
	a, c := x.nodes[0], x.nodes[2]
	x.calls(c, "Leave()", c.Leave)
	x.net.Run(50 * time.Millisecond)
	x.says(a, "hello")
	x.net.Run(250 * time.Millisecond)
	x.end()

	x.scene(`
When c joins again it is a new node, c', with a new place on the ring. As such it gets what
its peers retain, including messages sent in its absence (unless SkipHistory is set).`, 2, 3, Config{})
	x.settled()
	a, c = x.nodes[0], x.nodes[2]
	x.calls(c, "Leave()", c.Leave)
	x.net.Run(50 * time.Millisecond)
	x.says(a, "hello")
	x.net.Run(20 * time.Second)
	x.begin()
	x.joins(c, a)
	x.net.Run(460 * time.Millisecond)
	x.end()
	x.everybodyGotOnce("hello", a)
	return x
}

func tellKeys(t *testing.T) *transcript {
	x := newTranscript(t, `
A change of keys while messages are sent: nothing is lost.

The first key of a node seals what it sends, all of them open what comes in. So the new key
B replaces A in three steps, each done at all nodes before the next begins.`)
	x.scene(`
Before: both have A.`, 1, 2, Config{Keys: [][]byte{testKey('A')}})
	x.keys = []namedKey{x.key('A'), x.key('B')}
	x.settled()
	x.begin()
	x.says(x.nodes[0], "one")
	x.net.Run(100 * time.Millisecond)
	for i, step := range []struct{ keys, says, first, second string }{
		{"AB", "Both can open B.", "two", "three"},
		{"BA", "Both seal with B. Until b does so too, a still opens what is sealed with A.", "four", "five"},
		{"B", "Both drop A.", "six", "seven"},
	} {
		x.end()
		x.next(fmt.Sprintf("Step %d. %s", i+1, step.says))
		for j, text := range []string{step.first, step.second} {
			x.setsKeys(x.nodes[j], step.keys)
			x.says(x.nodes[j], text)
			x.net.Run(100 * time.Millisecond)
			x.everybodyGotOnce(text, x.nodes[j])
		}
	}
	x.end()
	return x
}

// key returns a key by its name.
func (x *transcript) key(name byte) namedKey {
	x.t.Helper()
	ring, err := seal.New([][]byte{testKey(name)}, func() uint64 { return 0 })
	if err != nil {
		x.t.Fatal(err)
	}
	return namedKey{string(name), ring}
}

// setsKeys gives a node keys whose names are letters.
func (x *transcript) setsKeys(n *simNode, names string) {
	x.t.Helper()
	var keys [][]byte
	for i := range len(names) {
		keys = append(keys, testKey(names[i]))
	}
	x.calls(n, "SetKeys("+strings.Join(strings.Split(names, ""), ", ")+")", func() error { return n.SetKeys(keys...) })
}
