package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"example.com/gossip"
	"example.com/gossip/examples/internal/cli"
)

// The escape sequences of terminals that a view needs: all know them.
const (
	viewBegins = "\x1b[?1049h\x1b[?25l" // another screen, no cursor
	viewEnds   = "\x1b[?25h\x1b[?1049l"
	fromTop    = "\x1b[H"
	endOfLine  = "\x1b[K" // clear what the line before left there
	endOfView  = "\x1b[J"
)

// watch makes a node and shows it until ctx ends, or standard output cannot be written.
func watch(ctx context.Context, o options, stdout, stderr io.Writer) error {
	node, joined, err := cli.NewNode(o.listen, func(gossip.NodeID, []byte) {}, gossip.Config{Cluster: o.cluster, Keys: o.keys, SkipHistory: o.fresh})
	if err != nil {
		return err
	}
	defer node.Close()
	v := &top{node: node, w: stdout}
	if _, _, terminal := terminalSize(stdout); terminal {
		stderr = &v.note
	}
	ctx, stop := cli.Within(ctx, o.wait, joined, o.seeds)
	defer stop()
	looping, endLoop := context.WithCancel(context.WithoutCancel(ctx))
	defer endLoop()
	var loop, helpers sync.WaitGroup
	var failed error
	loop.Go(func() {
		failed = node.Run(looping)
		stop()
	})
	if len(o.seeds) > 0 {
		helpers.Go(func() {
			tick := time.NewTicker(upkeep)
			defer tick.Stop()
			o.seeds.KeepJoined(ctx, node, net.DefaultResolver.LookupNetIP, tick.C, func(err error) { fmt.Fprintf(stderr, "gossipcat: %v\n", err) })
		})
	} else {
		err = node.Join()
	}
	if err == nil {
		err = v.run(ctx)
	}
	if err == nil {
		err = cli.Cause(ctx)
	}
	stop()
	helpers.Wait() // so that nobody joins again after the goodbye
	endLoop()
	loop.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// top shows one node once a second: on a terminal as a view that fills it, elsewhere as a line.
type top struct {
	node *gossip.GossipService
	w    io.Writer
	note note // the last line on standard error, which the view would hide
}

// run shows the node until ctx ends, or w cannot be written.
func (v *top) run(ctx context.Context) error {
	tick := time.NewTicker(upkeep)
	defer tick.Stop()
	_, _, terminal := terminalSize(v.w)
	if terminal {
		io.WriteString(v.w, viewBegins)
		defer io.WriteString(v.w, viewEnds)
	}
	for before := v.look(time.Now()); ; {
		now := v.look(time.Now())
		text := now.line(before) + "\n"
		if terminal {
			columns, rows, _ := terminalSize(v.w)
			text = fromTop + strings.Join(now.view(before, v.note.String(), columns, rows), endOfLine+"\n") + endOfLine + endOfView
		}
		if _, err := io.WriteString(v.w, text); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
		before = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look is what a node is like at one time.
type look struct {
	at      time.Time
	id      gossip.NodeID
	address gossip.Address
	state   gossip.State
	members []gossip.Member // the slowest first, those not measured last
	stats   gossip.Stats
}

func (v *top) look(now time.Time) look {
	l := look{now, v.node.ID(), v.node.Address(), v.node.State(), v.node.Members(), v.node.Stats()}
	slices.SortFunc(l.members, func(a, b gossip.Member) int {
		return cmp.Or(cmp.Compare(b.RTT, a.RTT), cmp.Compare(a.ID, b.ID))
	})
	return l
}

// rate is a count, and what it is called in the line and in the view.
type rate struct {
	short, long string
	count       uint64
}

func (l look) rates() []rate {
	s := &l.stats
	return []rate{
		{"in", "datagrams in", s.DatagramsIn}, {"out", "datagrams out", s.DatagramsOut},
		{"bytes_in", "bytes in", s.BytesIn}, {"bytes_out", "bytes out", s.BytesOut},
		{"sent", "sent", s.Sent}, {"delivered", "delivered", s.Delivered}, {"repaired", "of these repaired", s.Repaired},
		{"relayed", "copies relayed", s.Relayed}, {"duplicates", "duplicates", s.Duplicate}, {"retries", "sent again", s.Retries},
		{"dropped", "dropped", dropped(s)}, {"missed", "missed for good", s.GaveUpUnseen}, {"lost", "members lost", s.MembersLost},
	}
}

// dropped is the sum of the fields that begin with Drop.
func dropped(s *gossip.Stats) (n uint64) {
	for field, value := range reflect.ValueOf(s).Elem().Fields() {
		if strings.HasPrefix(field.Name, "Drop") {
			n += value.Uint()
		}
	}
	return n
}

// perSecond returns by how much the ith count has grown each second.
func (l look) perSecond(before look, i int) float64 {
	seconds := l.at.Sub(before.at).Seconds()
	if seconds <= 0 || l.id != before.id {
		return 0
	}
	return float64(l.rates()[i].count-before.rates()[i].count) / seconds
}

// line returns what is new since before, as names and values.
func (l look) line(before look) string {
	var b strings.Builder
	least, middle, most := l.roundTrips()
	fmt.Fprintf(&b, "%s state=%v members=%d", l.at.UTC().Format(time.RFC3339), l.state, len(l.members))
	fmt.Fprintf(&b, " rtt_least=%v rtt_median=%v rtt_most=%v", least, middle, most)
	for i, r := range l.rates() {
		fmt.Fprintf(&b, " %s=%.1f/s", r.short, l.perSecond(before, i))
	}
	fmt.Fprintf(&b, " queued=%d", l.stats.QueuedData)
	return b.String()
}

// roundTrips returns the least, the median and the longest round trip of those measured.
func (l look) roundTrips() (least, middle, most time.Duration) {
	measured := l.members
	if i := slices.IndexFunc(measured, func(m gossip.Member) bool { return m.RTT == 0 }); i >= 0 {
		measured = measured[:i]
	}
	if len(measured) == 0 {
		return 0, 0, 0
	}
	return round(measured[len(measured)-1].RTT), round(measured[len(measured)/2].RTT), round(measured[0].RTT)
}

// round leaves three digits or so of a round trip.
func round(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond)
	case d < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

const countsWidth = 37 // columns of the counts, left of the members

// view returns the lines that fill a terminal: counts on the left, members on the right.
func (l look) view(before look, note string, columns, rows int) []string {
	least, middle, most := l.roundTrips()
	s := &l.stats
	lines := []string{
		fmt.Sprintf("%v at %v is %v at %s", l.id, l.address, l.state, l.at.Format(time.TimeOnly)),
		fmt.Sprintf("%d members, %d lost and asked for; RTT %v to %v, median %v", s.Members, s.Lost, least, most, middle),
		fmt.Sprintf("%d messages wait to be sent or acknowledged; %d retained, %d kB", s.QueuedData, s.Retained, s.RetainedBytes/1000),
		note,
	}
	counts := []string{fmt.Sprintf("%-17s%8s%10s", "", "a second", "in all")}
	for i, r := range l.rates() {
		counts = append(counts, fmt.Sprintf("%-17s%8.1f%10d", r.long, l.perSecond(before, i), r.count))
	}
	members := []string{fmt.Sprintf("%-8s %-21s %s", "RTT", "address", "member")}
	for _, m := range l.members {
		rtt := "-"
		if m.RTT > 0 {
			rtt = round(m.RTT).String()
		}
		members = append(members, fmt.Sprintf("%-8s %-21v %v", rtt, m.Address, m.ID))
	}
	if room := max(rows-len(lines), 2); len(members) > room {
		members[room-1] = fmt.Sprintf("%-8s %d more", "", len(members)-room+1)
		members = members[:room]
	}
	for i := range max(len(counts), len(members)) {
		var left, right string
		if i < len(counts) {
			left = counts[i]
		}
		if i < len(members) {
			right = members[i]
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%-*s%s", countsWidth, left, right), " "))
	}
	lines = lines[:min(len(lines), rows)]
	for i := range lines {
		lines[i] = cut(lines[i], columns)
	}
	return lines
}

// cut returns at most so many characters of text.
func cut(text string, columns int) string {
	for i := range text {
		if columns == 0 {
			return text[:i]
		}
		columns--
	}
	return text
}

// note keeps the last line that was written to it.
type note struct {
	mu   sync.Mutex
	text string
}

func (n *note) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text = strings.TrimSpace(string(b)); !utf8.ValidString(n.text) {
		n.text = fmt.Sprintf("%q", n.text)
	}
	return len(b), nil
}

func (n *note) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text
}
