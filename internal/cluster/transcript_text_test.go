package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/node"
	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/simnet"
	"example.com/gossip/internal/wire"
	"example.com/gossip/internal/wiretest"
)

// transcript writes a text about the nodes of a simulated cluster, for people to read: a line
// for each datagram when it is sent, and for each event.
type transcript struct {
	*cluster
	t       *testing.T
	text    strings.Builder
	lines   []line
	start   time.Duration // of this scene
	on      bool
	names   map[netip.AddrPort]string
	lives   map[uint64]string // names by id
	births  map[netip.AddrPort]int
	shown   bool // the last datagram that was sent is shown
	tokens  map[uint64]int
	awaited map[envelopeKey]*mention // messages that are to be answered
	copies  map[copyKey]*mention     // of Data
	keys    []namedKey
	numbers int
	show    func(from netip.AddrPort, m wiretest.Message) bool // false hides m and its Ack; nil: all are shown
}

// line is a line of a scene: the time, the node or the two nodes, and the event.
type line struct {
	at          time.Duration
	place, what string
}

type namedKey struct {
	name string
	ring *seal.Keyring
}

// legend explains what all transcripts have in common.
const legend = `
A line is a datagram when it is sent, with its messages joined by +, or an event at a
node; in front is the time in ms. Each datagram is 10 ms on its way. #1 is a message that
is to be answered, T1 a token, a/1 the first message of a. "covers b to d, 40 %" gives the
recipient an arc of the ring of ids, and the nodes on it to pass the message on to.
"logs" is what Config.Logger is told. Settings are the defaults where nothing else is said. A
scene ends when what it shows is done, though the nodes go on.`

// newTranscript begins a text with an introduction.
func newTranscript(t *testing.T, introduction string) *transcript {
	t.Helper()
	x := &transcript{t: t}
	x.comment(introduction + "\n" + legend)
	return x
}

func (x *transcript) comment(text string) {
	for l := range strings.Lines(strings.TrimSpace(text)) {
		x.text.WriteString(strings.TrimRight("# "+l, " \n") + "\n")
	}
}

// scene makes a cluster of nodes a, b, c and so on, on a network where each datagram takes
// 10 ms. Writing starts at begin.
func (x *transcript) scene(title string, seed uint64, nodes int, config node.Config) {
	x.t.Helper()
	x.text.WriteString("\n")
	x.comment(title)
	x.cluster = newCluster(x.t, 0, simnet.Config{
		Seed: seed, LatencyMin: 10 * time.Millisecond, LatencyMax: 10 * time.Millisecond,
	}, node.Config{})
	x.on, x.show = false, nil
	x.names, x.lives, x.births = map[netip.AddrPort]string{}, map[uint64]string{}, map[netip.AddrPort]int{}
	x.tokens, x.awaited, x.copies = map[uint64]int{}, map[envelopeKey]*mention{}, map[copyKey]*mention{}
	config.Records = true
	for i := range nodes {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7070)
		x.names[addr] = string(rune('a' + i))
		n := x.add(addr, config)
		n.onDeliver = func(origin uint64, payload []byte) {
			x.note(addr, "delivers %q of %s", payload, x.whose(origin))
		}
		n.onRecord = func(r node.Record) { x.record(addr, r) }
	}
}

// nameByRing calls the nodes n01, n02 and so on, as they follow one another on the
// ring, from the first node on.
func (x *transcript) nameByRing() {
	ring := slices.Clone(x.nodes)
	first := x.nodes[0].ID()
	slices.SortFunc(ring, func(a, b *simNode) int { return cmp.Compare(a.ID()-first, b.ID()-first) })
	for i, n := range ring {
		x.names[n.addr] = fmt.Sprintf("n%02d", i+1)
	}
	x.nodes = ring
	clear(x.lives)
	clear(x.births)
}

// begin starts to write, at time 0 of the scene.
func (x *transcript) begin() {
	x.on, x.start, x.numbers = true, x.net.Now(), 0
	x.whose(0) // names the nodes
	x.net.SetTap(x.tap)
}

// end ends a scene.
func (x *transcript) end() {
	width := 0
	for _, l := range x.lines {
		width = max(width, len([]rune(l.place)))
	}
	for _, l := range x.lines {
		pad := strings.Repeat(" ", width-len([]rune(l.place)))
		fmt.Fprintf(&x.text, "%6d  %s%s  %s\n", l.at.Milliseconds(), l.place, pad, l.what)
	}
	x.lines, x.on = nil, false
}

