package gossip

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/gossip/internal/seal"
	"example.com/gossip/internal/simnet"
)

// transcript writes down what the nodes of a simulated cluster say and notice, for
// people to read: a line for each datagram when it is sent, and for each event.
type transcript struct {
	*simCluster
	t       *testing.T
	text    strings.Builder
	lines   []noted
	start   time.Duration // of this scene
	on      bool
	names   map[netip.AddrPort]string
	lives   map[uint64]string // names by id
	births  map[netip.AddrPort]int
	flying  bool // the last datagram that was sent is shown
	tokens  map[uint64]int
	sent    map[envelopeKey]*mention // what is to be answered
	keys    []namedKey
	numbers int
	show    func(from netip.AddrPort, m said) bool // else neither m nor its Ack is shown; nil: all
}

// noted is a line of a scene: at what time, whose, and what.
type noted struct {
	at        time.Duration
	who, what string
}

// mention is how a message is called that is to be answered, and how often it was
// sent. What has the number 0 is hidden.
type mention struct{ number, times int }

type namedKey struct {
	name string
	ring *seal.Ring
}

// legend explains what all transcripts have in common.
const legend = `
A line is a datagram when it is sent, with its messages joined by +, or an event at a
node; in front is the time in ms. Each datagram is 10 ms on its way. #1 is a message that
is to be answered, T1 a token, a/1 the first message of a. "covers b to d, 40 %" gives the
recipient an arc of the ring of ids, and the nodes on it to pass the message on to.
"logs" is what Config.Logger is told. Settings are the defaults where nothing else is said. A
scene ends when what it shows is done, though the nodes go on.`

// newTranscript begins a text with what is to be known before it is read.
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

// scene makes a cluster of nodes a, b, c and so on, that nothing is written of yet,
// on a net where each datagram takes 10 ms.
func (x *transcript) scene(title string, seed uint64, nodes int, config Config) {
	x.t.Helper()
	x.text.WriteString("\n")
	x.comment(title)
	x.simCluster = newSimCluster(x.t, 0, simnet.Config{
		Seed: seed, LatencyMin: 10 * time.Millisecond, LatencyMax: 10 * time.Millisecond,
	}, Config{})
	x.on, x.show = false, nil
	x.names, x.lives, x.births = map[netip.AddrPort]string{}, map[uint64]string{}, map[netip.AddrPort]int{}
	x.tokens, x.sent = map[uint64]int{}, map[envelopeKey]*mention{}
	for i := range nodes {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7070)
		x.names[addr] = string(rune('a' + i))
		config.Logger = slog.New(diary{x, addr})
		n := x.add(addr, config)
		n.hook = func(origin NodeID, payload []byte) {
			x.note(addr, "delivers %q of %s", payload, x.whose(uint64(origin)))
		}
	}
}

// nameByRing calls the nodes n01, n02 and so on, as they follow one another on the
// ring, from the first node on.
func (x *transcript) nameByRing() {
	ring := slices.Clone(x.nodes)
	first := x.nodes[0].id
	slices.SortFunc(ring, func(a, b *simNode) int { return cmp.Compare(a.id-first, b.id-first) })
	for i, n := range ring {
		x.names[n.addr] = fmt.Sprintf("n%02d", i+1)
	}
	x.nodes = ring
	clear(x.lives)
	clear(x.births)
}

// begin writes down what happens from now on, time 0 of the scene.
func (x *transcript) begin() {
	x.on, x.start, x.numbers = true, x.net.Now(), 0
	x.whose(0) // who is who now
	x.net.SetTap(x.tap)
}

// end ends a scene.
func (x *transcript) end() {
	width := 0
	for _, l := range x.lines {
		width = max(width, len([]rune(l.who)))
	}
	for _, l := range x.lines {
		pad := strings.Repeat(" ", width-len([]rune(l.who)))
		fmt.Fprintf(&x.text, "%6d  %s%s  %s\n", l.at.Milliseconds(), l.who, pad, l.what)
	}
	x.lines, x.on = nil, false
}

