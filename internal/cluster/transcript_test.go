package cluster

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
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
			t.Fatalf("%s, line %d: expected\n\t%s\ngot\n\t%s\nIf this is meant: go test -run Transcripts ./internal/cluster -update", file, i+1, w, g)
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
c joins a cluster of a and b, of which it knows a. a tells c of the members. To c this is
hearsay, so it sends b a Hello itself, at 40. Each node to which c is new tells others so three
times (RumorFactor), each time a random member, but sends nothing if that is c.`, 1, 3, node.Config{})
	a, b, c := x.nodes[0], x.nodes[1], x.nodes[2]
	a.join()
	b.join(a)
	x.net.Run(20 * time.Second)
	x.begin()
	x.joins(c, a)
	x.net.Run(380 * time.Millisecond)
	x.end()

	x.scene(`
The same with datagrams of 100 bytes, which have room for 6 members: the list comes in
pages, each sent when the one before is acknowledged. Members are in ring order, starting
after the newcomer. Only the messages between a and m are shown. m sends Hellos to the members
on each page, too, and so joins those on the first one at 70.`, 1, 13, node.Config{MaxMessageSize: 100})
	rest, m := x.nodes[:12], x.nodes[12]
	x.nodes = rest
	x.settled()
	x.nodes = append(rest, m)
	a = x.nodes[0]
	pair := []netip.AddrPort{a.addr, m.addr}
	x.show = func(from netip.AddrPort, m wiretest.Message) bool {
		return slices.Contains(pair, from) && slices.Contains(pair, m.To)
	}
	x.begin()
	x.joins(m, a)
	x.net.Run(90 * time.Millisecond)
	x.end()
	return x
}

func tellBroadcast(t *testing.T) *transcript {
	x := newTranscript(t, `
A Broadcast among 20 nodes, one of which has just died without the others knowing.

The nodes are named in the order of their places on the ring. The origin, n01, divides the
ring into 16 equal parts: the first node in each is a delegate and covers the arc from itself
to the next delegate. Each delegate does the same within its arc, with 16 parts
(BroadcastFactor). So each node gets one copy.

Only Data and its Acks are shown, not the members exchanged meanwhile, nor Hellos, nor Status:
the message is offered and compared too, as repair.txt shows. An Ack waits 10 ms (AckDelay) to
share a datagram.`)
	x.scene(`
n06 does not acknowledge, so n01 tries again, and the next time gives its arc to another
node inside it, n07. Then n06 is sent the message without an arc; as a suspect it gets no
arcs of other messages either. n07 does not know of that, and tries n06 as well. How long each
waits depends on the answers it has had: n01 45 ms, n07 50. After the third attempt n01 sends
n06 only Hellos, until it answers or is lost, as retry.txt shows.`, 1, 20, node.Config{})
	x.settled()
	x.nameByRing()
	x.show = func(_ netip.AddrPort, m wiretest.Message) bool { return m.Kind == wire.TypeData }
	x.begin()
	x.crashes(x.nodes[5])
	x.publishes(x.nodes[0], "hello")
	x.net.Run(200 * time.Millisecond)
	x.end()
	x.deliveredOnce("hello", x.nodes[0])
	return x
}

// deliveredOnce fails unless a text was delivered once to each node that runs but its
// publisher.
func (x *transcript) deliveredOnce(text string, from *simNode) {
	x.t.Helper()
	if !x.delivered(text, from) {
		x.t.Fatalf("%q was not delivered to all nodes:\n%s", text, x.text.String())
	}
	x.noDuplicates()
}
