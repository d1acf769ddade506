package main

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"example.com/gossip"
)

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