// next continues, in time and in numbers, a scene that ended just before.
func (x *transcript) next(title string) {
	x.text.WriteString("\n")
	x.comment(title)
	x.on = true
}

func (x *transcript) write(place, what string) {
	if x.on {
		x.lines = append(x.lines, line{x.net.Now() - x.start, place, what})
	}
}

// note writes an event at a node, or on the network.
func (x *transcript) note(at netip.AddrPort, format string, args ...any) {
	place, isNode := x.names[at]
	if !isNode {
		place = "net"
	}
	x.write(place, fmt.Sprintf(format, args...))
}

// record writes a record for the log of a node.
func (x *transcript) record(at netip.AddrPort, r node.Record) {
	what := "logs: " + strings.TrimPrefix(r.Message, "gossip: ")
	for i := 0; i < len(r.Args); i += 2 {
		switch r.Args[i] {
		case "member":
			id, err := strconv.ParseUint(r.Args[i+1].(string), 16, 64)
			if err != nil {
				x.t.Fatalf("a record names a member by %q, which is no id", r.Args[i+1])
			}
			what += " " + x.whose(id)
		case "new":
			what = "is " + r.Args[i+1].(string)
		}
	}
	x.note(at, "%s", what)
}

// publishes, joins, leaves, crashes, restarts and filters write an event and cause it.

func (x *transcript) publishes(n *simNode, text string) {
	x.t.Helper()
	x.note(n.addr, "SendData(%q)", text)
	n.publishText(text)
}

func (x *transcript) joins(n *simNode, seeds ...*simNode) {
	x.t.Helper()
	var names []string
	for _, s := range seeds {
		names = append(names, x.names[s.addr])
	}
	x.note(n.addr, "Join(%s)", strings.Join(names, ", "))
	n.join(seeds...)
}

func (x *transcript) leaves(n *simNode) {
	x.note(n.addr, "Leave()")
	n.leave()
}

func (x *transcript) crashes(n *simNode) {
	x.note(n.addr, "crashes")
	n.crash()
}

func (x *transcript) restarts(n *simNode, seeds ...*simNode) {
	x.note(n.addr, "is started")
	n.start()
	x.joins(n, seeds...)
}

// filters makes the network lose what does not pass.
func (x *transcript) filters(what string, pass func(from, to netip.AddrPort) bool) {
	x.note(netip.AddrPort{}, "%s", what)
	x.net.SetFilter(pass)
}

// whose returns the name of the node that has, or had, an id. Each later life of a node adds
// a prime.
func (x *transcript) whose(id uint64) string {
	for _, n := range x.up() {
		if x.lives[n.ID()] == "" {
			x.lives[n.ID()] = x.names[n.addr] + strings.Repeat("'", x.births[n.addr])
			x.births[n.addr]++
		}
	}
	return x.lives[id]
}

// tap writes a datagram when it is sent, and adds that it was lost.
func (x *transcript) tap(e simnet.Event) {
	if !x.on {
		return
	}
	switch e.Kind {
	case simnet.Sent:
		what := x.datagram(e)
		if x.shown = what != ""; !x.shown {
			return
		}
		if !slices.ContainsFunc(x.up(), func(n *simNode) bool { return n.addr == e.To }) {
			what += "  -- nobody is there"
		}
		x.write(x.names[e.From]+" -> "+x.names[e.To], what)
	case simnet.Lost, simnet.Blocked:
		if x.shown {
			x.lines[len(x.lines)-1].what += "  -- lost on the way"
		}
	}
}

// datagram describes the messages of a datagram, or those that are shown.
func (x *transcript) datagram(e simnet.Event) string {
	b, sealed := x.open(slices.Clone(e.Payload))
	all, err := wiretest.Read(b, e.To, e.Time)
	if err != nil {
		x.t.Fatal(err)
	}
	var shown []string
	for _, m := range all {
		if s := x.message(e.From, m, b[wire.HeaderSize:m.Size]); s != "" {
			shown = append(shown, s)
		}
		b = b[m.Size:]
	}
	if len(shown) == 0 {
		return ""
	}
	return sealed + strings.Join(shown, " + ")
}