// next goes on, in time and in numbers, with a scene that ended just now.
func (x *transcript) next(title string) {
	x.text.WriteString("\n")
	x.comment(title)
	x.on = true
}

func (x *transcript) write(who, what string) {
	if x.on {
		x.lines = append(x.lines, noted{x.net.Now() - x.start, who, what})
	}
}

// note writes an event at a node, or on the net.
func (x *transcript) note(at netip.AddrPort, format string, args ...any) {
	who, isNode := x.names[at]
	if !isNode {
		who = "net"
	}
	x.write(who, fmt.Sprintf(format, args...))
}

// calls writes the call of a verb, which must succeed, and makes it.
func (x *transcript) calls(n *simNode, what string, call func() error) {
	x.t.Helper()
	x.note(n.addr, "%s", what)
	if err := call(); err != nil {
		x.t.Fatal(err)
	}
	n.wakeAt(x.net.Now())
}

func (x *transcript) says(n *simNode, text string) {
	x.t.Helper()
	x.calls(n, fmt.Sprintf("SendData(%q)", text), func() error { return n.SendData([]byte(text)) })
}

func (x *transcript) joins(n *simNode, seeds ...*simNode) {
	x.t.Helper()
	var names []string
	var addrs []Address
	for _, s := range seeds {
		names, addrs = append(names, x.names[s.addr]), append(addrs, Address{s.addr})
	}
	x.calls(n, "Join("+strings.Join(names, ", ")+")", func() error { return n.Join(addrs...) })
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

// filters makes the net lose what does not pass.
func (x *transcript) filters(what string, pass func(from, to netip.AddrPort) bool) {
	x.note(netip.AddrPort{}, "%s", what)
	x.net.SetFilter(pass)
}

// diary is the slog.Handler of the node at an address.
type diary struct {
	x  *transcript
	at netip.AddrPort
}

func (d diary) Enabled(context.Context, slog.Level) bool { return true }
func (d diary) WithAttrs([]slog.Attr) slog.Handler       { return d }
func (d diary) WithGroup(string) slog.Handler            { return d }

func (d diary) Handle(_ context.Context, r slog.Record) error {
	what := "logs: " + strings.TrimPrefix(r.Message, "gossip: ")
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case NodeID:
			what += " " + d.x.whose(uint64(v))
		case State:
			if a.Key == "new" {
				what = "is " + v.String()
			}
		}
		return true
	})
	d.x.note(d.at, "%s", what)
	return nil
}

// whose returns the name of the node that has, or had, an id: in later lives with
// strokes.
func (x *transcript) whose(id uint64) string {
	for _, n := range x.up() {
		if x.lives[uint64(n.id)] == "" {
			x.lives[uint64(n.id)] = x.names[n.addr] + strings.Repeat("'", x.births[n.addr])
			x.births[n.addr]++
		}
	}
	return x.lives[id]
}

// tap writes down a datagram when it is sent, and what became of it if it was lost.
func (x *transcript) tap(e simnet.Event) {
	if !x.on {
		return
	}
	switch e.Kind {
	case simnet.Sent:
		what := x.datagram(e)
		if x.flying = what != ""; !x.flying {
			return
		}
		if !slices.ContainsFunc(x.up(), func(n *simNode) bool { return n.addr == e.To }) {
			what += "  -- nobody is there"
		}
		x.write(x.names[e.From]+" -> "+x.names[e.To], what)
	case simnet.Lost, simnet.Blocked:
		if x.flying {
			x.lines[len(x.lines)-1].what += "  -- lost on the way"
		}
	}
}

// datagram describes the messages of a datagram, or those that are shown.
func (x *transcript) datagram(e simnet.Event) string {
	b, sealed := x.open(slices.Clone(e.Payload))
	reader := soloist{GossipService: x.nodes[0].GossipService, t: x.t}
	var shown []string
	for _, m := range reader.read(fakeDatagram{b, e.To}) {
		if s := x.message(e.From, m); s != "" {
			shown = append(shown, s)
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return sealed + strings.Join(shown, " + ")
}
